"""Sparse layers on CUDA tensors: PyTorch puts the samples into the kernels' tiles, the CUDA module multiplies them.

Not run on a GPU yet. The tests run the module's own kernels on the CPU.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from . import _core


def place_of(tensor: torch.Tensor) -> torch.device:
    """Where a layer computes by this tensor."""
    return tensor.device


def autocasts(tensor: torch.Tensor) -> bool:
    """Whether lower precision is lifted here: under autocast of the tensor's kind of device."""
    if torch.__version__ >= "2.4":
        return torch.is_autocast_enabled(tensor.device.type)
    return torch.is_autocast_enabled() if tensor.is_cuda else torch.is_autocast_cpu_enabled()


def _array(tensor: torch.Tensor) -> Any:
    """What the module takes by DLPack."""
    return tensor.detach().contiguous()


def _stream(tensor: torch.Tensor) -> int | None:
    """What the work is to follow; None of a tensor that has no stream, for which all is waited."""
    return torch.cuda.current_stream(tensor.device).cuda_stream if tensor.is_cuda else None


def to_tiles(x: torch.Tensor, lanes: int) -> torch.Tensor:
    """[samples, features] as [tiles, features, lanes], zeros past the last sample."""
    missing = -len(x) % lanes
    if missing:
        x = nn.functional.pad(x, (0, 0, 0, missing))
    return x.reshape(-1, lanes, x.shape[1]).transpose(1, 2).contiguous()


def from_tiles(tiles: torch.Tensor, samples: int, feature_major: bool = False) -> torch.Tensor:
    """And back; `feature_major`: samples may lie side by side in memory, which spares a copy of up to one tile."""
    x = tiles.transpose(1, 2).reshape(-1, tiles.shape[1])[:samples]
    return x if feature_major else x.contiguous()


class DeviceKernel:
    """A layer's wiring on a GPU. Throws TypeError if there is none that the CUDA module can use."""

    def __init__(self, outputs: np.ndarray, inputs: np.ndarray, in_features: int, out_features: int,
                 device: torch.device) -> None:
        try:
            self.product = _core.DeviceProduct(outputs, inputs, in_features, out_features, device.index or 0)
        except RuntimeError as error:
            raise TypeError(f"x: found a tensor on {device}, where the layer cannot compute: {error}; .cpu() of layer and "
                            "tensor lets it run on the CPU") from None
        self.in_features, self.out_features = in_features, out_features

    def forward(self, x: torch.Tensor, samples: int, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        y = x.new_empty(len(x), self.out_features, self.product.lanes)
        self.product.forward(_array(x), samples, _array(weight), None if bias is None else _array(bias), _array(y),
                             _stream(x))
        return y

    def backward(self, x: torch.Tensor, samples: int, weight: torch.Tensor, dy: torch.Tensor,
                 *gradients: torch.Tensor | None) -> None:
        """Writes the gradients by x, weight and bias that are not None."""
        self.product.backward(_array(x), samples, _array(weight), _array(dy),
                              *(None if each is None else _array(each) for each in gradients), _stream(x))


class DeviceFunction(torch.autograd.Function):
    """y = x W^T + b of a layer by its kernel."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
                layer: Any) -> torch.Tensor:
        kernel = layer._kernel_now(place_of(x))
        ctx.save_for_backward(weight)
        ctx.kernel, ctx.samples, ctx.outputs, ctx.tiles = kernel, len(x), layer.out_features, None
        ctx.layer, ctx.x = (layer, x.detach()) if layer.remember_for_growth else (None, None)
        if len(x) == 0:
            return x.new_empty(0, layer.out_features)
        ctx.tiles = to_tiles(x, kernel.product.lanes)
        return from_tiles(kernel.forward(ctx.tiles, len(x), weight, bias), len(x), layer.feature_major)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[Any, ...]:
        (weight,) = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        if ctx.samples == 0:
            return (dy.new_empty(0, ctx.kernel.in_features) if wanted[0] else None,
                    torch.zeros_like(weight) if wanted[1] else None,
                    dy.new_zeros(ctx.outputs) if wanted[2] else None, None)
        dx = torch.empty_like(ctx.tiles) if wanted[0] else None
        dw = torch.empty_like(weight, memory_format=torch.contiguous_format) if wanted[1] else None
        db = dy.new_empty(ctx.outputs) if wanted[2] else None
        ctx.kernel.backward(ctx.tiles, ctx.samples, weight, to_tiles(dy, ctx.kernel.product.lanes), dx, dw, db)
        if ctx.layer is not None:
            ctx.layer._remembered = (ctx.x, dy.detach())
        return None if dx is None else from_tiles(dx, ctx.samples), dw, db, None
