#!/usr/bin/env python3
"""Counts the instructions of the CPU kernels on fixed inputs (valgrind's callgrind, the same on every run) and compares
them with bench/instruction_baseline.json.

usage: instruction_gate.py PROGRAM [--baseline FILE] [--tolerance 0.03] [--calls 10] [--case NAME]... [--update]

PROGRAM is the build's instruction_count. A case that needs more than `tolerance` more instructions than its baseline
fails the gate; one that needs that much less is told, so that the baseline can follow (--update rewrites it). Counts
belong to one compiler: with another one the gate says so and ends with 77.
Exit codes: 0 passed, 1 failed, 2 usage, 77 nothing to compare with.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def compiler_of(program):
    """The compiler's own mark in the program."""
    comment = subprocess.run(["readelf", "-p", ".comment", program], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"\]\s+(.*\S)", comment)
    return " + ".join(sorted(set(found))) or "unknown"


def count(program, name, calls):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "callgrind.out"
        environment = {"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--collect-atstart=no",
             "--toggle-collect=espalier::measured_region*", program, name, str(calls)],
            capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            sys.exit(f"instruction_gate: {name}: exit {done.returncode}\n{done.stderr[-2000:]}")
        totals = re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE)
        if totals is None or int(totals.group(1)) == 0:
            sys.exit(f"instruction_gate: {name}: callgrind counted nothing")
        return int(totals.group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--baseline", default=str(pathlib.Path(__file__).parent / "instruction_baseline.json"))
    parser.add_argument("--tolerance", type=float, default=0.03)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--case", action="append", help="only these cases")
    parser.add_argument("--update", action="store_true")
    arguments = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("SKIPPED: no valgrind on this machine")
        return 77
    names = subprocess.run([arguments.program], capture_output=True, text=True, check=True).stdout.splitlines()
    for name in arguments.case or []:
        if name not in names:
            parser.error(f"no case '{name}'; there are: {', '.join(names)}")
    names = arguments.case or names
    compiler = compiler_of(arguments.program)
    file = pathlib.Path(arguments.baseline)
    baseline = json.loads(file.read_text()) if file.exists() else {}
    if not arguments.update and baseline.get("compiler") != compiler:
        print(f"SKIPPED: the baseline is for {baseline.get('compiler')}, this program is by {compiler}")
        return 77

    counted, failed = {}, False
    print(f"{'case':28}{'instructions':>16}{'baseline':>16}{'change':>9}")
    for name in names:
        counted[name] = count(arguments.program, name, arguments.calls)
        before = baseline.get("instructions", {}).get(name)
        change = counted[name] / before - 1 if before else None
        verdict = ""
        if change is None:
            verdict = "no baseline"
            failed |= not arguments.update
        elif change > arguments.tolerance:
            verdict = "MORE THAN ALLOWED"
            failed |= not arguments.update
        elif change < -arguments.tolerance:
            verdict = "less: --update would keep it"
        shown = f"{100 * change:+.1f} %" if change is not None else "-"
        print(f"{name:28}{counted[name]:16,}{before or 0:16,}{shown:>9}  {verdict}", flush=True)
    if arguments.update:
        kept = baseline.get("instructions", {}) if arguments.case else {}
        file.write_text(json.dumps({"compiler": compiler, "instructions": kept | counted}, indent=2) + "\n")
        print(f"wrote {file}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
