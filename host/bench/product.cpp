#include "host/bench/product.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "espalier/topology.hpp"

namespace espalier {
namespace {

constexpr float learning_rate = 1e-3F;

std::vector<float> tiled_numbers(Index rows, Index batch, Index lanes, std::uint32_t stream) {
    std::vector<float> values = benchmark_numbers(Activations{nullptr, rows, batch, lanes}.size(), stream);
    const Activations view{values.data(), rows, batch, lanes};
    for (Index r = 0; r < rows; ++r) {
        for (Index s = batch; s < view.tiles() * lanes; ++s) view.at(r, s) = 0;
    }
    return values;
}

Buffer<float> uploaded(Backend& backend, const std::vector<float>& values) {
    Buffer<float> memory(backend, values.size());
    memory.upload(values.data());
    return memory;
}

std::vector<float> downloaded(const Buffer<float>& memory) {
    std::vector<float> values(memory.size());
    memory.download(values.data());
    return values;
}

ConstActivations over(const std::vector<float>& values, const Activations& shape) {
    return {values.data(), shape.rows, shape.batch, shape.lanes};
}

/// The largest error of all comparisons, relative to the size of the sums.
class Comparison {
public:
    void add(float got, double want, double size) {
        const double error = std::abs(static_cast<double>(got) - want) / (size + 1e-6);
        worst_ = std::isfinite(error) ? std::max(worst_, error) : HUGE_VAL;
        ++count_;
    }
    [[nodiscard]] std::string fault(const char* what, double tolerance) const {
        if (count_ > 0 && worst_ < tolerance) return {};
        char text[160];
        std::snprintf(text, sizeof text, "%s off by %.2g of its size (allowed: %.0e; %zu values compared)", what,
                      worst_, tolerance, count_);
        return text;
    }

private:
    double worst_ = 0;
    std::size_t count_ = 0;
};

std::string forward_fault(LoadedProduct& loaded, const ProductProblem& problem, Index stride, double tolerance) {
    loaded.enqueue(Product::forward);
    const std::vector<float> y = downloaded(loaded.y_memory);
    const ConstActivations got = over(y, loaded.y);
    const ConstActivations x = over(problem.x, loaded.x);
    const Topology topology = problem.topology();
    Comparison comparison;
    for (Index r = 0; r < topology.num_outputs; r += stride) {
        for (Index s = 0; s < problem.batch; ++s) {
            double sum = static_cast<double>(problem.layer.bias[r]);
            double size = std::abs(sum);
            for (EdgeIndex e = topology.row_start[r]; e < topology.row_start[r + 1]; ++e) {
                const double term =
                    static_cast<double>(problem.layer.weights[e]) * static_cast<double>(x.at(topology.column[e], s));
                sum += term;
                size += std::abs(term);
            }
            comparison.add(got.at(r, s), sum, size);
        }
    }
    return comparison.fault("forward", tolerance);
}

/// One step from the layer as it was loaded: dx = W^T dy and, momentum being 0 before it, w -= rate * gradient.
std::string backward_fault(LoadedProduct& loaded, const ProductProblem& problem, Index stride, double tolerance) {
    loaded.enqueue(Product::backward);
    const Layer after = loaded.backend.store(*loaded.layer);
    const ConstActivations x = over(problem.x, loaded.x);
    const ConstActivations dy = over(problem.dy, loaded.dy);
    const Topology topology = problem.topology();
    const Index checked_inputs = (topology.num_inputs + stride - 1) / stride;
    std::vector<double> sums(std::size_t{checked_inputs} * problem.batch, 0), sizes(sums);
    Comparison updates;
    for (Index r = 0; r < topology.num_outputs; ++r) {
        for (EdgeIndex e = topology.row_start[r]; e < topology.row_start[r + 1]; ++e) {
            const Index c = topology.column[e];
            const auto weight = static_cast<double>(problem.layer.weights[e]);
            if (r % stride == 0) {
                double gradient = 0;
                for (Index s = 0; s < problem.batch; ++s) {
                    gradient += static_cast<double>(x.at(c, s)) * static_cast<double>(dy.at(r, s));
                }
                updates.add(after.weights[e], weight - static_cast<double>(learning_rate) * gradient, 1);
            }
            if (loaded.dx && c % stride == 0) {
                for (Index s = 0; s < problem.batch; ++s) {
                    const double term = weight * static_cast<double>(dy.at(r, s));
                    const std::size_t at = std::size_t{c / stride} * problem.batch + s;
                    sums[at] += term;
                    sizes[at] += std::abs(term);
                }
            }
        }
    }
    const std::string fault = updates.fault("updated weight", tolerance);
    if (!fault.empty() || !loaded.dx) return fault;
    const std::vector<float> dx = downloaded(loaded.dx_memory);
    const ConstActivations got = over(dx, loaded.dx);
    Comparison gradients;
    for (Index i = 0; i < checked_inputs; ++i) {
        for (Index s = 0; s < problem.batch; ++s) {
            const std::size_t at = std::size_t{i} * problem.batch + s;
            gradients.add(got.at(i * stride, s), sums[at], sizes[at]);
        }
    }
    return gradients.fault("input gradient", tolerance);
}

}  // namespace

std::vector<float> benchmark_numbers(std::size_t count, std::uint32_t stream_number) {
    const Stream stream{11, Purpose::initial_weight, stream_number, 0};
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = symmetric_uniform(stream.bits(i));
    return values;
}

ProductProblem::ProductProblem(Index inputs, Index outputs, double sparsity, Index batch_size, Index lanes)
    : batch(batch_size) {
    layer.num_inputs = inputs;
    layer.num_outputs = outputs;
    layer.activation = Identity{};
    const auto edges = static_cast<Cell>(std::llround((1 - sparsity) * static_cast<double>(Cell{inputs} * outputs)));
    layer.topology = random_topology(inputs, outputs, edges, ExactCount{}, {1, Purpose::topology, 0, 0});
    layer.weights = benchmark_numbers(layer.topology->num_edges(), 0);
    layer.bias = benchmark_numbers(outputs, 1);
    x = tiled_numbers(inputs, batch, lanes, 2);
    dy = tiled_numbers(outputs, batch, lanes, 3);
}

ProductProblem::ProductProblem(Index inputs, Index outputs, Index batch_size, Index lanes) : batch(batch_size) {
    layer.num_inputs = inputs;
    layer.num_outputs = outputs;
    layer.activation = Identity{};
    layer.weights = benchmark_numbers(std::size_t{inputs} * outputs, 0);
    layer.bias = benchmark_numbers(outputs, 1);
    x = tiled_numbers(inputs, batch, lanes, 2);
    dy = tiled_numbers(outputs, batch, lanes, 3);
}

ProductProblem ProductProblem::with_lanes(Index lanes) const {
    ProductProblem problem = *this;
    problem.layer.bias.assign(layer.bias.size(), 0.0F);
    problem.x = tiled_numbers(layer.num_inputs, batch, lanes, 2);
    problem.dy = tiled_numbers(layer.num_outputs, batch, lanes, 3);
    return problem;
}

Topology ProductProblem::topology() const {
    if (layer.topology) return *layer.topology;
    Topology every{layer.num_inputs, layer.num_outputs, {0}, {}};
    for (Index row = 0; row < layer.num_outputs; ++row) {
        for (Index column = 0; column < layer.num_inputs; ++column) every.column.push_back(column);
        every.row_start.push_back(static_cast<EdgeIndex>(every.column.size()));
    }
    return every;
}

LoadedProduct::LoadedProduct(Backend& on, const ProductProblem& problem, bool needs_input_gradient, Spmm spmm)
    : backend(on),
      layer(on.load(problem.layer, {needs_input_gradient, Momentum{0.5F}, spmm, problem.batch})),
      x_memory(uploaded(on, problem.x)),
      y_memory(uploaded(on, problem.dy)),
      dy_memory(uploaded(on, problem.dy)),
      dx_memory(uploaded(on, problem.x)),
      now(on, 1),
      x{x_memory.data(), problem.layer.num_inputs, problem.batch, on.lanes()},
      y{y_memory.data(), problem.layer.num_outputs, problem.batch, on.lanes()},
      dy{dy_memory.data(), y.rows, y.batch, y.lanes} {
    if (needs_input_gradient) dx = {dx_memory.data(), x.rows, x.batch, x.lanes};
    StepScalars scalars;
    scalars.update.learning_rate = learning_rate;
    now.upload(&scalars);
}

void LoadedProduct::enqueue(Product product) {
    if (product == Product::forward) {
        backend.forward(*layer, x, {}, y);
    } else {
        backend.backward(*layer, x, y, dy, dx, now.data());
    }
}

CheckedPart CheckedPart::of(const ProductProblem& problem, double work) {
    const double stride = std::ceil(problem.num_edges() * problem.batch / work);
    const double most = std::min(problem.layer.num_inputs, problem.layer.num_outputs);
    return {static_cast<Index>(std::clamp(stride, 1.0, most))};
}

std::string fault(LoadedProduct& loaded, const ProductProblem& problem, Product product, CheckedPart part,
                  double tolerance) {
    return product == Product::forward ? forward_fault(loaded, problem, part.stride, tolerance)
                                       : backward_fault(loaded, problem, part.stride, tolerance);
}

}  // namespace espalier
