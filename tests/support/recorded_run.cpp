#include "recorded_run.hpp"

#include <cmath>
#include <optional>
#include <set>

#include "espalier/layer.hpp"
#include "espalier/random.hpp"
#include "espalier/network_file.hpp"
#include "host/data/pixel_statistics.hpp"
#include "host/run/recorder.hpp"
#include "host/run/topology_records.hpp"

namespace espalier {
namespace {

bool in_centre(const ImageShape& image, std::uint64_t input) {
    const auto pixel = static_cast<Index>(input % (std::uint64_t{image.height} * image.width));
    const Index y = pixel / image.width, x = pixel % image.width;
    return 4 * y >= image.height && 4 * y < 3 * image.height && 4 * x >= image.width && 4 * x < 3 * image.width;
}

PixelStatistics active_centre(const ImageShape& image) {
    PixelStatistics statistics{image, {}, {}};
    for (std::uint64_t input = 0; input < image.inputs(); ++input) {
        statistics.mean.push_back(in_centre(image, input) ? 0.4 : 0);
        statistics.variance.push_back(in_centre(image, input) ? 0.1 : 0);
    }
    return statistics;
}

std::vector<float> normal_weights(std::size_t count, std::uint64_t seed) {
    std::vector<float> weights;
    for (std::size_t i = 0; i < count; ++i)
        weights.push_back(0.05F * normal(Stream{seed, Purpose::synthetic, 1, 0}.bits(i)));
    return weights;
}

Network small_network(const RecordedRunOptions& options) {
    const auto inputs = static_cast<Index>(options.image.inputs());
    Layer sparse;
    sparse.num_inputs = inputs;
    sparse.num_outputs = options.outputs;
    sparse.topology = random_topology(inputs, options.outputs, options.num_edges, ExactCount{},
                                      Stream{options.seed, Purpose::topology, 0, 0});
    sparse.weights = normal_weights(options.num_edges, options.seed);
    sparse.bias.assign(options.outputs, 0.0F);
    Layer dense;
    dense.num_inputs = options.outputs;
    dense.num_outputs = 10;
    dense.weights = normal_weights(std::size_t{options.outputs} * 10, options.seed + 1);
    dense.bias.assign(10, 0.0F);
    return {{sparse, dense}};
}

EpochRecord epoch_record(std::uint32_t epoch, const RecordedRunOptions& options) {
    EpochRecord record;
    record.epoch = epoch;
    record.train_loss = 0.05 + 1.5 * std::exp(-0.4 * epoch);
    record.train_accuracy = 0.99 - 0.5 * std::exp(-0.4 * epoch);
    record.test_loss = record.train_loss + 0.02 + 0.0005 * epoch + 0.001 * static_cast<double>(options.seed);
    record.test_accuracy = record.train_accuracy - 0.01 - 0.0005 * static_cast<double>(options.seed);
    record.test_confidence = 0.9;
    record.test_wrong_confidence = 0.5 + 0.3 * epoch / (options.epochs + 1.0);
    record.edges = options.num_edges;
    record.replaced_positive = 100 + epoch % 7;
    record.replaced_negative = 90 + epoch % 5;
    if (options.samples_an_epoch > 0) {
        record.train_seconds = 0.7;
        record.images_per_second = options.samples_an_epoch / record.train_seconds;
    }
    return record;
}

/// The network with a part of the first layer's edges replaced and all weights a little larger.
Network after_epoch(Network network, std::uint32_t epoch) {
    Layer& layer = network.layers.front();
    const Stream stream{epoch, Purpose::synthetic, 2, 0};
    const CooEdges edges = coo(*layer.topology);
    std::set<Cell> cells;
    for (std::size_t e = 0; e < edges.row.size(); ++e) {
        const Cell cell = Cell{edges.row[e]} * layer.num_inputs + edges.column[e];
        if (bounded(stream.bits(e), 10) >= 3) cells.insert(cell);
    }
    for (std::uint64_t n = 0; cells.size() < edges.row.size(); ++n) {
        cells.insert(bounded(stream.bits((1ULL << 32) + n), layer.num_inputs * layer.num_outputs));
    }
    layer.topology = from_cells(layer.num_inputs, layer.num_outputs, {cells.begin(), cells.end()});
    for (Layer& each : network.layers) {
        for (float& weight : each.weights) weight *= 1.1F;
    }
    return network;
}

}  // namespace

std::vector<EdgeIndex> recorded_degrees(const RecordedRunOptions& options, std::uint32_t moment) {
    const auto inputs = static_cast<std::uint32_t>(options.image.inputs());
    const Stream stream{options.seed, Purpose::synthetic, 0, moment};
    const double drift = options.drift * moment / options.epochs;
    std::vector<EdgeIndex> degrees(inputs, 0);
    for (std::uint64_t edge = 0; edge < options.num_edges; ++edge) {
        const RandomBlock block = stream.block(edge);
        std::uint64_t input = bounded(block.word[0], inputs);
        // One more draw for those that drift, until the place is right.
        for (std::uint64_t again = 1;
             bernoulli(block.word[1], std::abs(drift)) && in_centre(options.image, input) != (drift > 0); ++again) {
            input = bounded(stream.bits((1ULL << 40) + 64 * edge + again), inputs);
        }
        ++degrees[input];
    }
    return degrees;
}

std::filesystem::path record_run(const std::filesystem::path& folder, const RecordedRunOptions& options) {
    const auto inputs = static_cast<Index>(options.image.inputs());
    const std::string config = "dataset = \"synthetic\"\nlayers = \"" + std::to_string(inputs) + "-" +
                               std::to_string(options.outputs) + "-10\"\nepochs = " + std::to_string(options.epochs) +
                               "\nseed = " + std::to_string(options.seed) +
                               "\nrecord-every = " + std::to_string(options.every) + "\n" + options.more_config;
    Recorder recorder(folder, false, config, {{inputs, options.outputs, true}, {options.outputs, 10, false}});
    const std::vector<EdgeIndex> outputs(options.outputs, options.num_edges / options.outputs);
    Network network = small_network(options);
    std::optional<TopologyRecords> records;
    if (options.lifetimes) records.emplace(folder, network, RecordPlan{options.every, options.epochs});
    for (std::uint32_t epoch = 1; epoch <= options.epochs; ++epoch) {
        if (is_recorded(epoch, options.every, options.epochs)) {
            recorder.degrees(0, {recorded_degrees(options, epoch - 1), outputs},
                             {recorded_degrees(options, epoch), outputs});
        }
        recorder.epoch(epoch_record(epoch, options));
        if (!records) continue;
        network = after_epoch(std::move(network), epoch);
        records->epoch(epoch, network);
    }
    if (records) records->finish();
    if (options.pixels) write_pixel_statistics(folder / "pixels.npy", active_centre(options.image));
    if (options.network) save_network(folder / "network.safetensors", small_network(options), {});
    return folder;
}

}  // namespace espalier
