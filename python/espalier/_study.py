"""Studies that `espalier study` ran, as tables."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ._run import _frame


class Study:
    """The results of a study: rows of settings, each run with several seeds."""

    def __init__(self, folder: Path, results: dict[str, Any]) -> None:
        self.folder = folder
        self.name: str = results["study"]
        self.summary: str = results["summary"]
        self._rows: list[dict[str, Any]] = results["rows"]

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Study:
        """Opens the folder of a study, or its study.json."""
        path = Path(folder)
        file = path / "study.json" if path.is_dir() else path
        if not file.is_file():
            raise ValueError(f"{folder}: expected the folder of a study, which holds study.json, found none")
        try:
            results = json.loads(file.read_text())
            for key in ("study", "summary", "rows"):
                results[key]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file}: is not a study's results as espalier study writes them: {error}") from None
        return cls(file.parent, results)

    def table(self) -> Any:
        """A row for each row of the study: its name, the number of `seeds`, and of every figure the mean over the seeds and
        the 95 % Student t interval around it (FIGURE, FIGURE_low, FIGURE_high; the latter NaN for one seed).

        A pandas.DataFrame where pandas is installed, else a dict of arrays [rows].
        """
        figures = list(dict.fromkeys(figure for row in self._rows for figure in row["means"]))
        columns: dict[str, Any] = {"row": [row["name"] for row in self._rows],
                                   "seeds": [len(row["cells"]) for row in self._rows]}
        for figure in figures:
            means = [row["means"].get(figure, {}) for row in self._rows]
            mean = np.array([each.get("mean", np.nan) for each in means])
            half = np.array([each.get("half_width", np.nan) for each in means])
            columns[figure], columns[figure + "_low"], columns[figure + "_high"] = mean, mean - half, mean + half
        return _frame({name: np.asarray(values) for name, values in columns.items()})

    def runs(self) -> Any:
        """A row for each run: row, seed, failure ('' if there was none) and every figure. As :meth:`table` otherwise."""
        cells = [(row["name"], cell) for row in self._rows for cell in row["cells"]]
        figures = list(dict.fromkeys(figure for _, cell in cells for figure in cell["figures"]))
        columns: dict[str, Any] = {"row": [name for name, _ in cells], "seed": [cell["seed"] for _, cell in cells],
                                   "failure": [cell.get("failure", "") for _, cell in cells]}
        for figure in figures:
            columns[figure] = [cell["figures"].get(figure, np.nan) for _, cell in cells]
        return _frame({name: np.asarray(values) for name, values in columns.items()})

    def options(self, row: str) -> dict[str, str]:
        """The settings of a row, by option."""
        for each in self._rows:
            if each["name"] == row:
                return dict(each["options"])
        raise ValueError(f"row: expected one of {[each['name'] for each in self._rows]}, found {row!r}")


__all__ = ["Study"]
