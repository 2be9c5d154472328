"""Sparse layers on tensors in host memory: the engine's product as a function that PyTorch differentiates.

A step of a small batch takes the kernels less time than everything around them, so that there is little of it: nothing is
copied, no view is made through PyTorch's dispatcher where NumPy makes it, and a gradient is one object.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable


def settle() -> None:
    """Before the first step: C's allocator returns memory to the system where more than a limit of it lies free, which then
    comes back page by page, a fifth of the time of a step of 4096 x 4096. Its limits follow the largest block that was
    released so far, so one is, untouched. Not before layers are made, whose making leaves gaps that no step fills."""
    np.empty((32 << 20) - (1 << 16), np.uint8)


def laid_out(x: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """x as the kernels take it, and whether as [features][samples]: x itself where its rows or its columns lie in memory one
    after another, gaps or none between them; else, as an expanded gradient with strides of 0, a copy."""
    (samples, features), (by_sample, by_feature) = x.shape, x.stride()
    if samples > 1 and features > 1 and by_sample == 1 and by_feature >= samples:
        return x, True
    return (x if by_feature == 1 and by_sample >= features else x.contiguous()), False


# The module takes NumPy's arrays in a tenth of the time that a tensor's DLPack capsule costs.
def _base(x: torch.Tensor, feature_major: bool) -> np.ndarray:
    array = x.numpy(force=True)
    return array.T if feature_major else array


def _vector(x: torch.Tensor | None) -> np.ndarray | None:
    return None if x is None else np.ascontiguousarray(x.numpy(force=True))


# NumPy's memory: C's allocator gives it out again to the next step, but not PyTorch's, which is aligned: a step with Adam
# would take two vectors of edges more. A tensor that PyTorch transposed would be a view, which nothing may change in place.
def _new_batch(samples: int, features: int, feature_major: bool) -> tuple[np.ndarray, torch.Tensor]:
    """Memory as the kernels write it, and the same as [samples, features]."""
    if feature_major:
        memory = np.empty((features, samples), np.float32)
        return memory, torch.from_numpy(memory.T)
    memory = np.empty((samples, features), np.float32)
    return memory, torch.from_numpy(memory)


def _gradients(ctx: Any, dy: torch.Tensor) -> tuple[Any, ...]:
    (weight,) = ctx.saved_tensors
    layer, kernel, packed, (samples, inputs), by_feature, x = ctx.made
    wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
    x_memory, dx = _new_batch(samples, inputs, by_feature) if wants_x else (None, None)
    dw = np.empty(len(weight), np.float32) if wants_weight else None
    db = np.empty(dy.shape[1], np.float32) if wants_bias else None
    dy, dy_by_feature = laid_out(dy)
    kernel.backward(packed, _vector(weight), _base(dy, dy_by_feature), dy_by_feature, x_memory, by_feature, dw, db)
    if x is not None:
        layer._remembered = (x, dy.detach())
    return dx, torch.from_numpy(dw) if wants_weight else None, torch.from_numpy(db) if wants_bias else None, None


_gradients_once = once_differentiable(_gradients)


class Product(torch.autograd.Function):
    """y = x W^T + b of a layer by its kernel."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
                layer: Any) -> torch.Tensor:
        kernel = layer._kernel_now(x.device)
        x, by_feature = laid_out(x)
        packed = kernel.pack(_base(x, by_feature), by_feature)
        memory, y = _new_batch(len(x), layer.out_features, layer.feature_major)
        kernel.forward(packed, _vector(weight), _vector(bias), memory, layer.feature_major)
        ctx.save_for_backward(weight)
        ctx.made = layer, kernel, packed, x.shape, by_feature, x.detach() if layer.remember_for_growth else None
        return y

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[Any, ...]:
        # Gradients of gradients are an error: without it a gradient penalty would count for nothing, without a word. Their
        # guard costs as much as the rest of this, and is only wanted where a graph of this pass is asked for.
        return (_gradients_once if torch.is_grad_enabled() else _gradients)(ctx, dy)
