"""The sparse layer for PyTorch: gradients beside a dense float64 layer, and a test for each trap on the way."""
import copy
import io
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from espalier._product import laid_out  # noqa: E402
from espalier.torch import SparseLinear, decay_groups, erk_densities, evolve_all, replace_linears  # noqa: E402
from torch_twin import compare, largest_difference  # noqa: E402

MODERN = int(torch.__version__.split(".")[0]) >= 2


@pytest.mark.parametrize("batch", [1, 2, 15, 16, 17, 63, 64, 65, 128, 130, 200])
@pytest.mark.parametrize("inputs, outputs, density", [(1, 1, 1.0), (7, 5, 0.4), (33, 130, 0.1), (100, 3, 0.05), (64, 64, 1.0)])
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_beside_a_dense_float64_layer(batch, inputs, outputs, density, bias):
    torch.manual_seed(batch)
    compare(SparseLinear(inputs, outputs, density, bias=bias, seed=3), torch.randn(batch, inputs))


@pytest.mark.parametrize("batch", [2, 17, 64, 130])
def test_feature_major_gives_the_same_numbers(batch):
    torch.manual_seed(0)
    plain = SparseLinear(40, 70, 0.2, seed=1)
    chained = SparseLinear(40, 70, 0.2, seed=1, feature_major=True)
    x = torch.randn(batch, 40)
    y = chained(x)
    assert y.stride() == (1, batch) and torch.equal(y, plain(x))
    compare(chained, x.t().contiguous().t())


def test_views_stay_feature_major_between_layers():
    torch.manual_seed(0)
    seen = []
    model = nn.Sequential(SparseLinear(40, 70, 0.2, feature_major=True), nn.ReLU(), nn.Dropout(0.2), nn.GELU(),
                          SparseLinear(70, 30, 0.2, feature_major=True), nn.ReLU(), SparseLinear(30, 5, 0.5))
    model[4].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].stride()))
    y = model(torch.randn(32, 40))
    y.sum().backward()
    assert seen == [(1, 32)] and y.stride() == (5, 1)


def test_no_samples_and_other_shapes():
    layer = SparseLinear(6, 4, 0.5, seed=0)
    assert layer(torch.zeros(0, 6)).shape == (0, 4)
    assert layer(torch.zeros(2, 3, 6)).shape == (2, 3, 4) and layer(torch.zeros(6)).shape == (4,)
    layer(torch.zeros(0, 6)).sum().backward()
    assert layer.weight.grad.abs().sum() == 0
    x = torch.randn(5, 12)[:, ::2]
    assert torch.allclose(layer(x), x @ layer.to_dense().t() + layer.bias, atol=1e-6)


def test_parts_of_wider_tensors_need_no_copy():
    layer = SparseLinear(30, 20, 0.3, seed=0)
    wide, up = torch.randn(50, 47), torch.randn(50, 33)
    for place in (wide[:, 5:35], wide.t()[5:35, :].t(), wide[::2, 10:40], wide.t().contiguous().t()[3:40, :30], wide[:1, 2:32]):
        x = place.detach()
        assert laid_out(x)[0] is x
        rows = up[:len(x), 4:24]
        expected = []
        for each in (x, x.clone(memory_format=torch.contiguous_format)):
            mine = each.detach().requires_grad_()
            y = layer(mine)
            gradients = torch.autograd.grad(y, [mine, layer.weight, layer.bias], rows if each is x else rows.contiguous())
            expected.append((y, *gradients))
        assert all(torch.equal(a, b) for a, b in zip(*expected))
    for x in (torch.randn(50, 60)[:, ::2], wide[:1].expand(8, -1)[:, :30], torch.randn(30).expand(4, 30)):
        assert torch.allclose(layer(x), x @ layer.to_dense().t() + layer.bias, atol=1e-5)


def test_threads_do_not_change_the_bits():
    x = torch.randn(100, 50)
    results = []
    for threads in (1, 3):
        layer = SparseLinear(50, 80, 0.2, seed=2, threads=threads)
        y = layer(x)
        y.pow(2).sum().backward()
        results.append((y, layer.weight.grad, layer.bias.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_construction_is_exact_and_needs_no_dense_memory():
    layer = SparseLinear(20000, 20000, 1e-4, seed=0)  # 1.6 GB if it were dense
    assert layer.weight.numel() == 40000 and layer.edges.shape == (2, 40000)
    keys = layer._keys()
    assert (np.diff(keys) > 0).all() and keys.max() < 4 * 10**8
    full = SparseLinear(9, 7, 0.9, seed=0)
    assert full.weight.numel() == round(0.9 * 63) and len(np.unique(full._keys())) == full.weight.numel()
    torch.manual_seed(5)
    a = SparseLinear(9, 7, 0.5)
    torch.manual_seed(5)
    assert torch.equal(a.edges, SparseLinear(9, 7, 0.5).edges)


# ---- traps

def test_stride_0_gradients():
    layer = SparseLinear(12, 9, 0.5, seed=0)
    x = torch.randn(8, 12)
    layer(x).sum().backward()  # hands over an expanded 1
    expected = x.sum(0)[layer.edges[1].long()]
    assert torch.allclose(layer.weight.grad, expected, atol=1e-5)


def test_second_derivatives_are_an_error_not_zero():
    layer = SparseLinear(12, 9, 0.5, seed=0)
    x = torch.randn(8, 12, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x).pow(2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError):
        gradient.pow(2).sum().backward()


def test_storage_replaced_in_every_way():
    layer = SparseLinear(12, 9, 0.5, seed=0)
    x = torch.randn(8, 12)

    def right():
        assert torch.allclose(layer(x), x @ layer.to_dense().detach().t() + layer.bias, atol=1e-5)

    layer.weight.data = layer.weight.data.clone() * 2
    right()
    with torch.no_grad():
        layer.weight.mul_(0.5)
    right()
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(layer.parameters()) * 3, layer.parameters())
    right()
    layer.double().float()
    right()
    layer.share_memory()
    right()
    other = SparseLinear(12, 9, 0.5, seed=1)
    layer.load_state_dict(other.state_dict(), **({"assign": True} if MODERN else {}))
    right()
    layer.edges = SparseLinear(12, 9, 0.5, seed=2).edges
    right()


def test_other_types_are_refused():
    layer = SparseLinear(12, 9, 0.5, seed=0)
    with pytest.raises(TypeError, match=r"x: expected torch.float32, found torch.float64"):
        layer(torch.zeros(3, 12, dtype=torch.float64))
    with pytest.raises(TypeError, match="weight: expected torch.float32"):
        copy.deepcopy(layer).double()(torch.zeros(3, 12))
    with pytest.raises(ValueError, match=r"expected shape \[..., 12\], found \[3, 11\]"):
        layer(torch.zeros(3, 11))
    with pytest.raises(TypeError, match="expected a tensor"):
        layer(np.zeros((3, 12), np.float32))
    with pytest.raises(TypeError, match="meta"):
        layer(torch.zeros(3, 12, device="meta"))


def test_autocast():
    layer = SparseLinear(12, 9, 0.5, seed=0)
    x = torch.randn(8, 12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
        low = layer(x.bfloat16())
    assert y.dtype == torch.float32 and torch.equal(y, layer(x))
    assert torch.equal(low, layer(x.bfloat16().float()))
    low.sum().backward()
    with pytest.raises(TypeError, match="bfloat16"):
        layer(x.bfloat16())


def test_deepcopy_pickle_and_save():
    layer = SparseLinear(12, 9, 0.5, seed=0)
    x = torch.randn(8, 12)
    y = layer(x)
    y.sum().backward()
    memory = io.BytesIO()
    torch.save(layer, memory)
    memory.seek(0)
    loaded = torch.load(memory, **({"weights_only": False} if MODERN else {}))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), loaded):
        assert torch.equal(other(x), y)
        other.evolve()
        assert torch.equal(layer(x), y)


@pytest.mark.skipif(not MODERN, reason="torch.func is of PyTorch 2")
def test_functional_call():
    layer = SparseLinear(12, 9, 0.5, seed=0)
    x = torch.randn(8, 12)
    weights = {"weight": layer.weight.detach() * 2, "bias": layer.bias.detach() * 2}
    assert torch.allclose(torch.func.functional_call(layer, weights, (x,)), layer(x) * 2, atol=1e-6)
    # and both in one graph: each backward pass has its own weights
    twice = weights["weight"].clone().requires_grad_()
    inputs = x.clone().requires_grad_()
    a = torch.func.functional_call(layer, {"weight": twice, "bias": layer.bias}, (inputs,))
    b = layer(inputs)
    (a + b).sum().backward()
    assert torch.allclose(inputs.grad, (3 * layer.to_dense().detach()).sum(0).expand(8, -1), atol=1e-5)


@pytest.mark.skipif(not MODERN, reason="torch.compile is of PyTorch 2")
def test_compile_runs_the_layer_as_it_is():
    model = nn.Sequential(SparseLinear(12, 9, 0.5, seed=0), nn.ReLU())
    x = torch.randn(8, 12)
    compiled = torch.compile(model, backend="eager")
    assert torch.equal(compiled(x), model(x))
    compiled(x).sum().backward()
    assert model[0].weight.grad is not None


def test_no_gradient_where_none_is_needed():
    layer = SparseLinear(12, 9, 0.5, seed=0)
    layer.weight.requires_grad_(False)
    x = torch.randn(8, 12, requires_grad=True)
    layer(x).pow(2).sum().backward()
    assert layer.weight.grad is None and largest_difference(
        x.grad, torch.autograd.grad((x @ layer.to_dense().t() + layer.bias).pow(2).sum(), x)[0]) < 1e-4
    with torch.no_grad():
        assert not layer(x).requires_grad


def test_many_models_one_after_another_keep_their_own_wiring():
    for seed in range(30):
        layer = SparseLinear(30, 20, 0.2, seed=seed)
        x = torch.randn(5, 30, requires_grad=True)
        layer(x).sum().backward()
        assert torch.allclose(x.grad, layer.to_dense().detach().sum(0).expand(5, -1), atol=1e-5)


# ---- state

def test_state_dict_carries_the_wiring_or_refuses():
    a, b = SparseLinear(12, 9, 0.5, seed=0), SparseLinear(12, 9, 0.5, seed=1)
    x = torch.randn(8, 12)
    b.load_state_dict(a.state_dict())
    assert torch.equal(a(x), b(x)) and torch.equal(a.edges, b.edges)
    without = {name: value for name, value in a.state_dict().items() if name != "edges"}
    for strict in (True, False):
        with pytest.raises(RuntimeError, match="wiring"):
            b.load_state_dict(without, strict=strict)
    with pytest.raises(RuntimeError, match="size mismatch"):
        SparseLinear(12, 9, 0.4).load_state_dict(a.state_dict())
    with torch.no_grad():
        b.edges[1, 0] = 99
    with pytest.raises(ValueError, match="edges"):
        b(x)


# ---- models

def test_other_forms():
    layer = SparseLinear(12, 9, 0.5, seed=0)
    assert torch.equal(layer.to_sparse_csr().to_dense(), layer.to_dense())
    linear = nn.Linear(12, 9)
    sparse = SparseLinear.from_linear(linear, 0.25)
    kept = sparse.to_dense() != 0
    assert kept.sum() == 27 and torch.equal(sparse.to_dense()[kept], linear.weight[kept])
    assert linear.weight[~kept].abs().max() <= linear.weight[kept].abs().min() and torch.equal(sparse.bias, linear.bias)
    whole = SparseLinear.from_linear(linear, 1.0)
    x = torch.randn(5, 12)
    assert torch.allclose(whole(x), linear(x), atol=1e-6)


def test_replace_linears_and_train():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 100), nn.ReLU(), nn.Sequential(nn.Linear(100, 100), nn.ReLU()), nn.Linear(100, 3))
    names = replace_linears(model, 0.9, exclude=["3"])
    assert names == ["0", "2.0"] and isinstance(model[3], nn.Linear)
    edges = sum(m.weight.numel() for m in model.modules() if isinstance(m, SparseLinear))
    assert edges == pytest.approx(0.1 * (20 * 100 + 100 * 100), rel=0.01)
    densities = erk_densities([(100, 20), (100, 100)], 0.9)
    assert model[0].density == pytest.approx(densities[0], abs=1e-3) and densities[0] > densities[1]
    groups = decay_groups(model, 0.01)
    assert {id(p) for p in groups[0]["params"]} == {id(model[0].weight), id(model[2][0].weight), id(model[3].weight)}
    optimizer = torch.optim.AdamW(groups, 0.01)
    centres = torch.randn(3, 20) * 2
    y = torch.arange(150) % 3
    x = centres[y] + torch.randn(150, 20)
    for epoch in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        assert evolve_all(model, optimizer, 0.1) > 0
    assert (model(x).argmax(1) == y).float().mean() > 0.9
    uniform = nn.Sequential(nn.Linear(20, 100), nn.Linear(100, 3))
    replace_linears(uniform, 0.8, "uniform")
    assert [round(m.density, 2) for m in uniform] == [0.2, 0.2]
    with pytest.raises(ValueError, match="exclude"):
        replace_linears(model, 0.9, exclude=["nothing"])


@pytest.mark.parametrize("arguments, error", [((0, 3), ValueError), ((3, 2.0), TypeError), ((3, 3, 0), ValueError),
                                              ((3, 3, 1.1), ValueError), ((3, 3, "x"), TypeError), ((3, 3, float("nan")), ValueError)])
def test_wrong_arguments(arguments, error):
    with pytest.raises(error):
        SparseLinear(*arguments)
