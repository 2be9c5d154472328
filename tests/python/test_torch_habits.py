"""What users of PyTorch do with layers besides training them: shared weights, averages, masks, several processes, other defaults."""
import copy
import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.utils import parametrize, prune  # noqa: E402

from espalier.torch import SparseLinear, evolve_all, replace_linears  # noqa: E402

MODERN = int(torch.__version__.split(".")[0]) >= 2


def layer_of(**options):
    return SparseLinear(20, 12, 0.3, seed=1, **options)


def close(layer, x):
    return torch.allclose(layer(x), x @ layer.to_dense().t() + layer.bias, atol=1e-5)


# ---- tensors


def test_what_lies_feature_by_feature_may_be_changed_in_place():
    torch.manual_seed(0)
    x, up = torch.randn(7, 20), torch.randn(7, 12)
    gradients = []
    for feature_major in (True, False):
        layer = layer_of(feature_major=feature_major)
        nn.Sequential(layer, nn.ReLU(inplace=True))(x).backward(up)
        gradients.append(layer.weight.grad)
    assert torch.equal(*gradients) and gradients[0].abs().sum() > 0


def test_other_default_type():
    layer, x = layer_of(), torch.randn(5, 20, requires_grad=True)
    torch.set_default_dtype(torch.float64)
    try:
        layer(x).sum().backward()
    finally:
        torch.set_default_dtype(torch.float32)
    assert {layer.bias.grad.dtype, layer.weight.grad.dtype, x.grad.dtype} == {torch.float32}


def test_forms_of_tensors():
    layer, x = layer_of(), torch.randn(4, 20)
    for each in (torch._neg_view(x), x.as_strided((3, 20), (2, 1)), torch.randn(30).as_strided((4, 20), (2, 1)),
                 x.expand(2, 4, 20)):
        assert close(layer, each)
    for sparse in (x.to_sparse(), x.to_sparse_csr()):
        with pytest.raises(TypeError, match="to_dense"):
            layer(sparse)


def test_made_and_used_in_inference_mode():
    x = torch.randn(4, 20)
    with torch.inference_mode():
        layer = layer_of()
        layer(x)
        layer.evolve(seed=1)
        assert close(layer, x)
    other = layer_of()
    with torch.inference_mode():
        other(x)
    other(x).sum().backward()
    other.evolve()
    assert close(other, x)


@pytest.mark.skipif(not MODERN, reason="a device as a context is of PyTorch 2")
def test_device():
    with torch.device("meta"):
        layer = layer_of()
    assert {each.device.type for each in (layer.weight, layer.bias, layer.edges)} == {"meta"}
    layer.load_state_dict(layer_of().state_dict(), assign=True)
    assert close(layer, torch.randn(3, 20)) and layer_of(device="meta").weight.is_meta


def test_reset_parameters():
    layer = layer_of(like="linear")
    before, wiring = layer.weight.detach().clone(), layer.edges.clone()
    layer.reset_parameters(seed=1)
    again = layer.weight.detach().clone()
    layer.reset_parameters(seed=1)
    assert torch.equal(layer.weight, again) and not torch.equal(before, again) and torch.equal(layer.edges, wiring)
    assert again.abs().max() <= before.abs().max() * 1.5


def test_number_of_threads_is_followed_also_in_a_loaders_process():
    layer = layer_of()
    x = torch.randn(40, 20)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        y, first = layer(x), layer._kernel
        torch.set_num_threads(1)
        assert torch.equal(layer(x), y) and layer._kernel is not first
    finally:
        torch.set_num_threads(before)

    class Answers(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            with torch.no_grad():
                return layer(x[i])

    got = torch.cat(list(torch.utils.data.DataLoader(Answers(), batch_size=2, num_workers=1, timeout=60)))
    assert torch.allclose(got, y[:4].detach(), atol=1e-6)


# ---- evolution


def test_shared_weights_evolve_once_or_not_at_all():
    first, second = SparseLinear(20, 20, 0.3, seed=1), SparseLinear(20, 20, 0.3, seed=1)
    second.weight = first.weight
    model = nn.Sequential(first, nn.ReLU(), second)
    with pytest.raises(ValueError, match="share a weight but not the wiring"):
        evolve_all(model)
    second.edges = first.edges
    assert evolve_all(model, zeta=0.3, seed=1) == int(0.3 * len(first.weight))
    x = torch.randn(4, 20)
    assert close(first, x) and torch.equal(second(x) - second.bias, first(x) - first.bias)


def test_averages_move_with_the_edges():
    from torch.optim.swa_utils import AveragedModel

    model = nn.Sequential(layer_of(), nn.ReLU(), SparseLinear(12, 5, 0.5, seed=2))
    average = AveragedModel(model, avg_fn=lambda mean, new, n: 0.9 * mean + 0.1 * new)
    average.update_parameters(model)
    with torch.no_grad():
        for each in model.parameters():
            each.add_(1)
    average.update_parameters(model)
    old = {i: model[i].to_dense().detach() for i in (0, 2)}
    old_average = {i: average.module[i].to_dense().detach() for i in (0, 2)}
    evolve_all(model, zeta=0.4, averages=[average], seed=3)
    for i in (0, 2):
        new, mean, stays = model[i].to_dense().detach(), average.module[i].to_dense().detach(), average.module[i].edges
        assert torch.equal(stays, model[i].edges)
        kept = (new != 0) & (old[i] == new)
        born = (new != 0) & (old[i] != new)
        assert kept.any() and born.any()
        assert torch.equal(mean[kept], old_average[i][kept]) and torch.equal(mean[born], new[born])
        assert (mean[new == 0] == 0).all()
    with pytest.raises(ValueError, match="this one's wiring"):
        model[0].evolve(averages=[layer_of(), SparseLinear(20, 12, 0.3, seed=9)])
    with pytest.raises(ValueError, match="2 sparse layers"):
        evolve_all(model, averages=[nn.Linear(3, 3)])


def test_computed_weights_do_not_evolve():
    class Positive(nn.Module):
        def forward(self, weight):
            return weight.abs()

    parametrized, masked = layer_of(), layer_of()
    parametrize.register_parametrization(parametrized, "weight", Positive())
    prune.l1_unstructured(masked, "weight", 0.5)
    for layer in (parametrized, masked):
        assert close(layer, torch.randn(3, 20))
        wiring = layer.edges.clone()
        with pytest.raises(TypeError, match="own parameter"):
            layer.evolve()
        assert torch.equal(layer.edges, wiring)


def test_frozen_layers_stay():
    model = nn.Sequential(layer_of(), SparseLinear(12, 5, 0.5, seed=2))
    model[0].weight.requires_grad_(False)
    wiring = model[0].edges.clone()
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], 0.1)
    assert evolve_all(model, optimizer, zeta=0.5) > 0 and torch.equal(model[0].edges, wiring)


def test_layers_draw_differently_from_one_seed():
    model = nn.Sequential(SparseLinear(30, 30, 0.2, seed=1), SparseLinear(30, 30, 0.2, seed=1))
    again = copy.deepcopy(model)
    evolve_all(model, zeta=1.0, seed=5)
    evolve_all(again, zeta=1.0, seed=5)
    assert not torch.equal(model[0].edges, model[1].edges)
    assert all(torch.equal(a.edges, b.edges) for a, b in zip(model, again))


@pytest.mark.parametrize("options, error, words", [
    ({"zeta": "0.3"}, TypeError, "expected a number"), ({"zeta": True}, TypeError, "bool"),
    ({"zeta": float("nan")}, ValueError, "outside"), ({"seed": "x"}, TypeError, "seed"), ({"seed": -1}, ValueError, "negative"),
    ({"optimizer": "adam"}, TypeError, "torch.optim.Optimizer")])
def test_wrong_evolution(options, error, words):
    with pytest.raises(error, match=words):
        layer_of().evolve(**options)


def test_an_optimizer_of_one_vector_is_refused():
    layer = layer_of(bias=False)
    with pytest.raises(TypeError, match="LBFGS"):
        layer.evolve(optimizer=torch.optim.LBFGS(layer.parameters()))


PROCESSES = """
import os, sys
import torch, torch.distributed as dist
from torch import nn
from espalier.torch import SparseLinear, evolve_all
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
torch.manual_seed(rank)
model = nn.Sequential(SparseLinear(20, 12, 0.3), nn.ReLU(), SparseLinear(12, 3, 0.5))
twin = nn.parallel.DistributedDataParallel(model)
optimizer = torch.optim.SGD(twin.parameters(), 0.1, momentum=0.9)
for layer in (model[0], model[2]):
    layer.remember_for_growth = True
for step in range(4):
    optimizer.zero_grad()
    twin(torch.randn(9, 20)).pow(2).sum().backward()
    optimizer.step()
    evolve_all(model, optimizer, zeta=0.3, grow="gradient" if step % 2 else "random", seed=step)
try:
    evolve_all(model, optimizer)
    raise SystemExit("drew on its own")
except ValueError as error:
    assert "every process" in str(error), error
for value in model.state_dict().values():
    both = [torch.empty_like(value) for _ in range(2)]
    dist.all_gather(both, value.contiguous())
    assert torch.equal(*both)
x = torch.randn(4, 20)
assert torch.allclose(model[0](x), x @ model[0].to_dense().t() + model[0].bias, atol=1e-5)
print("alike")
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed")
def test_several_processes_keep_one_wiring(tmp_path):
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    ranks = [subprocess.Popen([sys.executable, "-c", PROCESSES, str(rank), str(tmp_path / "meeting")], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for rank in range(2)]
    for rank in ranks:
        out, err = rank.communicate(timeout=300)
        assert rank.returncode == 0 and out == "alike\n", err


# ---- whole models


def test_replaced_layers_stay_what_they_were():
    shared = nn.Linear(20, 20)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(20, 20)).eval()
    model[3].weight.requires_grad_(False)
    assert replace_linears(model, 0.8, "uniform") == ["0", "3"]
    assert model[0] is model[2] and isinstance(model[0], SparseLinear)
    assert not model[3].weight.requires_grad and model[3].bias.requires_grad and not model[0].training
    many = nn.Sequential(*(nn.Linear(8, 8) for _ in range(11)))
    assert replace_linears(many, 0.8, "uniform", exclude="10") == [str(i) for i in range(10)]


def test_tied_weights_are_refused():
    tied = nn.Sequential(nn.Embedding(30, 20), nn.Linear(20, 30))
    tied[1].weight = tied[0].weight
    with pytest.raises(ValueError, match="1.weight is also a parameter of '0'"):
        replace_linears(tied, 0.9)
    assert replace_linears(tied, 0.9, exclude=["1"]) == [] and tied[1].weight is tied[0].weight


@pytest.mark.parametrize("options, error", [({"sparsity": "0.9"}, TypeError), ({"sparsity": float("nan")}, ValueError),
                                            ({"sparsity": -0.1}, ValueError), ({"sparsity": 0.9, "like": "x"}, ValueError),
                                            ({"sparsity": 0.9, "threads": 1.5}, TypeError)])
def test_wrong_replacement(options, error):
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    with pytest.raises(error):
        replace_linears(model, distribution="uniform", **options)
    assert all(type(each) is nn.Linear for each in model)


def test_a_transformer_is_evaluated_as_it_is_trained():
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(block, 2)
    assert len(replace_linears(model, 0.6, "uniform")) == 4
    x = torch.randn(2, 5, 16)
    expected = model.train()(x)
    with torch.no_grad():
        assert np.allclose(model.eval()(x), expected.detach(), atol=1e-5)


def test_wiring_without_weights_is_refused():
    layer, state = layer_of(), layer_of().state_dict()
    del state["weight"]
    with pytest.raises(RuntimeError, match="weight: missing"):
        layer.load_state_dict(state, strict=False)


def test_growth_by_gradients_that_are_not_finite_is_refused():
    layer = SparseLinear(30, 10, 0.2, seed=1)
    layer.remember_for_growth = True
    x = torch.randn(4, 30)
    x[0] = float("nan")
    layer(x).sum().backward()
    before = layer.weight.detach().clone()
    with pytest.raises(ValueError, match="not finite"):
        layer.evolve(grow="gradient")
    assert torch.equal(layer.weight, before)
    layer(torch.randn(4, 30))  # its wiring is whole
