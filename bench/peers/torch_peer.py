"""Networks of PyTorch layers: dense, dense x mask, gather-multiply-scatter, sparse CSR, sparselab's, SparseProp's."""
import sys
from importlib.metadata import version

import numpy
import torch
from networks import BATCH, layer_shapes, random_cells, settings
from torch import nn
from torch.nn import functional


class Masked(nn.Module):
    """A dense weight times a fixed mask: how most published sparse training runs."""

    def __init__(self, inputs, outputs, rows, columns):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        mask = torch.zeros(outputs, inputs)
        mask[rows, columns] = 1
        self.register_buffer("mask", mask)

    def forward(self, x):
        return functional.linear(x, self.linear.weight * self.mask, self.linear.bias)


class Scatter(nn.Module):
    """Gather the input of each edge, multiply, scatter-add to its output: the form of the original SparseNet."""

    def __init__(self, inputs, outputs, rows, columns):
        super().__init__()
        self.register_buffer("row", rows)
        self.register_buffer("column", columns)
        self.weight = nn.Parameter(torch.randn(len(rows)) * (2 / inputs) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        products = x[:, self.column] * self.weight
        sums = torch.zeros(x.shape[0], len(self.bias))
        return sums.scatter_add(1, self.row.expand_as(products), products) + self.bias


class CsrProduct(torch.autograd.Function):
    """y = W x with W in CSR, its transpose kept beside it; PyTorch's own autograd cannot update CSR weights here."""

    @staticmethod
    def forward(context, values, x, layer):
        context.layer = layer
        context.save_for_backward(values, x)
        return layer.matrix(values) @ x

    @staticmethod
    def backward(context, dy):
        values, x = context.saved_tensors
        layer = context.layer
        dx = layer.transposed(values) @ dy if context.needs_input_grad[1] else None
        return (dy[layer.row] * x[layer.column]).sum(1), dx, None


class Csr(nn.Module):
    def __init__(self, inputs, outputs, rows, columns):
        super().__init__()
        self.shape = (outputs, inputs)
        self.row, self.column = rows, columns
        self.row_start = torch.searchsorted(rows, torch.arange(outputs + 1))
        self.order = torch.argsort(columns, stable=True)
        self.column_start = torch.searchsorted(columns[self.order].contiguous(), torch.arange(inputs + 1))
        self.weight = nn.Parameter(torch.randn(len(rows)) * (2 / inputs) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def matrix(self, values):
        return torch.sparse_csr_tensor(self.row_start, self.column, values, self.shape)

    def transposed(self, values):
        return torch.sparse_csr_tensor(
            self.column_start, self.row[self.order], values[self.order], self.shape[::-1])

    def forward(self, x):
        return CsrProduct.apply(self.weight, x.t().contiguous(), self).t() + self.bias


def padded(inputs, outputs, edges):
    """sparselab's layer, whose wiring is its own; as many edges as it makes of that density."""
    from sparselab.nn import SparseLinear

    return SparseLinear(inputs, outputs, sparsity=1 - edges / (inputs * outputs))


def propagated(inputs, outputs, rows, columns):
    """SparseProp's layer, which is given a dense matrix and keeps what is not zero."""
    from sparseprop.modules import SparseLinear

    weight = torch.zeros(outputs, inputs)
    weight[rows, columns] = torch.randn(len(rows)) * (2 / inputs) ** 0.5
    return SparseLinear(weight, nn.Parameter(torch.zeros(outputs)))


def kept_edges_of(layer):
    if isinstance(layer, Masked):
        return int((layer.linear.weight * layer.mask != 0).sum())
    if hasattr(layer, "nnz"):  # sparselab's, whose values are padded
        return int(layer.nnz)
    weight = getattr(layer, "weight", None)
    return 0 if weight is None else int((weight != 0).sum())


SPARSE = {"masked": Masked, "scatter": Scatter, "csr": Csr, "sparseprop": propagated}


class Peer:
    def __init__(self, kind, network):
        _, _, rate, momentum, decay, dropout = settings(network)
        torch.manual_seed(1)
        rng = numpy.random.default_rng(1)
        layers = []
        for inputs, outputs, edges in layer_shapes(network):
            if edges is None or kind == "dense":
                layers.append(nn.Linear(inputs, outputs))
            elif kind == "sparselab":
                layers.append(padded(inputs, outputs, edges))
            else:
                rows, columns = (torch.from_numpy(part) for part in random_cells(inputs, outputs, edges, rng))
                layers.append(SPARSE[kind](inputs, outputs, rows, columns))
            if outputs != 10:
                layers.append(nn.ReLU())
                if dropout > 0:
                    layers.append(nn.Dropout(dropout))
        self.model = nn.Sequential(*layers, nn.LogSoftmax(dim=1))
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=rate, momentum=momentum, weight_decay=decay)

    def shuffled(self, images, labels):
        """Batches of one epoch."""
        images, labels = torch.from_numpy(images), torch.from_numpy(labels)
        order = torch.randperm(len(labels))
        for start in range(0, len(labels), BATCH):
            yield images, labels, order[start : start + BATCH]

    def step(self, batch):
        images, labels, chosen = batch
        x, target = images[chosen], labels[chosen]
        self.optimizer.zero_grad()
        output = self.model(x)
        loss = functional.nll_loss(output, target)
        loss.backward()
        self.optimizer.step()
        (output.argmax(1) == target).sum().item()
        return loss.item()

    def kept_edges(self):
        return sum(kept_edges_of(layer) for layer in self.model)

    def accuracy(self, images, labels):
        self.model.eval()
        with torch.no_grad():
            return (self.model(torch.from_numpy(images)).argmax(1).numpy() == labels).mean()


def describe():
    text = "PyTorch " + torch.__version__
    return text + "".join(f", {name} {version(name)}" for name in ("sparselab", "sparseprop") if name in sys.modules)


def set_threads(threads):
    torch.set_num_threads(threads)
