"""Which cells of a layer hold an edge, by number: cell input * outputs + output. NumPy alone."""
from __future__ import annotations

from typing import Iterable

import numpy as np


def distinct_cells(cells: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` of range(cells), ascending, every set alike, in memory of about `count` numbers."""
    if count > cells // 2:
        absent = distinct_cells(cells, cells - count, rng)
        return np.setdiff1d(np.arange(cells, dtype=np.int64), absent, assume_unique=True)
    found = np.empty(0, np.int64)
    while len(found) < count:
        found = np.union1d(found, rng.integers(cells, size=count - len(found) + 16))
    return np.delete(found, rng.choice(len(found), len(found) - count, replace=False))


def empty_cells(occupied: np.ndarray, cells: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` of range(cells) that are not in `occupied` (ascending), every set alike: the n-th empty cell is n plus the edges
    before it."""
    ranks = distinct_cells(cells - len(occupied), count, rng) if count else np.empty(0, np.int64)
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
