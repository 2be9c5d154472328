"""Options as Python values, made into the texts that the engine's option table reads."""
from __future__ import annotations

import os
from typing import Any

import numpy as np

from . import _core


def text_of(name: str, value: Any) -> str:
    """The text of an option's value; the engine says whether it is a right one."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return ("-" if name == "layers" else ",").join(text_of(name, each) for each in value)
    raise TypeError(f"{name}: expected a number, a text, True, False or a list of numbers, found {type(value).__name__}")


def texts_of(options: dict[str, Any]) -> dict[str, str]:
    """All that were given; None counts as not given."""
    return {name.replace("_", "-"): text_of(name, value) for name, value in options.items() if value is not None}


def experiment(recipe: str | None, options: dict[str, Any]) -> _core.Experiment:
    if recipe is not None and not isinstance(recipe, str):
        raise TypeError(f"recipe: expected a name, found {type(recipe).__name__}; espalier.recipes() lists them")
    return _core.Experiment(recipe or "", texts_of(options))
