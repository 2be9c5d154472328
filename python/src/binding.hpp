// What the files of the module share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/dataset.hpp"
#include "espalier/experiment.hpp"
#include "espalier/topology.hpp"

namespace espalier_python {

namespace nb = nanobind;

/// Arrays of the caller's, taken as they are: without noconvert() nanobind would cast other types without a word.
template <class T, std::size_t N>
using Array = nb::ndarray<T, nb::ndim<static_cast<nb::ssize_t>(N)>, nb::c_contig, nb::device::cpu>;

/// A NumPy array [size] over memory that `owner` keeps, read-only. The engine's unsigned indices are shown as the signed
/// ones that SciPy takes.
template <class Shown, class T>
nb::object view_of(const std::vector<T>& values, nb::handle owner) {
    static_assert(sizeof(Shown) == sizeof(T));
    return nb::cast(nb::ndarray<nb::numpy, const Shown, nb::ndim<1>>(values.data(), {values.size()}, owner));
}

/// A message with Python's names for what the command line calls --learning-rate.
std::string in_python_words(const std::string& message);

/// From the output and the input of every edge, in input order. Throws nb::value_error for what is no layer's wiring.
espalier::Topology topology_of(const Array<const std::int32_t, 1>& outputs, const Array<const std::int32_t, 1>& inputs,
                               espalier::Index num_inputs, espalier::Index num_outputs);
/// Throws nb::value_error unless it holds.
void expect(bool holds, const char* message);

void bind_data(nb::module_& m);
void bind_training(nb::module_& m);
void bind_product(nb::module_& m);
void bind_device_product(nb::module_& m);

}  // namespace espalier_python
