#!/usr/bin/python3
"""A training epoch of a restricted Boltzmann machine on MNIST: Espalier (sparse and dense) beside scikit-learn's dense
BernoulliRBM, alternating in one run. CD-1 against scikit-learn's persistent chains: two products fewer per step there.

usage: bench/peers/rbm.py --data DIR [--espalier build/espalier] [--hidden 500] [--batches 10,128] [--epochs 3]
                          [--rounds 3] [--threads 1] [--kinds sparse,dense,scikit-learn] [--json FILE]

Espalier's figure is the median training time of an epoch as its history records it; scikit-learn's the median of
partial_fit over all batches of a shuffled epoch, data as float32 in [0, 1]. Reported: medians over the rounds, ratios
within each round. Needs Debian's python3-sklearn.
"""

import argparse
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def espalier(arguments, recipe, batch):
    with tempfile.TemporaryDirectory() as folder:
        command = [arguments.espalier, "train", "--recipe", recipe, "--layers", f"784-{arguments.hidden}", "--batch",
                   str(batch), "--epochs", str(arguments.epochs), "--threads", str(arguments.threads), "--backend",
                   "cpu", "--data-dir", arguments.data, "--out", folder + "/run", "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])["seconds_per_epoch"]


def images(folder):
    import numpy
    for path in pathlib.Path(folder).rglob("train-images*idx3-ubyte*"):
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        return numpy.frombuffer(data, numpy.uint8, offset=16).reshape(-1, 784).astype(numpy.float32) / 255
    sys.exit(f"no MNIST training images below {folder}")


def scikit_learn(arguments, x, batch):
    import numpy
    from sklearn.neural_network import BernoulliRBM
    machine = BernoulliRBM(n_components=arguments.hidden, learning_rate=0.01, batch_size=batch, random_state=1)
    seconds = []
    for epoch in range(arguments.epochs):
        order = numpy.random.default_rng(epoch).permutation(len(x))
        start = time.perf_counter()
        for first in range(0, len(x), batch):
            machine.partial_fit(x[order[first:first + batch]])
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure(arguments, x, kind, batch):
    if kind == "scikit-learn":
        return scikit_learn(arguments, x, batch)
    return espalier(arguments, "set-rbm-mnist-500" + {"sparse": "", "dense": "-dense"}[kind], batch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--espalier", default="build/espalier")
    parser.add_argument("--hidden", type=int, default=500)
    parser.add_argument("--batches", default="10,128")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kinds", default="sparse,dense,scikit-learn")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before NumPy is loaded
        os.environ[name] = str(arguments.threads)
    import sklearn
    x = images(arguments.data)
    rows = []
    for batch in map(int, arguments.batches.split(",")):
        rounds = []
        for number in range(arguments.rounds):
            rounds.append({kind: measure(arguments, x, kind, batch) for kind in arguments.kinds.split(",")})
            print(f"batch {batch}, round {number + 1}: {rounds[-1]}", file=sys.stderr)
        row = {"batch": batch, "hidden": arguments.hidden, "threads": arguments.threads}
        for kind in rounds[0]:
            row[kind + " s/epoch"] = statistics.median(each[kind] for each in rounds)
        for kind in {"sparse", "dense"} & rounds[0].keys() if "scikit-learn" in rounds[0] else ():
            row["scikit-learn / " + kind] = statistics.median(each["scikit-learn"] / each[kind] for each in rounds)
        rows.append(row)
        print("  ".join(f"{name} {value:.3g}" for name, value in row.items()))
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps({"scikit-learn": sklearn.__version__, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
