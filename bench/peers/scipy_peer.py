"""A loop over SciPy CSR matrices in the manner of the original SET program: sparse products by SciPy, the gradient of
each edge by gathering both its ends, momentum and decay on the edges' values."""
import numpy
import scipy
from networks import BATCH, layer_shapes, random_cells, settings
from scipy.sparse import csr_matrix

EDGES_AT_A_TIME = 4096  # of the gradient, so that the gathered ends stay in the cache


class SparseLayer:
    def __init__(self, inputs, outputs, edges, rng):
        self.row, self.column = random_cells(inputs, outputs, edges, rng)
        values = (rng.standard_normal(edges) * (2 / inputs) ** 0.5).astype("float32")
        start = numpy.searchsorted(self.row, numpy.arange(outputs + 1))
        self.matrix = csr_matrix((values, self.column, start), shape=(outputs, inputs))
        self.parameters = self.matrix.data

    def product(self, x):
        return self.matrix @ x

    def transposed_product(self, dy):
        return self.matrix.T @ dy

    def gradient(self, x, dy):
        gradient = numpy.empty_like(self.parameters)
        for begin in range(0, len(gradient), EDGES_AT_A_TIME):
            part = slice(begin, begin + EDGES_AT_A_TIME)
            gradient[part] = numpy.einsum("ij,ij->i", dy[self.row[part]], x[self.column[part]])
        return gradient


class DenseLayer:
    def __init__(self, inputs, outputs, rng):
        bound = 1 / inputs**0.5
        self.parameters = rng.uniform(-bound, bound, (outputs, inputs)).astype("float32")

    def product(self, x):
        return self.parameters @ x

    def transposed_product(self, dy):
        return self.parameters.T @ dy

    def gradient(self, x, dy):
        return dy @ x.T


class Peer:
    """Activations are [neuron][sample], as SciPy's products like them."""

    def __init__(self, kind, network, sparse_layer=SparseLayer):
        rng = self.rng = numpy.random.default_rng(1)
        _, _, self.rate, self.momentum, self.decay, self.dropout = settings(network)
        self.layers = [DenseLayer(i, o, rng) if edges is None else sparse_layer(i, o, edges, rng)
                       for i, o, edges in layer_shapes(network)]
        self.biases = [numpy.zeros(outputs, "float32") for _, outputs, _ in layer_shapes(network)]
        self.momenta = [(numpy.zeros_like(layer.parameters), numpy.zeros_like(bias))
                        for layer, bias in zip(self.layers, self.biases)]

    def shuffled(self, images, labels):
        order = self.rng.permutation(len(labels))
        for start in range(0, len(labels), BATCH):
            yield images, labels, order[start : start + BATCH]

    def forward(self, x, dropout=0.0):
        outputs = [x]
        for number, (layer, bias) in enumerate(zip(self.layers, self.biases)):
            z = layer.product(outputs[-1]) + bias[:, None]
            if number + 1 < len(self.layers):
                numpy.maximum(z, 0, out=z)
                if dropout > 0:
                    z *= numpy.float32(1 / (1 - dropout)) * (self.rng.random(z.shape, dtype="float32") >= dropout)
            outputs.append(z)
        return outputs

    def step(self, batch):
        images, labels, chosen = batch
        target = labels[chosen]
        samples = numpy.arange(len(target))
        outputs = self.forward(numpy.ascontiguousarray(images[chosen].T), self.dropout)
        z = outputs[-1] - outputs[-1].max(0)
        exponential = numpy.exp(z)
        sums = exponential.sum(0)
        loss = float((numpy.log(sums) - z[target, samples]).mean())
        dy = exponential / sums
        dy[target, samples] -= 1
        dy /= len(target)
        for number in reversed(range(len(self.layers))):
            layer, x = self.layers[number], outputs[number]
            gradients = layer.gradient(x, dy), dy.sum(1)
            if number > 0:
                dx = layer.transposed_product(dy)
                dx *= numpy.float32(1 / (1 - self.dropout)) * (x > 0)  # what was dropped is 0 too
            for values, gradient, memory in zip((layer.parameters, self.biases[number]), gradients,
                                                self.momenta[number]):
                memory *= self.momentum
                memory += gradient + self.decay * values
                values -= self.rate * memory
            if number > 0:
                dy = dx
        return loss

    def kept_edges(self):
        return sum(numpy.count_nonzero(layer.parameters) for layer in self.layers)

    def accuracy(self, images, labels):
        return (self.forward(numpy.ascontiguousarray(images.T))[-1].argmax(0) == labels).mean()


def describe():
    return f"SciPy {scipy.__version__}, NumPy {numpy.__version__}"


def set_threads(threads):
    """SciPy's sparse products run on one thread."""
