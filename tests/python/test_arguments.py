"""What cannot be meant is refused with a sentence; whatever is passed, nothing crashes and no value is cut."""
import itertools
import pickle

import numpy as np
import pytest
from scipy import sparse

import espalier
from espalier import _arrays, _core
from conftest import SMALL, blobs, same


@pytest.mark.parametrize("options, error, sentence", [
    ({"learning_rat": 1}, ValueError, "did you mean"),
    ({"zeta": 2}, ValueError, r"zeta: .*\[0, 1\]"),
    ({"zeta": object()}, TypeError, "zeta: expected a number"),
    ({"recipe": "experiment-11"}, ValueError, r"did you mean"),
    ({"recipe": 3}, TypeError, "espalier.recipes"),
    ({"epochs": 1.5}, ValueError, "epochs"),
    ({"layers": [13, 20, 3]}, ValueError, "13 inputs"),
    ({"layers": [12, 20, 2]}, ValueError, "2 outputs"),
    ({"callbacks": [3]}, TypeError, "callbacks"),
    ({"validation": 1.5}, ValueError, "validation"),
    ({"backend": "tpu"}, ValueError, "auto, cpu or cuda"),
])
def test_options(data, options, error, sentence):
    with pytest.raises(error, match=sentence):
        espalier.train(data, **{**SMALL, **options})


@pytest.mark.parametrize("x, error, sentence", [
    (np.zeros((4,)), ValueError, "dimensions"),
    (np.zeros((4, 0)), ValueError, "0 feature"),
    (np.zeros((4, 2, 2, 2, 2)), ValueError, "dimensions"),
    (np.zeros((4, 3), complex), TypeError, "complex"),
    (np.array([["a", "b"]] * 4), TypeError, "real numbers"),
    (np.array([[None, 1]] * 4), ValueError, "finite"),
    (np.array([[object(), 1]] * 4), TypeError, "real numbers"),
    (np.full((4, 3), np.nan), ValueError, "finite"),
    (np.full((4, 3), 1e39), ValueError, "finite numbers that float32 holds"),
    (np.full((4, 3), 2**24 + 1), ValueError, "exactly"),
    (np.ma.masked_greater(np.arange(12.0).reshape(4, 3), 10), ValueError, "masked"),
    ("mnist?", ValueError, "mnist"),
    (None, TypeError, "pair"),
    (b"abcd", TypeError, "expected a"),
])
def test_samples(x, error, sentence):
    data = x if isinstance(x, str) or x is None else (x, [0, 1, 0, 1])
    with pytest.raises(error, match=sentence):
        espalier.train(data, epochs=1)


@pytest.mark.parametrize("y, error, sentence", [
    ([0, 1, 2], ValueError, "one label for each"),
    ([0, 1, 0, -1], ValueError, "-1"),
    ([0, 1, 0, 1.5], ValueError, "class numbers"),
    (["a", "b", "a", "b"], TypeError, "class numbers"),
    ([0, 1, 0, 2**40], ValueError, str(2**40)),
    (np.array([0, 1, 0, 2**64 - 1], np.uint64), ValueError, "class numbers"),
    (np.zeros((4, 2)), ValueError, "one label for each"),
])
def test_labels(y, error, sentence):
    with pytest.raises(error, match=sentence):
        espalier.train((np.ones((4, 3), np.float32), y), epochs=1)


def test_forms_of_the_same_samples_give_the_same_bits(data):
    x, y = data
    run = espalier.train(data, **SMALL)
    wide = np.zeros((120, 24), np.float32)
    wide[:, ::2] = x
    for other in (x.astype(np.float64), np.asfortranarray(x), wide[:, ::2], x[::-1][::-1], x.tolist(), sparse.csr_matrix(x),
                  sparse.csc_array(x)):
        assert same(run, espalier.train((other, y), **SMALL))
    for labels in (y.astype(np.uint8), y.astype(float), y.tolist(), y[:, None]):
        assert same(run, espalier.train((x, labels), **SMALL))
    with pytest.raises(TypeError, match="bytes are scaled"):
        espalier.train(data, test=(np.zeros((3, 12), np.uint8), [0, 1, 2]), **SMALL)


def test_no_samples(data):
    x, y = data
    with pytest.raises(ValueError, match="samples"):
        espalier.train((x[:0], y[:0]), **SMALL)
    run = espalier.train(data, **SMALL)
    assert run.predict(x[:0]).shape == (0,) and run.predict_proba(x[:0]).shape[0] == 0


def test_answers_want_samples_as_those_of_training(data):
    """Bytes are scaled, other numbers are not: the same values would be other samples."""
    x, y = data
    run = espalier.train(data, **SMALL)
    for each in (run, pickle.loads(pickle.dumps(run))):
        with pytest.raises(TypeError, match="expected float32 as for training, found uint8"):
            each.predict(np.zeros((3, x.shape[1]), np.uint8))
    of_bytes = espalier.train((np.arange(len(x) * 12, dtype=np.uint8).reshape(-1, 12), y), **SMALL)
    with pytest.raises(TypeError, match="expected uint8"):
        of_bytes.predict_proba(x)


def test_callbacks_that_are_none(data):
    with pytest.raises(TypeError, match="functions of an epoch's record, found int 3"):
        espalier.train(data, callbacks=3, **SMALL)


@pytest.mark.parametrize("layer, error", [(-1, IndexError), (99, IndexError), (0.5, TypeError), ("0", TypeError)])
def test_layers_that_are_none(data, layer, error):
    run = espalier.train(data, **SMALL)
    for ask in (run.topology, run.weights, run.bias):
        with pytest.raises(error, match="layer: expected"):
            ask(layer)


def test_tensor_elsewhere_is_refused():
    class Elsewhere:
        class device:
            type = "cuda"

            def __str__(self):
                return "cuda:0"

        device = device()

    with pytest.raises(TypeError, match=r"cuda:0; pass x.cpu\(\)"):
        espalier.train((Elsewhere(), [0]))


# Arguments of every kind in every place of the module's own functions: an exception or an answer, never a crash.
KINDS = [None, True, -1, 0, 3, 2**70, 1.5, float("nan"), "x", b"x", [], (1, 2), {}, object(), np.float32(1),
         np.zeros(3, np.float32), np.zeros((3, 4), np.float32), np.zeros((4, 3), np.float32).T, np.zeros((0, 4), np.float32),
         np.zeros((3, 4), np.float64), np.zeros(3, np.int32), np.zeros(4, np.int64), np.zeros((2, 2, 2), np.uint8),
         np.zeros((3, 4), np.float32)[::2], np.broadcast_to(np.float32(0), (3, 4))]


def attempts(function, places, rng, count=400):
    answered = 0
    for _ in range(count):
        arguments = [KINDS[i] for i in rng.integers(len(KINDS), size=places)]
        try:
            function(*arguments)
            answered += 1
        except (TypeError, ValueError, RuntimeError, OverflowError, OSError, FloatingPointError, IndexError):
            pass
    return answered


def test_fuzz_of_the_module():
    rng = np.random.default_rng(1)
    run = espalier.train(blobs(60), **SMALL)
    kernel = _core.Product(np.array([0, 1, 0], np.int32), np.array([0, 1, 3], np.int32), 4, 2, 1)
    packed = kernel.pack(np.zeros((3, 4), np.float32), False)
    experiment = _core.Experiment("", {})
    attempts(_core.Product, 5, rng)
    attempts(kernel.pack, 2, rng)
    attempts(lambda *a: kernel.forward(packed, *a), 4, rng)
    attempts(lambda *a: kernel.backward(packed, *a), 7, rng)
    attempts(lambda *a: _core.data_from_arrays(*a, experiment), 5, rng)
    attempts(_core.Experiment, 2, rng)
    attempts(_core.train, 5, rng)
    attempts(_core.network_from_bytes, 1, rng)
    attempts(run._core.predict, 3, rng)
    attempts(run._core.matrix, 1, rng)
    attempts(run.topology, 1, rng)
    attempts(run.predict, 1, rng)
    attempts(lambda x, y: espalier.train((x, y), epochs=1, layers=[4, 5, 2], backend="cpu", threads=1), 2, rng, 200)
    assert np.isfinite(run.predict_proba(blobs(5)[0])).all()


def test_wrong_shapes_never_write_outside():
    kernel = _core.Product(np.array([0, 1, 0], np.int32), np.array([0, 1, 3], np.int32), 4, 2, 1)
    packed = kernel.pack(np.ones((3, 4), np.float32), False)
    weights = np.ones(3, np.float32)
    for shape in [(3, 3), (2, 2), (4, 2), (2, 3)]:
        with pytest.raises(ValueError, match="y: expected"):
            kernel.forward(packed, weights, None, np.zeros(shape, np.float32), False)
    y = np.zeros((3, 2), np.float32)
    kernel.forward(packed, weights, None, y, False)
    assert y.tolist() == [[2, 1]] * 3
    with pytest.raises(TypeError):
        kernel.forward(packed, weights, None, y.astype(np.float64), False)
    for outputs, inputs in itertools.product([[0, 0], [0, 2], [0, -1], [1, 0]], [[1, 1], [0, 4], [1, 0], [0], [-1, 0]]):
        with pytest.raises(ValueError, match="edges: expected"):
            _core.Product(np.array(outputs, np.int32), np.array(inputs, np.int32), 4, 2, 1)


def test_arrays_of_integers_are_exact_or_refused():
    assert _arrays.floats(np.array([[2**24]]), "x")[0, 0] == 2**24
    with pytest.raises(ValueError, match=str(-(2**24) - 1)):
        _arrays.floats(np.array([[-(2**24) - 1]]), "x")
