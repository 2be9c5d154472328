"""What bench/gpu_model.py --panels predicts: the kernels that multiply by panels (cuda/kernels/panel.cuh), make gradients by
them (panel_gradient.cuh) and pack edges for them (pack.cuh). Beside the other times that of shared memory: what a
multiprocessor's kernel reads and writes there and shuffles, 128 bytes a cycle."""
import math

SUMMING_WARPS = 16
HEADER_ROWS = 4
PIECE_PAIRS = 32
VISIT = 8  # instructions of a row in a panel beside its pairs (machine code for sm_90)
HEADER = 14
CHUNK = 110  # of 32 edges whose gradients are made, beside them; likewise
PANEL_REUSE, PANEL_FILL = 1.3, 0.75  # SpmmThresholds of cuda/products/spmm_choice.hpp
PRODUCT_BLOCKS = ((16, 128), (4, 128), (4, 64), (8, 32), (2, 32))  # rows a warp, samples: cuda/products/panel_layout.hpp
GRADIENT_BLOCKS = ((16, 128), (8, 128), (4, 128), (2, 128))
FLOW_BYTES = 1024


def layout(machine, fixed, stages, columns, others):
    """Neurons of a panel, panels."""
    most = (machine.shared_bytes_of_a_block - fixed) // (stages * columns * 4) // 4 * 4
    panels = math.ceil(others / most)
    return math.ceil(others / panels), panels


def choose(machine, blocks, rows, others, edges, tiles):
    """The first that reuses panels and fills the device; else the last."""
    for of_warp, columns in blocks:
        own = SUMMING_WARPS * of_warp
        if own * edges / rows / others >= PANEL_REUSE and \
                rows / own * tiles * (128 // columns) >= PANEL_FILL * machine.multiprocessors:
            return of_warp, columns
    return blocks[-1]


def pairs_of(run):
    """In how many pairs a row's edges of a panel lie, of which there are `run` on average, at random."""
    return (run + (1 - math.exp(-2 * run)) / 2) / 2


class Launch:
    """A kernel's blocks, of which a multiprocessor holds one at a time."""

    def __init__(self, machine, blocks, first_panel_bytes):
        self.machine, self.blocks = machine, blocks
        self.rounds = math.ceil(blocks / machine.multiprocessors)
        self.start = machine.l2_latency_cycles + first_panel_bytes / machine.l2_bytes_per_clock_of_a_multiprocessor

    def times(self, chain, instructions, shared, moved):
        """Cycles of a warp, warp instructions and cycles of shared memory of a block, bytes of all blocks."""
        m = self.machine
        cycles = {"chain": chain * self.rounds, "issue": instructions / m.issue_per_clock * self.rounds,
                  "shared": shared * self.rounds,
                  "SM": moved / self.blocks * self.rounds / m.l2_bytes_per_clock_of_a_multiprocessor}
        times = {name: (each + self.start * self.rounds) / m.clocks_per_us for name, each in cycles.items()}
        return times | {"L2": moved / m.l2_bytes_per_us + self.start / m.clocks_per_us}


def unevenness(edges_of_warp, stages):
    """How much longer the unluckiest of a block's warps takes for as many panels as they may be apart."""
    return 1 + 1.77 / math.sqrt(max(edges_of_warp, 1)) / stages


def product(machine, an_edge, name, rows, others, edges, tiles):
    """an_edge: instructions of the loop over pairs, by edges of whole pairs."""
    of_warp, columns = choose(machine, PRODUCT_BLOCKS, rows, others, edges, tiles)
    values = columns // 32
    neurons, panels = layout(machine, FLOW_BYTES + SUMMING_WARPS * PIECE_PAIRS * 32, 3, columns, others)
    run = edges / rows / panels
    pairs, visits = pairs_of(run), of_warp * panels  # of a row in a panel; of a warp
    read = pairs + 1 / HEADER_ROWS
    launch = Launch(machine, math.ceil(rows / (SUMMING_WARPS * of_warp)) * tiles * (128 // columns), neurons * columns * 4)
    one = machine.shared_latency_cycles + 6 * machine.integer_latency_cycles + 2 * machine.fma_latency_cycles
    chain = visits * (pairs * one + 4 * machine.integer_latency_cycles + one / HEADER_ROWS) * unevenness(of_warp * run, 3)
    instructions = SUMMING_WARPS * visits * (pairs * 2 * an_edge + VISIT + HEADER / HEADER_ROWS) + others * values
    # samples; pairs, read by all lanes at once, 32 of them written in 4 cycles; panels written
    shared = SUMMING_WARPS * visits * (run * values + read * (1 + 4 / PIECE_PAIRS)) + others * values
    moved = launch.blocks * others * columns * 4 + rows * panels * read * 16 * tiles * (128 // columns) + rows * tiles * 512
    return f"{name} {others}->{rows} by panels, {SUMMING_WARPS * of_warp} rows x {columns}", \
        launch.times(chain, instructions, shared, moved)


def gradient(machine, an_edge, rows, others, edges, tiles):
    """an_edge: instructions of the loop over eight edges, by edges."""
    of_warp, _ = choose(machine, GRADIENT_BLOCKS, rows, others, edges, tiles)
    neurons, panels = layout(machine, FLOW_BYTES + SUMMING_WARPS * (of_warp * 512 + 256), 2, 128, others)
    run = edges / rows / panels
    of_panel = of_warp * run  # a warp's edges
    taken = of_panel + 3.5 if of_panel >= 4 else 8  # whole eights, on average
    launch = Launch(machine, math.ceil(rows / (SUMMING_WARPS * of_warp)) * tiles, neurons * 512)
    shuffle, arithmetic, fma = machine.shuffle_latency_cycles, machine.integer_latency_cycles, machine.fma_latency_cycles
    eight = 4 * (6 * fma + arithmetic) + 4 * (shuffle + 3 * fma)
    chunk = 4 * (shuffle + 2 * arithmetic) + 2 * machine.shared_latency_cycles  # of 32: their rows, their places
    chain = panels * (machine.l2_latency_cycles + taken / 8 * eight + math.ceil(of_panel / 32) * chunk)
    # x; dy where the row changes; places; shuffles: five for eight edges, six for the rows and gradients of 32
    dy = 4 * (1 - math.exp(-run)) / run * of_panel
    shared = SUMMING_WARPS * panels * (taken * (4 + 1 / 8 + 5 / 8 + 6 / 32) + dy) + others * 4
    instructions = SUMMING_WARPS * panels * (taken * an_edge + math.ceil(of_panel / 32) * CHUNK) + others * 4
    moved = launch.blocks * others * 512 + rows * tiles * 512 + edges * tiles * 8
    return f"weight gradient {others}->{rows} by panels, {SUMMING_WARPS * of_warp} rows", \
        launch.times(chain * unevenness(of_panel, 2), instructions, shared, moved)


def packing(machine, rows, others, edges, tiles, slots):
    """Of weights: the slot where there is one, a sector for the weight that it leads to, eight bytes of which half change."""
    of_warp, columns = choose(machine, PRODUCT_BLOCKS, rows, others, edges, tiles)
    _, panels = layout(machine, FLOW_BYTES + SUMMING_WARPS * PIECE_PAIRS * 32, 3, columns, others)
    warps = rows / of_warp * panels
    chunks = math.ceil(of_warp * edges / rows / panels / 32)
    chain = (4 + chunks * (1 + slots)) * machine.l2_latency_cycles + (8 + 8 * chunks) * machine.shuffle_latency_cycles
    moved = edges * (8 + (36 if slots else 4)) + rows * panels * 8
    return machine.kernel("packed weights" + (" by input" if slots else ""), chain, warps * (120 + 50 * chunks), moved,
                          math.ceil(warps / 8))


def panels(machine, loops, rows, others, edges, tiles):
    """Rows of the table of one layer. loops: instructions an edge of the kernels' loops, by the samples of their blocks."""
    def of(kernel, a, b):
        return loops[kernel, choose(machine, PRODUCT_BLOCKS, a, b, edges, tiles)]

    return [packing(machine, rows, others, edges, tiles, False), packing(machine, others, rows, edges, tiles, True),
            product(machine, of("forward", rows, others), "forward", rows, others, edges, tiles),
            product(machine, of("dx", others, rows), "input gradient", others, rows, edges, tiles),
            gradient(machine, loops["gradient"], rows, others, edges, tiles)]
