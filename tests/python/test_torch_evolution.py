"""The sparse layer for PyTorch evolves: what is pruned, what grows, and every optimizer's state moves with its edge."""
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from espalier.torch import SparseLinear  # noqa: E402
from torch_twin import compare  # noqa: E402

OPTIMIZERS = {"sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
              "nesterov": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
              "adam": lambda p: torch.optim.Adam(p, 0.01), "amsgrad": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
              "adamw": lambda p: torch.optim.AdamW(p, 0.01),
              "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.9, centered=True)}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("grow", ["random", "gradient"])
def test_every_state_moves_with_its_edge(name, grow):
    torch.manual_seed(0)
    layer = SparseLinear(30, 20, 0.2, seed=0)
    layer.remember_for_growth = True
    optimizer = OPTIMIZERS[name](layer.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(16, 30)).pow(2).mean().backward()
        optimizer.step()
    before = {key: i for i, key in enumerate(layer._keys())}
    weight, gradient = layer.weight.detach().clone(), layer.weight.grad.clone()
    states = {k: v.clone() for k, v in optimizer.state[layer.weight].items() if torch.is_tensor(v) and v.dim() == 1}
    assert states
    dropped = set(np.array(list(before))[torch.argsort(weight.abs())[:int(0.3 * len(weight))].numpy()])
    parameter = layer.weight
    layer.evolve(grow=grow, zeta=0.3, optimizer=optimizer, seed=4)
    assert layer.weight is parameter and layer.weight.numel() == len(before)
    after = layer._keys()
    assert (np.diff(after) > 0).all() and len(set(after) & (set(before) - dropped)) == len(before) - len(dropped)
    for slot, key in enumerate(after):
        survives = key in before and key not in dropped
        old = before.get(key)
        if survives:
            assert layer.weight[slot] == weight[old] and layer.weight.grad[slot] == gradient[old]
        for kind, values in states.items():
            now = optimizer.state[parameter][kind][slot]
            assert now == (values[old] if survives else 0), kind
        if not survives and grow == "gradient":
            assert layer.weight[slot] == 0
    optimizer.step()  # and training goes on
    compare(layer, torch.randn(9, 30))


def test_random_growth_takes_empty_cells_and_every_one_of_them():
    seen = set()
    for seed in range(60):
        layer = SparseLinear(5, 4, 0.5, seed=0)
        before = set(layer._keys())
        assert layer.evolve(zeta=0.3, seed=seed) == 3
        new = set(layer._keys()) - before
        assert len(new) == 3
        seen |= new
    assert seen == set(range(20)) - before


def test_gradient_growth_finds_the_steepest_cells():
    torch.manual_seed(0)
    layer = SparseLinear(30, 20, 0.1, seed=0)
    with pytest.raises(ValueError, match="remember_for_growth"):
        layer.evolve(grow="gradient")
    layer.remember_for_growth = True
    x, up = torch.randn(16, 30), torch.randn(16, 20)
    (layer(x) * up).sum().backward()
    steepest = (up.t() @ x).abs()  # [outputs, inputs], of every cell
    kept = np.delete(np.arange(60), torch.argsort(layer.weight.detach().abs())[:18].numpy())
    rows, columns = layer.edges[:, kept].long()
    steepest[rows, columns] = -1
    expected = set(torch.topk(steepest.t().reshape(-1), 18).indices.tolist())
    layer.evolve(grow="gradient", zeta=0.3)
    assert set(layer._keys()) == expected | set((columns * 20 + rows).tolist())


@pytest.mark.parametrize("prune", ["magnitude", "sign", "random"])
def test_prune_rules(prune):
    layer = SparseLinear(40, 30, 0.3, seed=0)
    weight = layer.weight.detach().clone()
    keys = layer._keys()
    layer.evolve(prune=prune, zeta=0.25, seed=1)
    gone = weight[torch.from_numpy(~np.isin(keys, layer._keys()))]
    if prune == "magnitude":
        assert gone.abs().max() <= weight.abs().sort().values[len(gone)]
    if prune == "sign":
        assert len(gone[gone > 0]) == int(0.25 * (weight > 0).sum()) and gone.max() <= weight[weight > 0].quantile(0.26)
    with pytest.raises(ValueError, match="expected magnitude, sign or random"):
        layer.evolve(prune="weakest")
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        layer.evolve(zeta=1.5)
    with pytest.raises(ValueError, match="optimizer"):
        layer.evolve(optimizer=torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1))
    with torch.no_grad():
        layer.weight[0] = float("nan")
    with pytest.raises(FloatingPointError):
        layer.evolve()


def test_full_layer_evolves_by_its_own_cells():
    layer = SparseLinear(4, 3, 1.0, seed=0)
    assert layer.evolve(zeta=0.5) == 0 and layer.weight.numel() == 12


def test_backward_after_evolution_is_an_error_not_a_wrong_gradient():
    layer = SparseLinear(12, 9, 0.5, seed=0)
    y = layer(torch.randn(8, 12))
    layer.evolve()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
