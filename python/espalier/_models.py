"""What is done to all sparse layers of a PyTorch model at once."""
from __future__ import annotations

from typing import Any, Iterable

import numpy as np
import torch
from torch import nn

from ._layer import SparseLinear
from ._wiring import checked_share, erk_densities


def _linears(model: nn.Module, exclude: set[str]) -> dict[str, nn.Linear]:
    """The linear layers to replace by name; one that stands in several places by its first."""
    named = dict(model.named_modules())
    every = {name for name, _ in model.named_modules(remove_duplicate=False)}
    if exclude - every:
        raise ValueError(f"exclude: the model has no {sorted(exclude - every)}")
    left_out = {id(each) for name, each in model.named_modules(remove_duplicate=False) if name in exclude}
    linears = {name: each for name, each in named.items() if type(each) is nn.Linear and id(each) not in left_out}
    if "" in linears:
        raise ValueError("model: a bare Linear cannot be replaced in place; SparseLinear.from_linear() makes another one")
    for name, linear in linears.items():
        for other, module in named.items():
            if module is not linear and any(each is linear.weight for each in module.parameters(recurse=False)):
                raise ValueError(f"model: {name}.weight is also a parameter of {other!r}, with which a sparse layer "
                                 f"cannot share it; exclude={[name]} leaves it as it is")
    return linears


def replace_linears(model: nn.Module, sparsity: float, distribution: str = "erk", *, exclude: Iterable[str] = (),
                    **options: Any) -> list[str]:
    """Replaces every torch.nn.Linear of a model, in place, by a SparseLinear with its largest weights; returns their names.

    sparsity: of all of them together, in [0, 1). distribution: "erk" or "uniform". exclude: names that stay as they are, as
    do layers that "erk" would leave dense. options: those of SparseLinear.from_linear. Parameters are new ones: make the
    optimizer afterwards. A layer that stands in several places is one in all of them; ValueError for a weight that is tied
    to another module's.
    """
    if distribution not in ("erk", "uniform"):
        raise ValueError(f"unknown value {distribution!r}; expected erk or uniform")
    sparsity = checked_share(sparsity, "sparsity", "[0, 1)")
    linears = _linears(model, {exclude} if isinstance(exclude, str) else set(exclude))
    shapes = [tuple(each.weight.shape) for each in linears.values()]
    densities = erk_densities(shapes, sparsity) if distribution == "erk" else [1 - sparsity] * len(shapes)
    replaced = {name: (linear, SparseLinear.from_linear(linear, density, **options))
                for (name, linear), density in zip(linears.items(), densities) if density < 1}
    by_identity = {id(linear): sparse for linear, sparse in replaced.values()}
    for parent in list(model.modules()):
        for own, child in list(parent._modules.items()):
            if id(child) in by_identity:
                setattr(parent, own, by_identity[id(child)])
                if isinstance(parent, nn.TransformerEncoderLayer):
                    parent.activation_relu_or_gelu = 0  # or evaluation would pass its layers by and want dense matrices
    return list(replaced)


def _sparse_layers(model: nn.Module) -> list[SparseLinear]:
    return [each for each in model.modules() if isinstance(each, SparseLinear)]


def evolve_all(model: nn.Module, optimizer: torch.optim.Optimizer | None = None, zeta: float = 0.3, *,
               averages: Iterable[nn.Module] = (), seed: int | None = None, **options: Any) -> int:
    """SparseLinear.evolve() of every sparse layer of a model but frozen ones; returns how many cells are new in all.

    averages: models of the same layers that follow this one's weights (torch.optim.swa_utils.AveragedModel, a target
    network): each of their layers evolves along. seed: each layer draws its own from it. options: those of
    SparseLinear.evolve. ValueError where layers share a weight but not the wiring.
    """
    layers = _sparse_layers(model)
    others = [_sparse_layers(each) for each in averages]
    for each in others:
        if len(each) != len(layers):
            raise ValueError(f"averages: expected models of {len(layers)} sparse layers, found one of {len(each)}")
    found: dict[int, SparseLinear] = {}
    count = 0
    for i, layer in enumerate(layers):
        first = found.setdefault(id(layer.weight), layer)
        if first is not layer:
            if first.edges is not layer.edges:
                raise ValueError("model: two layers share a weight but not the wiring; layer.edges = other.edges shares it too")
        elif layer.weight.requires_grad:
            own = None if seed is None else int(np.random.SeedSequence([seed, i]).generate_state(1)[0])
            count += layer.evolve(zeta=zeta, optimizer=optimizer, seed=own, averages=[each[i] for each in others], **options)
    return count


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer: matrices and the weights of sparse layers decay, other vectors do not."""
    sparse = {id(each.weight) for each in _sparse_layers(model)}
    decays: list[nn.Parameter] = []
    stays: list[nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (decays if parameter.dim() >= 2 or id(parameter) in sparse else stays).append(parameter)
    return [{"params": decays, "weight_decay": weight_decay}, {"params": stays, "weight_decay": 0.0}]
