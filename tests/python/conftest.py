"""What the tests of the Python package share. Run by ctest: ESPALIER_PROGRAM is the program of the same build."""
import os
import subprocess

import numpy as np
import pytest

pytest.register_assert_rewrite("torch_twin")  # its assertions tell of their values, too

PROGRAM = os.environ["ESPALIER_PROGRAM"]


def blobs(count, features=12, classes=3, seed=0):
    """Samples around a point for each class, float32, and their classes."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 2, (classes, features))
    y = np.arange(count) % classes
    return (centres[y] + rng.normal(0, 1, (count, features))).astype(np.float32), y


@pytest.fixture
def data():
    return blobs(120)


@pytest.fixture
def test_data():
    return blobs(60, seed=1)


@pytest.fixture
def program():
    def run(*words, code=0):
        done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout

    return run


SMALL = {"layers": [12, 20, 3], "epsilon": 4, "epochs": 3, "batch": 16, "backend": "cpu", "threads": 1}


def parts(run):
    """Everything a network is made of, to compare bit by bit."""
    arrays = []
    for layer in range(run.num_layers):
        values, columns, starts, _ = run._core.matrix(layer)
        arrays += [values, columns if columns is not None else np.empty(0), starts if starts is not None else np.empty(0),
                   run.bias(layer)]
    return [np.array(each) for each in arrays]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(parts(a), parts(b), strict=True))
