"""The loop of scipy_peer with MKL's sparse products: one handle a matrix and one for its transpose, kept for the whole
run. Without mkl_sparse_optimize, which after a hint copies the values: such a handle trains on stale weights unless
mkl_sparse_s_update_values follows every step (findings/mkl_hinted_handles_keep_old_values.sh)."""
import ctypes
import os
import sys
from importlib.metadata import version

import numpy
import scipy_peer
from networks import layer_shapes

GENERAL, NON_TRANSPOSED, ROW_MAJOR = 20, 10, 101


class Description(ctypes.Structure):
    """matrix_descr of mkl_spblas.h; mode and diagonal are of triangular matrices."""

    _fields_ = [("type", ctypes.c_int), ("mode", ctypes.c_int), ("diagonal", ctypes.c_int)]


def open_library():
    try:
        version("mkl")
    except ImportError as error:  # PackageNotFoundError is one
        raise ImportError("MKL (PyPI: mkl)") from error
    os.environ["MKL_THREADING_LAYER"] = "GNU"
    os.environ["MKL_INTERFACE_LAYER"] = "LP64"
    return ctypes.CDLL(os.path.join(sys.prefix, "lib", "libmkl_rt.so.3"))


LIBRARY = open_library()


def address(array):
    return ctypes.c_void_p(array.ctypes.data)


class Handle:
    """A CSR matrix whose arrays stay ours: values that change are seen by the next product."""

    def __init__(self, start, column, values, shape):
        self.start, self.column, self.values = start.astype("int32"), column.astype("int32"), values
        self.shape = shape
        self.handle = ctypes.c_void_p()
        check(LIBRARY.mkl_sparse_s_create_csr(
            ctypes.byref(self.handle), 0, shape[0], shape[1], address(self.start),
            ctypes.c_void_p(self.start.ctypes.data + 4), address(self.column), address(values)))

    def __matmul__(self, x):
        y = numpy.empty((self.shape[0], x.shape[1]), "float32")
        check(LIBRARY.mkl_sparse_s_mm(
            NON_TRANSPOSED, ctypes.c_float(1), self.handle, Description(GENERAL, 0, 0), ROW_MAJOR, address(x),
            x.shape[1], x.shape[1], ctypes.c_float(0), address(y), x.shape[1]))
        return y


def check(status):
    if status != 0:
        sys.exit(f"MKL's sparse routine ended with status {status}")


class SparseLayer(scipy_peer.SparseLayer):
    def __init__(self, inputs, outputs, edges, rng):
        super().__init__(inputs, outputs, edges, rng)
        self.order = numpy.argsort(self.column, kind="stable")
        self.forward = Handle(self.matrix.indptr, self.matrix.indices, self.parameters, (outputs, inputs))
        column_start = numpy.searchsorted(self.column[self.order], numpy.arange(inputs + 1))
        self.backward = Handle(column_start, self.row[self.order], self.parameters[self.order], (inputs, outputs))
        x = rng.standard_normal((inputs, 3)).astype("float32")
        self.parameters *= 2  # as an optimizer would, behind MKL's back
        assert numpy.allclose(self.product(x), self.matrix @ x, rtol=1e-4, atol=1e-5)
        y = rng.standard_normal((outputs, 3)).astype("float32")
        assert numpy.allclose(self.transposed_product(y), self.matrix.T @ y, rtol=1e-4, atol=1e-5)
        self.parameters /= 2

    def product(self, x):
        return self.forward @ x

    def transposed_product(self, dy):
        numpy.take(self.parameters, self.order, out=self.backward.values)
        return self.backward @ dy


class Peer(scipy_peer.Peer):
    def __init__(self, kind, network):
        super().__init__(kind, network, SparseLayer)


def describe():
    return f"MKL {version('mkl')}, NumPy {numpy.__version__}"


def set_threads(threads):
    LIBRARY.MKL_Set_Num_Threads(threads)
