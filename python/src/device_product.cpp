// Sparse products on CUDA arrays of the caller's, which come by DLPack. As product.cpp, everything is checked here.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/unique_ptr.h>

#include <mutex>
#include <optional>

#include "binding.hpp"
#include "espalier/device_product.hpp"

namespace espalier_python {

using namespace espalier;

namespace {

template <class T, std::size_t N>
using CudaArray = nb::ndarray<T, nb::ndim<static_cast<nb::ssize_t>(N)>, nb::c_contig, nb::device::cuda>;
/// [tiles][neurons][lanes]
template <class T>
using Tiles = CudaArray<T, 3>;

/// A product that several threads may call, one after the other.
struct OnDevice {
    std::unique_ptr<DeviceProduct> product;
    std::mutex busy = {};

    template <class Array>
    [[nodiscard]] auto* data(const Array& array) const {
        expect(array.device_id() == product->device(), "expected arrays on the device of the layer");
        return array.data();
    }
    template <class T>
    [[nodiscard]] TiledView<T> tiles(const Tiles<T>& array, Index samples, Index rows, const char* message) const {
        const Index lanes = product->lanes();
        expect(samples > 0 && array.shape(0) == (std::size_t{samples} + lanes - 1) / lanes && array.shape(1) == rows &&
                   array.shape(2) == lanes,
               message);
        return {data(array), rows, samples, lanes};
    }
    template <class T>
    [[nodiscard]] T* vector(const std::optional<CudaArray<T, 1>>& array, std::size_t size, const char* message) const {
        if (!array.has_value()) return nullptr;
        expect(array->size() == size, message);
        return data(*array);
    }
};

using Stream = std::optional<std::uintptr_t>;
DeviceProduct::StreamHandle handle(const Stream& stream) {
    if (!stream.has_value()) return std::nullopt;
    return reinterpret_cast<void*>(*stream);
}

std::unique_ptr<OnDevice> make_on_device(const Array<const std::int32_t, 1>& outputs,
                                         const Array<const std::int32_t, 1>& inputs, Index num_inputs, Index num_outputs,
                                         int device) {
    const Topology topology = topology_of(outputs, inputs, num_inputs, num_outputs);
    const nb::gil_scoped_release free;
    return std::unique_ptr<OnDevice>(new OnDevice{make_device_product(topology, device)});
}

constexpr const char* bad_x = "x: expected [tiles, inputs, lanes] of the samples";

void forward(OnDevice& self, const Tiles<const float>& x, Index samples, const CudaArray<const float, 1>& weights,
             const std::optional<CudaArray<const float, 1>>& bias, const Tiles<float>& y, const Stream& stream) {
    const DeviceProduct& product = *self.product;
    const ConstActivations from = self.tiles(x, samples, product.num_inputs(), bad_x);
    const Activations to = self.tiles(y, samples, product.num_outputs(), "y: expected [tiles, outputs, lanes] of the samples");
    expect(weights.size() == product.num_edges(), "weights: expected one for each edge");
    const float* own_weights = self.data(weights);
    const float* own_bias = self.vector(bias, product.num_outputs(), "bias: expected one for each output");
    const nb::gil_scoped_release free;
    const std::scoped_lock one_at_a_time(self.busy);
    self.product->forward(from, own_weights, own_bias, to, handle(stream));
}

void backward(OnDevice& self, const Tiles<const float>& x, Index samples, const CudaArray<const float, 1>& weights,
              const Tiles<const float>& dy, const std::optional<Tiles<float>>& dx,
              const std::optional<CudaArray<float, 1>>& dw, const std::optional<CudaArray<float, 1>>& db,
              const Stream& stream) {
    const DeviceProduct& product = *self.product;
    const ConstActivations from = self.tiles(x, samples, product.num_inputs(), bad_x);
    const ConstActivations up =
        self.tiles(dy, samples, product.num_outputs(), "dy: expected [tiles, outputs, lanes] of the samples");
    expect(weights.size() == product.num_edges(), "weights: expected one for each edge");
    const float* own_weights = self.data(weights);
    DeviceProduct::Gradients to;
    if (dx.has_value()) to.x = self.tiles(*dx, samples, product.num_inputs(), "dx: expected a gradient shaped as x");
    to.weights = self.vector(dw, product.num_edges(), "dw: expected one for each edge");
    to.bias = self.vector(db, product.num_outputs(), "db: expected one for each output");
    const nb::gil_scoped_release free;
    const std::scoped_lock one_at_a_time(self.busy);
    self.product->backward(from, own_weights, up, to, handle(stream));
}

}  // namespace

void bind_device_product(nb::module_& m) {
    nb::class_<OnDevice>(m, "DeviceProduct")
        .def(nb::new_(&make_on_device), nb::arg("outputs").noconvert(), nb::arg("inputs").noconvert(), nb::arg("num_inputs"),
             nb::arg("num_outputs"), nb::arg("device"))
        .def_prop_ro("lanes", [](const OnDevice& self) { return self.product->lanes(); })
        .def("forward", &forward, nb::arg("x").noconvert(), nb::arg("samples"), nb::arg("weights").noconvert(),
             nb::arg("bias").noconvert().none(), nb::arg("y").noconvert(), nb::arg("stream").none())
        .def("backward", &backward, nb::arg("x").noconvert(), nb::arg("samples"), nb::arg("weights").noconvert(),
             nb::arg("dy").noconvert(), nb::arg("dx").noconvert().none(), nb::arg("dw").noconvert().none(),
             nb::arg("db").noconvert().none(), nb::arg("stream").none());
}

}  // namespace espalier_python
