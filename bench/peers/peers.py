#!/usr/bin/python3
"""Espalier beside PyTorch and SciPy on the same networks, data, batch and optimizer, alternating in one run.

usage: bench/peers/peers.py --data DIR [--espalier build/espalier] [--networks sparsenet,1000s,4000s,large-mnist]
                            [--peers dense,masked,scatter,csr,sparselab,sparseprop,scipy,mkl,sklearn,jax] [--threads 1]
                            [--rounds 3] [--json FILE]

Peers: `dense` (PyTorch nn.Linear), `masked` (dense weight x mask), `scatter` (gather, multiply, scatter-add), `csr`
(PyTorch sparse CSR with an autograd function of our own); `sparselab` and `sparseprop`, whose layers are those packages'
(sparselab keeps the density but has a wiring of its own); `scipy` (CSR loop in the manner of the original SET program),
`mkl` (the same with MKL's sparse products); `sklearn` (MLPClassifier, dense, without dropout); `jax`
(dense, jitted).
bench/peers/install_peers FOLDER makes an environment that has them all. A network that bears a recipe's name
(experiment-1, large-mnist) is the recipe as it ships: Espalier runs it whole, with dropout, evolution, test pass,
records and pages; peers get its network, optimizer and dropout and do nothing besides. Each runs in a process of its
own. A round times Espalier, then every peer. A peer's epoch is its median step over --batches steps, scaled to the
epoch; Espalier's is the median of whole epochs, data handling and metrics included. Reported: medians over the rounds,
the ratio to Espalier within each round, the largest peak memory.
With --accuracy-epochs N every peer also trains N epochs on a fixed topology, as Espalier's NAME-fixed recipes do.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

from networks import BATCH, DECAY, LEARNING_RATE, MOMENTUM, NETWORKS, RECIPES, settings

HERE = pathlib.Path(__file__).parent


# every peer gets the best kernels its BLAS has for this machine
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}


def last_json(command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {result.returncode}\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    return f"{cpu or platform.machine()}, {os.cpu_count()} cores, {platform.platform()}"


def about(program):
    doctor = json.loads(subprocess.run([program, "doctor", "--json"], capture_output=True, text=True, check=True).stdout)
    return f"{doctor['version']}, {doctor['cpu']['backend']}"


def training_options(network):
    """A recipe whole, or a network on a fixed topology."""
    if network in RECIPES:
        return ["--recipe", network]
    widths, epsilon = NETWORKS[network]
    return ["--dataset", "mnist", "--layers", "-".join(map(str, widths)), "--epsilon", str(epsilon), "--batch", str(BATCH),
            "--learning-rate", str(LEARNING_RATE), "--momentum", str(MOMENTUM), "--weight-decay", str(DECAY), "--zeta", "0"]


def espalier(arguments, network, epochs):
    """One run; adds the peak memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        record = last_json([
            "/usr/bin/env", "python3", "-c",
            "import resource, subprocess, sys\n"
            "done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True)\n"
            "sys.exit(done.returncode) if done.returncode else None\n"
            "import json; record = json.loads(done.stdout.splitlines()[-1])\n"
            "record['peak_mib'] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024\n"
            "print(json.dumps(record))",
            arguments.espalier, "train", *training_options(network), "--epochs", str(epochs), "--threads",
            str(arguments.threads), "--data-dir", arguments.data, "--out", folder + "/run", "--backend", "cpu", "--json"])
    return {"kind": "espalier", "seconds_per_epoch": record["seconds_per_epoch"], "peak_mib": record["peak_mib"],
            "test_accuracy": record["test_accuracy"], "train_loss": record["train_loss"]}


def peer(arguments, kind, network, **options):
    command = [sys.executable, str(HERE / "one_peer.py"), kind, "--network", network, "--data", arguments.data,
               "--threads", str(arguments.threads)]
    for name, value in options.items():
        command += ["--" + name, str(value)]
    record = last_json(command)
    if "missing" in record:
        sys.exit(f"{kind}: {record['missing']} (Debian: python3-torch, python3-scipy); no figures were taken")
    return record


def compare(arguments, network, kinds):
    rounds = []
    for number in range(arguments.rounds):
        records = {"espalier": espalier(arguments, network, arguments.epochs)}
        for kind in kinds:
            records[kind] = peer(arguments, kind, network, batches=arguments.batches)
        rounds.append(records)
        print(f"{network}, round {number + 1}: " +
              "  ".join(f"{k} {v['seconds_per_epoch']:.3f} s" for k, v in records.items()), file=sys.stderr)
    rows = []
    for kind in rounds[0]:
        ratios = [r[kind]["seconds_per_epoch"] / r["espalier"]["seconds_per_epoch"] for r in rounds]
        rows.append({
            "peer": kind, "software": rounds[0][kind].get("software", "Espalier"),
            "seconds_per_epoch": statistics.median(r[kind]["seconds_per_epoch"] for r in rounds),
            "ratio": statistics.median(ratios), "least_ratio": min(ratios), "largest_ratio": max(ratios),
            "peak_mib": max(r[kind]["peak_mib"] for r in rounds)})
        rows[-1] |= {name: rounds[0][kind][name] for name in ("memory_mib", "kept_edges") if name in rounds[0][kind]}
        if arguments.accuracy_epochs > 0:
            trained = (espalier(arguments, network, arguments.accuracy_epochs) if kind == "espalier" else
                       peer(arguments, kind, network, epochs=arguments.accuracy_epochs))
            rows[-1]["test_accuracy"] = trained["test_accuracy"]
    return rows


def print_table(arguments, network, rows):
    widths, epsilon = settings(network)[:2]
    what = f"recipe {network}: " if network in RECIPES else ""
    after = f" accuracy after {arguments.accuracy_epochs} epochs |" if arguments.accuracy_epochs > 0 else ""
    print(f"\n| {what}{'-'.join(map(str, widths))}, epsilon {epsilon}, MNIST, batch {BATCH}, {arguments.threads} thread(s) | "
          f"s per epoch | ratio to Espalier | peak MiB |{after}")
    print("|---|---|---|---|" + ("---|" if after else ""))
    for row in rows:
        accuracy = f" {100 * row['test_accuracy']:.2f} % |" if after else ""
        print(f"| {row['peer']} ({row['software']}) | {row['seconds_per_epoch']:.3f} | {row['ratio']:.1f} "
              f"[{row['least_ratio']:.1f}-{row['largest_ratio']:.1f}] | {row['peak_mib']:.0f} |{accuracy}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--espalier", default="build/espalier")
    parser.add_argument("--data", required=True, help="folder with MNIST's four IDX files, raw or .gz")
    parser.add_argument("--networks", default="sparsenet")
    parser.add_argument("--peers", default="dense,masked,scatter,csr,scipy")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10, help="Espalier's epochs per round")
    parser.add_argument("--batches", type=int, default=40, help="a peer's steps per round")
    parser.add_argument("--accuracy-epochs", type=int, default=0)
    parser.add_argument("--json", help="write the figures to this file too")
    arguments = parser.parse_args()
    networks = arguments.networks.split(",")
    for network in networks:
        if network not in NETWORKS and network not in RECIPES:
            parser.error(f"no network '{network}'; there are: {', '.join([*NETWORKS, *RECIPES])}")
    kinds = [kind for kind in arguments.peers.split(",") if kind]

    started = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    before = os.getloadavg()[0]
    tables = {}
    for network in networks:
        tables[network] = compare(arguments, network, kinds)
        print_table(arguments, network, tables[network])
    if arguments.json:
        record = {"command": "bench/peers/peers.py " + " ".join(sys.argv[1:]), "date": started, "machine": machine(),
                  "espalier": about(arguments.espalier),
                  "threads": arguments.threads, "rounds": arguments.rounds,
                  "load_average": {"before": before, "after": os.getloadavg()[0]}, "networks": tables}
        pathlib.Path(arguments.json).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
