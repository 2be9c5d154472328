"""Event files as TensorBoard's own readers see them."""
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest

import espalier

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

TAGS = {"loss/train", "loss/test", "accuracy/train", "accuracy/test", "schedule/learning_rate", "schedule/zeta",
        "topology/edges", "topology/grown", "speed/images_per_second"}


def train(program, folder, epochs, *more):
    program("train", "--dataset", "synthetic", "--layers", "784-40-10", "--train-samples", 300, "--test-samples", 100,
            "--epochs", epochs, "--seed", 2, "--backend", "cpu", "--threads", 1, "--tensorboard", "--out", folder, *more)


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "images": 0})
    return events.Reload()


def test_what_its_reader_reads(program, tmp_path):
    train(program, tmp_path / "run", 3)
    events = read(tmp_path / "run")
    assert set(events.Tags()["scalars"]) == TAGS
    run = espalier.Run.open(tmp_path / "run")
    for tag, column in (("loss/test", "test_loss"), ("accuracy/train", "train_accuracy"), ("topology/edges", "edges")):
        points = events.Scalars(tag)
        assert [each.step for each in points] == [1, 2, 3]
        assert [each.value for each in points] == pytest.approx(list(run.history[column]), rel=1e-6)
    assert set(events.Tags()["histograms"]) == {"weights/layer1", "weights/layer2"}
    last = events.Histograms("weights/layer1")[-1].histogram_value
    weights = run.weights(0).astype(float)
    assert (last.min, last.max, last.num) == (weights.min(), weights.max(), len(weights))
    assert last.sum == pytest.approx(weights.sum()) and last.sum_squares == pytest.approx((weights**2).sum())
    assert sum(last.bucket) == len(weights) and last.bucket[0] > 0 and last.bucket[-1] > 0
    steps = np.diff(last.bucket_limit)
    assert np.allclose(steps, steps[0], rtol=1e-4)
    image = events.Images("topology/connections")[-1]
    assert image.encoded_image_string.startswith(b"\x89PNG") and image.width > 100 and image.height > 100


def test_a_resumed_run_has_every_step_once(program, tmp_path):
    train(program, tmp_path / "run", 2, "--checkpoint-every", 1)
    program("train", "--resume", tmp_path / "run", "--epochs", 5, "--tensorboard")
    assert [each.step for each in read(tmp_path / "run").Scalars("loss/test")] == [1, 2, 3, 4, 5]
    train(program, tmp_path / "whole", 5)
    ours, whole = read(tmp_path / "run"), read(tmp_path / "whole")
    assert [e.value for e in ours.Scalars("loss/train")][:2] == [e.value for e in whole.Scalars("loss/train")][:2]


@pytest.mark.parametrize("fast", ["true", "false"])
def test_its_servers_show_it(program, tmp_path, fast):
    train(program, tmp_path / "logs" / "run", 2)
    server = subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir", tmp_path / "logs", "--port", "0",
                               f"--load_fast={fast}"], stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        address = None
        for line in server.stderr:
            if found := re.search(r"http://[^ ]+:\d+/", line):
                address = re.sub(r"//[^:]+", "//localhost", found.group())
                break
        assert address
        for _ in range(100):
            with urllib.request.urlopen(address + "data/plugin/scalars/tags") as answer:
                tags = json.load(answer)
            if tags and set(tags["run"]) == TAGS:
                break
            time.sleep(0.2)
        assert set(tags["run"]) == TAGS
        with urllib.request.urlopen(address + "data/plugin/scalars/scalars?run=run&tag=loss/test") as answer:
            assert [point[1] for point in json.load(answer)] == [1, 2]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
