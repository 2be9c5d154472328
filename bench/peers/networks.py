"""The networks, data and settings every peer shares with Espalier."""
import gzip
import pathlib
import sys

BATCH = 128
LEARNING_RATE = 0.01
MOMENTUM = 0.5
DECAY = 1e-3

# widths, epsilon; the last layer is dense, the others hold epsilon * (inputs + outputs) edges
NETWORKS = {
    "sparsenet": ([784, 512, 128, 10], 11),
    "1000s": ([784, 1000, 1000, 1000, 10], 20),
    "4000s": ([784, 4000, 1000, 4000, 10], 20),
}

# Recipes as they ship: Espalier runs them whole, with evolution, test pass, records and pages; peers get their network,
# optimizer and dropout, and neither evolve nor test nor record.
# recipe: (widths, epsilon, learning rate, momentum, decay, dropout after each hidden layer)
RECIPES = {
    "experiment-1": ([784, 512, 128, 10], 11, 0.01, 0.5, 1e-3, 0.0),
    "large-mnist": ([784, 4000, 1000, 4000, 10], 20, 0.01, 0.9, 2e-4, 0.3),
}


def settings(network):
    """Widths, epsilon, learning rate, momentum, decay and dropout of a network or recipe."""
    return RECIPES[network] if network in RECIPES else (*NETWORKS[network], LEARNING_RATE, MOMENTUM, DECAY, 0.0)


def layer_shapes(network):
    """(inputs, outputs, edges) of each layer; edges None for the dense last one."""
    widths, epsilon = settings(network)[:2]
    shapes = [(i, o, epsilon * (i + o)) for i, o in zip(widths, widths[1:])]
    shapes[-1] = (*shapes[-1][:2], None)
    return shapes


def random_cells(inputs, outputs, edges, rng):
    """Rows (outputs) and columns (inputs) of distinct random edges, in CSR order."""
    import numpy

    cells = numpy.sort(rng.permutation(inputs * outputs)[:edges])
    return cells // inputs, cells % inputs


def read_idx(folder, name):
    """The array in an IDX file, raw or gzipped."""
    import numpy

    for path in (folder / name, folder / (name + ".gz")):
        if path.exists():
            raw = path.read_bytes()
            raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
            rank = raw[3]
            shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
            return numpy.frombuffer(raw, numpy.uint8, offset=4 + 4 * rank).reshape(shape)
    sys.exit(f"{folder}: no {name} or {name}.gz")


def load(folder, part):
    """Normalised images [n][784] as float32 and labels as int64; part is "train" or "t10k"."""
    folder = pathlib.Path(folder)
    images = read_idx(folder, f"{part}-images-idx3-ubyte").reshape(-1, 784).astype("float32")
    return (images / 255 - 0.1307) / 0.3081, read_idx(folder, f"{part}-labels-idx1-ubyte").astype("int64")
