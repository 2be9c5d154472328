"""scikit-learn's MLPClassifier, dense and without dropout, which it does not have."""
import numpy
import sklearn
from networks import BATCH, settings
from sklearn.neural_network import MLPClassifier

BATCHES = 8  # of each call, so that its checks of the data weigh little


class Peer:
    samples_of_step = BATCHES * BATCH

    def __init__(self, kind, network):
        widths, _, rate, momentum, decay, _ = settings(network)
        self.rng = numpy.random.default_rng(1)
        self.model = MLPClassifier(widths[1:-1], solver="sgd", alpha=decay, batch_size=BATCH, learning_rate_init=rate,
                                   momentum=momentum, nesterovs_momentum=False, random_state=1)

    def shuffled(self, images, labels):
        order = self.rng.permutation(len(labels))
        for start in range(0, len(labels), self.samples_of_step):
            yield images, labels, order[start : start + self.samples_of_step]

    def step(self, batch):
        images, labels, chosen = batch
        self.model.partial_fit(images[chosen], labels[chosen], classes=numpy.arange(10))
        return self.model.loss_

    def kept_edges(self):
        return sum(numpy.count_nonzero(weights) for weights in self.model.coefs_)

    def accuracy(self, images, labels):
        return self.model.score(images, labels)


def describe():
    return f"scikit-learn {sklearn.__version__}, NumPy {numpy.__version__}"


def set_threads(threads):
    """Its products are NumPy's, whose threads the environment sets."""
