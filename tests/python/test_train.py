"""Training from arrays: the program's bits, callbacks, Ctrl-C, records, files, pickles."""
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import espalier
from conftest import SMALL, blobs, parts, same


def test_same_bits_as_the_program_from_files(data, test_data, program, tmp_path):
    np.savez(tmp_path / "blobs.npz", x_train=data[0], y_train=data[1], x_test=test_data[0], y_test=test_data[1])
    program("train", "--dataset", f"npz:{tmp_path / 'blobs.npz'}", "--layers", "12-20-3", "--epsilon", 4, "--epochs", 3,
            "--batch", 16, "--seed", 5, "--backend", "cpu", "--threads", 1, "--out", tmp_path / "run")
    theirs = espalier.Run.open(tmp_path / "run")
    ours = espalier.train(data, test=test_data, seed=5, **SMALL)
    assert same(ours, theirs)
    for name in ("train_loss", "test_loss", "test_accuracy", "grown"):
        assert np.array_equal(ours.history[name], theirs.history[name]), name
    assert np.array_equal(ours.connections, theirs.connections)
    assert not same(ours, espalier.train(data, test=test_data, seed=6, **SMALL))


def test_same_bits_into_a_folder_and_by_name(program, tmp_path):
    options = dict(layers=[784, 30, 10], epochs=2, train_samples=300, test_samples=100, seed=3, backend="cpu", threads=1)
    kept = espalier.train("synthetic", out=tmp_path / "ours", **options)
    program("train", "--dataset", "synthetic", "--layers", "784-30-10", "--epochs", 2, "--train-samples", 300,
            "--test-samples", 100, "--seed", 3, "--backend", "cpu", "--threads", 1, "--out", tmp_path / "theirs")
    theirs = espalier.Run.open(tmp_path / "theirs")
    assert same(kept, theirs) and same(espalier.train("synthetic", **options), theirs)
    assert (tmp_path / "ours" / "report.html").is_file()
    assert program("evaluate", tmp_path / "ours").strip()


def test_threads_do_not_change_the_bits(data):
    one = espalier.train(data, **SMALL)
    assert same(one, espalier.train(data, **{**SMALL, "threads": 3}))


def test_learns_and_says_so(data, test_data):
    run = espalier.train(data, test=test_data, **{**SMALL, "epochs": 30})
    assert list(run.history["test_accuracy"])[-1] > 0.9
    classes = run.predict(test_data[0])
    assert classes.shape == (60,) and np.mean(classes == test_data[1]) > 0.9
    probabilities = run.predict_proba(test_data[0])
    assert probabilities.shape == (60, 3) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert np.array_equal(probabilities.argmax(axis=1), classes)
    assert np.mean(classes == test_data[1]) == pytest.approx(list(run.history["test_accuracy"])[-1])


def test_without_test_samples_their_figures_are_nan(data):
    run = espalier.train(data, **SMALL)
    assert np.isnan(np.array(run.history["test_loss"])).all()
    assert np.isfinite(np.array(run.history["train_loss"])).all()


def test_validation_by_share_and_by_arrays(data, test_data):
    share = espalier.train(data, validation=0.25, **SMALL)
    assert np.isfinite(np.array(share.history["validation_loss"])).all()
    run = espalier.train(data, validation=test_data, **SMALL)
    both = espalier.train(data, test=test_data, **SMALL)
    assert np.array_equal(np.array(run.history["validation_loss"]), np.array(both.history["test_loss"]))


def test_layers_follow_the_data(data):
    run = espalier.train(data, epochs=1, backend="cpu", threads=1)
    assert run.layers == [12, 512, 128, 3]


def test_callback_sees_every_epoch_and_stops(data, test_data):
    seen = []
    run = espalier.train(data, test=test_data, callbacks=[seen.append, lambda r: r["epoch"] == 2], **{**SMALL, "epochs": 9})
    assert [record["epoch"] for record in seen] == [1, 2] and run.stopped and len(run.history["epoch"]) == 2
    # the network kept is the one the last figures are of
    assert np.mean(run.predict(test_data[0]) == test_data[1]) == pytest.approx(seen[-1]["test_accuracy"])


def test_what_a_callback_raises_comes_back_with_the_run(data):
    def fail(record):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        espalier.train(data, callbacks=[fail], **SMALL)
    assert len(caught.value.run.history["epoch"]) == 1


def test_patience_keeps_the_best_network(data, test_data):
    run = espalier.train(data, test=test_data, patience=2, **{**SMALL, "epochs": 200, "learning_rate": 0.3})
    losses = np.array(run.history["test_loss"])
    assert run.stopped_early and len(losses) < 200
    assert run.kept_epoch == 1 + int(np.argmin(losses))
    accuracy = np.array(run.history["test_accuracy"])[run.kept_epoch - 1]
    assert np.mean(run.predict(test_data[0]) == test_data[1]) == pytest.approx(accuracy)


# What a shell starts in the background inherits that SIGINT is ignored, which Python leaves at that.
INTERRUPTED = """
import os, signal, sys, threading, time, numpy as np, espalier
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt():
    while not os.path.exists(sys.argv[1] + "/history.jsonl"):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try:
    espalier.train("synthetic", layers=[784, 300, 10], epochs=100000, train_samples=2000, test_samples=100, backend="cpu",
                   threads=1, out=sys.argv[1])
except KeyboardInterrupt as stop:
    print("stopped", len(stop.run.history["epoch"]))
"""


def test_ctrl_c_stops_and_saves(program, tmp_path):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, tmp_path / "run"], capture_output=True, text=True, timeout=300)
    assert done.stdout.startswith("stopped"), done.stderr
    assert list((tmp_path / "run" / "checkpoints").iterdir())
    assert program("evaluate", tmp_path / "run").strip()


def test_the_lock_of_python_is_free_while_it_trains():
    ticks = []
    stop = threading.Event()

    def tick():
        while not stop.wait(0.002):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    espalier.train("synthetic", layers=[784, 400, 10], epochs=2, train_samples=4000, test_samples=100, backend="cpu",
                   threads=1)
    stop.set()
    thread.join()
    assert len(ticks) > 10 and max(np.diff(ticks)) < 0.5


def test_forked_child_is_refused_not_hung():
    code = ("import os, espalier, numpy as np\n"
            "o = dict(layers=[784, 30, 10], epochs=1, train_samples=200, test_samples=50, backend='cpu', threads=2)\n"
            "espalier.train('synthetic', **o)\n"
            "pid = os.fork()\n"
            "if pid == 0:\n"
            "    try: espalier.train('synthetic', **o); os._exit(1)\n"
            "    except RuntimeError as error: os._exit(7 if 'forked' in str(error) else 2)\n"
            "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "7", done.stderr


def test_topology_is_a_view_that_cannot_be_written(data):
    run = espalier.train(data, **SMALL)
    first = run.topology(0)
    assert first.shape == (20, 12) and first.nnz == len(run.weights(0)) and first.has_sorted_indices
    assert np.shares_memory(first.data, run.weights(0))
    for array in (first.data, first.indices, first.indptr):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    changed = first.copy()
    changed.data[:] = 0
    assert np.abs(run.weights(0)).sum() > 0
    del run
    assert np.isfinite(first.data).all()  # it keeps the network alive
    dense = espalier.train(data, **SMALL)
    with pytest.raises(ValueError, match="layer 1 is dense"):
        dense.topology(1)
    assert dense.weights(1).shape == (3, 20)


def test_saved_opened_and_pickled(data, test_data, tmp_path, program):
    run = espalier.train(data, test=test_data, **SMALL)
    run.save(tmp_path / "net.safetensors")
    opened = espalier.Run.open(tmp_path / "net.safetensors")
    again = pickle.loads(pickle.dumps(run))
    for other in (opened, again):
        assert same(run, other) and np.array_equal(run.predict_proba(test_data[0]), other.predict_proba(test_data[0]))
    assert again.kept_epoch == run.kept_epoch and np.array_equal(again.connections, run.connections)
    assert list(again.history["train_loss"]) == list(run.history["train_loss"])
    broken = pickle.dumps(run).replace(b"F32", b"F64", 1)
    with pytest.raises(ValueError, match="memory, offset"):
        pickle.loads(broken)


def test_run_folder_is_the_programs(data, test_data, tmp_path):
    run = espalier.train(data, test=test_data, out=tmp_path / "run", **SMALL)
    opened = espalier.Run.open(tmp_path / "run")
    assert same(run, opened) and opened.folder == str(tmp_path / "run")
    assert list(opened.history["train_loss"]) == list(run.history["train_loss"])
    with pytest.raises((OSError, ValueError), match="run"):
        espalier.train(data, test=test_data, out=tmp_path / "run", **SMALL)
    assert same(run, espalier.train(data, test=test_data, out=tmp_path / "run", overwrite=True, **SMALL))


def test_bytes_are_pixels_and_images_have_shapes():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 3, 4, 5), dtype=np.uint8)
    run = espalier.train((images, np.arange(40) % 2), layers=[60, 10, 2], epochs=1, backend="cpu", threads=1)
    assert run.predict(images).shape == (40,)
    assert "standardize" in run.config


def test_rbm(tmp_path):
    rng = np.random.default_rng(0)
    x = (rng.random((64, 20)) < 0.3).astype(np.float32)
    run = espalier.train((x, np.zeros(64, int)), model="rbm", dense_output=False, layers=[20, 15], sparsity=0.5,
                         epochs=2, batch=16, backend="cpu", threads=1)
    hidden = run.transform(x)
    weights, bias = run.topology(0).toarray(), run.bias(0)
    assert np.allclose(hidden, 1 / (1 + np.exp(-(x @ weights.T + bias))), atol=1e-6)
    with pytest.raises(ValueError, match="no classes"):
        run.predict(x)


def test_study_table(program, tmp_path):
    (tmp_path / "tiny.toml").write_text("# tiny\ndataset = \"synthetic\"\ntrain-samples = 200\ntest-samples = 50\n"
                                        "layers = \"784-20-10\"\nepochs = 1\nseeds = 2\nzeta = [0.1, 0.3]\n")
    program("study", tmp_path / "tiny.toml", "--out", tmp_path / "study")
    study = espalier.Study.open(tmp_path / "study")
    table = study.table()
    assert len(table["row"]) == 2 and list(table["seeds"]) == [2, 2]
    runs = study.runs()
    first = np.array(runs["test_accuracy"])[np.array(runs["row"]) == np.array(table["row"])[0]]
    assert np.array(table["test_accuracy"])[0] == pytest.approx(first.mean())
    assert (np.array(table["test_accuracy_low"]) <= np.array(table["test_accuracy"])).all()
    with pytest.raises(ValueError, match="study.json"):
        espalier.Study.open(tmp_path)


def test_what_the_program_says(program):
    assert espalier.__version__ == program("--version").split()[-1]
    # modules are looked for beside who asks: CUDA's, and MPI's on the line after a launcher's
    differs = ["available", "CUDA", "libespalier_", "no module for MPI"]
    ours, theirs = ([line for line in text.splitlines() if not any(word in line for word in differs)]
                    for text in (espalier.doctor(), program("doctor")))
    assert ours == theirs and len(ours) > 5
    assert espalier.doctor(json=True)["version"].endswith(espalier.__version__)
    options = {option["name"]: option for option in espalier.options()}
    assert options["learning_rate"]["default"] == "0.01" and options["zeta"]["help"]
    assert "experiment-1" in espalier.recipes()


def test_import_brings_nothing_but_numpy():
    code = ("import sys, numpy; before = set(sys.modules); import espalier; "
            "print([m for m in ('scipy', 'pandas', 'sklearn', 'torch') if m in set(sys.modules) - before])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_file_saved_again_by_the_safetensors_library(data, test_data, tmp_path, program):
    safetensors = pytest.importorskip("safetensors.numpy")
    from safetensors import safe_open

    run = espalier.train(data, test=test_data, **SMALL)
    run.save(tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", "numpy") as file:
        metadata = file.metadata()
    tensors = safetensors.load_file(tmp_path / "net.safetensors")
    safetensors.save_file(tensors, tmp_path / "again.safetensors", metadata)
    with pytest.raises(ValueError, match="another program has rewritten it"):
        espalier.Run.open(tmp_path / "again.safetensors")
    assert same(run, espalier.Run.open(tmp_path / "again.safetensors", rewritten=True))
    program("import", tmp_path / "again.safetensors", tmp_path / "taken.safetensors")
    assert same(run, espalier.Run.open(tmp_path / "taken.safetensors"))
    name = next(name for name in tensors if name.endswith("column"))
    tensors[name] = tensors[name][::-1].copy()  # wiring that cannot be
    safetensors.save_file(tensors, tmp_path / "wrong.safetensors", metadata)
    with pytest.raises(ValueError, match="topology of layer 1"):
        espalier.Run.open(tmp_path / "wrong.safetensors", rewritten=True)
    program("import", tmp_path / "wrong.safetensors", tmp_path / "none.safetensors", code=4)


def test_what_is_exported_is_read_again(data, test_data, tmp_path, program):
    safetensors = pytest.importorskip("safetensors.numpy")
    from safetensors import safe_open

    run = espalier.train(data, test=test_data, **SMALL)
    run.save(tmp_path / "net.safetensors")
    program("export", tmp_path / "net.safetensors", "--format", "safetensors", "--out", tmp_path / "export.safetensors")
    program("import", tmp_path / "export.safetensors", tmp_path / "back.safetensors")
    for name in ("export.safetensors", "back.safetensors"):
        again = espalier.Run.open(tmp_path / name)
        assert same(run, again) and np.array_equal(run.predict_proba(test_data[0]), again.predict_proba(test_data[0]))
        assert program("inspect", tmp_path / name).strip()
    with safe_open(tmp_path / "export.safetensors", "numpy") as file:
        metadata = file.metadata()
    tensors = safetensors.load_file(tmp_path / "export.safetensors")
    tensors["layers.1.values"] *= 2  # as a Python program would
    safetensors.save_file(tensors, tmp_path / "doubled.safetensors", metadata)
    program("import", tmp_path / "doubled.safetensors", tmp_path / "taken.safetensors")
    assert np.array_equal(espalier.Run.open(tmp_path / "taken.safetensors").weights(0), 2 * run.weights(0))
    tensors["layers.1.col_indices"][:] = 0
    safetensors.save_file(tensors, tmp_path / "wrong.safetensors", metadata)
    program("import", tmp_path / "wrong.safetensors", tmp_path / "none.safetensors", code=4)


def test_an_exported_boltzmann_machine_is_read_again(tmp_path, program):
    pixels = np.random.default_rng(0).random((60, 9)).astype(np.float32)
    run = espalier.train((pixels, np.zeros(60, int)), recipe="set-rbm-mnist-500", layers=[9, 5], epochs=1, batch=10, backend="cpu",
                         threads=1)
    run.save(tmp_path / "machine.safetensors")
    program("export", tmp_path / "machine.safetensors", "--format", "safetensors", "--out", tmp_path / "export.safetensors")
    program("import", tmp_path / "export.safetensors", tmp_path / "back.safetensors")
    assert np.array_equal(espalier.Run.open(tmp_path / "back.safetensors").weights(0), run.weights(0))


def test_regression():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    y = 5 + 3 * x[:, 0] - 2 * x[:, 1]
    options = dict(loss="squared-error", epsilon=6, epochs=40, batch=16, optimizer="adam", learning_rate=0.01, backend="cpu",
                   threads=1)
    run = espalier.train((x[:150], y[:150]), test=(x[150:], y[150:]), **options)
    answers = run.predict(x[150:])
    assert run.layers[-1] == 1 and answers.shape == (50, 1) and run.target_names == ["target"]
    r2 = 1 - np.mean((answers[:, 0] - y[150:]) ** 2) / np.var(y[150:])
    assert r2 > 0.8 and list(run.history["test_r2"])[-1] == pytest.approx(r2, abs=1e-4)
    assert np.array_equal(pickle.loads(pickle.dumps(run)).predict(x), run.predict(x))
    held = espalier.train((x[:150], y[:150]), validation=(x[150:], y[150:]), **options)
    assert list(held.history["validation_r2"])[-1] == pytest.approx(r2, abs=1e-4)
    with pytest.raises(ValueError, match="regression"):
        run.predict_proba(x)
    with pytest.raises(TypeError, match="real numbers"):
        espalier.train((x, ["a"] * 200), **options)
