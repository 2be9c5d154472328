#!/usr/bin/env python3
"""What growth by gradient every 100 steps costs beside the training steps between, of the same or of another build.

usage: evolution_overhead.py STEPS_OF EVENTS_OF OUT.json [--rounds 5] [--case NAME]...

STEPS_OF trains a fixed topology, EVENTS_OF the same network with `--grow gradient --evolve steps(n=100) --zeta 0.3`, whose
events hold everything: probe, pruning, growth, both views. Seconds are those of history.csv (train_seconds over the steps,
evolution_seconds over the events), one thread, programs in turn, the least epoch of all rounds. Processes run with
real-time priority where the system lets them, so that other work does not lengthen them. ESPALIER_DATA says where MNIST lies.
"""
import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

CASES = {  # options, training samples, the most that an event may cost of 100 steps
    "sparsenet": (["--recipe", "sparsenet"], 60000, 0.08),
    "large-mnist without dropout": (["--recipe", "large-mnist", "--dropout", "0"], 38400, 0.06),
    "large-mnist": (["--recipe", "large-mnist"], 38400, 0.06),
}
EVERY = 100
GROWTH = ["--prune", "magnitude", "--grow", "gradient", "--new-weights", "zero", "--evolve", f"steps(n={EVERY})", "--zeta",
          "0.3", "--zero-before-test", "false", "--last-epoch", "keep"]


def in_real_time():
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
    except PermissionError:
        pass


def epochs_of(program, options, samples, epochs):
    """Rows of a run's history."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "train", *options, "--train-samples", str(samples), "--test-samples", "1000", "--epochs",
                   str(epochs), "--threads", "1", "--seed", "1", "--keep", "0", "--out", os.path.join(folder, "run")]
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=in_real_time)
        if done.returncode != 0:
            sys.exit(f"evolution_overhead: {' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
        with open(os.path.join(folder, "run", "history.csv")) as history:
            return list(csv.DictReader(history))


def measured(steps_of, events_of, name, rounds):
    options, samples, most = CASES[name]
    steps = -(-samples // 128)
    step_ms, event_ms, counts = [], [], set()
    for _ in range(rounds):
        for row in epochs_of(steps_of, options + ["--topology", "fixed"], samples, 2):
            step_ms.append(1e3 * float(row["train_seconds"]) / steps)
        for row in epochs_of(events_of, options + GROWTH, samples, 3):
            first = (int(row["epoch"]) - 1) * steps
            events = sum(1 for step in range(first, first + steps) if step > 0 and step % EVERY == 0)
            counts.add(int(row["pruned"]) // events)
            event_ms.append(1e3 * float(row["evolution_seconds"]) / events)
    overhead = min(event_ms) / (EVERY * min(step_ms))
    return {"case": name, "training_samples": samples, "edges_replaced": sorted(counts), "step_ms": round(min(step_ms), 4),
            "event_ms": round(min(event_ms), 3), "overhead": round(overhead, 4), "goal": most, "met": overhead <= most,
            "all_step_ms": [round(value, 4) for value in step_ms], "all_event_ms": [round(value, 3) for value in event_ms]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps_of")
    parser.add_argument("events_of")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", action="append", choices=list(CASES))
    arguments = parser.parse_args()
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    report = {"command": "bench/evolution_overhead.py STEPS_OF EVENTS_OF OUT " + " ".join(sys.argv[4:]),
              "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
              "machine": f"{cpu}, {os.cpu_count()} cores, {platform.platform()}", "cases": []}
    for name in arguments.case or CASES:
        report["cases"].append(measured(arguments.steps_of, arguments.events_of, name, arguments.rounds))
        print(json.dumps({key: value for key, value in report["cases"][-1].items() if not key.startswith("all")}), flush=True)
        report["load_average"] = os.getloadavg()[0]
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
