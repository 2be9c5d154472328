#!/usr/bin/python3
"""Espalier beside PyTorch on the same SparseNet, data, batch and optimizer, alternating in one run.

usage: bench/peers/peers.py --espalier build/espalier --data DIR [--threads 1] [--rounds 3] [--json FILE]

Peers, all written here: `dense` (nn.Linear), `masked` (dense weight x mask, how most published sparse training runs),
`scatter` (gather the inputs of each edge, multiply, scatter-add to its output: the form of the original SparseNet).
A round times Espalier, then every peer. A peer's epoch is its median time per batch over --batches batches, scaled to
the epoch; Espalier's is the median of whole epochs, data handling and metrics included. Reported: medians over the
rounds, and the ratio to Espalier within each round.
"""

import argparse
import gzip
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

WIDTHS = [784, 512, 128, 10]
EPSILON = 11
BATCH = 128


def read_idx(folder, name):
    """The array in an IDX file, raw or gzipped."""
    import numpy

    for path in (folder / name, folder / (name + ".gz")):
        if path.exists():
            raw = path.read_bytes()
            raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
            rank = raw[3]
            shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
            return numpy.frombuffer(raw, numpy.uint8, offset=4 + 4 * rank).reshape(shape)
    sys.exit(f"{folder}: no {name} or {name}.gz")


def make_peer(kind, torch):
    """A callable model of the given kind, with the sparse layers' edge counts of the recipe."""
    nn, functional = torch.nn, torch.nn.functional

    class Masked(nn.Module):
        def __init__(self, inputs, outputs, edges):
            super().__init__()
            self.linear = nn.Linear(inputs, outputs)
            mask = torch.zeros(outputs * inputs)
            mask[torch.randperm(outputs * inputs)[:edges]] = 1
            self.register_buffer("mask", mask.view(outputs, inputs))

        def forward(self, x):
            return functional.linear(x, self.linear.weight * self.mask, self.linear.bias)

    class Scatter(nn.Module):
        def __init__(self, inputs, outputs, edges):
            super().__init__()
            cells = torch.randperm(outputs * inputs)[:edges].sort().values
            self.register_buffer("row", torch.div(cells, inputs, rounding_mode="floor"))
            self.register_buffer("column", cells % inputs)
            self.weight = nn.Parameter(torch.randn(edges) * (2 / inputs) ** 0.5)
            self.bias = nn.Parameter(torch.zeros(outputs))
            self.outputs = outputs

        def forward(self, x):
            products = x[:, self.column] * self.weight
            sums = torch.zeros(x.shape[0], self.outputs)
            return sums.scatter_add(1, self.row.expand_as(products), products) + self.bias

    def layer(inputs, outputs):
        edges = EPSILON * (inputs + outputs)
        if kind == "dense":
            return nn.Linear(inputs, outputs)
        return {"masked": Masked, "scatter": Scatter}[kind](inputs, outputs, edges)

    return nn.Sequential(
        layer(WIDTHS[0], WIDTHS[1]), nn.ReLU(), layer(WIDTHS[1], WIDTHS[2]), nn.ReLU(),
        nn.Linear(WIDTHS[2], WIDTHS[3]), nn.LogSoftmax(dim=1),
    )


def peer_epoch(kind, images, labels, batches, torch):
    """Seconds per epoch: the median batch, scaled."""
    torch.manual_seed(1)
    model = make_peer(kind, torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5, weight_decay=1e-3)
    order = torch.randperm(len(labels))
    times = []
    for b in range(batches + 3):
        start = time.perf_counter()
        chosen = order[b * BATCH : (b + 1) * BATCH]
        x, target = images[chosen], labels[chosen]
        optimizer.zero_grad()
        output = model(x)
        loss = torch.nn.functional.nll_loss(output, target)
        loss.backward()
        optimizer.step()
        loss.item()
        (output.argmax(1) == target).sum().item()
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:]) * len(labels) / BATCH


def espalier_epoch(arguments, epochs):
    """Seconds per training epoch: the median of `epochs` whole ones."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            arguments.espalier, "train", "--recipe", "experiment-1", "--epochs", str(epochs), "--threads",
            str(arguments.threads), "--data-dir", arguments.data, "--out", folder + "/run", "--backend", "cpu", "--json",
        ]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if result.returncode != 0:
            sys.exit(result.stderr)
        return json.loads(result.stdout.splitlines()[-1])["seconds_per_epoch"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--espalier", default="build/espalier")
    parser.add_argument("--data", required=True, help="folder with MNIST's four IDX files, raw or .gz")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10, help="Espalier's epochs per round")
    parser.add_argument("--batches", type=int, default=40, help="a peer's batches per round")
    parser.add_argument("--peers", default="dense,masked,scatter")
    parser.add_argument("--json", help="write the figures to this file too")
    arguments = parser.parse_args()

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)
    try:
        import torch
    except ImportError:
        sys.exit("PyTorch is not installed (package python3-torch); no figures were taken")
    torch.set_num_threads(arguments.threads)

    folder = pathlib.Path(arguments.data)
    images = torch.from_numpy(read_idx(folder, "train-images-idx3-ubyte").reshape(-1, 784).astype("float32"))
    images = (images / 255 - 0.1307) / 0.3081
    labels = torch.from_numpy(read_idx(folder, "train-labels-idx1-ubyte").astype("int64"))

    rounds = []
    for number in range(arguments.rounds):
        seconds = {"espalier": espalier_epoch(arguments, arguments.epochs)}
        for kind in arguments.peers.split(","):
            seconds[kind] = peer_epoch(kind, images, labels, arguments.batches, torch)
        rounds.append(seconds)
        print(f"round {number + 1}: " + "  ".join(f"{k} {v:.3f} s" for k, v in seconds.items()), file=sys.stderr)

    table = []
    for kind in rounds[0]:
        ratios = [r[kind] / r["espalier"] for r in rounds]
        table.append({
            "peer": kind, "seconds_per_epoch": statistics.median(r[kind] for r in rounds),
            "ratio": statistics.median(ratios), "least_ratio": min(ratios), "largest_ratio": max(ratios),
        })
    print(f"| SparseNet, MNIST, batch {BATCH}, {arguments.threads} thread(s) | s per epoch | ratio to Espalier |")
    print("|---|---|---|")
    for row in table:
        print(f"| {row['peer']} | {row['seconds_per_epoch']:.3f} | {row['ratio']:.1f} "
              f"[{row['least_ratio']:.1f}-{row['largest_ratio']:.1f}] |")
    if arguments.json:
        record = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__,
                  "threads": arguments.threads, "rounds": rounds, "table": table}
        pathlib.Path(arguments.json).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
