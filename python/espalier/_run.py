"""Training, and what comes of it."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable, Iterable

import numpy as np

from . import _arrays, _core, _options

Record = dict[str, Any]
Callback = Callable[[Record], Any]


def _columns(records: list[Record]) -> dict[str, np.ndarray]:
    names = list(records[0]) if records else ["epoch"]
    return {name: np.array([record.get(name, np.nan) for record in records]) for name in names}


def _frame(columns: dict[str, np.ndarray]) -> Any:
    try:
        import pandas
    except ImportError:
        return columns
    return pandas.DataFrame(columns)


class Run:
    """A trained network and the record of its training. Pickles; holds no sample.

    Made by :func:`train` or :meth:`Run.open`. Layers count from 0.
    """

    def __init__(self, core: _core.Network, records: list[Record], connections: np.ndarray | None,
                 folder: str | None = None) -> None:
        self._core = core
        self._records = records
        self._connections = connections
        self.folder = folder
        """The run folder that holds everything about the run, or None."""
        self.kept_epoch: int = core.kept_epoch or len(records)
        """The epoch, from 1, that the network is of: the last one tested, with patience the best."""
        self.stopped: bool = core.stopped
        """Whether a callback or Ctrl-C ended the run."""
        self.stopped_early: bool = core.stopped_early
        """Whether it ended for patience."""
        self._sample_type: Any = None  # of the arrays it was trained on

    @classmethod
    def open(cls, path: str | os.PathLike[str], rewritten: bool = False) -> Run:
        """Opens a run folder, a network file or a checkpoint of `espalier train`.

        An exported network (`espalier export --format safetensors`) is read as well.

        rewritten: also a network file that another program has saved again, the safetensors library say, after which its
        checksum is an old one; all else is checked.
        """
        path = Path(path)
        folder = path if path.is_dir() else None
        core = _core.open_network(str(path), bool(rewritten))
        records: list[Record] = []
        connections = None
        if folder is not None:
            history = folder / "history.jsonl"
            if history.is_file():
                records = [json.loads(line) for line in history.read_text().splitlines()]
                records = [{k: np.nan if v is None else v for k, v in record.items()} for record in records]
            if (folder / "connections.npy").is_file():
                connections = np.load(folder / "connections.npy", mmap_mode="r")
        return cls(core, records, connections, str(folder) if folder is not None else None)

    @property
    def history(self) -> Any:
        """One row an epoch: a pandas.DataFrame where pandas is installed, else a dict of arrays [epochs].

        Losses are means a sample; accuracies are fractions; seconds are wall-clock.
        """
        return _frame(_columns(self._records))

    @property
    def connections(self) -> np.ndarray | None:
        """Edges of every input of the first layer before and after each epoch's evolution, [records][2][inputs]; None if
        that layer is dense or nothing is on record."""
        return self._connections

    @property
    def config(self) -> str:
        """All options, as `espalier train --print-config` prints them."""
        return self._core.experiment.config()

    @property
    def layers(self) -> list[int]:
        """Widths, inputs first and outputs last."""
        return list(self._core.experiment.layers)

    @property
    def num_layers(self) -> int:
        return self._core.num_layers

    @property
    def class_names(self) -> list[str]:
        """Of the outputs; empty where nobody said."""
        return list(self._core.class_names)

    def topology(self, layer: int) -> Any:
        """The weights of a sparse layer as a read-only scipy.sparse.csr_array [outputs, inputs] over the engine's memory.

        Read-only, since SciPy's in-place calls would rewire the network; `.copy()` gives one to change. ValueError for a
        dense layer, whose weights are :meth:`weights`.
        """
        try:
            from scipy.sparse import csr_array
        except ImportError:
            raise ImportError("topology: is given as SciPy's matrix, and SciPy is not installed: pip install scipy; "
                              "weights() does without it") from None

        values, columns, starts, shape = self._core.matrix(self._checked_layer(layer))
        if columns is None:
            raise ValueError(f"layer {layer} is dense; weights({layer}) are its weights")
        result = csr_array(shape, dtype=np.float32)
        result.data, result.indices, result.indptr = values, columns, starts
        return result

    def weights(self, layer: int) -> np.ndarray:
        """The weights of a layer, float32, read-only: [outputs, inputs] of a dense one, [edges] of a sparse one in the
        order of :meth:`topology`."""
        values, columns, _, shape = self._core.matrix(self._checked_layer(layer))
        return values.reshape(shape) if columns is None else values

    def bias(self, layer: int) -> np.ndarray:
        """[outputs], float32, read-only."""
        return self._core.bias(self._checked_layer(layer))

    def _checked_layer(self, layer: Any) -> int:
        if isinstance(layer, bool) or not hasattr(layer, "__index__"):
            raise TypeError(f"layer: expected a whole number, found {_arrays.kind_of(layer)}")
        if not 0 <= layer < self.num_layers:
            raise IndexError(f"layer: expected 0 to {self.num_layers - 1}, found {layer}")
        return int(layer)

    def _checked(self, x: Any) -> np.ndarray:
        if self._core.experiment.is_rbm:
            raise ValueError("a restricted Boltzmann machine has no classes to predict; transform() gives its hidden units")
        values, _ = _arrays.samples(x, "x")
        if values.shape[1] != self._core.features:
            raise ValueError(f"x: X has {values.shape[1]} features, but the network is expecting {self._core.features} "
                             "features as input")
        if self._sample_type not in (None, values.dtype):
            raise TypeError(f"x: expected {self._sample_type} as for training, found {values.dtype}; bytes are scaled to "
                            "[0, 1], other numbers are not")
        return values

    def _answers(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        values = self._checked(x)
        probabilities = np.empty((len(values), self._core.outputs), np.float32)
        classes = np.empty(len(values), np.int32)
        if len(values):
            self._core.predict(values, probabilities, classes)
        return probabilities, classes

    @property
    def target_names(self) -> list[str]:
        """Of a regression's outputs; empty for a classifier."""
        return list(self._core.target_names)

    def predict(self, x: Any) -> np.ndarray:
        """Of a regression the values in their own units, [samples, targets], float64. Of a classifier the most probable class
        of each sample, [samples], int32. Samples as those it was trained on: they are normalised here as those were."""
        if not self._core.target_names:
            return self._answers(x)[1]
        values = self._checked(x)
        result = np.empty((len(values), self._core.outputs))
        if len(values):
            self._core.regress(values, result)
        return result

    def predict_proba(self, x: Any) -> np.ndarray:
        """[samples, outputs], float32: softmax; with loss mse each output's own sigmoid."""
        return self._answers(x)[0]

    def transform(self, v: Any) -> np.ndarray:
        """Of a restricted Boltzmann machine: the probability of every hidden unit to be on, [samples, hidden], float32;
        `v` [samples, visible] in [0, 1]."""
        fields, _ = self._fields(v)
        return (1 / (1 + np.exp(-fields))).astype(np.float32)

    def free_energy(self, v: Any) -> np.ndarray:
        """Of a restricted Boltzmann machine: F(v) = -b.v - sum log(1 + exp(c + W v)), [samples], float64; log p(v) is
        -F(v) minus a constant."""
        fields, values = self._fields(v)
        visible_bias = self._core.array("visible_bias")
        return -(values @ visible_bias.astype(np.float64)) - np.logaddexp(0, fields.astype(np.float64)).sum(axis=1)

    def _fields(self, v: Any) -> tuple[np.ndarray, np.ndarray]:
        if not self._core.experiment.is_rbm:
            raise ValueError("transform: expected a restricted Boltzmann machine, found a classifier; predict_proba() gives "
                             "its answers")
        values, _ = _arrays.samples(v, "v")
        if values.dtype == np.uint8:
            values = values.astype(np.float32) / np.float32(255)
        if values.shape[1] != self._core.features:
            raise ValueError(f"v: X has {values.shape[1]} features, but the machine is expecting {self._core.features} "
                             "features as input")
        _, columns, _, _ = self._core.matrix(0)
        weights = self.weights(0) if columns is None else self.topology(0)
        return np.asarray((weights @ values.T).T) + self.bias(0), values

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a network file (safetensors) that `espalier evaluate` and Run.open() read; the whole file or nothing."""
        self._core.save(os.fspath(path))

    def __getstate__(self) -> dict[str, Any]:
        return {"network": self._core.to_bytes(), "records": self._records, "folder": self.folder,
                "connections": None if self._connections is None else np.array(self._connections),
                "kept_epoch": self.kept_epoch, "stopped": self.stopped, "stopped_early": self.stopped_early,
                "sample_type": self._sample_type}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(_core.network_from_bytes(state["network"]), state["records"],  # type: ignore[misc]
                      state["connections"], state["folder"])
        self.kept_epoch, self.stopped = state["kept_epoch"], state["stopped"]
        self.stopped_early = state["stopped_early"]
        self._sample_type = state.get("sample_type")

    def __repr__(self) -> str:
        widths = "-".join(map(str, self.layers))
        last = ""
        if self._records:
            record = self._records[self.kept_epoch - 1]
            figure = "test_r2" if self.target_names else "test_accuracy"
            value = record.get(figure, np.nan)
            last = f", {figure.replace('_', ' ')} {value:.4f}" if np.isfinite(value) else ""
        return f"<espalier.Run {widths}, {len(self._records)} epochs{last}>"


def _one_sample_a_class(x: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((classes, x.shape[1]), x.dtype), np.arange(classes, dtype=np.int64)


def _data_of(data: Any, test: Any, experiment: _core.Experiment) -> tuple[_core.Data, Any]:
    """The data and the type of their samples."""
    regression = experiment.is_regression
    labels = _arrays.targets if regression else _arrays.labels
    x, y = _arrays.pair(data, "data")
    values, shape = _arrays.samples(x, "x")
    classes = labels(y, "y", len(values))
    test_values = test_classes = None
    if test is not None:
        test_x, test_y = _arrays.pair(test, "test")
        test_values, test_shape = _arrays.samples(test_x, "test x")
        if test_shape != shape:
            raise ValueError(f"test: expected samples of shape {shape} (channels, height, width) as for training, found "
                             f"{test_shape}")
        if test_values.dtype != values.dtype:
            raise TypeError(f"test: expected {values.dtype} as for training, found {test_values.dtype}; bytes are scaled to "
                            "[0, 1], other numbers are not")
        test_classes = labels(test_y, "test y", len(test_values))
        if regression and test_classes.shape[1] != classes.shape[1]:
            raise ValueError(f"test y: expected {classes.shape[1]} targets a sample as for training, found "
                             f"{test_classes.shape[1]}")
    if regression:
        names = ["target"] if classes.shape[1] == 1 else [f"target{i}" for i in range(classes.shape[1])]
        return _core.data_with_targets(values, classes, test_values, test_classes, list(shape), experiment, names), values.dtype
    return _core.data_from_arrays(values, classes, test_values, test_classes, list(shape), experiment), values.dtype


def _set_validation(data: _core.Data, validation: Any, like: Any) -> None:
    x, y = _arrays.pair(validation, "validation")
    values, _ = _arrays.samples(x, "validation x")
    if like is not None and values.dtype != like:
        raise TypeError(f"validation: expected {like} as for training, found {values.dtype}")
    if values.shape[1] != data.features:
        raise ValueError(f"validation: expected samples of {data.features} features as for training, found {values.shape[1]}")
    if data.targets:
        targets = _arrays.targets(y, "validation y", len(values))
        if targets.shape[1] != len(data.targets):
            raise ValueError(f"validation y: expected {len(data.targets)} targets a sample as for training, found "
                             f"{targets.shape[1]}")
        data.set_target_validation(values, targets)
        return
    data.set_validation(values, _arrays.labels(y, "validation y", len(values)), *_one_sample_a_class(values, data.classes))


def train(data: Any, *, recipe: str | None = None, test: Any = None, validation: Any = None,
          callbacks: Iterable[Callback] = (), out: str | os.PathLike[str] | None = None, overwrite: bool = False,
          **options: Any) -> Run:
    """Trains a sparse network; the same bits as `espalier train` with the same options, data and seed.

    data: a pair (samples, labels), or the name of a data set as --dataset takes it ("mnist", "csv:FILE", "synthetic").
        Samples: [count, features], [count, height, width] or [count, channels, height, width], real numbers; uint8 is
        scaled to [0, 1] as pixels are. Labels: class numbers from 0; with loss="squared-error" real numbers, [count] or
        [count, targets], for a regression. They are normalised as the option `standardize`
        says (columns of tables, channels of images).
    test: a pair likewise, the samples behind the figures test_*; without it they are NaN.
    validation: a pair, or as the option of that name: a share of the training samples, or a file.
    recipe: a name of :func:`recipes`.
    callbacks: called after every epoch with its record, a dict; one that returns True ends the run. What one raises ends
        it too, and is raised again when the run is whole, with the run as its attribute `run`. So does Ctrl-C
        (KeyboardInterrupt).
    out: a folder for all that `espalier train --out` writes, checkpoints and report among it.
    options: those of :func:`options`, '_' for '-'. `layers` may be a list; without it the first and the last width of
        the recipe's layers are those of the data.

    The network is always the one that the last figures are of (the best one's, with patience). Raises ValueError or
    TypeError for what cannot be meant, FloatingPointError if the loss becomes NaN, OSError if `out` cannot be written.
    """
    if not callable(callbacks) and not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks: expected functions of an epoch's record, found {_arrays.kind_of(callbacks)}")
    callbacks = [callbacks] if callable(callbacks) else list(callbacks)
    for each in callbacks:
        if not callable(each):
            raise TypeError(f"callbacks: expected functions of an epoch's record, found {_arrays.kind_of(each)}")
    named = isinstance(data, str)
    given_validation = isinstance(validation, (tuple, list)) and not isinstance(validation, str)
    if validation is not None and not given_validation:
        options["validation"] = validation
    if named:
        if test is not None:
            raise ValueError("test: the data set brings its own test samples; pass arrays to choose others")
        options["dataset"] = data
    experiment = _options.experiment(recipe, options)
    dataset, sample_type = (_core.load_data(experiment), None) if named else _data_of(data, test, experiment)
    if "layers" not in options and not experiment.is_rbm:
        experiment = _options.experiment(
            recipe, {**options, "layers": [dataset.features, *experiment.layers[1:-1],
                                           len(dataset.targets) or dataset.classes]})
    elif "layers" not in options:
        experiment = _options.experiment(recipe, {**options, "layers": [dataset.features, experiment.layers[-1]]})
    if given_validation:
        _set_validation(dataset, validation, sample_type)
    return _train(experiment, dataset, callbacks, out, overwrite, sample_type)


def _train(experiment: _core.Experiment, dataset: _core.Data, callbacks: list[Callback],
           out: str | os.PathLike[str] | None, overwrite: bool, sample_type: Any = None) -> Run:
    def tell(record: Record) -> bool:
        return any([bool(each(record)) for each in callbacks])

    folder = "" if out is None else os.fspath(out)
    core = _core.train(experiment, dataset, folder, bool(overwrite), tell if callbacks else None)
    connections = core.connections
    run = Run(core, core.history, connections.reshape(-1, 2, core.features) if len(connections) else None, folder or None)
    run._sample_type = sample_type
    if core.raised is not None:
        core.raised.run = run
        raise core.raised
    return run
