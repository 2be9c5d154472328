"""The estimators: every check of scikit-learn's own, pipelines, searches, clones, pickles."""
import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from conftest import blobs
from espalier.sklearn import SparseBernoulliRBM, SparseMLPClassifier, SparseMLPRegressor


# Not applicable: the check of the array API, which is off unless an environment variable asks for it.
NOT_APPLICABLE = {"check_array_api_input"}


@pytest.mark.parametrize("estimator", [
    SparseMLPClassifier(hidden_layer_sizes=(40,), sparsity=0.5, max_iter=30, batch_size=16, learning_rate=0.01, threads=1),
    SparseMLPRegressor(hidden_layer_sizes=(40,), sparsity=0.5, max_iter=60, batch_size=16, learning_rate=0.01, threads=1),
    SparseBernoulliRBM(n_components=8, sparsity=0.5, max_iter=3, threads=1, scale="columns"),
])
def test_every_check_of_scikit_learn(estimator):
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert not failed, failed
    skipped = {each["check_name"] for each in results if each["status"] != "passed"}
    assert skipped <= NOT_APPLICABLE, skipped
    assert len(results) - len(skipped) > 40


def small(**more):
    return SparseMLPClassifier((30,), sparsity=0.6, max_iter=15, batch_size=16, learning_rate=0.01, threads=1,
                               random_state=0, **more)


def test_pipeline_in_a_search_of_two_processes():
    x, y = blobs(150)
    search = GridSearchCV(make_pipeline(StandardScaler(), small()), {"sparsemlpclassifier__zeta": [0.1, 0.3]}, n_jobs=2, cv=3)
    search.fit(x, y)
    assert search.best_score_ > 0.9 and search.best_estimator_.predict(x).shape == (150,)


def test_clone_and_pickle_give_the_same_answers():
    x, y = blobs(90)
    names = np.array(["ant", "bee", "cow"])[y]
    first = small().fit(x, names)
    again = clone(first).fit(x, names)
    loaded = pickle.loads(pickle.dumps(first))
    for other in (again, loaded):
        assert np.array_equal(first.predict_proba(x), other.predict_proba(x))
    assert set(first.predict(x)) <= set(names) and first.score(x, names) > 0.9
    assert first.run_.topology(0).nnz == round(0.4 * 12 * 30)


def test_sparse_samples_and_one_sample():
    x, y = blobs(60)
    x[x < 0] = 0
    dense = small().fit(x, y)
    rows = small().fit(sparse.csr_matrix(x), y)
    assert np.array_equal(dense.predict_proba(x), rows.predict_proba(sparse.csr_array(x)))
    assert np.array_equal(dense.predict_proba(x)[:1], dense.predict_proba(x[:1]))


def test_early_stopping_keeps_the_best():
    x, y = blobs(200)
    run = small(early_stopping=2, validation_fraction=0.25).set_params(max_iter=300, learning_rate=0.1).fit(x, y)
    assert run.n_iter_ < 300 and run.run_.stopped_early
    as_ten = [small(early_stopping=each).set_params(max_iter=40, learning_rate=0.1).fit(x, y).loss_curve_
              for each in (True, 10, False)]
    assert as_ten[0] == as_ten[1] and len(as_ten[2]) == 40


def test_recipe_and_any_option():
    x, y = blobs(60)
    estimator = SparseMLPClassifier((20,), recipe="experiment-1", sparsity=None, zeta=None, max_iter=2, batch_size=None,
                                    optimizer=None, learning_rate=None, activation=None, threads=1, random_state=3,
                                    options={"grow": "random(allow_removed=true)"}).fit(x, y)
    assert "recipe = \"experiment-1\"" in estimator.run_.config and "allow_removed=1" in estimator.run_.config
    with pytest.raises(ValueError, match="did you mean"):
        small(options={"grwo": "random"}).fit(x, y)


def test_machine():
    rng = np.random.default_rng(0)
    x = (rng.random((80, 30)) < 0.2).astype(float)
    machine = SparseBernoulliRBM(10, sparsity=0.5, max_iter=20, threads=1, random_state=0).fit(x)
    assert machine.components_.shape == (10, 30) and machine.transform(x).shape == (80, 10)
    noise = (rng.random((80, 30)) < 0.8).astype(float)
    assert machine.score_samples(x).mean() > machine.score_samples(noise).mean()
    again = pickle.loads(pickle.dumps(machine))
    assert np.array_equal(again.transform(x), machine.transform(x)) and (again.components_ != machine.components_).nnz == 0
    assert list(machine.get_feature_names_out())[:2] == ["sparsebernoullirbm0", "sparsebernoullirbm1"]
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        SparseBernoulliRBM(4, threads=1).fit(x * 2)


def test_regressor():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 8))
    y = np.stack([1000 + 50 * x[:, 0] - 30 * x[:, 1], x[:, 2] ** 2], axis=1)
    model = SparseMLPRegressor((60,), sparsity=0.5, max_iter=80, batch_size=16, learning_rate=0.01, threads=1,
                               random_state=0).fit(x, y)
    assert model.predict(x).shape == (300, 2) and model.score(x, y) > 0.9
    one = clone(model).fit(x, y[:, 0])
    assert one.predict(x).shape == (300,) and one.score(x, y[:, 0]) > 0.9
    assert np.array_equal(pickle.loads(pickle.dumps(one)).predict(x), one.predict(x))
