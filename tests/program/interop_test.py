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
    mean, deviation = splits[0][0].astype(float).mean(axis=0), splits[0][0].astype(float).std(axis=0)
    x, labels = splits[1]
    return "npy:" + ",".join(map(str, paths)), x, ((x - mean) / deviation).astype(np.float32), labels


def check_arrays(folder, network):
    run("export", network, "--format", "npy", "--out", folder / "npy")
    described = json.loads(run("inspect", network, "--json"))
    assert described["checksum"] == "verified", described
    dense = []
    for number, layer in enumerate(described["layers"], 1):
        weight = np.load(folder / "npy" / f"layer{number}-weight.npy")
        bias = np.load(folder / "npy" / f"layer{number}-bias.npy")
        assert weight.shape == (layer["outputs"], layer["inputs"]) and bias.shape == (layer["outputs"],)
        mask = np.load(folder / "npy" / f"layer{number}-mask.npy")
        assert mask.dtype == bool and mask.shape == weight.shape and mask.sum() == layer["edges"]
        assert np.count_nonzero(weight) == np.count_nonzero(weight[mask]) == layer["edges"] - layer["zero_weights"]
        dense.append(weight)
    return dense


ACTIVATIONS = {  # by the definitions in docs and papers, not by the program
    "identity": lambda z, p: z,
    "relu": lambda z, p: np.maximum(z, 0),
    "sigmoid": lambda z, p: 1 / (1 + np.exp(-z)),
    "tanh": lambda z, p: np.tanh(z),
    "leaky-relu": lambda z, p: np.where(z > 0, z, p["slope"] * z),
    "all-relu": lambda z, p: np.where(z > 0, z, p["slope"] * z),
    "srelu": lambda z, p: np.where(
        z >= p["right_threshold"], p["right_threshold"] + p["right_slope"] * (z - p["right_threshold"]),
        np.where(z <= p["left_threshold"], p["left_threshold"] + p["left_slope"] * (z - p["left_threshold"]), z)),
}


def run_export(folder, x):
    """What an exported folder computes, from nothing but its files."""
    for number, layer in enumerate(json.loads((folder / "network.json").read_text())["layers"], 1):
        name, _, fields = layer["activation"].partition("(")
        parameters = {key: float(value) for key, _, value in (f.partition("=") for f in fields.rstrip(")").split(",")) if key}
        if "activation_parameters" in layer:
            trained = np.load(folder / f"layer{number}-activation.npy")
            assert trained.shape == (len(layer["activation_parameters"]), layer["outputs"])
            parameters = dict(zip(layer["activation_parameters"], trained))
        if (folder / f"layer{number}.npz").exists():
            parts = np.load(folder / f"layer{number}.npz")
            weight = np.zeros(parts["shape"], np.float32)
            weight[np.repeat(np.arange(len(weight)), np.diff(parts["indptr"])), parts["indices"]] = parts["data"]
        else:
            weight = np.load(folder / f"layer{number}-weight.npy")
        x = ACTIVATIONS[name](x @ weight.T + np.load(folder / f"layer{number}-bias.npy"), parameters)
    return x


def check_activations(folder, dataset, x, labels):
    """Exports compute what was trained, whatever the activation: their loss is the one that was recorded."""
    for activation in ("identity", "relu", "sigmoid", "tanh", "leaky-relu(slope=0.2)", "all-relu", "srelu"):
        made = folder / ("with-" + activation.partition("(")[0])
        results = json.loads(run("train", "--dataset", dataset, "--layers", "11-16-9-2", "--epsilon", "3", "--epochs", "3",
                                 "--batch", "20", "--activation", activation, "--out", made, "--json"))
        for format in ("scipy", "npy"):
            run("export", made / "network.safetensors", "--format", format, "--out", made / format)
            z = run_export(made / format, x).astype(float)
            z -= z.max(axis=1, keepdims=True)
            loss = (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]).mean()
            assert abs(loss - results["test_loss"]) < 1e-5, (activation, format, loss, results["test_loss"])


def check_torch_outputs(network, x, expected):
    import load_in_pytorch
    import torch
    got = load_in_pytorch.forward(load_in_pytorch.load_network(network), torch.from_numpy(x)).numpy()
    assert np.allclose(got, expected, atol=1e-4), np.abs(got - expected).max()


def make_empty_layer(source, target):
    """The network with every edge of its first layer gone, as a file of its own: no checksum, which is optional."""
    data = source.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8:8 + length]), data[8 + length:]
    metadata = {key: value for key, value in header.pop("__metadata__").items() if key != "checksum"}
    tensors = {name: (entry, body[slice(*entry["data_offsets"])]) for name, entry in header.items()
               if name != "checksum" and "_state" not in name}
    for name, (entry, items) in tensors.items():
        if name in ("layers.1.weight", "layers.1.column"):
            tensors[name] = ({**entry, "shape": [0]}, b"")
        if name == "layers.1.row_start":
            tensors[name] = (entry, bytes(len(items)))
    end, written = 0, {"__metadata__": metadata}
    for name, (entry, items) in tensors.items():
        written[name] = {**entry, "data_offsets": [end, end + len(items)]}
        end += len(items)
    text = json.dumps(written).encode()
    text += b" " * (-len(text) % 8)
    target.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(items for _, items in tensors.values()))


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


def check_meaning(folder, x, normalised):
    meaning = json.loads((folder / "npy" / "data.json").read_text())
    assert meaning == json.loads((folder / "scipy" / "data.json").read_text())
    assert meaning["classes"] == ["0", "1"] and meaning["scale"] == 1 and len(meaning["mean"]) == 11
    again = (x * meaning["scale"] - np.array(meaning["mean"])) / np.array(meaning["deviation"])
    assert np.allclose(again, normalised, atol=1e-5)


def check_predictions(folder, network):
    """`predict` without labels answers as `evaluate` counts."""
    run("predict", network, folder / "test-x.npy", "--out", folder / "p.npy")
    probabilities, classes = np.load(folder / "p.npy"), np.load(folder / "p-class.npy")
    assert np.allclose(probabilities.sum(1), 1, atol=1e-6) and np.array_equal(probabilities.argmax(1), classes)
    tested = json.loads(run("evaluate", network, "--json"))
    right = (classes == np.load(folder / "test-y.npy")).mean()
    assert abs(right - tested["test_accuracy"]) < 1e-9, (right, tested)
    confusion = np.zeros((2, 2), int)
    np.add.at(confusion, (np.load(folder / "test-y.npy"), classes), 1)
    assert tested["confusion"] == confusion.tolist(), tested


def check_regression(folder, x):
    """Real-valued targets: R2, RMSE and MAE are scikit-learn's (NumPy's by their definitions without it), and what the
    files hold computes what `predict` writes."""
    random = np.random.default_rng(7)
    y = np.stack([1e6 + 1e4 * x[:, :3].sum(1), np.sin(x[:, 0]) + 0.1 * random.normal(size=len(x))], 1)
    np.save(folder / "rx.npy", x)
    np.save(folder / "ry.npy", y)
    out = folder / "regression"
    results = json.loads(run("train", "--dataset", f"npy:{folder}/rx.npy,{folder}/ry.npy", "--split", "0.5", "--targets", "all",
                             "--layers", "11-16-9-2", "--epsilon", "3", "--epochs", "5", "--batch", "5", "--optimizer", "adam",
                             "--out", out, "--json"))
    data = f"npy:{folder}/rx.npy,{folder}/ry.npy"
    tested = json.loads(run("evaluate", out, "--dataset", data, "--json"))
    run("predict", out, folder / "rx.npy", "--out", folder / "values.npy")
    values = np.load(folder / "values.npy")
    assert values.shape == y.shape and values.dtype == np.float64
    try:
        import sklearn.metrics as metrics
        r2 = metrics.r2_score(y, values, multioutput="raw_values")
        mae = metrics.mean_absolute_error(y, values, multioutput="raw_values")
        rmse = metrics.mean_squared_error(y, values, multioutput="raw_values") ** 0.5
        assert np.isclose(metrics.r2_score(y, values), tested["test_r2"], rtol=1e-9)
    except ImportError:
        r2 = 1 - ((y - values) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)
        mae, rmse = np.abs(y - values).mean(0), ((y - values) ** 2).mean(0) ** 0.5
    for name, expected in (("r2", r2), ("mae", mae), ("rmse", rmse)):
        assert np.allclose([each[name] for each in tested["targets"]], expected, rtol=1e-9), (name, expected, tested)
    assert np.isclose(tested["test_r2"], r2.mean()) and np.isclose(tested["test_rmse"], rmse.mean())
    run("export", out, "--format", "npy", "--out", folder / "r")
    meaning = json.loads((folder / "r" / "data.json").read_text())
    assert meaning["targets"] == ["target_1", "target_2"] and results["test_r2"] == results["target_figures"]["r2"]
    inputs = ((x - np.array(meaning["mean"])) / np.array(meaning["deviation"])).astype(np.float32)
    z = run_export(folder / "r", inputs)
    again = z * np.array(meaning["target_deviation"]) + np.array(meaning["target_mean"])
    assert np.allclose(again, values, rtol=1e-5, atol=1e-4)
    loss = (((z - (y - meaning["target_mean"]) / meaning["target_deviation"]) ** 2).mean())
    assert np.isclose(loss, tested["test_loss"], rtol=1e-5), (loss, tested["test_loss"])
    if library == "torch":
        import load_in_pytorch
        import torch
        network = out / "network.safetensors"
        meaning = load_in_pytorch.load_data_meaning(network)
        z = load_in_pytorch.forward(load_in_pytorch.load_network(network), load_in_pytorch.normalise(meaning, torch.from_numpy(x)))
        assert np.allclose(load_in_pytorch.in_target_units(meaning, z).numpy(), values, rtol=1e-5, atol=1e-4)
        targets = torch.from_numpy((y - meaning["target_mean"]) / meaning["target_deviation"])
        assert np.isclose(torch.nn.functional.mse_loss(z.double(), targets).item(), tested["test_loss"], rtol=1e-5)


def check_every_activation(folder, dataset, x):
    """The loader computes with every activation what the program computes: the same classes."""
    import load_in_pytorch
    import torch
    for activation in ("identity", "relu", "sigmoid", "tanh", "leaky-relu", "leaky-relu(slope=0.3)", "all-relu", "srelu"):
        out = folder / "activation"
        run("train", "--dataset", dataset, "--layers", "11-16-9-2", "--epsilon", "3", "--epochs", "2", "--batch", "20",
            "--activation", activation, "--out", out, "--overwrite")
        run("predict", out, folder / "test-x.npy", "--out", folder / "p.npy")
        run("export", out / "network.safetensors", "--format", "safetensors", "--out", folder / "e.safetensors")
        for file in (out / "network.safetensors", folder / "e.safetensors"):
            inputs = load_in_pytorch.normalise(load_in_pytorch.load_data_meaning(file), torch.from_numpy(x))
            z = load_in_pytorch.forward(load_in_pytorch.load_network(file), inputs)
            expected = np.load(folder / "p.npy")
            assert np.allclose(torch.softmax(z, 1).numpy(), expected, atol=1e-5), (activation, file)


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
    dataset, raw, x, labels = make_data(folder)
    run("train", "--dataset", dataset, "--layers", "11-16-9-2", "--epsilon", "3", "--epochs", "3", "--batch", "20",
        "--out", folder / "run")
    network = folder / "run" / "network.safetensors"
    dense = check_arrays(folder, network)
    check_archives(folder, network, dense)
    check_meaning(folder, raw, x)
    check_predictions(folder, network)
    if library == "scipy":
        check_scipy(folder, dense)
    if library == "torch":
        check_torch(folder, network, dense, x, labels)
        check_every_activation(folder, dataset, raw)
    check_activations(folder, dataset, x, labels)
    check_regression(folder, raw)
    make_empty_layer(network, folder / "empty.safetensors")
    run("export", folder / "empty.safetensors", "--format", "npy", "--out", folder / "empty")
    assert not np.load(folder / "empty" / "layer1-mask.npy").any()
    if library == "torch":
        check_torch_outputs(folder / "empty.safetensors", x, run_export(folder / "empty", x))
    checkpoint = next((folder / "run" / "checkpoints").iterdir())
    assert json.loads(run("inspect", checkpoint, "--json"))["what"] == "checkpoint"
    assert json.loads(run("inspect", folder / "run" / "connections.npy", "--json"))["shape"] == [3, 2, 11]
print(f"{library}: reads what was written")
