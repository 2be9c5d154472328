#!/usr/bin/env python3
"""Prints what scripts/gpu_nightly did with the module that runs the CUDA backend's sources on the CPU, as a page in
Markdown: what ran and whether it passed. Times are left out, for they are not of a GPU.
usage: gpu_script_table.py OUT [JSON]    OUT: the script's folder; its summary must say that it was host-executed;
                                         JSON: the folder's results to the last test, likewise"""
import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])


def read(name):
    path = out / name
    return json.loads(path.read_text()) if path.exists() else None


def doctor():
    cuda = read("doctor-result.json")["cuda"]
    opened = [name for name, fault in cuda["libraries"].items() if not fault]
    return "device: " + cuda["devices"][0]["name"] + "; opened: stand-ins of " + ", ".join(opened)


def tests():
    ran = read("tests-result.json")
    suites = sorted({suite["name"].split("/")[-1] for suite in ran["testsuites"]})
    return f"{ran['tests']} tests, {ran['failures']} failures: " + ", ".join(suites)


def bench():
    points = read("bench/bench.json")["points"]
    rivals = sorted(key.removesuffix("_seconds") for key in points[0] if key.endswith("_seconds"))
    products = read("bench-product.json")["benchmarks"]
    names = sorted({each["run_name"].split("/")[0] for each in products})
    return (f"{len(points)} point(s) with {', '.join(rivals)}; {len(products)} products checked and timed: "
            + ", ".join(names))


def train():
    runs = [("perceptron", "train-result.json"), ("RBM, batches of 10", "train-rbm-10.json"),
            ("RBM, batches of 128", "train-rbm-128.json")]
    return "; ".join(f"{name}: {read(file)['epochs']} epochs, backend {read(file)['backend']}" for name, file in runs)


def without_times(value):
    """Nor with what the machine's folders and processor are called."""
    if isinstance(value, list):
        return [without_times(each) for each in value]
    if not isinstance(value, dict):
        return value
    dropped = ("time", "timestamp", "seconds", "seconds_per_epoch", "file", "line", "run_dir", "datasets", "ranks", "runs",
               "module", "memory", "class_figures")
    return {key: without_times(each) for key, each in value.items() if key not in dropped}


summary = read("summary.json")
assert summary["on_host"] is True, "not host-executed: those results stand for themselves"
print("# The GPU script, host-executed\n")
print("What `scripts/gpu_nightly` did on a machine **without a GPU**, with the module that runs the CUDA backend's own\n"
      "sources on the CPU (`scripts/nightly gpu_script`). It shows that the script's stages run from end to end within\n"
      "its nine minutes. Nothing here is a figure of a GPU, so no time is given.\n")
print(f"Commit {summary['commit'][:10]}, {summary['stages'][1]['started'][:10]}.\n")
print("| stage | status | what ran |\n|---|---|---|")
for stage in summary["stages"]:
    passed = stage["status"] == "passed"
    said = globals()[stage["stage"]]() if passed and stage["stage"] in ("doctor", "tests", "bench", "train") else ""
    if not passed:
        said = stage["reason"]
    if stage["stage"] in ("probe", "sanitizer", "build") and not passed:
        said = {"build": "the programs of ./test were used", "probe": "measures the device itself",
                "sanitizer": "NVIDIA's, for a device"}[stage["stage"]]
    print(f"| {stage['stage']} | {stage['status']} | {said} |")
if len(sys.argv) > 2:
    files = ("doctor-result.json", "tests-result.json", "train-result.json", "train-rbm-10.json", "train-rbm-128.json")
    results = {"note": "host-executed: the CUDA backend's sources run on the CPU; nothing here is of a GPU",
               "summary": summary} | {name.removesuffix(".json"): read(name) for name in files}
    pathlib.Path(sys.argv[2]).write_text(json.dumps(without_times(results), indent=1) + "\n")
