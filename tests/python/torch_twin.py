"""A dense float64 layer beside a sparse one, for the tests of the layer for PyTorch."""
import torch
from torch import nn


def dense_twin(layer):
    twin = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None).double()
    with torch.no_grad():
        twin.weight.copy_(layer.to_dense().double())
        if layer.bias is not None:
            twin.bias.copy_(layer.bias.double())
    return twin


def largest_difference(a, b):
    return (a.double() - b.double()).abs().max().item() if a.numel() else 0.0


def compare(layer, x):
    """Output and all gradients beside the dense layer's in float64."""
    layer.zero_grad()
    twin = dense_twin(layer)
    mine = x.clone().requires_grad_() if x.stride() != (1, x.shape[0]) else x.t().clone().t().requires_grad_()
    theirs = x.double().clone().requires_grad_()
    y, z = layer(mine), twin(theirs)
    up = torch.randn(z.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    (y * up.float()).sum().backward()
    (z * up).sum().backward()
    rows, columns = layer.edges.long()
    scale = max(1.0, up.shape[0] ** 0.5)
    assert largest_difference(y, z) < 1e-5 * scale
    assert largest_difference(mine.grad, theirs.grad) < 1e-5 * scale
    assert largest_difference(layer.weight.grad, twin.weight.grad[rows, columns]) < 1e-5 * scale * 4
    if layer.bias is not None:
        assert largest_difference(layer.bias.grad, twin.bias.grad) < 1e-5 * scale * 4
