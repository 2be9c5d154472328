#!/usr/bin/env python3
"""Several processes beside one: what docs/clusters.md promises, as ratios within one run.

usage: ranks_bench.py BUILD_FOLDER OUT.json [--rounds 5] [--mpirun mpirun] [--case NAME]...

First that the bits are the same: the network of two ranks beside that of one process, byte for byte; a study's table by
four processes beside that of one. Then the cases, one way after the other in every round:
  exchange      our sum over two ranks / MPI_Allreduce of as many floats, by ranks_exchange (medians of 300 in turn)
  large-mnist   its recipe at batch 256, and without dropout: two ranks of one thread, one process of one thread, of two
  sparsenet     its recipe: two ranks of one thread, one process of one thread
  study         eight short runs: four processes of one job, one process of four jobs
An epoch's seconds are those that the program says (best of its epochs but the first, then of the rounds). Ratios hold on
a machine that does nothing else: "idle" says whether it did, by the load before the first case; ranks wait by spinning,
so beside other work they lose what threads do not. On a machine that is not idle `chrt -f 5 bench/ranks_bench.py ...`, at
real-time priority, puts the other work off meanwhile. Ends with 0 whatever the ratios are, with 1 if bits differ.
"""
import argparse
import concurrent.futures
import csv
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

TRAINED = {
    "large-mnist": ["--recipe", "large-mnist", "--batch", "256", "--train-samples", "12800", "--test-samples", "1280"],
    "large-mnist without dropout": ["--recipe", "large-mnist", "--dropout", "0", "--batch", "256", "--train-samples", "12800",
                                    "--test-samples", "1280"],
    "sparsenet": ["--recipe", "sparsenet", "--train-samples", "12800", "--test-samples", "1280"],
}
EPOCHS = 4
FLOATS = [22576, 335680, 20000000]
STUDY = """# eight short runs
recipe = "sparsenet"
seeds = 8
epochs = 6
threads = 1

[as shipped]
"""
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}


def fail(text):
    sys.exit(f"ranks_bench: {text}")


def output_of(command):
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


class Bench:
    def __init__(self, build, mpirun, rounds, scratch):
        self.program, self.exchange = build / "espalier", build / "ranks_exchange"
        self.two = [mpirun, "-n", "2", "--bind-to", "none"]
        self.rounds, self.scratch = rounds, scratch

    def train(self, launcher, case, threads, name):
        """Seconds of an epoch, and the network that came of it."""
        out = self.scratch / f"{case}-{name}".replace(" ", "-")
        output_of([*launcher, self.program, "train", *TRAINED[case], "--epochs", str(EPOCHS), "--threads", str(threads),
                   "--seed", "1", "--progress", "none", "--overwrite", "--out", out])
        epochs = list(csv.DictReader((out / "history.csv").open()))
        return min(float(epoch["train_seconds"]) for epoch in epochs[1:]), (out / "network.safetensors").read_bytes()

    def trained(self, case):
        ways = {"one thread": ([], 1), "two ranks": (self.two, 1), "two threads": ([], 2)}
        least = {}
        for _ in range(self.rounds):
            networks = set()
            for name, (launcher, threads) in ways.items():
                seconds, network = self.train(launcher, case, threads, name.replace(" ", "-"))
                least[name] = min(least.get(name, seconds), seconds)
                networks.add(network)
            if len(networks) != 1:
                fail(f"{case}: two ranks, one thread and two threads end with different networks")
        return {"options": " ".join(TRAINED[case]), "seconds_per_epoch": {name: round(s, 5) for name, s in least.items()},
                "two ranks over one thread": round(least["one thread"] / least["two ranks"], 3),
                "two ranks over two threads": round(least["two threads"] / least["two ranks"], 3)}

    def exchanged(self):
        rows = []
        for floats in FLOATS:
            runs = [json.loads(output_of([*self.two, self.exchange, str(floats), "300" if floats < 10**6 else "15"]))
                    for _ in range(self.rounds)]
            ours = min(run["exchange_us"] for run in runs)
            theirs = min(run["allreduce_us"] for run in runs)
            rows.append({"floats": floats, "library": runs[0]["library"], "exchange_us": ours, "allreduce_us": theirs,
                         "exchange / allreduce": round(ours / theirs, 3)})
        return rows

    def studied(self, processes, jobs, number):
        """Seconds until `processes` of `jobs` each have done the study, and its table without times."""
        file = self.scratch / "participants.toml"
        file.write_text(STUDY)
        out = self.scratch / f"study-{processes}-{number}"
        command = [self.program, "study", file, "--jobs", str(jobs), "--progress", "none", "--out", out]
        start = datetime.datetime.now()
        with concurrent.futures.ThreadPoolExecutor(processes) as pool:
            list(pool.map(output_of, [command] * processes))
        seconds = (datetime.datetime.now() - start).total_seconds()
        networks = [path.read_bytes() for path in sorted(out.glob("runs/*/network.safetensors"))]
        return seconds, networks

    def study(self):
        least = {}
        for number in range(self.rounds):
            found = {}
            for name, (processes, jobs) in {"four processes": (4, 1), "four jobs": (1, 4)}.items():
                seconds, found[name] = self.studied(processes, jobs, number)
                least[name] = min(least.get(name, seconds), seconds)
            if found["four processes"] != found["four jobs"] or len(found["four jobs"]) != 8:
                fail("a study by four processes ends with other networks than by one")
        return {"runs": 8, "seconds": {name: round(s, 3) for name, s in least.items()},
                "four processes over four jobs": round(least["four jobs"] / least["four processes"], 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mpirun", default="mpirun")
    cases = ["exchange", *TRAINED, "study"]
    parser.add_argument("--case", action="append", choices=cases)
    arguments = parser.parse_args()
    if not (arguments.build / "ranks_exchange").exists():
        fail(f"there is no ranks_exchange in {arguments.build}; cmake --build {arguments.build} --target ranks_exchange")
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    load = os.getloadavg()[0]
    report = {"command": "bench/ranks_bench.py BUILD OUT " + " ".join(sys.argv[3:]),
              "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
              "machine": f"{cpu}, {os.cpu_count()} cores, {platform.platform()}",
              "program": output_of([arguments.build / "espalier", "--version"]).strip(),
              "rounds": arguments.rounds, "load_before": round(load, 2), "idle": load < 0.3,
              "real time": os.sched_getscheduler(0) == os.SCHED_FIFO, "cases": {}}
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(arguments.build.resolve(), arguments.mpirun, arguments.rounds, pathlib.Path(scratch))
        for name in arguments.case or cases:
            others = {"exchange": bench.exchanged, "study": bench.study}
            report["cases"][name] = others[name]() if name in others else bench.trained(name)
            print(json.dumps({name: report["cases"][name]}), flush=True)
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
