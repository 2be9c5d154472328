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

import math
from typing import Any, Iterable

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from . import _core, _device
from ._wiring import distinct_cells, empty_cells, erk_densities, pruned

__all__ = ["SparseLinear", "replace_linears", "evolve_all", "decay_groups", "erk_densities"]

_eager = getattr(getattr(torch, "compiler", None), "disable", lambda function: function)


def _laid_out(x: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """x as the kernels take it, and whether as [features][samples]: x itself where its rows or its columns lie in memory one
    after another, gaps or none between them; else, as an expanded gradient with strides of 0, a copy."""
    (samples, features), (by_sample, by_feature) = x.shape, x.stride()
    if samples > 1 and features > 1 and by_sample == 1 and by_feature >= samples:
        return x, True
    return (x if by_feature == 1 and by_sample >= features else x.contiguous()), False


# The module takes NumPy's arrays in a tenth of the time that a tensor's DLPack capsule costs.
def _base(x: torch.Tensor, feature_major: bool) -> np.ndarray:
    return (x.detach().t() if feature_major else x.detach()).numpy()


def _vector(x: torch.Tensor | None) -> np.ndarray | None:
    return None if x is None else x.detach().contiguous().numpy()


# NumPy's memory too: C's allocator gives it out again to the next step, but not PyTorch's, which is aligned: a step with Adam
# would take two vectors of edges more.
def _new_batch(samples: int, features: int, feature_major: bool) -> tuple[np.ndarray, torch.Tensor]:
    """Memory as the kernels write it, and the same as [samples, features]."""
    memory = np.empty((features, samples) if feature_major else (samples, features), np.float32)
    tensor = torch.from_numpy(memory)
    return memory, tensor.t() if feature_major else tensor


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, layer: SparseLinear,
                feature_major: bool) -> torch.Tensor:
        x, by_feature = _laid_out(x)
        kernel = layer._kernel_now(x.device)
        packed = kernel.pack(_base(x, by_feature), by_feature)
        memory, y = _new_batch(len(x), layer.out_features, feature_major)
        kernel.forward(packed, _vector(weight), _vector(bias), memory, feature_major)
        ctx.save_for_backward(weight)
        ctx.kernel, ctx.packed, ctx.shape, ctx.by_feature, ctx.outputs = kernel, packed, x.shape, by_feature, y.shape[1]
        ctx.layer = ctx.x = None
        if layer.remember_for_growth:
            ctx.layer, ctx.x = layer, x.detach()
        return y

    @staticmethod
    @once_differentiable  # without it a gradient penalty would count for nothing, without a word
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[Any, ...]:
        (weight,) = ctx.saved_tensors
        dy, by_feature = _laid_out(dy)
        memory = dx = dw = db = None
        if ctx.needs_input_grad[0]:
            memory, dx = _new_batch(ctx.shape[0], ctx.shape[1], ctx.by_feature)
        if ctx.needs_input_grad[1]:
            dw = torch.from_numpy(np.empty(weight.shape, np.float32))
        if ctx.needs_input_grad[2]:
            db = torch.empty(ctx.outputs)
        ctx.kernel.backward(ctx.packed, _vector(weight), _base(dy, by_feature), by_feature, memory, ctx.by_feature,
                            _vector(dw), _vector(db))
        if ctx.layer is not None:
            ctx.layer._remembered = (ctx.x, dy.detach())
        return dx, dw, db, None, None


def _checked_density(density: float, name: str = "density") -> float:
    if isinstance(density, bool) or not isinstance(density, (int, float, np.floating, np.integer)):
        raise TypeError(f"{name}: expected a number in (0, 1], found {type(density).__name__}")
    if not 0 < density <= 1:
        raise ValueError(f"{name}: {density} is outside (0, 1]")
    return float(density)


def _generator(seed: int | None) -> np.random.Generator:
    return np.random.default_rng(int(torch.randint(2**62, ())) if seed is None else seed)


class SparseLinear(nn.Module):
    """y = x W^T + b with a sparse W [out_features, in_features] whose wiring can evolve.

    density: the share of all cells that hold an edge, in (0, 1]; exactly round(density * cells) edges.
    seed: of wiring and weights; None draws it from torch's generator.
    like: first weights: "he" (normal, variance 2 / fan-in) or "linear" (uniform, as nn.Linear's); fan-in is what a neuron
        has on average: density * in_features.
    feature_major: gives results that lie in memory as [features][samples] (strides (1, samples)); taken as such by the
        next sparse layer, also through ReLU, GELU and dropout, they spare it a transposition.
    threads: of the kernels; None takes torch.get_num_threads().

    weight: Parameter [edges], by input, outputs ascending. edges: buffer [2, edges], int32: the output and the input of
    each. Both are in the state_dict. x: [..., in_features], float32; bfloat16 under autocast, where the result is float32.
    """

    edges: torch.Tensor

    def __init__(self, in_features: int, out_features: int, density: float = 0.1, bias: bool = True,
                 seed: int | None = None, like: str = "he", *, feature_major: bool = False,
                 threads: int | None = None) -> None:
        super().__init__()
        for name, width in (("in_features", in_features), ("out_features", out_features)):
            if isinstance(width, bool) or not isinstance(width, (int, np.integer)):
                raise TypeError(f"{name}: expected a whole number, found {type(width).__name__}")
            if not 1 <= width < 2**31:
                raise ValueError(f"{name}: {width} is outside [1, {2**31 - 1}]")
        if like not in ("he", "linear"):
            raise ValueError(f"unknown value {like!r}; expected he or linear")
        count = max(1, round(_checked_density(density) * in_features * out_features))
        if count >= 2**31:
            raise ValueError(f"density: {count} edges are more than the {2**31 - 1} a layer may have")
        rng = _generator(seed)
        self._set_up(in_features, out_features, like, feature_major, threads)
        self.register_buffer("edges", self._edges_of(distinct_cells(in_features * out_features, count, rng)))
        self.weight = nn.Parameter(self._fresh(count, rng))
        if bias:
            bound = 1 / math.sqrt(self._fan_in()) if like == "linear" else 0
            self.bias = nn.Parameter(torch.from_numpy(rng.uniform(-bound, bound, out_features).astype(np.float32)))
        else:
            self.register_parameter("bias", None)

    def _set_up(self, in_features: int, out_features: int, like: str, feature_major: bool, threads: int | None) -> None:
        self.in_features, self.out_features = int(in_features), int(out_features)
        self.like, self.feature_major, self.threads = like, bool(feature_major), threads
        self.remember_for_growth = False
        """Set to True before the forward pass whose gradients `evolve(grow="gradient")` is to go by."""
        self._remembered: Any = None
        self._kernel: Any = None
        self._kernel_of: Any = None

    # The kernels' copy of the wiring follows the buffer, whatever replaced it or wrote into it.
    def _kernel_now(self, device: torch.device) -> Any:
        edges = self.edges
        if self._kernel is None or self._kernel_of[0] is not edges or self._kernel_of[1:] != (edges._version, device):
            if edges.dtype != torch.int32 or edges.dim() != 2 or len(edges) != 2:
                raise ValueError(f"edges: expected int32 [2, edges], found {edges.dtype} {list(edges.shape)}")
            outputs, inputs = edges.detach().cpu().contiguous().numpy()
            wiring = outputs, inputs, self.in_features, self.out_features
            if device.type == "cuda":
                self._kernel = _device.DeviceKernel(*wiring, device)
            else:
                threads = torch.get_num_threads() if self.threads is None else self.threads
                self._kernel = _core.Product(*wiring, threads)
            self._kernel_of = (edges, edges._version, device)
        return self._kernel

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kernel": None, "_kernel_of": None, "_remembered": None}

    def _edges_of(self, keys: np.ndarray) -> torch.Tensor:
        edges = np.empty((2, len(keys)), np.int32)
        outputs = keys.dtype.type(self.out_features)
        np.remainder(keys, outputs, out=edges[0])
        np.floor_divide(keys, outputs, out=edges[1])
        return torch.from_numpy(edges)

    def _keys(self) -> np.ndarray:
        rows, columns = self.edges.cpu().numpy()
        return columns.astype(np.int64) * self.out_features + rows

    def _fan_in(self) -> float:
        return max(1.0, len(self.edges[0]) / self.out_features)

    def _fresh(self, count: int, rng: np.random.Generator) -> torch.Tensor:
        if self.like == "he":
            values = rng.standard_normal(count, dtype=np.float32)
            values *= np.float32(math.sqrt(2 / self._fan_in()))
        else:
            values = rng.uniform(-1, 1, count).astype(np.float32) / np.float32(math.sqrt(self._fan_in()))
        return torch.from_numpy(values)

    @property
    def density(self) -> float:
        return self.weight.numel() / (self.in_features * self.out_features)

    @_eager
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name, tensor in (("x", x), ("weight", self.weight), ("bias", self.bias)):
            if tensor is None:
                continue
            if not isinstance(tensor, torch.Tensor):
                raise TypeError(f"{name}: expected a tensor, found {type(tensor).__name__}")
            if _device.place_of(tensor).type not in ("cpu", "cuda"):
                raise TypeError(f"{name}: expected a tensor in host memory or on a CUDA device, found one on {tensor.device}")
            if tensor.device != self.weight.device:
                raise TypeError(f"{name}: expected a tensor on the weight's {self.weight.device}, found one on {tensor.device}")
            lower = name == "x" and tensor.dtype in (torch.bfloat16, torch.float16) and _device.autocasts(tensor)
            if tensor.dtype != torch.float32 and not lower:
                raise TypeError(f"{name}: expected torch.float32, found {tensor.dtype}; .float() makes it")
        if x.dim() < 1 or x.shape[-1] != self.in_features:
            raise ValueError(f"x: expected shape [..., {self.in_features}], found {list(x.shape)}")
        if self.weight.shape != self.edges.shape[1:]:
            raise ValueError(f"weight: expected one for each of the {self.edges.shape[1]} edges, found "
                             f"{list(self.weight.shape)}")
        flat = x.float() if x.dim() == 2 else x.float().reshape(-1, self.in_features)
        place = _device.place_of(flat)
        if place.type == "cuda":
            y = _device.DeviceFunction.apply(flat, self.weight, self.bias, self, self._kernel_now(place))
        else:
            y = _Product.apply(flat, self.weight, self.bias, self, self.feature_major)
        return y if x.dim() == 2 else y.reshape(*x.shape[:-1], self.out_features)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: Any,
                              unexpected_keys: Any, error_msgs: list[str]) -> None:
        if prefix + "weight" in state_dict and prefix + "edges" not in state_dict:
            error_msgs.append(f"{prefix}edges: missing; weights without their wiring would be those of another network")
            return
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    # ---- evolution

    @torch.no_grad()
    def evolve(self, prune: str = "magnitude", grow: str = "random", zeta: float = 0.3,
               optimizer: torch.optim.Optimizer | None = None, seed: int | None = None) -> int:
        """Replaces int(zeta * edges) edges by others, in place, and returns how many cells are new.

        prune: "magnitude" (least |w|), "sign" (SET: the share zeta of the positive weights nearest 0, and of the negative
            ones), "random".
        grow: "random" (weights as at birth) or "gradient" (RigL: the empty cells with the largest gradient, weights 0; of
            the last backward pass, which wants `remember_for_growth`). A cell just emptied may be chosen again by the
            gradient, at random only where there are too few others.
        optimizer: every state that runs along the edges (momentum, Adam's moments ...) moves with its edge; that of a new
            edge starts at 0. So does the gradient. Without an optimizer given, its memory would stay with the slots: the
            edges' neighbours would inherit it.
        """
        if prune not in ("magnitude", "sign", "random"):
            raise ValueError(f"unknown value {prune!r}; expected magnitude, sign or random")
        if grow not in ("random", "gradient"):
            raise ValueError(f"unknown value {grow!r}; expected random or gradient")
        if not 0 <= zeta <= 1:
            raise ValueError(f"zeta: {zeta} is outside [0, 1]")
        if optimizer is not None and not any(each is self.weight for g in optimizer.param_groups for each in g["params"]):
            raise ValueError("optimizer: it does not train this layer's weight")
        weight = self.weight.detach().cpu().numpy()
        if not np.isfinite(weight).all():
            raise FloatingPointError("weight: expected finite numbers, found NaN or infinity")
        rng = _generator(seed)
        keys = self._keys()
        goes = pruned(weight, prune, zeta, rng)
        kept = np.delete(np.arange(len(keys)), goes)
        if grow == "random":
            cells = self.in_features * self.out_features
            new = empty_cells(keys if cells - len(keys) >= len(goes) else keys[kept], cells, len(goes), rng)
            fresh = self._fresh(len(new), rng).numpy()
        else:
            new = self._steepest_cells(keys[kept], len(goes))
            fresh = np.zeros(len(new), np.float32)
        all_keys = np.concatenate([keys[kept], new])
        order = np.argsort(all_keys, kind="stable")
        origin = np.concatenate([kept, np.full(len(new), -1)])[order]
        values = np.concatenate([weight[kept], fresh])[order]
        self._move(torch.from_numpy(origin), optimizer)
        self.weight.copy_(torch.from_numpy(values))
        self.edges.copy_(self._edges_of(all_keys[order]))
        return int(np.setdiff1d(new, keys, assume_unique=True).size)

    def _move(self, origin: torch.Tensor, optimizer: torch.optim.Optimizer | None) -> None:
        """Takes along what runs along the edges; `origin`: the slot each edge had, -1 of a new one."""
        along = [] if self.weight.grad is None else [self.weight.grad]
        if optimizer is not None:
            along += [value for value in optimizer.state.get(self.weight, {}).values()
                      if isinstance(value, torch.Tensor) and value.shape == self.weight.shape and value.dim() == 1]
        for values in along:
            at = origin.to(values.device)
            values.copy_(torch.where(at >= 0, values[at.clamp(min=0)], torch.zeros_like(values)))

    def _steepest_cells(self, occupied: np.ndarray, count: int) -> np.ndarray:
        """The empty cells whose gradients are largest, by blocks of inputs: never more of them at once than of 2^20 cells."""
        if self._remembered is None:
            raise ValueError("grow: gradient goes by the last backward pass; set remember_for_growth = True before it")
        x, dy = self._remembered
        block = max(1, (1 << 20) // self.out_features)
        best_keys, best = np.empty(0, np.int64), np.empty(0, np.float32)
        for first in range(0, self.in_features, block):
            gradient = (x[:, first:first + block].t() @ dy).abs().cpu().numpy().reshape(-1)
            low, high = np.searchsorted(occupied, [first * self.out_features, first * self.out_features + gradient.size])
            gradient[occupied[low:high] - first * self.out_features] = -1
            keys = np.concatenate([best_keys, np.arange(gradient.size) + first * self.out_features])
            both = np.concatenate([best, gradient])
            top = np.argsort(-both, kind="stable")[:count]
            best_keys, best = keys[top], both[top]
        return np.sort(best_keys)

    # ---- other forms

    def to_dense(self) -> torch.Tensor:
        """W [out_features, in_features]; differentiable."""
        dense = self.weight.new_zeros(self.out_features, self.in_features)
        return dense.index_put((self.edges[0].long(), self.edges[1].long()), self.weight)

    def to_sparse_csr(self) -> torch.Tensor:
        """W [out_features, in_features] as torch.sparse_csr, with int64 indices; a copy."""
        rows, columns = self.edges.cpu().numpy()
        order = np.lexsort((columns, rows))
        starts = np.searchsorted(rows[order], np.arange(self.out_features + 1))
        device = self.weight.device
        return torch.sparse_csr_tensor(torch.from_numpy(starts).to(device), torch.from_numpy(columns[order]).long().to(device),
                                       self.weight.detach()[torch.from_numpy(order).to(device)],
                                       size=(self.out_features, self.in_features))

    @classmethod
    def from_linear(cls, linear: nn.Linear, density: float = 0.1, **options: Any) -> SparseLinear:
        """The weights of largest magnitude of a dense layer, round(density * cells) of them, and its bias."""
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"linear: expected torch.nn.Linear, found {type(linear).__name__}")
        outputs, inputs = linear.weight.shape
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer._set_up(inputs, outputs, options.pop("like", "he"), options.pop("feature_major", False),
                      options.pop("threads", None))
        if options:
            raise TypeError(f"from_linear: unexpected {sorted(options)}; expected like, feature_major or threads")
        by_input = linear.weight.detach().float().t().reshape(-1)
        count = max(1, round(_checked_density(density) * by_input.numel()))
        keys = torch.sort(torch.topk(by_input.abs(), count).indices).values
        layer.register_buffer("edges", layer._edges_of(keys.cpu().numpy()).to(keys.device))
        layer.weight = nn.Parameter(by_input[keys].clone())
        if linear.bias is None:
            layer.register_parameter("bias", None)
        else:
            layer.bias = nn.Parameter(linear.bias.detach().float().clone())
        return layer

    def extra_repr(self) -> str:
        return (f"in_features={self.in_features}, out_features={self.out_features}, density={self.density:.4g}, "
                f"edges={self.weight.numel()}, bias={self.bias is not None}"
                + (", feature_major=True" if self.feature_major else ""))


def replace_linears(model: nn.Module, sparsity: float, distribution: str = "erk", *, exclude: Iterable[str] = (),
                    **options: Any) -> list[str]:
    """Replaces every torch.nn.Linear of a model, in place, by a SparseLinear with its largest weights; returns their names.

    sparsity: of all of them together, in [0, 1). distribution: "erk" or "uniform". exclude: names that stay as they are, as
    do layers that "erk" would leave dense. options: those of SparseLinear.from_linear. Parameters are new ones: make the
    optimizer afterwards.
    """
    if distribution not in ("erk", "uniform"):
        raise ValueError(f"unknown value {distribution!r}; expected erk or uniform")
    exclude = set(exclude)
    named = dict(model.named_modules())
    unknown = exclude - set(named)
    if unknown:
        raise ValueError(f"exclude: the model has no {sorted(unknown)}")
    linears = {name: each for name, each in named.items() if type(each) is nn.Linear and name not in exclude}
    if "" in linears:
        raise ValueError("model: a bare Linear cannot be replaced in place; SparseLinear.from_linear() makes another one")
    shapes = [tuple(each.weight.shape) for each in linears.values()]
    densities = erk_densities(shapes, sparsity) if distribution == "erk" else [1 - sparsity] * len(shapes)
    replaced = []
    for (name, linear), density in zip(linears.items(), densities):
        if density >= 1:
            continue
        parent, _, own = name.rpartition(".")
        setattr(named[parent], own, SparseLinear.from_linear(linear, _checked_density(density), **options))
        replaced.append(name)
    return replaced


def evolve_all(model: nn.Module, optimizer: torch.optim.Optimizer | None = None, zeta: float = 0.3,
               **options: Any) -> int:
    """SparseLinear.evolve() of every sparse layer of a model; returns how many cells are new in all."""
    return sum(each.evolve(zeta=zeta, optimizer=optimizer, **options)
               for each in model.modules() if isinstance(each, SparseLinear))


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer: matrices and the weights of sparse layers decay, other vectors do not."""
    sparse = {id(each.weight) for each in model.modules() if isinstance(each, SparseLinear)}
    decays: list[nn.Parameter] = []
    stays: list[nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (decays if parameter.dim() >= 2 or id(parameter) in sparse else stays).append(parameter)
    return [{"params": decays, "weight_decay": weight_decay}, {"params": stays, "weight_decay": 0.0}]
