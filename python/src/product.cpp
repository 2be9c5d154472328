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
using Floats2 = Array<const float, 2>;

void expect(bool holds, const char* message) {
    if (!holds) throw nb::value_error(message);
}

/// A product that several threads may call, one after the other.
struct Product {
    SparseProduct product;
    std::mutex busy = {};
};

template <class T>
BatchView<T> batch_of(const Array<T, 2>& array, bool feature_major) {
    const auto first = static_cast<Index>(array.shape(0)), second = static_cast<Index>(array.shape(1));
    if (feature_major) return {array.data(), second, first, BatchOrder::feature_major};
    return {array.data(), first, second, BatchOrder::sample_major};
}

std::unique_ptr<Product> make_product(const Array<const std::int32_t, 1>& row_start,
                                      const Array<const std::int32_t, 1>& column, Index num_inputs, int threads) {
    expect(row_start.size() >= 1, "row_start: expected one entry more than outputs, found none");
    Topology topology{num_inputs, static_cast<Index>(row_start.size() - 1),
                      {row_start.data(), row_start.data() + row_start.size()},
                      {column.data(), column.data() + column.size()}};
    const std::string broken = fault(topology);
    if (!broken.empty()) throw nb::value_error(broken.c_str());
    return std::unique_ptr<Product>(new Product{SparseProduct(topology, threads)});
}

std::unique_ptr<PackedBatch> pack(Product& self, const Floats2& x, bool feature_major) {
    const auto view = batch_of(x, feature_major);
    expect(view.features == self.product.num_inputs(), "x: expected as many features as the layer has inputs");
    const nb::gil_scoped_release free;
    const std::scoped_lock one_at_a_time(self.busy);
    return std::make_unique<PackedBatch>(self.product.pack(view));
}

void forward(Product& self, const PackedBatch& x, const Floats1& weights, const std::optional<Floats1>& bias,
             const Array<float, 2>& y, bool feature_major) {
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

void backward(Product& self, const PackedBatch& x, const Floats1& weights, const Floats2& dy, bool dy_feature_major,
              const std::optional<Array<float, 2>>& dx, bool dx_feature_major, const std::optional<Array<float, 1>>& dw,
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
        .def(nb::new_(&make_product), nb::arg("row_start").noconvert(), nb::arg("column").noconvert(),
             nb::arg("num_inputs"), nb::arg("threads"))
        .def("pack", &pack, nb::arg("x").noconvert(), nb::arg("feature_major"))
        .def("forward", &forward, nb::arg("x"), nb::arg("weights").noconvert(), nb::arg("bias").noconvert().none(),
             nb::arg("y").noconvert(), nb::arg("feature_major"))
        .def("backward", &backward, nb::arg("x"), nb::arg("weights").noconvert(), nb::arg("dy").noconvert(),
             nb::arg("dy_feature_major"), nb::arg("dx").noconvert().none(), nb::arg("dx_feature_major"),
             nb::arg("dw").noconvert().none(), nb::arg("db").noconvert().none());
}

}  // namespace espalier_python
