#!/usr/bin/env python3
"""Sparse layers in PyTorch, forward and backward (gradients by input, weights and bias), CPU milliseconds of one thread.

Contestants alternate in one process; the lower quartile of the rounds is shown. Beside each time stands the density that the
contestant really keeps. sparselab takes part where it is installed.
usage: bench/torch_layers.py [ROUNDS]      with PYTHONPATH naming the package
"""
import sys
import time
import warnings

import torch
from torch import nn

from espalier.torch import SparseLinear

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
SIZES = [(4096, 0.95, 128), (4096, 0.95, 16), (4096, 0.95, 1), (1024, 0.90, 128), (1024, 0.95, 128), (1024, 0.95, 16),
         (1024, 0.95, 1)]


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
    try:
        from sparselab.nn import SparseLinear as Padded

        found["sparselab"] = Padded(n, n, sparsity=sparsity)
    except Exception as error:  # noqa: BLE001  (whatever a rival does)
        print(f"sparselab does not take part: {error}", file=sys.stderr)
    return found


def step(layer, x, up):
    layer.zero_grad(set_to_none=True)
    x = x.detach().requires_grad_()
    start = time.thread_time()
    layer(x).backward(up)
    return 1000 * (time.thread_time() - start)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    print("| n, sparsity, batch | contestant | CPU ms | beside espalier | kept density |\n|---|---|---|---|---|")
    for n, sparsity, batch in SIZES:
        layers = contestants(n, sparsity)
        x, up = torch.randn(batch, n), torch.randn(batch, n)
        by_feature = x.t().contiguous().t(), up.t().contiguous().t()
        times = {name: [] for name in layers}
        for _ in range(rounds):
            for name, layer in layers.items():
                times[name].append(step(layer, *(by_feature if name.endswith("major") else (x, up))))
        best = {name: sorted(each)[len(each) // 4] for name, each in times.items()}
        for name, each in best.items():
            print(f"| {n}, {100 * sparsity:.0f} %, {batch} | {name} | {each:.2f} | {each / best['espalier']:.2f} | "
                  f"{float(layers[name].density):.3f} |")


main()
