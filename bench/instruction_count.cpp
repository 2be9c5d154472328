// Fixed work for an instruction counter: `instruction_count CASE [CALLS]` prepares a case and then makes CALLS calls
// (default 10) within measured_region(), the only function whose instructions bench/instruction_gate.py counts.
// Without a case: the names of all. One thread, fixed seeds, nothing read from a clock.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "espalier/experiment.hpp"
#include "host/bench/ceiling.hpp"
#include "host/bench/product.hpp"
#include "host/cpu/cpu_backend.hpp"
#include "espalier/dataset.hpp"
#include "espalier/initialize_network.hpp"
#include "host/models/mlp.hpp"

namespace espalier {

/// Not inlined, so that a profiler can start and stop at it.
[[gnu::noinline]] void measured_region(const std::function<void()>& call, int calls) {
    for (int i = 0; i < calls; ++i) call();
}

namespace {

struct Case {
    const char* name;
    void (*run)(int calls);
};

template <Index inputs, Index outputs, int thousandths, Product which, bool first_layer>
void product(int calls) {
    const auto backend = make_cpu_backend(1);
    const ProductProblem problem(inputs, outputs, 1e-3 * thousandths, 128, backend->lanes());
    LoadedProduct loaded(*backend, problem, !first_layer);
    measured_region(
        [&] {
            loaded.enqueue(which);
            backend->wait();
        },
        calls);
}

template <Index inputs, Index outputs, int thousandths>
void evolution(int calls) {
    const auto backend = make_cpu_backend(1);
    const ProductProblem problem(inputs, outputs, 1e-3 * thousandths, 16, backend->lanes());
    const auto layer = backend->load(problem.layer, {true, Momentum{0.5F}});
    std::uint32_t event = 0;
    measured_region(
        [&] {
            static_cast<void>(backend->prune(*layer, {PruneBySign{}, 0.3}));
            static_cast<void>(backend->regrow(*layer, {GrowRandom{}, HeNormal{}, true, {1, 0, event++}}));
        },
        calls);
}

/// Steps of a network on synthetic images: gather, layers, loss, backward, update.
void steps(const std::vector<Index>& layers, double dropout, Index batch, int calls) {
    const auto backend = make_cpu_backend(1);
    Experiment experiment;
    experiment.dropout = dropout;
    experiment.batch = batch;
    experiment.layers = layers;
    experiment.epsilon = 11;
    const DataSet data = load_dataset("synthetic", "", 2560, 128);
    const UploadedSplit train(*backend, data, data.train);
    Mlp perceptron(*backend, experiment, initialize_network(experiment));
    StepScalars scalars;
    scalars.update.learning_rate = 0.01F;
    Buffer<StepScalars> now(*backend, 1);
    now.upload(&scalars);
    std::uint32_t first = 0;
    measured_region(
        [&] {
            perceptron.train_step(train.samples(), first, batch, now.data());
            backend->wait();
            first = (first + batch) % (2560 / batch * batch);
        },
        calls);
}

template <int dropout_thousandths, Index batch>
void step(int calls) {
    steps({784, 512, 128, 10}, 1e-3 * dropout_thousandths, batch, calls);
}

/// Layers of 2.3 MB a tile, more than most second-level caches hold: their rows are fetched ahead.
void wide_step(int calls) { steps({784, 9000, 9000, 10}, 0, 32, calls); }

/// Bernoulli units' draws, as in a step of contrastive divergence.
template <Index units, Index batch>
void sample(int calls) {
    const auto backend = make_cpu_backend(1);
    const std::size_t size = Activations{nullptr, units, batch, backend->lanes()}.size();
    const std::vector<float> numbers = benchmark_numbers(size, 0);
    Buffer<float> fields(*backend, size), means(*backend, size), states(*backend, size);
    fields.upload(numbers.data());
    Buffer<StepScalars> now(*backend, 1);
    const StepScalars scalars;
    now.upload(&scalars);
    const auto view = [&](const Buffer<float>& memory) {
        return Activations{memory.data(), units, batch, backend->lanes()};
    };
    measured_region(
        [&] {
            backend->sample({1, 0, false, 1}, view(fields), view(means), view(states), now.data());
            backend->wait();
        },
        calls);
}

/// What F is measured by: nothing but multiply-adds, or every share of F in a benchmark is wrong.
void ceiling(int calls) {
    measured_region([] { multiply_adds(8000); }, calls);
}

const Case cases[] = {
    {"ceiling multiply-adds", ceiling},
    {"forward 784x512", product<784, 512, 964, Product::forward, true>},
    {"forward 1024x1024", product<1024, 1024, 950, Product::forward, false>},
    {"edge gradient 784x512", product<784, 512, 964, Product::backward, true>},
    {"fused backward 512x128", product<512, 128, 893, Product::backward, false>},
    {"fused backward 1024x1024", product<1024, 1024, 950, Product::backward, false>},
    {"evolution 784x512", evolution<784, 512, 964>},
    {"evolution 1024x1024", evolution<1024, 1024, 950>},
    {"step SparseNet", step<0, 128>},
    {"step SparseNet, dropout", step<300, 128>},
    {"step SparseNet, batch 1", step<0, 1>},
    {"step SparseNet, batch 2", step<0, 2>},
    {"step SparseNet, batch 10", step<0, 10>},
    {"step 784-9000-9000-10, batch 32", wide_step},
    {"units 1000, batch 128", sample<1000, 128>},
    {"units 1000, batch 10", sample<1000, 10>},
};

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) {
    if (argc == 1) {
        for (const auto& each : espalier::cases) std::puts(each.name);
        return 0;
    }
    const int calls = argc > 2 ? std::atoi(argv[2]) : 10;
    for (const auto& each : espalier::cases) {
        if (std::strcmp(each.name, argv[1]) != 0) continue;
        each.run(calls);
        return 0;
    }
    std::fprintf(stderr, "instruction_count: no case '%s'; without arguments it lists them\n", argv[1]);
    return 2;
}
