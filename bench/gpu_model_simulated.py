#!/usr/bin/env python3
"""Holds bench/gpu_model.py against a simulated GPU: fails where it is more than 25 % off a kernel of a step.

usage: bench/gpu_model_simulated.py docs/results/gpu-simulated.json    a table that bench/gpu_sim/simulate made
Kernels by edges, of evolutions and by panels are not compared: of panels no time there means anything (docs/gpu-sim.md).
"""
import json
import math
import sys
from pathlib import Path

from gpu_model import KERNELS, ROOT, Machine, find, gathering, gathering_of_batch, head, loss, read_costs, updating

MOST_OFF = 0.25
COMPARED = {"forward", "dx", "update", "head", "loss", "gather"}


def predicted(machine, costs, kind, batch, layers, density):
    """Microseconds of a case of bench/gpu_sim/kernels.cu that is compared."""
    inputs, outputs = layers
    edges = round(density * inputs * outputs)
    tiles = math.ceil(batch / 128)
    forward, dx, update = (find(costs, name)[1] for name in KERNELS)
    row = {"forward": lambda: gathering(machine, kind, outputs, edges, inputs, tiles, forward),
           "dx": lambda: gathering(machine, kind, inputs, edges, outputs, tiles, dx, backward=True),
           "update": lambda: updating(machine, kind, [edges], [outputs], tiles, 32 * update * tiles + 380),
           "head": lambda: head(machine, inputs, outputs, tiles),
           "loss": lambda: loss(machine, outputs, tiles),
           "gather": lambda: gathering_of_batch(machine, inputs, batch, max(2 * batch, 1000))}[kind]()
    return max(row[1].values())


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    costs = read_costs(ROOT / "cuda/costs.txt")
    faults, checked = [], set()
    for case in json.loads(Path(sys.argv[1]).read_text())["cases"]:
        kind, batch, layers, density = case["arguments"]
        if kind not in COMPARED:
            continue
        checked.add(kind)
        machine = Machine(ROOT / "bench/machines/h200.json")
        machine.take_part(case["multiprocessors"])
        here = predicted(machine, costs, kind, int(batch), [int(n) for n in layers.split("-")], float(density))
        found = sum(each["microseconds"] for each in case["launches"])
        off = here / found - 1
        print(f"{case['case']:45} simulated {found:6.2f}, predicted {here:6.2f} us: {100 * off:+.0f} %")
        if abs(off) > MOST_OFF:
            faults.append(f"{case['case']}: the model is {100 * off:+.0f} % off")
    faults += [f"{sys.argv[1]} has no case of {kind}" for kind in sorted(COMPARED - checked)]
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
