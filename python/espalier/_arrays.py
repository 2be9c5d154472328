"""Arrays as they come from users, made into what the engine takes, or refused with a sentence.

Nothing is converted that would change a value beyond the rounding of float64 to float32.
"""
from __future__ import annotations

from typing import Any

import numpy as np

_LARGEST_EXACT = 1 << 24  # whole numbers up to here are exact in float32


def kind_of(value: Any) -> str:
    """What a value is, in words for an error."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} and shape {value.shape}"
    return f"{type(value).__name__} {value!r}" if isinstance(value, (str, int, float, bool)) else type(value).__name__


def as_numpy(value: Any, name: str) -> np.ndarray:
    """An array in host memory: NumPy's own, a tensor's, a data frame's, or a SciPy matrix with its zeros filled in."""
    device = getattr(value, "device", None)
    place = getattr(device, "type", None)  # of torch
    if place is not None and place != "cpu":
        raise TypeError(f"{name}: expected samples in host memory, found a tensor on {device}; pass {name}.cpu()")
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        value = value.toarray()
    if np.ma.is_masked(value):
        raise ValueError(f"{name}: expected a number everywhere, found masked ones; .filled() puts some there")
    if value is None or isinstance(value, (str, bytes, dict, set)):
        raise TypeError(f"{name}: expected an array, found {kind_of(value)}")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: expected an array of numbers: {error}") from None
    return array


def floats(array: np.ndarray, name: str) -> np.ndarray:
    """As C-ordered float32. TypeError for what are no real numbers, ValueError for numbers that float32 cannot hold."""
    kind = array.dtype.kind
    if kind == "c":
        raise TypeError(f"{name}: expected real numbers, found complex ones ({array.dtype})")
    if kind == "O":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}: expected real numbers, found objects that are none: {error}") from None
        kind = "f"
    if kind not in "fiub":
        raise TypeError(f"{name}: expected real numbers, found {array.dtype}")
    if kind in "iu" and array.size and array.dtype.itemsize > 2:
        low, high = int(array.min()), int(array.max())
        if max(-low, high) > _LARGEST_EXACT:
            worst = low if -low > high else high
            raise ValueError(f"{name}: expected whole numbers up to {_LARGEST_EXACT}, which float32 holds exactly, "
                             f"found {worst}; rescale them, or pass floats")
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, dtype=np.float32)
    if kind == "f" and not np.isfinite(result).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(result))[0])
        raise ValueError(f"{name}: expected finite numbers that float32 holds, found {array[at]} at {list(at)}")
    return result


def samples(value: Any, name: str) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Samples [count][values] as float32 or uint8, and the shape (channels, height, width) of one.

    Accepted are [count, features], [count, height, width] and [count, channels, height, width]. uint8 stays uint8: the
    engine scales bytes to [0, 1], as it does with the bytes of image files.
    """
    array = as_numpy(value, name)
    if array.ndim not in (2, 3, 4):
        raise ValueError(f"{name}: expected [samples, features], [samples, height, width] or [samples, channels, height, "
                         f"width], found {array.ndim} dimensions {array.shape}"
                         + ("; Reshape your data with .reshape(-1, 1) if it has one feature, or .reshape(1, -1) if it is "
                            "one sample" if array.ndim == 1 else ""))
    shape = (1,) * (4 - array.ndim) + array.shape[1:]
    if 0 in array.shape[1:]:
        raise ValueError(f"{name}: 0 feature(s) (shape={array.shape}) while a minimum of 1 is required.")
    flat = np.ascontiguousarray(array) if array.dtype == np.uint8 else floats(array, name)
    return flat.reshape(len(array), int(np.prod(shape))), (int(shape[0]), int(shape[1]), int(shape[2]))


def labels(value: Any, name: str, count: int) -> np.ndarray:
    """Classes from 0, one for each of `count` samples, as int64."""
    array = as_numpy(value, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or len(array) != count:
        raise ValueError(f"{name}: expected one label for each of the {count} samples, found shape {array.shape}")
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (array == np.floor(array))
        if not whole.all():
            raise ValueError(f"{name}: expected class numbers, found {array[~whole][0]}")
    elif array.dtype.kind not in "iub":
        raise TypeError(f"{name}: expected class numbers from 0, found {array.dtype}; "
                        "espalier.sklearn.SparseMLPClassifier takes labels of any kind")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{name}: expected class numbers, found {array.max()}")
    return np.ascontiguousarray(array, dtype=np.int64)


def targets(value: Any, name: str, count: int) -> np.ndarray:
    """Real numbers, [count] or [count, targets], as [count, targets] float64."""
    array = as_numpy(value, name)
    if array.ndim not in (1, 2) or len(array) != count or 0 in array.shape[1:]:
        raise ValueError(f"{name}: expected real numbers [{count}] or [{count}, targets], found shape {array.shape}")
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}: expected real numbers, found objects that are none: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected real numbers, found {array.dtype}")
    result = np.ascontiguousarray(array, dtype=np.float64).reshape(count, -1)
    if not np.isfinite(result).all():
        raise ValueError(f"{name}: expected finite numbers, found {result[~np.isfinite(result)][0]}")
    return result


def pair(value: Any, name: str) -> tuple[Any, Any]:
    """(samples, labels)."""
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return value[0], value[1]
    raise TypeError(f"{name}: expected a pair (samples, labels), found {kind_of(value)}")
