"""The sparse layer for PyTorch models."""
from __future__ import annotations

import math
from typing import Any, Iterable

import numpy as np
import torch
from torch import nn

from . import _core, _device
from ._product import Product, settle
from ._wiring import checked_share, distinct_cells, empty_cells, pruned

_eager = getattr(getattr(torch, "compiler", None), "disable", lambda function: function)


def _generator(seed: int | None) -> np.random.Generator:
    if seed is None:
        return np.random.default_rng(int(torch.randint(2**62, (), device="cpu")))
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed: expected a whole number or None, found {type(seed).__name__}")
    if seed < 0:
        raise ValueError(f"seed: {seed} is negative")
    return np.random.default_rng(int(seed))


def _processes() -> int:
    """How many train one model."""
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def _stored(tensor: torch.Tensor) -> bool:
    """As the kernels take it: float32 numbers in memory of their own."""
    return isinstance(tensor, torch.Tensor) and tensor.dtype is torch.float32 and tensor.layout is torch.strided


def _take(values: torch.Tensor, origin: torch.Tensor, fresh: torch.Tensor) -> None:
    """Each edge's value from its old slot, that of a new one (-1) from `fresh`."""
    at = origin.to(values.device)
    values.copy_(torch.where(at >= 0, values[at.clamp(min=0)], fresh.to(values)))


class SparseLinear(nn.Module):
    """y = x W^T + b with a sparse W [out_features, in_features] whose wiring can evolve.

    density: the share of all cells that hold an edge, in (0, 1]; exactly round(density * cells) edges.
    seed: of wiring and weights; None draws it from torch's generator.
    like: first weights: "he" (normal, variance 2 / fan-in) or "linear" (uniform, as nn.Linear's); fan-in is what a neuron
        has on average: density * in_features.
    feature_major: gives results that lie in memory as [features][samples] (strides (1, samples)); taken as such by the
        next sparse layer, also through ReLU, GELU and dropout, they spare it a transposition.
    threads: of the kernels; None takes torch.get_num_threads(). device: as of nn.Linear, torch's default one without it.

    weight: Parameter [edges], by input, outputs ascending. edges: buffer [2, edges], int32: the output and the input of
    each. Both are in the state_dict. x: [..., in_features], float32; bfloat16 under autocast, where the result is float32.
    """

    edges: torch.Tensor

    def __init__(self, in_features: int, out_features: int, density: float = 0.1, bias: bool = True,
                 seed: int | None = None, like: str = "he", *, feature_major: bool = False,
                 threads: int | None = None, device: Any = None) -> None:
        super().__init__()
        for name, width in (("in_features", in_features), ("out_features", out_features)):
            if isinstance(width, bool) or not isinstance(width, (int, np.integer)):
                raise TypeError(f"{name}: expected a whole number, found {type(width).__name__}")
            if not 1 <= width < 2**31:
                raise ValueError(f"{name}: {width} is outside [1, {2**31 - 1}]")
        count = max(1, round(checked_share(density, "density", "(0, 1]") * in_features * out_features))
        if count >= 2**31:
            raise ValueError(f"density: {count} edges are more than the {2**31 - 1} a layer may have")
        rng = _generator(seed)
        self._set_up(in_features, out_features, like, feature_major, threads)
        self.register_buffer("edges", self._edges_of(distinct_cells(in_features * out_features, count, rng)))
        self.weight = nn.Parameter(self._fresh(count, rng))
        self.register_parameter("bias", nn.Parameter(self._fresh_bias(rng)) if bias else None)
        self.to(torch.empty(0, device=device).device)

    def _set_up(self, in_features: int, out_features: int, like: str, feature_major: bool, threads: int | None) -> None:
        if like not in ("he", "linear"):
            raise ValueError(f"unknown value {like!r}; expected he or linear")
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, (int, np.integer))):
            raise TypeError(f"threads: expected a whole number or None, found {type(threads).__name__}")
        self.in_features, self.out_features = int(in_features), int(out_features)
        self.like, self.feature_major, self.threads = like, bool(feature_major), threads
        self.remember_for_growth = False
        """Set to True before the forward pass whose gradients `evolve(grow="gradient")` is to go by."""
        self._remembered: Any = None
        self._kernel: Any = None
        self._kernel_of: Any = None

    # The kernels' copy of the wiring follows the buffer, whatever replaced it or wrote into it, and the number of threads.
    def _kernel_now(self, device: torch.device) -> Any:
        edges = self.edges
        if edges.is_inference():  # which does not say when it is written into
            with torch.inference_mode(False):
                edges = self.edges = edges.clone()
        threads = torch.get_num_threads() if self.threads is None else self.threads
        of = self._kernel_of
        if of is None or of[0] is not edges or of[1:] != (edges._version, device, threads):
            if edges.dtype != torch.int32 or edges.dim() != 2 or len(edges) != 2:
                raise ValueError(f"edges: expected int32 [2, edges], found {edges.dtype} {list(edges.shape)}")
            outputs, inputs = edges.detach().cpu().contiguous().numpy()
            wiring = outputs, inputs, self.in_features, self.out_features
            self._kernel = (_device.DeviceKernel(*wiring, device) if device.type == "cuda"
                            else _core.Product(*wiring, threads))
            self._kernel_of = (edges, edges._version, device, threads)
            settle()
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

    def _fresh_bias(self, rng: np.random.Generator) -> torch.Tensor:
        bound = 1 / math.sqrt(self._fan_in()) if self.like == "linear" else 0
        return torch.from_numpy(rng.uniform(-bound, bound, self.out_features).astype(np.float32))

    @torch.no_grad()
    def reset_parameters(self, seed: int | None = None) -> None:
        """Draws weights and bias as at birth; the wiring stays."""
        rng = _generator(seed)
        self.weight.copy_(self._fresh(len(self.weight), rng))
        if self.bias is not None:
            self.bias.copy_(self._fresh_bias(rng))

    @property
    def density(self) -> float:
        return self.weight.numel() / (self.in_features * self.out_features)

    @_eager
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias, shape = self.weight, self.bias, None
        if not (_stored(x) and x.is_cpu and x.dim() == 2 and x.shape[1] == self.in_features and _stored(weight)
                and weight.is_cpu and (bias is None or _stored(bias) and bias.is_cpu)):
            shape = self._checked_shape(x, weight, bias)
            x = x.float() if len(shape) == 2 else x.float().reshape(-1, self.in_features)
        if weight.shape != self.edges.shape[1:]:
            raise ValueError(f"weight: expected one for each of the {self.edges.shape[1]} edges, found {list(weight.shape)}")
        function = _device.DeviceFunction if _device.place_of(x).type == "cuda" else Product
        y = function.apply(x, weight, bias, self)
        return y if shape is None or len(shape) == 2 else y.reshape(*shape[:-1], self.out_features)

    def _checked_shape(self, x: Any, weight: Any, bias: Any) -> torch.Size:
        """That of x. Says what is wrong with one of them if something is."""
        for name, tensor in (("x", x), ("weight", weight), ("bias", bias)):
            if tensor is None and name == "bias":
                continue
            if not isinstance(tensor, torch.Tensor):
                raise TypeError(f"{name}: expected a tensor, found {type(tensor).__name__}")
            if _device.place_of(tensor).type not in ("cpu", "cuda"):
                raise TypeError(f"{name}: expected a tensor in host memory or on a CUDA device, found one on {tensor.device}")
            if tensor.device != weight.device:
                raise TypeError(f"{name}: expected a tensor on the weight's {weight.device}, found one on {tensor.device}")
            if tensor.layout != torch.strided:
                raise TypeError(f"{name}: expected a tensor that holds every number, found "
                                f"{tensor.layout}; .to_dense() makes it")
            lower = name == "x" and tensor.dtype in (torch.bfloat16, torch.float16) and _device.autocasts(tensor)
            if tensor.dtype != torch.float32 and not lower:
                raise TypeError(f"{name}: expected torch.float32, found {tensor.dtype}; .float() makes it")
        if x.dim() < 1 or x.shape[-1] != self.in_features:
            raise ValueError(f"x: expected shape [..., {self.in_features}], found {list(x.shape)}")
        return x.shape

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: Any,
                              unexpected_keys: Any, error_msgs: list[str]) -> None:
        for there, missing in (("weight", "edges"), ("edges", "weight")):
            if prefix + there in state_dict and prefix + missing not in state_dict and "weight" in self._parameters:
                error_msgs.append(f"{prefix}{missing}: missing; weights without their wiring would be those of another "
                                  "network")
                return
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    # ---- evolution

    @torch.no_grad()
    def evolve(self, prune: str = "magnitude", grow: str = "random", zeta: float = 0.3,
               optimizer: torch.optim.Optimizer | None = None, seed: int | None = None, *,
               averages: Iterable[SparseLinear] = ()) -> int:
        """Replaces int(zeta * edges) edges by others, in place, and returns how many cells are new.

        prune: "magnitude" (least |w|), "sign" (SET: the share zeta of the positive weights nearest 0, and of the negative
            ones), "random".
        grow: "random" (weights as at birth) or "gradient" (RigL: the empty cells with the largest gradient, weights 0; of
            the last backward pass, which wants `remember_for_growth`). A cell just emptied may be chosen again by the
            gradient, at random only where there are too few others.
        optimizer: every state that runs along the edges (momentum, Adam's moments ...) moves with its edge; that of a new
            edge starts at 0. So does the gradient. Without an optimizer given, its memory would stay with the slots: the
            edges' neighbours would inherit it.
        seed: of what is drawn; None takes it from torch's generator. Processes that train one model (torch.distributed)
            all call this, with one seed if something is drawn; a gradient is the sum of theirs.
        averages: layers of this one's wiring whose weights follow its own (an exponential moving average's, a target
            network's): theirs move likewise, and those of new edges are the new ones.
        """
        averages = list(averages)
        zeta = self._checked_evolution(prune, grow, zeta, optimizer, averages)
        if seed is None and _processes() > 1 and "random" in (prune, grow):
            raise ValueError("seed: expected a number, the same in every process: each would draw another wiring")
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
        origin = torch.from_numpy(np.concatenate([kept, np.full(len(new), -1)])[order])
        values = torch.from_numpy(np.concatenate([weight[kept], fresh])[order])
        for state in self._along(optimizer):
            _take(state, origin, torch.zeros(()))
        edges = self._edges_of(all_keys[order])
        for layer in averages:
            _take(layer.weight, origin, values)
            layer.edges.copy_(edges)
        self.weight.copy_(values)
        self.edges.copy_(edges)
        return int(np.setdiff1d(new, keys, assume_unique=True).size)

    def _checked_evolution(self, prune: str, grow: str, zeta: float, optimizer: Any, averages: list[SparseLinear]) -> float:
        if prune not in ("magnitude", "sign", "random"):
            raise ValueError(f"unknown value {prune!r}; expected magnitude, sign or random")
        if grow not in ("random", "gradient"):
            raise ValueError(f"unknown value {grow!r}; expected random or gradient")
        if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer: expected a torch.optim.Optimizer, found {type(optimizer).__name__}")
        if isinstance(optimizer, torch.optim.LBFGS):
            raise TypeError("optimizer: LBFGS remembers all parameters as one vector, in which no edge can move; "
                            "make a new one")
        for name, layer in (("self", self), *(("averages", each) for each in averages)):
            if not isinstance(layer, SparseLinear):
                raise TypeError(f"{name}: expected layers, found {type(layer).__name__}")
            if not isinstance(layer._parameters.get("weight"), nn.Parameter):
                raise TypeError("weight: expected the layer's own parameter, found one that is computed from others (by a "
                                "parametrization or a mask), whose edges cannot move")
            if layer is not self and not torch.equal(layer.edges, self.edges):
                raise ValueError(f"{name}: expected layers of this one's wiring, found another")
        if optimizer is not None and not any(each is self.weight for g in optimizer.param_groups for each in g["params"]):
            raise ValueError("optimizer: it does not train this layer's weight")
        return checked_share(zeta, "zeta")

    def _along(self, optimizer: torch.optim.Optimizer | None) -> list[torch.Tensor]:
        """What runs along the edges besides the weights."""
        along = [] if self.weight.grad is None else [self.weight.grad]
        if optimizer is not None:
            along += [value for value in optimizer.state.get(self.weight, {}).values()
                      if isinstance(value, torch.Tensor) and value.shape == self.weight.shape and value.dim() == 1]
        return along

    def _steepest_cells(self, occupied: np.ndarray, count: int) -> np.ndarray:
        """The empty cells whose gradients are largest, by blocks of inputs: never more of them at once than of 2^20 cells."""
        if self._remembered is None:
            raise ValueError("grow: gradient goes by the last backward pass; set remember_for_growth = True before it")
        x, dy = self._remembered
        block = max(1, (1 << 20) // self.out_features)
        best_keys, best = np.empty(0, np.int64), np.empty(0, np.float32)
        for first in range(0, self.in_features, block):
            product = x[:, first:first + block].t() @ dy
            if _processes() > 1:
                torch.distributed.all_reduce(product)
            gradient = product.abs().cpu().numpy().reshape(-1)
            if not np.isfinite(gradient).all():
                raise ValueError("grow: gradient: the last backward pass left gradients that are not finite")
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
        count = max(1, round(checked_share(density, "density", "(0, 1]") * by_input.numel()))
        keys = torch.sort(torch.topk(by_input.abs(), count).indices).values
        layer.register_buffer("edges", layer._edges_of(keys.cpu().numpy()).to(keys.device))
        layer.weight = nn.Parameter(by_input[keys].clone(), linear.weight.requires_grad)
        if linear.bias is None:
            layer.register_parameter("bias", None)
        else:
            layer.bias = nn.Parameter(linear.bias.detach().float().clone(), linear.bias.requires_grad)
        return layer.train(linear.training)

    def extra_repr(self) -> str:
        return (f"in_features={self.in_features}, out_features={self.out_features}, density={self.density:.4g}, "
                f"edges={self.weight.numel()}, bias={self.bias is not None}"
                + (", feature_major=True" if self.feature_major else ""))


SparseLinear.__module__ = "espalier.torch"  # where users and what they pickle find it
