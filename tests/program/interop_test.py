#!/usr/bin/env python3
"""What Espalier saves and exports is what other programs read. usage: interop_test.py PROGRAM numpy|scipy|torch
Ends with 77, a visible skip, only where that library is missing."""
import importlib
import json
import pathlib
import subprocess
import sys
import tempfile

program, library = sys.argv[1:3]
for needed in ("numpy", library) + (("scipy.sparse",) if library == "scipy" else ()):
    try:
        importlib.import_module(needed)
    except ImportError as missing:
        print(f"SKIPPED: {missing}")
        sys.exit(77)
import numpy as np


def run(*words):
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, (words, done.returncode, done.stderr)
    return done.stdout


def make_data(folder):
    """Two classes of points with eleven features; returns the test split as a network sees it."""
    random = np.random.default_rng(5)
    paths, splits = [], []
    for name, count in (("train", 400), ("test", 100)):
        labels = random.integers(0, 2, count).astype(np.int32)
        x = (random.normal(size=(count, 11)) + 1.5 * labels[:, None]).astype(np.float32)
        for kind, array in (("x", x), ("y", labels)):
            paths.append(folder / f"{name}-{kind}.npy")
            np.save(paths[-1], array)
        splits.append((x, labels))
    mean, deviation = splits[0][0].astype(float).mean(), splits[0][0].astype(float).std()
    return "npy:" + ",".join(map(str, paths)), ((splits[1][0] - mean) / deviation).astype(np.float32), splits[1][1]


def check_arrays(folder, network):
    run("export", network, "--format", "npy", "--out", folder / "npy")
    described = json.loads(run("inspect", network, "--json"))
    assert described["checksum"] == "verified", described
    dense = []
    for number, layer in enumerate(described["layers"], 1):
        weight = np.load(folder / "npy" / f"layer{number}-weight.npy")
        bias = np.load(folder / "npy" / f"layer{number}-bias.npy")
        assert weight.shape == (layer["outputs"], layer["inputs"]) and bias.shape == (layer["outputs"],)
        assert np.count_nonzero(weight) == layer["edges"] - layer["zero_weights"]
        dense.append(weight)
    return dense


def check_archives(folder, network, dense):
    run("export", network, "--format", "scipy", "--out", folder / "scipy")
    for number, expected in enumerate(dense, 1):
        parts = np.load(folder / "scipy" / f"layer{number}.npz")
        assert parts["format"].item() == b"csr" and tuple(parts["shape"]) == expected.shape
        rows = np.repeat(np.arange(len(expected)), np.diff(parts["indptr"]))
        rebuilt = np.zeros_like(expected)
        rebuilt[rows, parts["indices"]] = parts["data"]
        assert np.array_equal(rebuilt, expected), number


def check_scipy(folder, dense):
    import scipy.sparse
    for number, expected in enumerate(dense, 1):
        weight = scipy.sparse.load_npz(folder / "scipy" / f"layer{number}.npz")
        assert weight.format == "csr" and weight.has_sorted_indices
        assert np.array_equal(weight.toarray(), expected), number


def check_torch(folder, network, dense, x, labels):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "docs" / "examples"))
    import load_in_pytorch
    import torch
    layers = load_in_pytorch.load_network(network)
    for (weight, _, _), expected in zip(layers, dense):
        assert np.array_equal((weight.to_dense() if weight.is_sparse_csr else weight).numpy(), expected)
    z = load_in_pytorch.forward(layers, torch.from_numpy(x))
    loss = torch.nn.functional.cross_entropy(z, torch.from_numpy(labels).long()).item()
    tested = json.loads(run("evaluate", network, "--json"))
    assert abs(loss - tested["test_loss"]) < 1e-5, (loss, tested)
    right = (z.argmax(1).numpy() == labels).mean()
    assert abs(right - tested["test_accuracy"]) < 1e-9, (right, tested)
    run("export", network, "--format", "safetensors", "--out", folder / "parts.safetensors")
    _, parts = load_in_pytorch.read_safetensors(folder / "parts.safetensors")
    weight = torch.sparse_csr_tensor(parts["layers.1.crow_indices"], parts["layers.1.col_indices"],
                                     parts["layers.1.values"], dense[0].shape)
    assert np.array_equal(weight.to_dense().numpy(), dense[0])


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    dataset, x, labels = make_data(folder)
    run("train", "--dataset", dataset, "--layers", "11-16-9-2", "--epsilon", "3", "--epochs", "3", "--batch", "20",
        "--out", folder / "run")
    network = folder / "run" / "network.safetensors"
    dense = check_arrays(folder, network)
    check_archives(folder, network, dense)
    if library == "scipy":
        check_scipy(folder, dense)
    if library == "torch":
        check_torch(folder, network, dense, x, labels)
    checkpoint = next((folder / "run" / "checkpoints").iterdir())
    assert json.loads(run("inspect", checkpoint, "--json"))["what"] == "checkpoint"
    assert json.loads(run("inspect", folder / "run" / "connections.npy", "--json"))["shape"] == [3, 2, 11]
print(f"{library}: reads what was written")
