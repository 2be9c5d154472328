"""What bench/gpu_model.py --evolution predicts: the kernels of an evolution."""
import math


def chunk_blocks(count):
    """As chunks_of() of cuda/chunks.hpp: at most 1,024 chunks of 256, 512, .. elements."""
    size = 256
    while count >= size * 1024:
        size *= 2
    return math.ceil(count / size), size


def evolution(machine, inputs, outputs, edges, zeta=0.3):
    """The kernels of cuda/evolution.cu for a layer whose cells are sorted as sets of bits, by their dependent loads."""
    grown, words = round(zeta * edges), inputs * outputs // 32 + 1
    log = lambda count: math.ceil(math.log2(max(count, 2)))
    block_sum = 5 * machine.shuffle_latency_cycles + 10 * machine.shared_latency_cycles

    def row(name, loads, cycles, instructions, moved, blocks):
        return machine.kernel(name, loads * machine.l2_latency_cycles + cycles, instructions, moved, blocks)

    chunks, size = chunk_blocks(edges)
    sweep = size // 256  # slots of a thread, one after the other
    bins = 32 * machine.shared_latency_cycles  # set to 0 and added to those of all
    rows = []
    for number in (1, 2, 3):
        found = 0 if number == 1 else 2 + 8  # bins, the cut before, then bin by bin
        rows.append(row(f"prune: digit {number}", found + sweep + 1, bins + block_sum, edges + 800 * chunks, edges * 4 + chunks * 16384,
                        chunks))
    rows.append(row("prune: counts", 10 + sweep, block_sum + bins / 4, edges + 500 * chunks, edges * 4 + chunks * 16384, chunks))
    rows.append(row("prune: slots", 2 + sweep + 2, 3 * block_sum / 2 + sweep * block_sum, edges * 4, edges * 12, chunks))
    rows.append(row("grow: cells drawn", 2, 2000, grown * 8, grown * 64, math.ceil(grown / 256)))
    chunks, size = chunk_blocks(words)
    sweep = size // 256
    per_word = grown / words
    rows.append(row("grow: ranks listed", 1 + sweep, sweep * (block_sum + 10 * per_word), words * 2, words * 4 + grown * 4, chunks))
    search = log(grown) + log(outputs) + 2 + log(grown)
    rows.append(row("edges merged", search + 3, 300, edges / 32 * search * 10, edges * 32, math.ceil(edges / 255)))
    rows.append(row("edges put back", 2 + log(outputs), 100, edges / 32 * log(outputs) * 10, edges * 32, math.ceil(edges / 256)))
    per_word = edges / words
    in_row = log(edges / outputs)
    rows.append(row("view by input listed", 1 + sweep + math.ceil(per_word) * (2 + in_row), sweep * block_sum, edges / 8 * in_row,
                    words * 4 + edges * 32 * in_row / 4, chunks))
    most = max(inputs, outputs)
    # how many edges each has into shared memory; then a lane compares four at a time, an eighth of them all
    compared = most / 32 * (machine.shared_latency_cycles + 4 * 4 * machine.integer_latency_cycles)
    rows.append(row("neurons ordered", 2 * math.ceil(most / 1024), compared, (inputs**2 + outputs**2) / 32 * 6, 0,
                    math.ceil((inputs + outputs) / 32)))
    return rows
