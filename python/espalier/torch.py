"""Sparse layers for PyTorch models, on the engine's kernels (float32; CPU, and CUDA where its module is).

    model = nn.Sequential(SparseLinear(784, 1000, 0.1), nn.ReLU(), SparseLinear(1000, 10, 0.5))
    optimizer = torch.optim.AdamW(decay_groups(model, 1e-4))
    ...
    evolve_all(model, optimizer, zeta=0.3)     # after every epoch, say

A layer's weights are a vector of its edges. Three things follow. Functions that choose parameters by `ndim` (weight decay
in timm, torch.optim.Muon, torch.nn.init) do not take it for a matrix: use :func:`decay_groups`. float64 and half precision
are refused: there are float32 kernels only. torch.compile runs the layer as it is.
"""
from __future__ import annotations

from ._layer import SparseLinear
from ._models import decay_groups, evolve_all, replace_linears
from ._wiring import erk_densities

__all__ = ["SparseLinear", "replace_linears", "evolve_all", "decay_groups", "erk_densities"]
