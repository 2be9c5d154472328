// Espalier's kernels on random layers, one launch after the other, on whatever the program was compiled for: a simulated GPU
// (docs/gpu-sim.md), a real one, or, by tests/cuda_on_host, the CPU. Says each launch's name and, at the end, a digest of the
// bits of every array written: those of the CPU, whose kernels the tests hold against plain loops, are what others must be.
//
// usage: kernels CASE BATCH LAYERS DENSITIES
//        CASE: forward, dx, update, update-all, forward-coo, dx-coo, head, gather, loss, evolve, step; by panels of the block
//        <512, 16, 128> forward-panel, dx-panel, gradient-panel, pack, and of <512, 4, 64> forward-panel-half, dx-panel-half,
//        pack-half, of <512, 2, 128> gradient-panel-few
//        LAYERS: 784-512-128-10; DENSITIES: of each layer, 0.0355,0.107,1. head takes the last layer, step and update-all every
//        one, the others the first.
// ESPALIER_MULTIPROCESSORS: how many to choose sizes of blocks for, as the backend does; 132 without.
// ESPALIER_SHARED_BYTES: of shared memory that a block may ask for, 232448 without; fewer make more panels.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "bench/gpu_sim/evolution.hpp"
#include "bench/gpu_sim/layers.hpp"
#include "bench/gpu_sim/panels.hpp"
#include "bench/gpu_sim/run_kernel.hpp"
#include "cuda/kernels/coo.cuh"
#include "cuda/kernels/gather.cuh"
#include "cuda/kernels/head.cuh"
#include "cuda/launch.cuh"

namespace espalier::gpu_sim {
namespace {

using namespace cuda;

Index multiprocessors() {
    const char* const said = std::getenv("ESPALIER_MULTIPROCESSORS");
    return said == nullptr ? 132 : static_cast<Index>(std::atoi(said));
}

/// What one step holds: a tile view of every neuron layer, forward and backward, the layers between and the data.
struct Step {
    Index batch;
    std::vector<std::unique_ptr<RandomLayer>> layers;
    std::vector<std::unique_ptr<RandomTiles>> values, gradients;
    Data data;
    DeviceArray<StepScalars> scalars;
    DeviceArray<MetricSums> sums;

    Step(Index samples, const std::vector<Index>& widths, const std::vector<double>& densities)
        : batch(samples), data(samples, widths.front()), scalars(scalars_of_a_step()), sums(std::vector<MetricSums>(1)) {
        for (std::size_t l = 0; l < widths.size(); ++l) {
            values.push_back(std::make_unique<RandomTiles>(widths[l], batch, 2 * l));
            gradients.push_back(std::make_unique<RandomTiles>(widths[l], batch, 2 * l + 1));
            if (l == 0) continue;
            layers.push_back(std::make_unique<RandomLayer>(widths[l - 1], widths[l], densities.at(l - 1), l));
        }
    }
    [[nodiscard]] Index tiles() const { return tiles_of(batch); }

    void gather() {
        const Samples samples = data.samples();
        run_kernel("gather", gather_kernel<gather_threads, std::uint8_t>,
            dim3(groups(samples.features, gather_block), tiles() * (tile_lanes / gather_block)), gather_threads, 0, samples,
            samples.bytes, BatchChoice{0, batch, true, 1, Purpose::shuffle}, values[0]->view(), data.batch_labels.data,
            scalars.data, RankShare{0, 1, batch});
    }
    void forward(std::size_t l) {
        const RandomLayer& layer = *layers[l];
        const int threads = threads_for(layer.outputs, tiles(), forward_threads, multiprocessors());
        run_kernel("forward", forward_kernel<forward_threads, Relu>, warp_grid(layer.outputs, threads, tiles()), threads, 0,
            layer.by_output(), Relu{}, values[l]->view(), Activations{}, values[l + 1]->view());
    }
    void forward_coo() {
        RandomLayer& layer = *layers[0];
        const cuda::CooEdges edges = layer.coo_by_output();
        DeviceArray<float> parts(std::vector<float>(std::size_t{tiles()} * edges.chunks() * 2 * tile_lanes));
        run_kernel("forward by edges", forward_coo_kernel<coo_threads, Relu>, warp_grid(edges.chunks(), coo_threads, tiles()),
            coo_threads, 0, edges, layer.by_output(), Relu{}, values[0]->view(), parts.data, Activations{},
            values[1]->view());
        run_kernel("forward by edges, joining", forward_coo_join_kernel<coo_threads, Relu>,
            warp_grid(layer.outputs, coo_threads, tiles()), coo_threads, 0, layer.by_output(), Relu{}, edges.chunks(),
            static_cast<const float*>(parts.data), Activations{}, values[1]->view());
    }
    void input_gradient(std::size_t l) {
        const RandomLayer& layer = *layers[l];
        const int threads = threads_for(layer.inputs, tiles(), backward_threads, multiprocessors());
        run_kernel("input gradient", input_gradient_kernel<backward_threads, Relu>, warp_grid(layer.inputs, threads, tiles()),
            threads, 0, layer.by_input(), Relu{}, gradients[l + 1]->view(), values[l]->view(), gradients[l]->view());
    }
    void input_gradient_coo() {
        RandomLayer& layer = *layers[0];
        const cuda::CooEdges edges = layer.coo_by_input();
        DeviceArray<float> parts(std::vector<float>(std::size_t{tiles()} * edges.chunks() * 2 * tile_lanes));
        run_kernel("input gradient by edges", input_gradient_coo_kernel<coo_threads>,
            warp_grid(edges.chunks(), coo_threads, tiles()), coo_threads, 0, edges, layer.by_input(), gradients[1]->view(),
            parts.data, gradients[0]->view());
        run_kernel("input gradient by edges, joining", input_gradient_coo_join_kernel<coo_threads>,
            warp_grid(layer.inputs, coo_threads, tiles()), coo_threads, 0, layer.by_input(), edges.chunks(),
            static_cast<const float*>(parts.data), gradients[0]->view());
    }
    /// The last layer, dense, with the loss.
    void head() {
        const std::size_t last = layers.size() - 1;
        const RandomLayer& layer = *layers[last];
        const HeadArguments arguments{layer.weight.data,          layer.bias.data,           values[last]->view(),
                                      values[last + 1]->view(),   gradients[last + 1]->view(), gradients[last]->view(),
                                      data.batch_labels.data,     nullptr,                   sums.data,
                                      RankShare{0, 1, batch}};
        run_kernel("head", head_kernel<head_threads, SoftmaxNll, Relu>, dim3(tiles() * (tile_lanes / head_samples)), head_threads,
            head_shared_bytes(layer.inputs, layer.outputs), arguments, SoftmaxNll{}, Relu{},
            ConstActivations(values[last]->view()));
    }
    void loss() {
        run_kernel("loss", loss_kernel<SoftmaxNll>, dim3(tiles()), loss_threads, 0, SoftmaxNll{},
            ConstActivations(values[1]->view()), static_cast<const std::int32_t*>(data.batch_labels.data),
            gradients[1]->view(), static_cast<const float*>(nullptr), static_cast<const float*>(nullptr), sums.data,
            RankShare{0, 1, batch});
    }
    void update(std::size_t count) {
        UpdatedLayers<Momentum> updated{};
        std::size_t warps = 0;
        for (std::size_t l = 0; l < count; ++l) {
            updated.layer[l] = layers[l]->updated(values[l]->view(), gradients[l + 1]->view(), scalars.data);
            warps += groups(layers[l]->num_edges(), warp_lanes) + layers[l]->outputs;
        }
        const int threads = threads_for(warps, 1, layers_threads, multiprocessors());
        Index blocks = 0;
        for (std::size_t l = 0; l < count; ++l) {
            const Index warps_of_block = static_cast<Index>(threads) / warp_lanes;
            updated.edge_blocks[l] = updated.layer[l].edge_blocks(warps_of_block);
            updated.end_block[l] = blocks += updated.layer[l].blocks(warps_of_block);
        }
        run_kernel("update", update_layers_kernel<update_threads, Momentum>, dim3(blocks), threads,
            halves_shared_bytes(tiles(), threads), updated, static_cast<int>(count));
    }
    void evolve() {
        Evolution evolution(*layers[0], 0.3);
        evolution.run();
        evolution.say_digests();
    }
    /// The launches of a training step in their order (cuda/fusion.hpp).
    void whole() {
        gather();
        for (std::size_t l = 0; l + 1 < layers.size(); ++l) forward(l);
        head();
        for (std::size_t l = layers.size() - 2; l > 0; --l) input_gradient(l);
        update(layers.size());
    }
    void say_digests() const {
        for (std::size_t l = 0; l < values.size(); ++l) {
            const std::string of = std::to_string(l);
            say_digest("values " + of, values[l]->array);
            say_digest("gradients " + of, gradients[l]->array);
            if (l == 0) continue;
            say_digest("weights " + of, layers[l - 1]->weight);
            say_digest("momentum " + of, layers[l - 1]->momentum);
            say_digest("bias " + of, layers[l - 1]->bias);
        }
        say_digest("labels", data.batch_labels);
        say_digest("metrics", sums);
    }
};

bool run_case(Step& step, const std::string& name) {
    if (name == "step") return step.whole(), true;
    if (name == "evolve") return step.evolve(), true;
    if (name == "gather") return step.gather(), true;
    if (name == "forward") return step.forward(0), true;
    if (name == "forward-coo") return step.forward_coo(), true;
    if (name == "dx") return step.input_gradient(0), true;
    if (name == "dx-coo") return step.input_gradient_coo(), true;
    if (name == "update") return step.update(1), true;
    if (name == "update-all") return step.update(step.layers.size()), true;
    if (name == "head") return step.head(), true;
    if (name == "loss") return step.loss(), true;
    return run_panel_case(name, *step.layers[0], *step.values[0], *step.values[1], *step.gradients[0], *step.gradients[1]);
}

template <class Number>
std::vector<Number> numbers(const std::string& text, char between) {
    std::vector<Number> found;
    const char* const end = text.data() + text.size();
    for (const char* at = text.data(); at < end; ++at) {
        Number number{};
        at = std::from_chars(at, end, number).ptr;
        found.push_back(number);
        if (at < end && *at != between) return {};
    }
    return found;
}

int run_program(int argc, char** argv) {
    const std::string usage = "usage: kernels CASE BATCH LAYERS DENSITIES\n";
    if (argc != 5) return std::fputs(usage.c_str(), stderr), 2;
    const std::vector<Index> batch = numbers<Index>(argv[2], ' '), widths = numbers<Index>(argv[3], '-');
    const std::vector<double> densities = numbers<double>(argv[4], ',');
    if (batch.size() != 1 || widths.size() < 2 || densities.size() + 1 != widths.size()) {
        return std::fputs(usage.c_str(), stderr), 2;
    }
    Step step(batch[0], widths, densities);
    if (!run_case(step, argv[1])) return std::fputs(usage.c_str(), stderr), 2;
    step.say_digests();
    return 0;
}

}  // namespace
}  // namespace espalier::gpu_sim

int main(int argc, char** argv) { return espalier::gpu_sim::run_program(argc, argv); }
