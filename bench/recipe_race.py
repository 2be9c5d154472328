#!/usr/bin/env python3
"""Two builds of the program train the same recipes in turn: processor time of an epoch, and peak memory.

usage: recipe_race.py OLD NEW OUT.json [--rounds 3] [--case NAME]... [--threads 1]

What users run is timed whole: data, shuffle, dropout, evolution, test pass, records and pages. A case is trained for
one epoch and for more, one program after the other in every round, as processes of their own; an epoch is the
difference over the difference of the epochs, of the least user time that the rounds saw. ESPALIER_DATA says where MNIST
lies; cases whose data are not free take MNIST or the built-in set in their place, which their line says.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

# name: (options, epochs more than one, what is not as the recipe ships it)
CASES = {
    "large-mnist": (["--recipe", "large-mnist", "--train-samples", "12800", "--test-samples", "1280"], 1,
                    "12,800 + 1,280 samples"),
    "large-mnist without dropout": (["--recipe", "large-mnist", "--dropout", "0", "--train-samples", "12800",
                                     "--test-samples", "1280"], 1, "12,800 + 1,280 samples, no dropout"),
    "set-mlp": (["--recipe", "set-mlp", "--dataset", "mnist", "--train-samples", "20000", "--test-samples", "2000"], 1,
                "MNIST, 20,000 + 2,000 samples"),
    "quickstart": (["--recipe", "quickstart"], 2, ""),
    "experiment-1": (["--recipe", "experiment-1"], 2, ""),
    "set-rbm-mnist-500": (["--recipe", "set-rbm-mnist-500", "--train-samples", "10000", "--test-samples", "1000"], 1,
                          "10,000 + 1,000 samples"),
    "set-rbm-coil": (["--recipe", "set-rbm-coil", "--dataset", "mnist", "--layers", "784-200", "--train-samples",
                      "10000", "--test-samples", "1000"], 1, "MNIST, 784-200, 10,000 + 1,000 samples"),
    "set-mlp-lung": (["--recipe", "set-mlp-lung", "--dataset", "synthetic", "--layers", "784-3000-3000-3000-10",
                      "--train-samples", "400", "--test-samples", "100"], 2, "built-in set, 784 inputs, 400 + 100"),
    "experiment-1, batch 1": (["--recipe", "experiment-1", "--batch", "1", "--train-samples", "10000", "--test-samples",
                               "1000"], 1, "batch 1, 10,000 + 1,000 samples"),
    "experiment-1, batch 2": (["--recipe", "experiment-1", "--batch", "2", "--train-samples", "20000", "--test-samples",
                               "1000"], 1, "batch 2, 20,000 + 1,000 samples"),
    "experiment-1, batch 10": (["--recipe", "experiment-1", "--batch", "10"], 1, "batch 10"),
}


def run(program, options, epochs, threads):
    """User seconds and peak KiB of one training run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "train", *options, "--epochs", str(epochs), "--threads", str(threads), "--seed", "1",
                   "--keep", "0", "--out", os.path.join(folder, "run")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        text = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"recipe_race: {' '.join(command)}: exit {process.returncode}\n{text[-2000:]}")
        return usage.ru_utime, usage.ru_maxrss


def lacks(programs, name):
    """Which of the programs has no such recipe, or None."""
    options = CASES[name][0]
    recipe = options[options.index("--recipe") + 1]
    for which, program in programs.items():
        listed = subprocess.run([program, "train", "--list-recipes"], capture_output=True, text=True, check=True).stdout
        if recipe not in {line.split()[0] for line in listed.splitlines() if line.strip()}:
            return f"{which} has no recipe {recipe}"
    return None


def described(program):
    doctor = json.loads(subprocess.run([program, "doctor", "--json"], capture_output=True, text=True, check=True).stdout)
    return {"version": doctor["version"], "backend": doctor["cpu"]["backend"],
            "dense": doctor.get("dense", {}).get("description", "not said")}


def race(programs, name, rounds, threads):
    options, more, changed = CASES[name]
    least = {which: {1: None, 1 + more: None} for which in programs}
    peak = {}
    for _ in range(rounds):
        for which, program in programs.items():
            for epochs in least[which]:
                seconds, kib = run(program, options, epochs, threads)
                before = least[which][epochs]
                least[which][epochs] = seconds if before is None else min(before, seconds)
                peak[which] = max(peak.get(which, 0), kib)
    result = {"case": name, "differs_from_the_recipe": changed, "rounds": rounds}
    for which in programs:
        result[which] = {"epoch_user_s": round((least[which][1 + more] - least[which][1]) / more, 4),
                         "run_user_s": {str(epochs): round(value, 4) for epochs, value in least[which].items()},
                         "peak_mib": round(peak[which] / 1024, 1)}
    result["epoch_ratio"] = round(result["old"]["epoch_user_s"] / max(result["new"]["epoch_user_s"], 1e-9), 3)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--case", action="append", choices=list(CASES))
    arguments = parser.parse_args()
    programs = {"old": arguments.old, "new": arguments.new}
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    report = {"command": "bench/recipe_race.py OLD NEW OUT " + " ".join(sys.argv[4:]),
              "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
              "machine": f"{cpu}, {os.cpu_count()} cores, {platform.platform()}",
              "builds": {which: described(program) for which, program in programs.items()},
              "threads": arguments.threads, "cases": []}
    loads = [os.getloadavg()[0]]
    for name in arguments.case or CASES:
        missing = lacks(programs, name)
        report["cases"].append({"case": name, "left_out": missing} if missing else
                               race(programs, name, arguments.rounds, arguments.threads))
        loads.append(os.getloadavg()[0])
        print(json.dumps(report["cases"][-1]), flush=True)
        report["load_average"] = {"least": min(loads), "most": max(loads)}
        report["shared"] = max(loads) > arguments.threads + 0.5
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
