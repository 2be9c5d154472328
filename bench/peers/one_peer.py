#!/usr/bin/python3
"""Times one peer in a process of its own; prints one JSON object. Run by peers.py.

usage: one_peer.py KIND --network NAME --data DIR --threads N --batches N [--epochs N]

seconds_per_epoch is the median time of a step over --batches steps after three to warm up, scaled to the epoch.
memory_mib: above what the process had with the data loaded: after the network was built, at most, after the steps; what a
library loads when it is first used is in them.
kept_edges: weights that are not zero, at the end. With --epochs the network is trained for that many whole epochs instead, and its test accuracy reported.
"""
import argparse
import gc
import importlib
import json
import os
import resource
import statistics
import sys
import time

MODULES = {"dense": "torch_peer", "masked": "torch_peer", "scatter": "torch_peer", "csr": "torch_peer",
           "sparselab": "torch_peer", "sparseprop": "torch_peer", "scipy": "scipy_peer", "mkl": "mkl_peer",
           "sklearn": "sklearn_peer", "jax": "jax_peer"}
NEEDED = {"sparselab": "sparselab.nn", "sparseprop": "sparseprop.modules", "jax": "jax.extend"}


def resident():
    """MiB that the process has in memory now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def most_resident():
    """The most that it has had since forget_peak()."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def forget_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=MODULES)
    parser.add_argument("--network", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=0)
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)  # before the libraries are loaded
    try:
        module = importlib.import_module(MODULES[arguments.kind])
        module.set_threads(arguments.threads)
        if arguments.kind in NEEDED:
            importlib.import_module(NEEDED[arguments.kind])
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return 0
    from networks import BATCH, load

    images, labels = load(arguments.data, "train")
    peak = most_resident()
    forget_peak()
    before = resident()
    peer = module.Peer(arguments.kind, arguments.network)
    record = {"kind": arguments.kind, "software": module.describe(),
              "memory_mib": {"construction": round(resident() - before, 1)}}
    if arguments.epochs == 0:
        seconds = []
        for number, batch in enumerate(peer.shuffled(images, labels)):
            if number == arguments.batches + 3:
                break
            start = time.perf_counter()
            peer.step(batch)
            seconds.append(time.perf_counter() - start)
        samples = getattr(peer, "samples_of_step", BATCH)
        record["seconds_per_epoch"] = statistics.median(seconds[3:]) * len(labels) / samples
    else:
        losses = [peer.step(batch) for _ in range(arguments.epochs) for batch in peer.shuffled(images, labels)]
        steps = len(losses) // arguments.epochs
        record["train_loss"] = statistics.mean(losses[-steps:])
        record["test_accuracy"] = float(peer.accuracy(*load(arguments.data, "t10k")))
    record["kept_edges"] = int(peer.kept_edges())
    at_most = most_resident()
    gc.collect()
    record["peak_mib"] = max(peak, at_most)
    record["memory_mib"] |= {"step": round(at_most - before, 1), "at_rest": round(resident() - before, 1)}
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
