"""Sparse layers on CUDA tensors, without a GPU: the CUDA module whose kernels the CPU runs, and arrays in host memory whose
DLPack capsules say that they lie on a CUDA device."""
import ctypes
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from espalier import _core, _device  # noqa: E402
from espalier.torch import SparseLinear  # noqa: E402

MODULE = os.environ.get("ESPALIER_ON_HOST_MODULE", "")
on_host = pytest.mark.skipif(not (Path(MODULE) / "libespalier_cuda.so").is_file(),
                             reason="this build has no CUDA module for the CPU")
CUDA, FLOAT = 2, 2  # of DLPack


class Tensor(ctypes.Structure):
    """DLManagedTensor."""
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
                ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64), ("manager", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class Claimed:
    """A float32 tensor or array in host memory that says it is on a CUDA device."""
    kept = []  # a capsule's tensor must stay until it is taken and released

    def __init__(self, array, device=0, bits=32):
        self.array, self.device, self.bits = (array.detach().numpy() if torch.is_tensor(array) else array), device, bits

    def __dlpack__(self, **_):
        shape = (ctypes.c_int64 * self.array.ndim)(*self.array.shape)
        strides = (ctypes.c_int64 * self.array.ndim)(*(each // self.array.itemsize for each in self.array.strides))
        tensor = Tensor(self.array.ctypes.data, CUDA, self.device, self.array.ndim, FLOAT, self.bits, 1, shape, strides, 0,
                        None, None)
        self.kept.append((tensor, shape, strides, self.array))
        return new_capsule(ctypes.addressof(tensor), b"dltensor", None)

    def __dlpack_device__(self):
        return CUDA, self.device


@pytest.fixture
def claims_cuda(monkeypatch):
    """Layers compute by the CUDA module, whatever their tensors."""
    monkeypatch.setenv("ESPALIER_MODULE_PATH", MODULE)
    monkeypatch.setattr(_device, "place_of", lambda tensor: torch.device("cuda", 0))
    monkeypatch.setattr(_device, "_array", lambda tensor: Claimed(tensor.detach().contiguous()))
    yield
    Claimed.kept.clear()


def both(layer, x, up, monkeypatch):
    """Output and gradients by the module and by the CPU's kernels."""
    found = []
    for place in ("cuda", "cpu"):
        monkeypatch.setattr(_device, "place_of", lambda tensor: torch.device(place, 0) if place == "cuda" else tensor.device)
        layer.zero_grad()
        mine = x.clone().requires_grad_()
        y = layer(mine)
        (y * up).sum().backward()
        found.append([y.detach(), mine.grad, layer.weight.grad.clone()]
                     + ([layer.bias.grad.clone()] if layer.bias is not None else []))
    return found


@on_host
@pytest.mark.parametrize("batch", [1, 17, 128, 130, 300])
@pytest.mark.parametrize("inputs, outputs, density", [(1, 1, 1.0), (7, 5, 0.4), (33, 130, 0.1), (100, 3, 0.05)])
@pytest.mark.parametrize("bias", [True, False])
def test_as_on_the_cpu(claims_cuda, monkeypatch, batch, inputs, outputs, density, bias):
    torch.manual_seed(batch)
    layer = SparseLinear(inputs, outputs, density, bias=bias, seed=3)
    if bias:
        nn.init.normal_(layer.bias)
    device, host = both(layer, torch.randn(batch, inputs), torch.randn(batch, outputs), monkeypatch)
    assert len(device) == len(host)
    for a, b in zip(device, host):
        assert a.shape == b.shape and a.is_contiguous()
        assert (a - b).abs().max() <= 1e-5 * max(1, batch ** 0.5) * max(1, b.abs().max())


@on_host
def test_a_layer_evolves_and_goes_on(claims_cuda, monkeypatch):
    torch.manual_seed(0)
    layer = SparseLinear(30, 20, 0.2, seed=0, feature_major=True)
    layer.remember_for_growth = True
    optimizer = torch.optim.Adam(layer.parameters(), 0.01)
    for grow in ("random", "gradient"):
        optimizer.zero_grad()
        layer(torch.randn(2, 4, 30)).pow(2).mean().backward()
        optimizer.step()
        assert layer.evolve(grow=grow, optimizer=optimizer, seed=1) > 0
    device, host = both(layer, torch.randn(9, 30), torch.randn(9, 20), monkeypatch)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(device, host))


@on_host
def test_no_samples_and_what_needs_no_gradient(claims_cuda):
    layer = SparseLinear(6, 4, 0.5, seed=0)
    layer(torch.zeros(0, 6, requires_grad=True)).sum().backward()
    assert layer.weight.grad.abs().sum() == 0 and layer(torch.zeros(0, 6)).shape == (0, 4)
    layer.weight.requires_grad_(False)
    layer.weight.grad = None
    x = torch.randn(3, 6, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert layer.weight.grad is None and torch.allclose(x.grad, layer.to_dense().sum(0).expand(3, -1), atol=1e-6)
    with pytest.raises(RuntimeError):  # second derivatives
        (gradient,) = torch.autograd.grad(layer(x).pow(2).sum(), x, create_graph=True)
        gradient.sum().backward()


@on_host
def test_wrong_arrays_are_refused(claims_cuda):
    product = _core.DeviceProduct(np.array([0, 1, 0], np.int32), np.array([0, 1, 3], np.int32), 4, 2, 0)
    assert product.lanes == 128
    x, y = np.ones((1, 4, 128), np.float32), np.zeros((1, 2, 128), np.float32)
    weights = Claimed(np.ones(3, np.float32))
    product.forward(Claimed(x), 128, weights, None, Claimed(y), None)
    assert (y[0, 0] == 2).all() and (y[0, 1] == 1).all()
    for error, arguments in [
            (TypeError, (x, 128, weights, None, Claimed(y))),  # host memory
            (TypeError, (Claimed(x.astype(np.float64), bits=64), 128, weights, None, Claimed(y))),
            (TypeError, (Claimed(x.transpose(0, 2, 1)), 128, weights, None, Claimed(y))),
            (TypeError, (Claimed(x[0]), 128, weights, None, Claimed(y))),
            (ValueError, (Claimed(x), 129, weights, None, Claimed(y))),
            (ValueError, (Claimed(x), 0, weights, None, Claimed(y))),
            (ValueError, (Claimed(x, device=1), 128, weights, None, Claimed(y))),
            (ValueError, (Claimed(x), 128, Claimed(np.ones(2, np.float32)), None, Claimed(y))),
            (ValueError, (Claimed(x), 128, weights, Claimed(np.ones(3, np.float32)), Claimed(y))),
            (ValueError, (Claimed(x), 128, weights, None, Claimed(np.zeros((1, 3, 128), np.float32))))]:
        with pytest.raises(error):
            product.forward(*arguments, None)
    with pytest.raises(ValueError, match="dx: expected"):
        product.backward(Claimed(x), 128, weights, Claimed(y), Claimed(y), None, None, None)
    with pytest.raises(ValueError, match="edges: expected"):
        _core.DeviceProduct(np.array([0, 2], np.int32), np.array([0, 1], np.int32), 4, 2, 0)
    with pytest.raises(RuntimeError, match="device: 7 is outside"):
        _core.DeviceProduct(np.array([0], np.int32), np.array([0], np.int32), 4, 2, 7)


def test_without_the_module_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("ESPALIER_MODULE_PATH", str(tmp_path))
    monkeypatch.setattr(_device, "place_of", lambda tensor: torch.device("cuda", 0))
    with pytest.raises(TypeError, match=r"cuda:0.*CUDA module cannot be used.*\.cpu\(\)"):
        SparseLinear(6, 4, 0.5)(torch.zeros(2, 6))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu():
    torch.manual_seed(0)
    layer = SparseLinear(300, 200, 0.1, seed=0)
    x = torch.randn(130, 300)
    layer(x).pow(2).sum().backward()
    device = SparseLinear(300, 200, 0.1, seed=0).cuda()
    device(x.cuda()).pow(2).sum().backward()
    assert torch.allclose(device.weight.grad.cpu(), layer.weight.grad, rtol=1e-4, atol=1e-3)


def test_tiles_there_and_back():
    for samples in (1, 127, 128, 129):
        x = torch.randn(samples, 5)
        tiles = _device.to_tiles(x, 128)
        assert tiles.shape == ((samples + 127) // 128, 5, 128) and tiles.is_contiguous()
        assert torch.equal(_device.from_tiles(tiles, samples), x)
        assert tiles.transpose(1, 2).reshape(-1, 5)[samples:].abs().sum() == 0
        assert torch.equal(_device.to_tiles(x.t().contiguous().t(), 128), tiles)
