"""scikit-learn estimators on the engine: SparseMLPClassifier, SparseMLPRegressor and SparseBernoulliRBM.

    from espalier.sklearn import SparseMLPClassifier
    clf = make_pipeline(StandardScaler(), SparseMLPClassifier(hidden_layer_sizes=(500,), sparsity=0.9)).fit(x, y)
"""
from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import (BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, MultiOutputMixin, RegressorMixin,
                          TransformerMixin)
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _arrays, _core, _options
from ._run import Run, _train

__all__ = ["SparseMLPClassifier", "SparseMLPRegressor", "SparseBernoulliRBM"]


def _seed(random_state: Any) -> int:
    if isinstance(random_state, (int, np.integer)) and random_state >= 0:
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


class _Estimator(BaseEstimator):
    """What both have in common: options made from parameters, and data checked."""

    _float_types = (np.float32, np.float64)

    def _checked(self, x: Any, *, reset: bool, **more: Any) -> Any:
        return validate_data(self, x, dtype=self._float_types, accept_sparse=False, reset=reset, **more)

    @staticmethod
    def _dense(x: Any) -> Any:
        """CSR samples with their zeros filled in."""
        return x.toarray() if hasattr(x, "toarray") and hasattr(x, "nnz") else x

    def _options(self) -> dict[str, Any]:
        raise NotImplementedError

    def _experiment(self, layers: list[int]) -> _core.Experiment:
        options = {"layers": layers, "seed": _seed(self.random_state), "threads": self.threads, "backend": self.backend,
                   **self._options(), **(self.options or {})}
        return _options.experiment(self.recipe, options)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class _Perceptron(_Estimator):
    """Parameters of a perceptron, and what is known of it after training."""

    def __init__(self, hidden_layer_sizes: Any = (100,), *, sparsity: Any = 0.9, zeta: Any = 0.3, max_iter: Any = 100,
                 batch_size: Any = 128, optimizer: Any = "adam", learning_rate: Any = 1e-3, activation: Any = "relu",
                 weight_decay: Any = None, dropout: Any = None, early_stopping: Any = None,
                 validation_fraction: float = 0.1, recipe: str | None = None, options: dict[str, Any] | None = None,
                 threads: int | None = None, backend: str | None = None, random_state: Any = None) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.sparsity = sparsity
        self.zeta = zeta
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.activation = activation
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.recipe = recipe
        self.options = options
        self.threads = threads
        self.backend = backend
        self.random_state = random_state

    def _options(self) -> dict[str, Any]:
        stops = self.early_stopping is not None and self.early_stopping is not False
        return {"sparsity": self.sparsity, "zeta": self.zeta, "epochs": self.max_iter, "batch": self.batch_size,
                "optimizer": self.optimizer, "learning-rate": self.learning_rate, "activation": self.activation,
                "weight-decay": self.weight_decay, "dropout": self.dropout,
                "patience": (10 if self.early_stopping is True else self.early_stopping) if stops else None,
                "validation": self.validation_fraction if stops else None}

    def _trained(self, experiment: _core.Experiment, data: _core.Data) -> None:
        self.run_: Run = _train(experiment, data, [], None, False)
        records = self.run_._records
        self.n_iter_ = len(records)
        self.loss_curve_ = [record["train_loss"] for record in records]
        self.loss_ = self.loss_curve_[-1]
        self.n_layers_ = self.run_.num_layers + 1
        self.n_outputs_ = self.run_.layers[-1]


class SparseMLPClassifier(ClassifierMixin, _Perceptron):
    """A perceptron with sparse hidden layers that are pruned and regrown while it trains (SET).

    hidden_layer_sizes: neurons of each hidden layer. sparsity: share of the cells without an edge, of every sparse layer;
    the last layer is dense. zeta: share of the edges that one evolution, after every epoch, replaces. max_iter: epochs.
    batch_size: samples a step. optimizer, learning_rate: as the options of these names take them, schedules among them.
    early_stopping: a number of epochs without a lower loss on validation_fraction of the samples, after which training ends
    with the best network (True: 10, as scikit-learn's own); None trains all epochs. recipe: a recipe's name; its options count where the parameter is None.
    options: any other options by name (espalier.options()). threads: None takes one per core, or $OMP_NUM_THREADS.
    random_state: an int is the seed itself.

    Samples: [samples, features], float; columns are made alike as the option `standardize` says. Labels of any kind.
    After fit: classes_, run_ (espalier.Run), n_iter_, loss_, loss_curve_ [epochs], n_features_in_, n_layers_, n_outputs_.
    """

    def fit(self, X: Any, y: Any) -> SparseMLPClassifier:
        """Trains on X [samples, features] and the labels y [samples]."""
        x, y = self._checked(self._dense(X), reset=True, y=y)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        hidden = np.atleast_1d(self.hidden_layer_sizes).tolist()
        # One class is learned too: by a network of two outputs.
        experiment = self._experiment([x.shape[1], *hidden, max(2, len(self.classes_))])
        data = _core.data_from_arrays(_arrays.floats(x, "X"), numbers.astype(np.int64).reshape(-1), None, None,
                                      [1, 1, x.shape[1]], experiment)
        self._trained(experiment, data)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """[samples, classes], rows that add up to 1, in the order of classes_."""
        check_is_fitted(self)
        x = self._checked(self._dense(X), reset=False)
        answers = self.run_.predict_proba(_arrays.floats(x, "X")).astype(np.float64)[:, :len(self.classes_)]
        return answers / answers.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each sample."""
        check_is_fitted(self)
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    def predict_log_proba(self, X: Any) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))


class SparseMLPRegressor(MultiOutputMixin, RegressorMixin, _Perceptron):
    """A perceptron with sparse hidden layers for real-valued targets, by squared error.

    The parameters are SparseMLPClassifier's. y: [samples] or [samples, targets]; targets get mean 0 and deviation 1 while
    training, predictions are in their own units. After fit as SparseMLPClassifier, but for classes_.
    """

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "loss": "squared-error"}

    def fit(self, X: Any, y: Any) -> SparseMLPRegressor:
        """Trains on X [samples, features] and the targets y [samples] or [samples, targets]."""
        x, y = self._checked(self._dense(X), reset=True, y=y, multi_output=True, y_numeric=True)
        self._one_target = y.ndim == 1
        targets = _arrays.targets(y, "y", len(x))
        hidden = np.atleast_1d(self.hidden_layer_sizes).tolist()
        experiment = self._experiment([x.shape[1], *hidden, targets.shape[1]])
        names = [f"target{i}" for i in range(targets.shape[1])]
        data = _core.data_with_targets(_arrays.floats(x, "X"), targets, None, None, [1, 1, x.shape[1]], experiment, names)
        self._trained(experiment, data)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """[samples], or [samples, targets] where y had columns."""
        check_is_fitted(self)
        values = self.run_.predict(_arrays.floats(self._checked(self._dense(X), reset=False), "X"))
        return values[:, 0] if self._one_target else values


class SparseBernoulliRBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _Estimator):
    """A sparse restricted Boltzmann machine, trained by contrastive divergence while its edges evolve.

    n_components: hidden units. The other parameters as SparseMLPClassifier's; cd_steps: Gibbs steps an update. X: [samples,
    features] in [0, 1]; with scale="columns" any numbers: the least and the largest value of every column of the training
    samples become 0 and 1, as MinMaxScaler does it, and others follow, also beyond. transform() gives the hidden units'
    probabilities, score_samples() the log-likelihood but for a constant (minus the free energy). After fit: run_, components_
    (csr_array [hidden, visible]), intercept_hidden_, intercept_visible_, n_iter_.
    """

    def __init__(self, n_components: Any = 256, *, sparsity: Any = 0.9, zeta: Any = 0.3, max_iter: Any = 10,
                 batch_size: Any = 10, learning_rate: Any = 0.1, cd_steps: Any = 1, scale: str | None = None,
                 recipe: str | None = None, options: dict[str, Any] | None = None, threads: int | None = None,
                 backend: str | None = None, random_state: Any = None) -> None:
        self.n_components = n_components
        self.sparsity = sparsity
        self.zeta = zeta
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.cd_steps = cd_steps
        self.scale = scale
        self.recipe = recipe
        self.options = options
        self.threads = threads
        self.backend = backend
        self.random_state = random_state

    def _options(self) -> dict[str, Any]:
        return {"model": "rbm", "dense-output": False, "sparsity": self.sparsity, "zeta": self.zeta,
                "epochs": self.max_iter, "batch": self.batch_size, "optimizer": "sgd", "learning-rate": self.learning_rate,
                "cd-steps": self.cd_steps}

    def fit(self, X: Any, y: Any = None) -> SparseBernoulliRBM:
        """Trains on X [samples, features], values in [0, 1]; y is not looked at."""
        if self.scale not in (None, "columns"):
            raise ValueError(f"unknown value {self.scale!r}; expected None or columns")
        x = _arrays.floats(self._checked(self._dense(X), reset=True), "X")
        if self.scale is not None:
            self.least_ = x.min(axis=0)
            self.range_ = np.where(np.ptp(x, axis=0) > 0, np.ptp(x, axis=0), np.float32(1))
            x = np.clip(self._units(x), 0, 1)  # of rounding alone
        experiment = self._experiment([x.shape[1], self.n_components])
        data = _core.data_from_arrays(x, np.zeros(len(x), np.int64), None, None, [1, 1, x.shape[1]], experiment)
        self.run_: Run = _train(experiment, data, [], None, False)
        self.n_iter_ = len(self.run_._records)
        self.components_ = self.run_.topology(0)
        self.intercept_hidden_ = self.run_.bias(0)
        self.intercept_visible_ = self.run_._core.array("visible_bias")
        self._n_features_out = self.run_.layers[-1]
        return self

    def _units(self, x: np.ndarray) -> np.ndarray:
        x = _arrays.floats(x, "X")
        return x if self.scale is None else (x - self.least_) / self.range_

    def transform(self, X: Any) -> np.ndarray:
        """The probability of every hidden unit to be on, [samples, n_components]."""
        check_is_fitted(self)
        x = self._checked(self._dense(X), reset=False)
        return self.run_.transform(self._units(x)).astype(x.dtype, copy=False)

    def score_samples(self, X: Any) -> np.ndarray:
        """log p(x) of each sample but for a constant, [samples]: minus the free energy."""
        check_is_fitted(self)
        return -self.run_.free_energy(self._units(self._checked(self._dense(X), reset=False)))

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        for name in ("components_", "intercept_hidden_", "intercept_visible_"):
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "run_" in state:
            self.components_ = self.run_.topology(0)
            self.intercept_hidden_ = self.run_.bias(0)
            self.intercept_visible_ = self.run_._core.array("visible_bias")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32", "float64"]
        return tags
