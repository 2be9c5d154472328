#!/usr/bin/python3
"""SparseNet by the program that was published: the SETLayer of the notebooks' own repository, as it stands there, in the
notebooks' training loop. Two things are ours, for speed: a layer multiplies by a dense matrix that is zero where no edge is
(the layer's own product differs from it by rounding, which is checked first), and images are not read one by one. Sets
iterate in the order of the Python the notebooks ran on, 3.7, which decides where edges may grow.

usage: bench/peers/published_program.py --synapses CHECKOUT --data DIR [--seed 1] [--weight-decay 1e-3] [--epochs 155]
CHECKOUT: a clone of https://github.com/anhinga/synapses; prints a history as CSV
"""
import argparse
import importlib.util
import pathlib

import torch
from networks import BATCH, LEARNING_RATE, MOMENTUM, load
from torch.nn import functional

WORD = (1 << 64) - 1


class TupleOfPython37(tuple):
    """A tuple with the hash that CPython gave it before 3.8 (tuplehash in Objects/tupleobject.c of that version)."""

    def __hash__(self):
        value, factor = 0x345678, 1000003
        for left in reversed(range(len(self))):
            value = (value ^ (hash(self[-1 - left]) & WORD)) * factor & WORD
            factor += 82520 + 2 * left
        value = (value + 97531) & WORD
        return value - (1 << 64) if value >> 63 else value


def published_layer(checkout):
    """The class SETLayer of the checkout."""
    path = pathlib.Path(checkout) / "synapses" / "SET_layer.py"
    spec = importlib.util.spec_from_file_location("published", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.set = lambda items=(): set(map(TupleOfPython37, items))
    return module.SETLayer


def with_dense_product(layer_class):
    class DenseProduct(layer_class):
        def generate_zmap(self):
            """Called after every change of the edges; the published map from outputs to edges is made when needed."""
            self.cells = self.connections[:, 1].long(), self.connections[:, 0].long()

        def forward(self, x):
            weight = torch.zeros(self.outdim, self.indim).index_put(self.cells, self.weight)
            return functional.linear(x, weight, self.bias)

        def check(self):
            x = torch.randn(BATCH, self.indim)
            layer_class.generate_zmap(self)
            torch.testing.assert_close(layer_class.forward(self, x), self(x), rtol=1e-5, atol=1e-5)

    return DenseProduct


class SparseNet(torch.nn.Module):
    def __init__(self, layer_class):
        super().__init__()
        self.set1 = layer_class(784, 512)
        self.set2 = layer_class(512, 128)
        self.fc1 = torch.nn.Linear(128, 10)
        self.set_layers = [self.set1, self.set2]

    def forward(self, x):
        x = functional.relu(self.set1(x))
        x = functional.relu(self.set2(x))
        return functional.log_softmax(self.fc1(x), dim=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synapses", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weight-decay", type=float, default=1e-3)
    parser.add_argument("--epochs", type=int, default=155)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    images, labels = (torch.from_numpy(part) for part in load(arguments.data, "train"))
    test_images, test_labels = (torch.from_numpy(part) for part in load(arguments.data, "t10k"))
    network = SparseNet(with_dense_product(published_layer(arguments.synapses)))
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM,
                                weight_decay=arguments.weight_decay)
    for layer in network.set_layers:
        layer.check()
        layer.optimizer = optimizer

    print("epoch,train_loss,train_accuracy,test_loss,test_accuracy,contrast")
    for epoch in range(1, arguments.epochs + 1):
        if epoch > 1:
            for layer in network.set_layers:
                layer.evolve_connections()
        edges = torch.bincount(network.set1.connections[:, 0].long(), minlength=784).double().view(28, 28)
        losses, correct = [], 0
        for chosen in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            output = network(images[chosen])
            loss = functional.nll_loss(output, labels[chosen])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            correct += (output.argmax(1) == labels[chosen]).sum().item()
        for layer in network.set_layers:
            layer.zero_connections()
        with torch.no_grad():
            output = network(test_images)
            test_loss = functional.nll_loss(output, test_labels).item()
            accuracy = (output.argmax(1) == test_labels).double().mean().item()
        contrast = (edges[7:21, 7:21].mean() / edges.mean() - 1).item()
        print(f"{epoch},{sum(losses) / len(losses):.6f},{correct / len(labels):.6f},{test_loss:.6f},{accuracy:.6f},"
              f"{contrast:.4f}", flush=True)


if __name__ == "__main__":
    main()
