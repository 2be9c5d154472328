#!/usr/bin/env python3
"""Histories of the same experiment side by side: a figure's mean over stages of training, mean (standard deviation) over
runs, as a row of a Markdown table. The last column is the least that any run reached in its last sixty epochs.

usage: bench/peers/stages.py [--figure test_loss] [--stages 21-40,41-60,...] NAME HISTORY.csv...
HISTORY.csv: a run's history.csv, or what published_program.py printed; a column "seed" makes several runs of one file
"""
import argparse
import collections
import csv
import statistics

STAGES = "21-40,41-60,61-80,81-100,101-125,126-155,141-155,155-155"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", default="test_loss")
    parser.add_argument("--stages", default=STAGES)
    parser.add_argument("name")
    parser.add_argument("histories", nargs="+")
    arguments = parser.parse_args()
    figures = collections.defaultdict(dict)
    for path in arguments.histories:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                figures[path, row.get("seed")][int(row["epoch"])] = float(row[arguments.figure])
    runs = list(figures.values())
    cells = [f"{arguments.name}, {len(runs)} runs"]
    for stage in arguments.stages.split(","):
        first, last = map(int, stage.split("-"))
        means = [statistics.mean(run[epoch] for epoch in range(first, last + 1)) for run in runs]
        spread = f" ({statistics.stdev(means):.4f})" if len(means) > 1 else ""
        cells.append(f"{statistics.mean(means):.4f}{spread}")
    cells.append(f"{min(min(list(run.values())[-60:]) for run in runs):.4f}")
    print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
