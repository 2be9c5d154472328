"""What bench/gpu_model.py --panels predicts: the kernels that multiply by panels (cuda/kernels/panel.cuh), make gradients by
them (panel_gradient.cuh) and pack edges for them (pack.cuh). Beside the other times that of shared memory: what a
multiprocessor's kernel reads and writes there and shuffles, 128 bytes a cycle."""
import math
import pathlib
import re

SUMMING_WARPS = 16
PRODUCTS = pathlib.Path(__file__).resolve().parents[1] / "cuda" / "products"


def number_of(file, name):
    """What a constant is."""
    return float(re.search(rf"\b{name} = ([0-9.]+)", (PRODUCTS / file).read_text())[1])


def blocks_of(name):
    """Rows a warp and samples of the blocks there are."""
    listed = re.search(rf"\b{name}\[\] = \{{(.*?)\}};", (PRODUCTS / "panel_layout.hpp").read_text(), re.DOTALL)[1]
    blocks = [[int(number) for number in block.split(", ")] for block in re.findall(r"\{(\d+, \d+, \d+)\}", listed)]
    assert blocks and all(threads == 32 * SUMMING_WARPS for threads, _, _ in blocks), f"{name}: of other threads"
    return [(rows, columns) for _, rows, columns in blocks]


HEADER_ROWS = 4
PIECE_PAIRS = 32
VISIT = 8  # instructions of a row in a panel beside its pairs (machine code for sm_90)
HEADER = 14
PANEL, PANEL_SHARED = 50, 4  # of a warp in a panel: its barriers; likewise, and cycles of shared memory
LIST, CHUNK = 60, 100  # of a gradient's list of a panel, and of 32 of its edges, beside them; likewise
PANEL_REUSE, PANEL_FILL = (number_of("spmm_choice.hpp", name) for name in ("panel_reuse", "panel_fill"))
PRODUCT_BLOCKS, GRADIENT_BLOCKS = blocks_of("panel_blocks"), blocks_of("gradient_blocks")
PRODUCT_STAGES, GRADIENT_STAGES = (int(number_of("panel_layout.hpp", f"{name}_stages")) for name in ("product", "gradient"))
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
    neurons, panels = layout(machine, FLOW_BYTES + SUMMING_WARPS * PIECE_PAIRS * 32, PRODUCT_STAGES, columns, others)
    run = edges / rows / panels
    pairs, visits = pairs_of(run), of_warp * panels  # of a row in a panel; of a warp
    read = pairs + 1 / HEADER_ROWS
    launch = Launch(machine, math.ceil(rows / (SUMMING_WARPS * of_warp)) * tiles * (128 // columns), neurons * columns * 4)
    one = machine.shared_latency_cycles + 6 * machine.integer_latency_cycles + 2 * machine.fma_latency_cycles
    chain = visits * (pairs * one + 4 * machine.integer_latency_cycles + one / HEADER_ROWS) * unevenness(of_warp * run, PRODUCT_STAGES)
    instructions = SUMMING_WARPS * (visits * (pairs * 2 * an_edge + VISIT + HEADER / HEADER_ROWS) + panels * PANEL) + \
        others * values
    # samples; pairs, read by all lanes at once, 32 of them written in 4 cycles; panels written
    shared = SUMMING_WARPS * (visits * (run * values + read * (1 + 4 / PIECE_PAIRS)) + panels * PANEL_SHARED) + \
        others * values
    moved = launch.blocks * others * columns * 4 + rows * panels * read * 16 * tiles * (128 // columns) + rows * tiles * 512
    return f"{name} {others}->{rows} by panels, {SUMMING_WARPS * of_warp} rows x {columns}", \
        launch.times(chain, instructions, shared, moved)


def gradient(machine, an_edge, rows, others, edges, tiles):
    """an_edge: instructions of the loop over eight edges, by edges."""
    of_warp, _ = choose(machine, GRADIENT_BLOCKS, rows, others, edges, tiles)
    neurons, panels = layout(machine, FLOW_BYTES + SUMMING_WARPS * (of_warp * 512 + 128), GRADIENT_STAGES, 128, others)
    run = edges / rows / panels
    of_panel = of_warp * run  # a warp's edges
    # whole eights, of each quarter of a warp two, and 32s, on average
    taken, chunks = (of_panel + 3.5, max(1, of_panel / 32 + 0.5)) if of_panel >= 4 else (8, 1)
    launch = Launch(machine, math.ceil(rows / (SUMMING_WARPS * of_warp)) * tiles, neurons * 512)
    shuffle, arithmetic, fma = machine.shuffle_latency_cycles, machine.integer_latency_cycles, machine.fma_latency_cycles
    levels = math.log2(of_warp)
    eight = 2 * (machine.shared_latency_cycles + 6 * fma + 3 * arithmetic) + 3 * (shuffle + fma)
    chunk = (levels + 1) * (shuffle + 2 * arithmetic) + 2 * machine.shared_latency_cycles  # of 32: their rows, their places
    begun = (levels + 1) * (shuffle + arithmetic)  # a list
    chain = panels * (machine.l2_latency_cycles + begun + taken / 8 * eight + chunks * chunk)
    # x; dy where a row begins, and where a quarter of the list begins within one
    begins = (1 - math.exp(-run)) / run
    samples = 4 * (of_panel + begins * of_panel + 3 * (1 - begins))
    # places, and three shuffles, of eight edges; shuffles for the rows and edges of 32, their places; a list's
    beside = taken * (1 + 3) / 8 + chunks * (levels + 2) + levels + 1 + PANEL_SHARED
    shared = SUMMING_WARPS * panels * (samples + beside) + others * 4
    instructions = SUMMING_WARPS * panels * (taken * an_edge + chunks * CHUNK + LIST + PANEL) + others * 4
    # an edge's column and gradient, of quarters each of which may end within a sector
    moved = launch.blocks * others * 512 + rows * tiles * 512 + edges * tiles * 16
    return f"weight gradient {others}->{rows} by panels, {SUMMING_WARPS * of_warp} rows", \
        launch.times(chain * unevenness(of_panel, GRADIENT_STAGES), instructions, shared, moved)


def packing(machine, rows, others, edges, tiles, slots):
    """Of weights: the slot where there is one, a sector for the weight that it leads to, eight bytes of which half change."""
    of_warp, columns = choose(machine, PRODUCT_BLOCKS, rows, others, edges, tiles)
    _, panels = layout(machine, FLOW_BYTES + SUMMING_WARPS * PIECE_PAIRS * 32, PRODUCT_STAGES, columns, others)
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
