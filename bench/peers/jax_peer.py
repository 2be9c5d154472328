"""A dense network in JAX: one jitted step with its arrays donated."""
import os

from networks import BATCH, settings


def set_threads(threads):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # XLA takes as many threads as it may run on


def load_library():
    """After set_threads: XLA counts its processors when it is loaded."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_default_prng_impl", "unsafe_rbg")  # dropout's masks by the quickest of its generators
    return jax


class Peer:
    def __init__(self, kind, network):
        import numpy

        self.jax = load_library()
        widths, _, rate, momentum, decay, dropout = settings(network)
        rng = self.rng = numpy.random.default_rng(1)
        self.parameters = []
        for inputs, outputs in zip(widths, widths[1:]):
            bound = 1 / inputs**0.5
            self.parameters.append((rng.uniform(-bound, bound, (inputs, outputs)).astype("float32"),
                                    numpy.zeros(outputs, "float32")))
        self.parameters = self.jax.device_put(self.parameters)
        self.momenta = self.jax.tree.map(self.jax.numpy.zeros_like, self.parameters)
        self.key = self.jax.random.key(1)
        self.train = self.jax.jit(self.training_step(rate, momentum, decay, dropout), donate_argnums=(0, 1, 2))

    def logits(self, parameters, x, dropout=0, key=None):
        jax = self.jax
        for number, (weight, bias) in enumerate(parameters):
            x = x @ weight + bias
            if number + 1 == len(parameters):
                continue
            x = jax.nn.relu(x)
            if dropout > 0:
                key, own = jax.random.split(key)
                x = jax.numpy.where(jax.random.bernoulli(own, 1 - dropout, x.shape), x / (1 - dropout), 0)
        return jax.nn.log_softmax(x)

    def training_step(self, rate, momentum, decay, dropout):
        jax = self.jax

        def loss(parameters, x, target, key):
            output = self.logits(parameters, x, dropout, key)
            right = (output.argmax(1) == target).sum()
            return -jax.numpy.take_along_axis(output, target[:, None], 1).mean(), right

        def step(parameters, momenta, key, x, target):
            key, own = jax.random.split(key)
            (value, right), gradients = jax.value_and_grad(loss, has_aux=True)(parameters, x, target, own)
            momenta = jax.tree.map(lambda m, g, p: momentum * m + g + decay * p, momenta, gradients, parameters)
            parameters = jax.tree.map(lambda p, m: p - rate * m, parameters, momenta)
            return parameters, momenta, key, value, right

        return step

    def shuffled(self, images, labels):
        order = self.rng.permutation(len(labels))
        for start in range(0, len(labels), BATCH):
            yield images, labels, order[start : start + BATCH]

    def step(self, batch):
        images, labels, chosen = batch
        self.parameters, self.momenta, self.key, loss, right = self.train(
            self.parameters, self.momenta, self.key, images[chosen], labels[chosen])
        int(right)
        return float(loss)

    def kept_edges(self):
        return sum((weight != 0).sum() for weight, _ in self.parameters)

    def accuracy(self, images, labels):
        return float((self.logits(self.parameters, images).argmax(1) == labels).mean())


def describe():
    import jax

    return f"JAX {jax.__version__}"
