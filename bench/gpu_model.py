#!/usr/bin/env python3
"""Predicts a training step's time on a GPU from what nvcc made of the kernels (cuda/costs.txt, cuda/registers.txt) and a
machine file. Nothing is measured: each kernel takes the longest of four times, and the one that binds it is named.

  chain  the slowest warp's loads, shuffles and arithmetic, each of which waits for the one before in the order of the PTX;
         ptxas moves loads and shuffles forward, so that a device may be quicker
  issue  all warps' instructions over the device's issue slots
  L2     all samples that L1 does not have over the rate of the L2 cache
  SM     samples moved by the fullest multiprocessor over what it takes from L2 in a clock

usage: bench/gpu_model.py [--machine bench/machines/h200.json] [--layers 784-512-128-10] [--edges 14256,7040,1280]
                          [--batch 128] [--networks 1] [--before kernels,launches] [--check] [--evolution]
                          [--panels]
  --networks: so many of one shape in one launch; the step is that of all of them, and what is one's share
  --before: what a change gains. kernels: those that waited for each sample by itself; launches: each verb its own
  --evolution: of one layer, pruned by sign and grown at random, with both views, instead of a step
  --check: fails where a gather kernel has fewer than 8 loads in flight or the update more than 34 instructions an edge
  --panels: of each layer the kernels that multiply, and make gradients, out of panels, and nothing else
bench/gpu_model_simulated.py holds it against what bench/gpu_sim/simulate found.
Not modelled: bank conflicts, clocks, kernels by edges, libraries.
"""
import argparse
import json
import math
import re
import sys
from pathlib import Path

import gpu_model_panels as panel_model
from gpu_model_evolution import evolution

ROOT = Path(__file__).resolve().parent.parent
BATCH_EDGES = 8  # whose samples are on their way at once (loads_in_flight)
LOADED = 4 * 128 + 8  # bytes an edge and tile: samples, index, weight
KERNELS = ("forward_kernel<256, Relu>", "input_gradient_kernel<256, Relu>", "update_layers_kernel<256, Momentum>")
# The kernels of commit 8c8648e, in machine code for sm_90: instructions an edge; of the update those depend on each other
BEFORE = {"forward": 13.8, "dx": 17.5, "update": 156, "cycles of a dependent instruction": 2.5}


def read_costs(path):
    """{kernel: (PTX instructions, hot loop's instructions an edge, its loads in flight, warps a multiprocessor of sm_90 holds)}"""
    found = {}
    for line in path.read_text().splitlines()[1:]:
        name, static, held = line.split(" | ")
        static = static.split()
        if len(static) == 6:
            warps = re.search(r"\b90:\d+/(\d+)", held)
            found[name] = int(static[0]), float(static[4]), int(static[5]), int(warps[1])
    return found


def find(costs, start):
    return next(each for name, each in costs.items() if name.startswith(start))


def longest_row(rows, edges, others):
    """Of a random topology, about: the mean and as many deviations as so many rows reach."""
    mean = edges / rows
    if edges == rows * others:
        return others
    return min(others, math.ceil(mean + math.sqrt(mean) * math.sqrt(2 * math.log(max(rows, 2)))))


class Machine:
    def __init__(self, path, networks=1):
        self.__dict__.update(json.loads(Path(path).read_text()))
        self.clocks_per_us = self.clock_ghz * 1e3
        self.networks = networks  # in each launch
        self.gathering_warps = self.updating_warps = 64  # that a multiprocessor holds

    def take_part(self, multiprocessors):
        """So many of its multiprocessors, with as large a part of the rate of L2."""
        self.l2_bytes_per_us *= multiprocessors / self.multiprocessors
        self.multiprocessors = multiprocessors

    def kernel(self, name, chain_cycles, warp_instructions, l2_bytes, blocks, warps=None, resident=64):
        """The row of the table: (name, {what: us}), given what one network's launch does. warps: of a block; resident: those
        that a multiprocessor holds, beyond which warps wait for others' end."""
        waves = 1
        if self.networks > 1:
            chain_cycles += 2 * self.l2_latency_cycles  # its row of the table, and what that leads to
            warp_instructions, l2_bytes, blocks = (each * self.networks for each in (warp_instructions, l2_bytes, blocks))
            waves = max(1, blocks * (warps or 8) / (self.multiprocessors * resident))
        held = math.ceil(blocks / self.multiprocessors)
        return name, {
            "chain": chain_cycles * waves / self.clocks_per_us,
            "issue": warp_instructions / (self.issue_per_clock * self.multiprocessors * self.clocks_per_us),
            "L2": l2_bytes / self.l2_bytes_per_us,
            "SM": l2_bytes / max(blocks, 1) * held / self.l2_bytes_per_clock_of_a_multiprocessor / self.clocks_per_us,
        }


def block_warps(warps, tiles, multiprocessors, most=8):
    """As threads_for of cuda/launch.cuh."""
    while most > 2 and math.ceil(warps / most) * tiles < multiprocessors:
        most //= 2
    return most


def batch_cycles(machine, ask, add):
    """Eight edges. ask: cycles from one edge's shuffle to its load; add: from the next shuffle to its sum. The first loads
    are on their way while the others are asked for, the last while those before it are added."""
    return BATCH_EDGES * ask + max(machine.l2_latency_cycles, (BATCH_EDGES - 1) * add) + add


def l1_misses(density, warps):
    """The share of samples that come from L2 where so many warps of a multiprocessor go through ascending columns together: of
    those that some of them want at a column, the first finds it not in L1."""
    return (1 - (1 - density)**warps) / (warps * density)


def gathering(machine, name, rows, edges, others, tiles, an_edge, waits=False, backward=False):
    """waits: for an index, a first and three more samples of every four edges, one after the other. backward: weights through
    the other view's slots, and the derivative by what lies below."""
    longest = longest_row(rows, edges, others)
    batches = math.ceil(longest / BATCH_EDGES)
    chunks = math.ceil(longest / 32)
    load, arithmetic = machine.l2_latency_cycles, machine.integer_latency_cycles
    # the row's number, its start; for each 32 edges their numbers, for each 8 their samples
    chain = 2 * load + 25 * arithmetic + chunks * (load + 7 * arithmetic)
    if backward:
        chain += chunks * load + load
    ask = machine.shuffle_latency_cycles + 7 * arithmetic
    add = machine.shuffle_latency_cycles + arithmetic + 2 * machine.fma_latency_cycles
    chain += batches * batch_cycles(machine, ask, add)
    warps = block_warps(rows, tiles * machine.networks, machine.multiprocessors)
    blocks = math.ceil(rows / warps) * tiles
    if waits:
        chain = (2 + 3 * math.ceil(longest / 4)) * load + longest * an_edge
        blocks = math.ceil(rows / 8) * tiles
    together = min(machine.gathering_warps, math.ceil(blocks / machine.multiprocessors) * warps)
    moved = edges * tiles * LOADED * l1_misses(edges / rows / others, together)
    return machine.kernel(name, chain, edges * tiles * an_edge + 60 * rows * tiles, moved, blocks, warps,
                          machine.gathering_warps)


def updating(machine, name, edges, rows, tiles, instructions):
    """edges, rows: of each layer that the launch updates; instructions: for 32 edges."""
    warps = sum(math.ceil(e / 32) for e in edges) + sum(rows)
    load, shuffle, arithmetic = machine.l2_latency_cycles, machine.shuffle_latency_cycles, machine.integer_latency_cycles
    search = math.ceil(math.log(max(rows), 32))
    # the row's search, its start and those of the rows behind it, the column
    chain = 25 * arithmetic + search * (load + shuffle + 8 * arithmetic) + load + 6 * (shuffle + 2 * arithmetic) + load
    # of a tile: the first samples; again a row's gradient for each that begins within the warp's edges; eight edges' samples,
    # products, and nine shuffles of their sums, while the next eight's samples are on their way
    begun = max(math.ceil(32 * r / e) for e, r in zip(edges, rows))
    ask = shuffle + 4 * arithmetic
    add = 2 * arithmetic + 4 * machine.fma_latency_cycles
    summed = 9 * (shuffle + 3 * machine.fma_latency_cycles)
    chain += shuffle + tiles * (load + begun * (load + shuffle) + 4 * (BATCH_EDGES * (ask + add) + max(load, summed)))
    chain += load + 12 * machine.fma_latency_cycles  # the weight and what the optimizer remembers
    of_block = block_warps(warps, machine.networks, machine.multiprocessors, 4)
    blocks = math.ceil(warps / of_block)
    moved = sum(edges) * (512 * tiles + 16)
    return machine.kernel(name, chain, sum(edges) / 32 * instructions, moved, blocks, of_block, machine.updating_warps)


def updating_before(machine, name, edges, rows, tiles):
    """An edge's samples after the other's, and sums in an array that an index chose from."""
    instructions = BEFORE["update"] * 32
    chain = (math.ceil(math.log2(rows)) + 2 + 32 * tiles) * machine.l2_latency_cycles
    chain += instructions * BEFORE["cycles of a dependent instruction"]
    blocks = math.ceil(edges / 32 / 8)
    return machine.kernel(name, chain, edges / 32 * instructions, edges * (512 * tiles + 16), blocks)


def fixed_point_sum(machine, levels):
    """64 bits: two shuffles and the carry a level."""
    return 12 * machine.integer_latency_cycles + levels * (machine.shuffle_latency_cycles + 5 * machine.integer_latency_cycles)


def exp_cycles(machine):
    return 20 * machine.fma_latency_cycles + 4 * machine.integer_latency_cycles


def head(machine, inputs, classes, tiles):
    """The phases of cuda/kernels/head.cuh, one after the other, of a block of 8 samples."""
    load, shared = machine.l2_latency_cycles, machine.shared_latency_cycles
    fma, arithmetic = machine.fma_latency_cycles, machine.integer_latency_cycles
    fours = math.ceil(classes / 4)
    rounds = math.ceil(inputs * max(8, classes) / 256 / 5)
    chain = 60 * arithmetic + rounds * (load + 5 * 18 * arithmetic) + shared  # addresses, and places in shared memory
    chain += math.ceil(inputs / 4) * (shared + 4 * fma)
    chain += fours * (shared + 4 * 2 * arithmetic) + shared + exp_cycles(machine)  # the highest
    chain += fours * (shared + 4 * fma) + 2 * machine.division_latency_cycles + 10 * fma  # the sum, dz
    chain += exp_cycles(machine) + 2 * machine.division_latency_cycles  # a logarithm's is as long
    chain += fixed_point_sum(machine, 3) + 3 * 12 * arithmetic  # a warp's four groups count different things, one by one
    quads = math.ceil(inputs / 4 / 32)
    chain += quads * (load + classes * (shared + 4 * arithmetic) + 20 * arithmetic)
    work = 16 * tiles * 8 * (inputs * 4.5 + 600)
    return machine.kernel("head: last layer, loss, its dx", chain, work, (inputs * 3 * 32 + 4 * inputs * classes) * 16 * tiles,
                          16 * tiles, 8, 16)


def loss(machine, classes, tiles):
    """A thread a sample: three times over the classes; the loads of the first wait for L2."""
    load, near = machine.l2_latency_cycles, machine.l1_latency_cycles
    fma, arithmetic = machine.fma_latency_cycles, machine.integer_latency_cycles
    chain = load + 30 * arithmetic + classes * (load + 3 * arithmetic)
    chain += classes * (near + exp_cycles(machine) + fma)
    chain += classes * (near + exp_cycles(machine) + machine.division_latency_cycles + 4 * fma + arithmetic)
    chain += near + exp_cycles(machine) + 3 * machine.division_latency_cycles
    chain += 6 * fixed_point_sum(machine, 5) + 5 * (machine.shuffle_latency_cycles + 4 * arithmetic)
    return machine.kernel("loss", chain, 0, 0, tiles)


def gathering_of_batch(machine, features, batch, samples):
    """One thread makes the permutation's keys, 32 use it; then each of 8 warps fetches four samples, one after the other."""
    load, shared, arithmetic = machine.l2_latency_cycles, machine.shared_latency_cycles, machine.integer_latency_cycles
    tiles = math.ceil(batch / 128)
    philox = 2 * 10 * 4 * arithmetic
    bits = math.ceil(math.log2(samples) / 2)
    rounds = 32 if samples < 4096 else 6  # of Permutation, include/espalier/random.hpp
    chain = load + philox + bits * 4 * arithmetic + 8 * arithmetic
    chain += rounds * (shared + 13 * arithmetic) + load  # and its label
    chain += 4 * (shared + load + 8 * arithmetic) + shared + 4 * (shared + 4 * arithmetic)
    return machine.kernel("gather of the batch", chain, features * batch, features * batch * 5,
                          math.ceil(features / 32) * 4 * tiles, 8, 48)


def small_kernel(machine, name, cycles, moved, blocks):
    """One that does little for each of its samples."""
    return machine.kernel(name, cycles, moved / 16, moved, blocks, 8, 48)


def forward_and_loss(machine, layers, edges, tiles, cost, before, has_head):
    rows = []
    last = len(edges) - 1
    for i in range(last if has_head else last + 1):
        rows.append(gathering(machine, f"forward {layers[i]}->{layers[i + 1]}", layers[i + 1], edges[i], layers[i], tiles,
                              cost, "kernels" in before))
    if has_head:
        rows.append(head(machine, layers[last], layers[-1], tiles))
    else:
        rows.append(loss(machine, layers[-1], tiles))
    return rows


def gradients_of_samples(machine, layers, edges, tiles, cost, before, has_head):
    def derivative(neurons):
        """And sums for their biases."""
        return small_kernel(machine, f"derivative of {neurons}", 4 * machine.l2_latency_cycles, neurons * tiles * 512 * 3,
                            math.ceil(neurons / 8))

    apart = "launches" in before
    rows = [derivative(layers[-1])] if apart else []
    for i in range(len(edges) - (2 if has_head else 1), 0, -1):
        rows.append(gathering(machine, f"dx {layers[i + 1]}->{layers[i]}", layers[i], edges[i], layers[i + 1], tiles, cost,
                              "kernels" in before, backward=True))
        if apart:
            rows.append(derivative(layers[i]))
    return rows


def updates(machine, layers, edges, tiles, cost, before):
    # what the kernel does an edge and tile, and an edge once
    instructions = 32 * cost * tiles + 380
    if "launches" not in before and "kernels" not in before:
        return [updating(machine, "update of all layers", edges, layers[1:], tiles, instructions)]
    rows = []
    for i, count in enumerate(edges):
        name = f"update {layers[i]}->{layers[i + 1]}"
        if "kernels" in before:
            rows.append(updating_before(machine, name, count, layers[i + 1], tiles))
        else:
            rows.append(updating(machine, name, [count], [layers[i + 1]], tiles, instructions))
        rows.append(small_kernel(machine, f"biases of {layers[i + 1]}", 3 * machine.l2_latency_cycles,
                                 layers[i + 1] * tiles * 512, math.ceil(layers[i + 1] / 8)))
    return rows


def step(machine, costs, layers, edges, batch, before=()):
    """The rows of the table. Kernels of before the change were launched apart, so that `before` names both or launches."""
    tiles = math.ceil(batch / 128)
    kernels = KERNELS
    if machine.networks > 1:
        kernels = tuple(f"many_kernel<{work}" for work in ("ForwardWork<256, Relu>", "InputGradientWork<256, Relu>",
                                                           "UpdateLayersWork<256, Momentum>"))
    forward, dx, update = (find(costs, name)[1] for name in kernels)
    machine.gathering_warps, machine.updating_warps = find(costs, kernels[0])[3], find(costs, kernels[2])[3]
    if "kernels" in before:
        forward, dx = BEFORE["forward"], BEFORE["dx"]
    has_head = "launches" not in before and edges[-1] == layers[-2] * layers[-1] and layers[-1] <= 32
    rows = [gathering_of_batch(machine, layers[0], batch, 60000)]
    rows += forward_and_loss(machine, layers, edges, tiles, forward, before, has_head)
    rows += gradients_of_samples(machine, layers, edges, tiles, dx, before, has_head)
    return rows + updates(machine, layers, edges, tiles, update, before)


def print_evolution(machine, inputs, outputs, edges):
    rows = evolution(machine, inputs, outputs, edges)
    print(f"an evolution of {inputs}-{outputs} with {edges} edges, on {machine.name}: predicted, not measured; microseconds")
    total = print_rows(rows)
    launches = len(rows) * machine.stream_launch_us
    memsets = 3 * machine.stream_launch_us
    print(f"  {len(rows)} launches {launches:30.1f}\n  3 memsets {memsets:30.1f}\n  1 wait {machine.host_wait_us:33.1f}")
    # the device works while the host launches on
    print(f"  evolution {max(total, launches + memsets) + machine.host_wait_us:30.1f}")


def print_panels(machine, costs, rows, others, edges, batch):
    loops = {("forward", block): find(costs, f"forward_panel_kernel<PanelOf<512u, {block[0]}u, {block[1]}u>, Relu")[1]
             for block in panel_model.PRODUCT_BLOCKS}
    loops |= {("dx", block): find(costs, f"input_gradient_panel_kernel<PanelOf<512u, {block[0]}u, {block[1]}u>")[1]
              for block in panel_model.PRODUCT_BLOCKS}
    loops["gradient"] = find(costs, "panel_gradient_kernel")[1]
    table = panel_model.panels(machine, loops, rows, others, edges, math.ceil(batch / 128))
    print(f"{others}-{rows}, {edges} edges, batch {batch}, on {machine.name}: predicted, not measured; microseconds")
    print_rows(table)
    for name, times in table[2:]:
        print(f"  {name}: {2 * edges * batch / max(times.values()) / 1e6:.1f} TFLOP/s")


def print_rows(rows):
    """Their sum."""
    total = 0
    for name, times in rows:
        bound = max(times, key=times.get)
        total += times[bound]
        print(f"  {name:32} {times[bound]:7.2f}  {bound:5}  " + ", ".join(f"{k} {v:.2f}" for k, v in times.items()))
    return total


def check(costs):
    faults = []
    for name in ("forward_kernel<256, Relu>", "input_gradient_kernel<256, Relu>", "update_layers_kernel<256, Momentum>",
                 "many_kernel<ForwardWork<256, Relu>", "many_kernel<InputGradientWork<256, Relu>",
                 "many_kernel<UpdateLayersWork<256, Momentum>"):
        _, an_edge, in_flight, _ = find(costs, name)
        if in_flight < BATCH_EDGES:
            faults.append(f"{name}: {in_flight} loads in flight, not {BATCH_EDGES}")
        # an update's loop ends with the sum over a tile's lanes, and holds eight times what a new row takes, if one begins
        most = 34 if "pdate" in name else 24
        if an_edge > most:
            faults.append(f"{name}: {an_edge} PTX instructions an edge in its loop, more than {most}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", default=ROOT / "bench/machines/h200.json")
    parser.add_argument("--layers", default="784-512-128-10")
    parser.add_argument("--edges", default="14256,7040,1280", help="of each layer")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--networks", type=int, default=1, help="in one launch")
    parser.add_argument("--before", default="", help="launches, or kernels,launches")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--evolution", action="store_true")
    parser.add_argument("--panels", action="store_true")
    options = parser.parse_args()
    costs = read_costs(ROOT / "cuda/costs.txt")
    if options.check:
        faults = check(costs)
        print("\n".join(faults))
        return 1 if faults else 0
    machine = Machine(options.machine, options.networks)
    layers = [int(each) for each in options.layers.split("-")]
    edges = [int(each) for each in options.edges.split(",")]
    if len(edges) != len(layers) - 1:
        sys.exit(f"--edges: {len(edges)} layers, --layers has {len(layers) - 1}")
    if options.evolution:
        for i, count in enumerate(edges):
            print_evolution(machine, layers[i], layers[i + 1], count)
        return 0
    if options.panels:
        for i, count in enumerate(edges):
            print_panels(machine, costs, layers[i + 1], layers[i], count, options.batch)
        return 0
    before = [each for each in options.before.split(",") if each]
    if before not in ([], ["launches"], ["kernels", "launches"]):
        sys.exit(f"--before: '{options.before}'; expected launches or kernels,launches")
    rows = step(machine, costs, layers, edges, options.batch, before)
    print(f"{options.layers}, batch {options.batch}, on {machine.name}: predicted, not measured; microseconds")
    total = print_rows(rows)
    gaps = len(rows) * machine.graph_node_gap_us
    print(f"  {len(rows)} launches in a graph, {machine.graph_node_gap_us} each {gaps:10.2f}")
    print(f"  step {total + gaps:35.1f}")
    if options.networks > 1:
        print(f"  each of {options.networks} networks {(total + gaps) / options.networks:22.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
