// Sparse products on the caller's arrays, for automatic differentiation. Everything is checked here: nothing that Python
// passes may write outside an array.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/unique_ptr.h>

#include <mutex>
#include <optional>

#include "binding.hpp"
#include "espalier/sparse_product.hpp"

namespace espalier_python {

using namespace espalier;

namespace {

using Floats1 = Array<const float, 1>;
/// Rows without gaps, which may be parts of longer ones.
template <class T>
using Rows = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;

/// A product that several threads may call, one after the other.
struct Product {
    SparseProduct product;
    std::mutex busy = {};
};

template <class T>
BatchView<T> batch_of(const Rows<T>& array, bool feature_major) {
    const bool is_empty = array.size() == 0;  // whose strides may be anything
    expect(is_empty || array.shape(1) <= 1 || array.stride(1) == 1, "expected rows whose numbers lie side by side");
    const auto length = static_cast<std::int64_t>(array.shape(1));
    expect(is_empty || array.shape(0) <= 1 || array.stride(0) >= length, "expected rows one after another, not over each other");
    const auto stride = static_cast<std::size_t>(!is_empty && array.shape(0) > 1 ? array.stride(0) : length);
    const auto first = static_cast<Index>(array.shape(0)), second = static_cast<Index>(array.shape(1));
    if (feature_major) return {array.data(), second, first, BatchOrder::feature_major, stride};
    return {array.data(), first, second, BatchOrder::sample_major, stride};
}

}  // namespace

void expect(bool holds, const char* message) {
    if (!holds) throw nb::value_error(message);
}

Topology topology_of(const Array<const std::int32_t, 1>& outputs, const Array<const std::int32_t, 1>& inputs,
                     Index num_inputs, Index num_outputs) {
    expect(outputs.size() == inputs.size(), "edges: expected an output and an input for each");
    Topology topology{num_inputs, num_outputs, std::vector<EdgeIndex>(std::size_t{num_outputs} + 1), {}};
    std::int64_t before = -1;
    for (std::size_t e = 0; e < inputs.size(); ++e) {
        expect(outputs(e) >= 0 && static_cast<Index>(outputs(e)) < num_outputs && inputs(e) >= 0 &&
                   static_cast<Index>(inputs(e)) < num_inputs,
               "edges: expected outputs and inputs of the layer, found others");
        const std::int64_t cell = std::int64_t{inputs(e)} * num_outputs + outputs(e);
        expect(cell > before, "edges: expected them by input, outputs ascending, found another order or one twice");
        before = cell;
        ++topology.row_start[static_cast<std::size_t>(outputs(e)) + 1];
    }
    for (std::size_t r = 0; r < num_outputs; ++r) topology.row_start[r + 1] += topology.row_start[r];
    topology.column.resize(inputs.size());
    std::vector<EdgeIndex> next(topology.row_start.begin(), topology.row_start.end() - 1);
    for (std::size_t e = 0; e < inputs.size(); ++e) {
        topology.column[next[static_cast<std::size_t>(outputs(e))]++] = static_cast<Index>(inputs(e));
    }
    return topology;
}

namespace {

std::unique_ptr<Product> make_product(const Array<const std::int32_t, 1>& outputs,
                                      const Array<const std::int32_t, 1>& inputs, Index num_inputs, Index num_outputs,
                                      int threads) {
    return std::unique_ptr<Product>(
        new Product{SparseProduct(topology_of(outputs, inputs, num_inputs, num_outputs), threads)});
}

std::unique_ptr<PackedBatch> pack(Product& self, const Rows<const float>& x, bool feature_major) {
    const auto view = batch_of(x, feature_major);
    expect(view.features == self.product.num_inputs(), "x: expected as many features as the layer has inputs");
    const nb::gil_scoped_release free;
    const std::scoped_lock one_at_a_time(self.busy);
    return std::make_unique<PackedBatch>(self.product.pack(view));
}

void forward(Product& self, const PackedBatch& x, const Floats1& weights, const std::optional<Floats1>& bias,
             const Rows<float>& y, bool feature_major) {
    const auto to = batch_of(y, feature_major);
    expect(x.features() == self.product.num_inputs(), "x: packed for a layer of another width");
    expect(weights.size() == self.product.num_edges(), "weights: expected one for each edge");
    expect(!bias.has_value() || bias->size() == self.product.num_outputs(), "bias: expected one for each output");
    expect(to.features == self.product.num_outputs() && to.samples == x.samples(),
           "y: expected [samples, outputs] of the batch");
    const nb::gil_scoped_release free;
    const std::scoped_lock one_at_a_time(self.busy);
    self.product.forward(x, weights.data(), bias.has_value() ? bias->data() : nullptr, to);
}

void backward(Product& self, const PackedBatch& x, const Floats1& weights, const Rows<const float>& dy, bool dy_feature_major,
              const std::optional<Rows<float>>& dx, bool dx_feature_major, const std::optional<Array<float, 1>>& dw,
              const std::optional<Array<float, 1>>& db) {
    const auto from = batch_of(dy, dy_feature_major);
    expect(x.features() == self.product.num_inputs(), "x: packed for a layer of another width");
    expect(weights.size() == self.product.num_edges(), "weights: expected one for each edge");
    expect(from.features == self.product.num_outputs() && from.samples == x.samples(),
           "dy: expected [samples, outputs] of the batch");
    SparseProduct::Gradients to;
    if (dx.has_value()) {
        to.x = batch_of(*dx, dx_feature_major);
        expect(to.x.features == self.product.num_inputs() && to.x.samples == x.samples(),
               "dx: expected [samples, inputs] of the batch");
    }
    if (dw.has_value()) {
        expect(dw->size() == self.product.num_edges(), "dw: expected one for each edge");
        to.weights = dw->data();
    }
    if (db.has_value()) {
        expect(db->size() == self.product.num_outputs(), "db: expected one for each output");
        to.bias = db->data();
    }
    const nb::gil_scoped_release free;
    const std::scoped_lock one_at_a_time(self.busy);
    self.product.backward(x, weights.data(), from, to);
}

}  // namespace

void bind_product(nb::module_& m) {
    nb::class_<PackedBatch>(m, "PackedBatch");
    nb::class_<Product>(m, "Product")
        .def(nb::new_(&make_product), nb::arg("outputs").noconvert(), nb::arg("inputs").noconvert(), nb::arg("num_inputs"),
             nb::arg("num_outputs"), nb::arg("threads"))
        .def("pack", &pack, nb::arg("x").noconvert(), nb::arg("feature_major"))
        .def("forward", &forward, nb::arg("x"), nb::arg("weights").noconvert(), nb::arg("bias").noconvert().none(),
             nb::arg("y").noconvert(), nb::arg("feature_major"))
        .def("backward", &backward, nb::arg("x"), nb::arg("weights").noconvert(), nb::arg("dy").noconvert(),
             nb::arg("dy_feature_major"), nb::arg("dx").noconvert().none(), nb::arg("dx_feature_major"),
             nb::arg("dw").noconvert().none(), nb::arg("db").noconvert().none());
}

}  // namespace espalier_python
