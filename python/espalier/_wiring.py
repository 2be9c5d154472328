"""Which cells of a layer hold an edge, by number: cell input * outputs + output. NumPy alone."""
from __future__ import annotations

from typing import Iterable

import numpy as np


def checked_share(value: float, name: str, interval: str = "[0, 1]") -> float:
    """`value` as a float of `interval`, from 0 to 1. TypeError for what is no number, ValueError for one outside."""
    if isinstance(value, (bool, np.bool_, str)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name}: expected a number in {interval}, found {type(value).__name__}")
    value = float(value)
    if not 0 <= value <= 1 or value == 0 and interval[0] == "(" or value == 1 and interval[-1] == ")":
        raise ValueError(f"{name}: {value:g} is outside {interval}")
    return value


def distinct_cells(cells: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` of range(cells), ascending, every set alike: uint32 where that holds them, else int64. Half of the cells at most
    are drawn, in memory of about twice what is returned; of more, the others are."""
    if count > cells // 2:
        taken = np.ones(cells, bool)
        taken[distinct_cells(cells, cells - count, rng)] = False
        return np.flatnonzero(taken)
    # So many draws meet `count` different cells or a few more, but for one time in a million.
    expected = -cells * np.log1p(-count / cells)
    found = np.empty(0, np.uint32 if cells <= 2**32 else np.int64)
    while len(found) < count:
        draws = int(expected - len(found) + 5 * np.sqrt(expected)) + 16
        drawn = rng.integers(cells, size=draws, dtype=found.dtype)
        found = drawn if len(found) == 0 else np.concatenate([found, drawn])
        del drawn
        found.sort()
        found = found[np.concatenate([[True], found[1:] != found[:-1]])]
    return np.delete(found, rng.choice(len(found), len(found) - count, replace=False))


def empty_cells(occupied: np.ndarray, cells: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` of range(cells) that are not in `occupied` (ascending), every set alike: the n-th empty cell is n plus the edges
    before it."""
    ranks = distinct_cells(cells - len(occupied), count, rng).astype(np.int64) if count else np.empty(0, np.int64)
    return ranks + np.searchsorted(occupied - np.arange(len(occupied)), ranks, side="right")


def pruned(weight: np.ndarray, prune: str, zeta: float, rng: np.random.Generator) -> np.ndarray:
    """The slots that go."""
    count = int(zeta * len(weight))
    if prune == "random":
        return rng.choice(len(weight), count, replace=False)
    if prune == "magnitude":
        return np.argsort(np.abs(weight), kind="stable")[:count]
    positive, negative = np.flatnonzero(weight > 0), np.flatnonzero(weight < 0)
    return np.concatenate([positive[np.argsort(weight[positive], kind="stable")[:int(zeta * len(positive))]],
                           negative[np.argsort(-weight[negative], kind="stable")[:int(zeta * len(negative))]],
                           np.flatnonzero(weight == 0)])


def erk_densities(shapes: Iterable[tuple[int, int]], sparsity: float) -> list[float]:
    """Densities of layers [(outputs, inputs)] at one overall sparsity: in proportion to (in + out) / (in * out), layers that
    would exceed 1 dense. Source: Evci et al., "Rigging the lottery", ICML 2020, section 3."""
    shapes = list(shapes)
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity: {sparsity} is outside [0, 1)")
    cells = [m * n for m, n in shapes]
    full: set[int] = set()
    while True:
        left = (1 - sparsity) * sum(cells) - sum(cells[i] for i in full)
        weights = sum(m + n for i, (m, n) in enumerate(shapes) if i not in full)
        scale = left / weights if weights else 0.0
        densities = [1.0 if i in full else scale * (m + n) / (m * n) for i, (m, n) in enumerate(shapes)]
        over = {i for i, density in enumerate(densities) if density > 1}
        if not over:
            return densities
        full |= over
