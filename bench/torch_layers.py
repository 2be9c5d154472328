#!/usr/bin/env python3
"""Sparse layers in PyTorch, forward and backward (gradients by input, weights and bias), CPU milliseconds of one thread.

Contestants alternate in one process; the lower quartile of the rounds is shown. Beside each time stands the density that the
contestant really keeps. sparselab and SparseProp take part where they are installed (bench/peers/install_peers).
usage: bench/torch_layers.py [ROUNDS]        with PYTHONPATH naming the package
       bench/torch_layers.py chain [ROUNDS]  two layers with ReLU between them; samples lie row by row at both ends, and of
                                             "espalier, feature-major" feature by feature between
       bench/torch_layers.py memory          peak memory above the state before the layer was built, 4096 x 4096, 95 %, batch
                                             128: of a step alone and of one with Adam; a process for each. What PyTorch loads
                                             at the first step of any optimizer (6 MiB) is loaded before
"""
import resource
import subprocess
import sys
import time
import warnings

import torch
from torch import nn

from espalier.torch import SparseLinear

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
SIZES = [(4096, 0.95, 128), (4096, 0.90, 128), (4096, 0.95, 16), (4096, 0.95, 1), (1024, 0.90, 128), (1024, 0.95, 128),
         (1024, 0.95, 16), (1024, 0.95, 1)]


class Csr(nn.Module):
    """The fastest that torch has: torch.sparse.mm with 32-bit indices, whose gradient is sparse too."""

    def __init__(self, like):
        super().__init__()
        matrix = like.to_sparse_csr()
        self.matrix = torch.sparse_csr_tensor(matrix.crow_indices().int(), matrix.col_indices().int(), matrix.values(),
                                              size=matrix.shape).requires_grad_()
        self.bias = nn.Parameter(like.bias.detach().clone())
        self.density = like.density

    def forward(self, x):
        return torch.sparse.mm(self.matrix, x.t()).t() + self.bias


def contestants(n, sparsity):
    ours = SparseLinear(n, n, 1 - sparsity, seed=0, threads=1)
    found = {"espalier": ours, "espalier, feature-major": SparseLinear(n, n, 1 - sparsity, seed=0, threads=1, feature_major=True),
             "nn.Linear": nn.Linear(n, n), "torch CSR": Csr(ours)}
    found["nn.Linear"].density = 1.0
    for rival, layer in (("sparselab", padded), ("sparseprop", propagated)):
        try:
            found[rival] = layer(ours, n, sparsity)
        except Exception as error:  # noqa: BLE001  (whatever a rival does)
            print(f"{rival} does not take part: {error}", file=sys.stderr)
    return found


def padded(_, n, sparsity):
    from sparselab.nn import SparseLinear as Padded

    return Padded(n, n, sparsity=sparsity)


def propagated(ours, *_):
    from sparseprop.modules import SparseLinear as Propagated

    layer = Propagated(ours.to_dense().detach(), nn.Parameter(ours.bias.detach().clone()))
    layer.density = len(layer.W_val) / (layer.N * layer.M)
    return layer


def chains(n, sparsity):
    first, second = contestants(n, sparsity), contestants(n, sparsity)
    second["espalier, feature-major"].feature_major = False
    found = {name: nn.Sequential(first[name], nn.ReLU(), second[name]) for name in first}
    for name, chain in found.items():
        chain.density = first[name].density
    return found


def check(layers, n):
    """Ours beside a dense layer of the same weights: nothing wrong is timed."""
    ours, x = layers["espalier"], torch.randn(5, n)
    expected = x @ ours.to_dense().detach().t() + ours.bias
    for name in ("espalier, feature-major", "torch CSR", "sparseprop"):
        if name in layers and layers[name].density == ours.density and (layers[name](x) - expected).abs().max() > 1e-3:
            raise SystemExit(f"{name} computes something else")


def memory_of(name, adam):
    """MiB; run in a process of its own."""
    n, batch = 4096, 128
    x, up = torch.randn(batch, n), torch.randn(batch, n)
    first = torch.randn(64, 64).requires_grad_()
    first.sum().backward()
    if adam:
        torch.optim.Adam([first]).step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    layer = nn.Linear(n, n) if name == "nn.Linear" else SparseLinear(n, n, 0.05, seed=0, threads=1)
    optimizer = torch.optim.Adam(layer.parameters()) if adam else None
    for _ in range(2):
        layer.zero_grad(set_to_none=True)
        layer(x.detach().requires_grad_()).backward(up)
        if optimizer:
            optimizer.step()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def memory():
    print("| | bare step, MiB | with Adam, MiB |\n|---|---|---|")
    for name in ("espalier", "nn.Linear"):
        peaks = [float(subprocess.run([sys.executable, __file__, "memory-of", name, adam], capture_output=True, text=True,
                                      check=True).stdout) for adam in ("", "adam")]
        print(f"| {name} | {peaks[0]:.1f} | {peaks[1]:.1f} |")


def step(layer, x, up):
    layer.zero_grad(set_to_none=True)
    x = x.detach().requires_grad_()
    start = time.thread_time()
    layer(x).backward(up)
    return 1000 * (time.thread_time() - start)


def main():
    if sys.argv[1:2] == ["memory"]:
        return memory()
    if sys.argv[1:2] == ["memory-of"]:
        return memory_of(sys.argv[2], sys.argv[3] == "adam")
    chained = sys.argv[1:2] == ["chain"]
    numbers = sys.argv[2:] if chained else sys.argv[1:]
    rounds = int(numbers[0]) if numbers else 40
    print("| n, sparsity, batch | contestant | CPU ms | beside espalier | kept density |\n|---|---|---|---|---|")
    for n, sparsity, batch in SIZES[:1] if chained else SIZES:
        layers = (chains if chained else contestants)(n, sparsity)
        if not chained:
            check(layers, n)
        x, up = torch.randn(batch, n), torch.randn(batch, n)
        by_feature = x.t().contiguous().t(), up.t().contiguous().t()
        times = {name: [] for name in layers}
        for _ in range(rounds):
            for name, layer in layers.items():
                times[name].append(step(layer, *(by_feature if name.endswith("major") and not chained else (x, up))))
        best = {name: sorted(each)[len(each) // 4] for name, each in times.items()}
        for name, each in best.items():
            print(f"| {n}, {100 * sparsity:.0f} %, {batch} | {name} | {each:.2f} | {each / best['espalier']:.2f} | "
                  f"{float(layers[name].density):.3f} |")


main()
