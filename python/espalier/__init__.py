"""Espalier trains intrinsically sparse neural networks: they train, prune and regrow.

    import espalier
    run = espalier.train((x, y), test=(tx, ty), recipe="experiment-1", epochs=20, seed=1)
    run.history                # what every epoch came to
    run.topology(0)            # the first layer's weights, a scipy.sparse.csr_array
    run.predict(tx)

espalier.sklearn has estimators, espalier.torch a sparse layer for PyTorch models.
"""
from __future__ import annotations

from typing import Any

from . import _core
from ._run import Run, train
from ._study import Study

__version__: str = _core.version().split()[-1]


def options() -> list[dict[str, str]]:
    """All options of :func:`train`: name, group, help and default."""
    return [{"name": name.replace("-", "_"), "group": group, "help": text, "default": default}
            for name, group, text, default in _core.options()]


def recipes() -> dict[str, str]:
    """The recipes by name, each with its purpose. NAME-fixed and NAME-dense are the controls of any of them."""
    return dict(_core.recipes())


def doctor(json: bool = False) -> Any:
    """What this machine has, as `espalier doctor` says it: a text, or with `json` the object of `espalier doctor --json`."""
    report = _core.machine_report(json)
    if not json:
        return report
    from json import loads

    return loads(report)


__all__ = ["Run", "Study", "doctor", "options", "recipes", "train", "__version__"]
