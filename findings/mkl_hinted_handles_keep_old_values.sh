#!/usr/bin/env bash
# MKL 2026.2.0 (PyPI's wheel): whether a sparse handle follows its values depends on a hint. mkl_sparse_s_create_csr keeps the
# caller's arrays, and values changed in place are those of the next mkl_sparse_s_mm, after mkl_sparse_optimize too; but once
# mkl_sparse_set_mm_hint came before mkl_sparse_optimize, products go on with the values of that moment, and every call
# succeeds. Training that updates weights in place then learns nothing. mkl_sparse_s_update_values helps once, not for later
# changes: it must follow every step.
# Needs Python 3 with venv and about 1 GB in the temporary folder. Ends with 0 while it is so.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/env"
"$scratch/env/bin/pip" -q --disable-pip-version-check install mkl==2026.2.0 numpy==2.4.6
"$scratch/env/bin/python" - <<'PYTHON'
import ctypes
import os
import sys

import numpy

os.environ["MKL_THREADING_LAYER"] = "SEQUENTIAL"
mkl = ctypes.CDLL(os.path.join(sys.prefix, "lib", "libmkl_rt.so.3"))


class Description(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("mode", ctypes.c_int), ("diagonal", ctypes.c_int)]


PLAIN, GENERAL, ROW_MAJOR = 10, Description(20, 0, 0), 101
n, in_a_row, samples = 1000, 40, 16


def at(array, offset=0):
    return ctypes.c_void_p(array.ctypes.data + offset)


def call(name, *arguments):
    assert getattr(mkl, name)(*arguments) == 0, name


def product(handle):
    x, y = numpy.ones((n, samples), "float32"), numpy.zeros((n, samples), "float32")
    call("mkl_sparse_s_mm", PLAIN, ctypes.c_float(1), handle, GENERAL, ROW_MAJOR, at(x), samples, samples, ctypes.c_float(0),
         at(y), samples)
    return y[0, 0]


def seen(hint):
    """A row's sum with values of 1, then 2; after an update to 2, then with 4."""
    start = numpy.arange(0, n * in_a_row + 1, in_a_row, dtype="int32")
    column = numpy.tile(numpy.arange(in_a_row, dtype="int32"), n)
    values = numpy.ones(n * in_a_row, "float32")
    handle = ctypes.c_void_p()
    call("mkl_sparse_s_create_csr", ctypes.byref(handle), 0, n, n, at(start), at(start, 4), at(column), at(values))
    if hint:
        call("mkl_sparse_set_mm_hint", handle, PLAIN, GENERAL, ROW_MAJOR, samples, 1000)
    call("mkl_sparse_optimize", handle)
    sums = [product(handle)]
    values *= 2
    sums.append(product(handle))
    call("mkl_sparse_s_update_values", handle, 0, None, None, at(values))
    sums.append(product(handle))
    values *= 2
    sums.append(product(handle))
    return [float(each) for each in sums]


without, hinted = seen(False), seen(True)
print("values 1, 2, 2 after update_values, 4; optimized without a hint:", without, "with one:", hinted)
if without != [40, 80, 80, 160] or hinted != [40, 40, 80, 80]:
    sys.exit("not so any more")
PYTHON
