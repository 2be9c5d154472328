#!/usr/bin/python3
"""SparseNet with SET by an independent program: dense PyTorch matrices that are zero where no edge is, evolved as the
recipes say (experiment-1: --weight-decay 1e-3, baseline-1: 0). Slow, and kept to check Espalier's curves against.

usage: bench/peers/replica.py --data DIR [--seed 1] [--weight-decay 1e-3] [--epochs 155] > history.csv
"""
import argparse
import math

import torch
from networks import BATCH, LEARNING_RATE, MOMENTUM, load
from torch.nn import functional

ZETA = 0.3


class EvolvingLayer:
    def __init__(self, inputs, outputs):
        edges = 11 * (inputs + outputs)
        cells = torch.randperm(inputs * outputs)[:edges]
        self.deviation = math.sqrt(2 / inputs)
        self.edge = torch.zeros(inputs * outputs, dtype=torch.bool)
        self.edge[cells] = True
        weight = torch.zeros(inputs * outputs)
        weight[cells] = torch.randn(edges) * self.deviation
        self.weight = weight.view(outputs, inputs).requires_grad_()
        self.bias = (torch.randn(outputs) * self.deviation).requires_grad_()

    def __call__(self, x):
        return functional.linear(x, self.weight, self.bias)

    def keep_to_edges(self):
        self.weight.grad *= self.edge.view(self.weight.shape)

    def prune(self):
        """The smallest positive and the negative edges nearest zero become 0; they keep their cells for the test."""
        weight = self.weight.data.view(-1)
        marked = []
        for sign in (1, -1):
            cells = torch.nonzero((sign * weight > 0) & self.edge).view(-1)
            marked.append(cells[torch.argsort(sign * weight[cells])[: int(ZETA * len(cells))]])
        self.marked = torch.cat(marked)
        weight[self.marked] = 0

    def regrow(self, optimizer):
        free = torch.nonzero(~self.edge).view(-1)
        new = free[torch.randperm(len(free))[: len(self.marked)]]
        memory = optimizer.state[self.weight]["momentum_buffer"].view(-1)
        for cells, there in ((self.marked, False), (new, True)):
            self.edge[cells] = there
            memory[cells] = 0
        self.weight.data.view(-1)[new] = torch.randn(len(new)) * self.deviation


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weight-decay", type=float, default=1e-3)
    parser.add_argument("--epochs", type=int, default=155)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    images, labels = (torch.from_numpy(part) for part in load(arguments.data, "train"))
    test_images, test_labels = (torch.from_numpy(part) for part in load(arguments.data, "t10k"))
    layers = [EvolvingLayer(784, 512), EvolvingLayer(512, 128)]
    last = torch.nn.Linear(128, 10)
    optimizer = torch.optim.SGD([p for l in layers for p in (l.weight, l.bias)] + list(last.parameters()),
                                lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=arguments.weight_decay)

    def network(x):
        for layer in layers:
            x = functional.relu(layer(x))
        return last(x)

    print("epoch,train_loss,train_accuracy,test_loss,test_accuracy")
    for epoch in range(1, arguments.epochs + 1):
        if epoch > 1:
            for layer in layers:
                layer.regrow(optimizer)
        order = torch.randperm(len(labels))
        losses, correct = [], 0
        for start in range(0, len(labels), BATCH):
            chosen = order[start : start + BATCH]
            optimizer.zero_grad()
            z = network(images[chosen])
            loss = functional.cross_entropy(z, labels[chosen])
            loss.backward()
            for layer in layers:
                layer.keep_to_edges()
            optimizer.step()
            losses.append(loss.item())
            correct += (z.argmax(1) == labels[chosen]).sum().item()
        for layer in layers:
            layer.prune()
        with torch.no_grad():
            z = network(test_images)
            test_loss = functional.cross_entropy(z, test_labels).item()
            accuracy = (z.argmax(1) == test_labels).double().mean().item()
        print(f"{epoch},{sum(losses) / len(losses):.6f},{correct / len(labels):.6f},{test_loss:.6f},{accuracy:.6f}",
              flush=True)


if __name__ == "__main__":
    main()
