#include "host/run/topology_records.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "espalier/error.hpp"
#include "espalier/rule.hpp"
#include "host/formats/npy.hpp"
#include "host/formats/output_file.hpp"
#include "host/formats/real_text.hpp"
#include "host/run/count_file.hpp"
#include "host/run/run_layout.hpp"
#include "host/topology/edge_lifetimes.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

/// Half the width of what the bins of a layer cover: room for weights that grow.
float reach_of(const Layer& layer) {
    float largest = 0;
    for (const float weight : layer.weights) largest = std::max(largest, std::abs(weight));
    return largest > 0 && std::isfinite(largest) ? 4 * largest : 1;
}

std::array<std::uint32_t, weight_bins> histogram(const std::vector<float>& weights, float reach) {
    std::array<std::uint32_t, weight_bins> counts{};
    constexpr auto last = static_cast<float>(weight_bins - 1);
    const float per_width = static_cast<float>(weight_bins) / (2 * reach);
    for (const float weight : weights) {
        // a NaN fails the first comparison and lands in the first bin
        const float place = std::min(last, std::max(0.0F, (weight + reach) * per_width));
        ++counts[static_cast<std::size_t>(place)];
    }
    return counts;
}

/// The bins of small layers are int32 too: one type for all layers of a run.
std::uint64_t most_counted(const Layer& layer) {
    return std::max<std::uint64_t>(layer.weights.size(), std::numeric_limits<std::int32_t>::max());
}

bool is_followed(const Layer& layer) {
    return layer.is_sparse() && Cell{layer.num_inputs} * layer.num_outputs <= max_cells_followed;
}

}  // namespace

std::vector<std::uint32_t> recorded_epochs(std::uint32_t done, std::uint32_t every, std::uint32_t epochs) {
    std::vector<std::uint32_t> recorded;
    for (std::uint32_t epoch = 1; epoch <= done; ++epoch) {
        if (is_recorded(epoch, every, epochs)) recorded.push_back(epoch);
    }
    return recorded;
}

std::uint64_t following_bytes(Index num_inputs, Index num_outputs, Cell num_edges) {
    const Cell cells = Cell{num_inputs} * num_outputs;
    return cells > max_cells_followed ? 0 : 8 * num_edges + cells / 8 + 4 * std::uint64_t{num_outputs};
}

class TopologyRecords::Impl {
public:
    Impl(const fs::path& folder, const Network& network, const RecordPlan& plan,
         const std::optional<RecordedBytes>& recorded, AllLifetimes lifetimes)
        : folder_(folder), plan_(plan) {
        if (recorded.has_value()) {
            go_on(network, std::move(lifetimes));
        } else {
            begin(network);
        }
        for (std::size_t l = 0; l < network.layers.size(); ++l) {
            weights_.emplace_back(folder / run_layout::weight_counts(l), std::vector<std::uint64_t>{weight_bins},
                                  most_counted(network.layers[l]),
                                  bytes_to_keep(recorded, run_layout::weight_counts(l)));
        }
        edges_.emplace(OutputFile::growing(folder / run_layout::edges, bytes_to_keep(recorded, run_layout::edges)));
        if (recorded.has_value()) return;
        edges_->append("epoch,layer,edges,born,lost,mean_age,from_birth,ever_active\n");
        count_weights(network);
    }

    void sync(RecordedBytes& bytes) {
        edges_->sync();
        bytes[run_layout::edges] = edges_->size();
        for (std::size_t l = 0; l < weights_.size(); ++l) {
            weights_[l].file().sync();
            bytes[run_layout::weight_counts(l)] = weights_[l].file().bytes();
        }
    }

    [[nodiscard]] AllLifetimes lifetimes() const {
        AllLifetimes all;
        for (const auto& each : lifetimes_) {
            all.emplace_back();
            if (each) all.back().emplace(LayerLifetimes{each->last(), each->lifetimes()});
        }
        return all;
    }

    void epoch(std::uint32_t epoch, const Network& network) {
        const bool recorded = is_recorded(epoch, plan_.every, plan_.epochs);
        std::string lines;
        for (std::size_t l = 0; l < lifetimes_.size(); ++l) {
            if (!lifetimes_[l]) continue;
            const EdgeStatistics edges = lifetimes_[l]->observe(*network.layers[l].topology, epoch);
            lines += number_text(epoch) + "," + number_text(l + 1) + "," + number_text(edges.edges) + "," +
                     number_text(edges.born) + "," + number_text(edges.lost) + "," + real_text(edges.mean_age) + "," +
                     real_text(edges.from_birth) + "," + real_text(edges.ever_active) + "\n";
        }
        if (!recorded) return;
        edges_->append(lines);
        count_weights(network);
    }

    void finish() const {
        std::string text = "layer,age,at_risk,lost\n";
        for (std::size_t l = 0; l < lifetimes_.size(); ++l) {
            if (!lifetimes_[l]) continue;
            const auto& at_risk = lifetimes_[l]->lifetimes().at_risk;
            for (std::size_t age = 0; age < at_risk.size() && at_risk[age] > 0; ++age) {
                text += number_text(l + 1) + "," + number_text(age) + "," + number_text(at_risk[age]) + "," +
                        number_text(lifetimes_[l]->lifetimes().lost[age]) + "\n";
            }
        }
        write_atomically(folder_ / run_layout::survival, [&](OutputFile& file) { file.append(text); });
    }

private:
    /// A new run: every edge is born now, and the weights' reach is that of the first ones.
    void begin(const Network& network) {
        std::vector<float> borders;
        for (const Layer& layer : network.layers) {
            lifetimes_.emplace_back();
            if (is_followed(layer)) lifetimes_.back().emplace(*layer.topology);
            reach_.push_back(reach_of(layer));
            for (std::size_t b = 0; b <= weight_bins; ++b) {
                borders.push_back(reach_.back() * (2 * static_cast<float>(b) / static_cast<float>(weight_bins) - 1));
            }
        }
        write_npy(folder_ / run_layout::weight_borders, NpyType::f4, {network.layers.size(), weight_bins + 1},
                  borders.data());
    }

    /// A run that goes on: edges as a checkpoint held them, the weights' reach as its files say.
    void go_on(const Network& network, AllLifetimes lifetimes) {
        const std::size_t layers = network.layers.size();
        if (lifetimes.size() != layers) {
            throw UserError(ExitCode::checkpoint, "the checkpoint follows the edges of " +
                                                      std::to_string(lifetimes.size()) + " layers, the network has " +
                                                      std::to_string(layers));
        }
        const NpyArray borders = read_npy(folder_ / run_layout::weight_borders);
        // RBMs of version 0.1 also have rows of their visible biases and chains
        const bool as_wide = borders.shape.size() == 2 && borders.shape[1] == weight_bins + 1;
        if (borders.type != NpyType::f4 || !as_wide || borders.shape[0] < layers ||
            (borders.shape[0] > layers && network.model.empty())) {
            throw UserError(ExitCode::checkpoint, (folder_ / run_layout::weight_borders).string() +
                                                      " does not belong to a network of these layers");
        }
        for (std::size_t l = 0; l < layers; ++l) {
            if (lifetimes[l].has_value() != is_followed(network.layers[l])) {
                throw UserError(ExitCode::checkpoint,
                                "the checkpoint and the network disagree on which layers' edges are followed");
            }
            auto& followed = lifetimes_.emplace_back();
            if (lifetimes[l].has_value()) followed.emplace(lifetimes[l]->last, std::move(lifetimes[l]->lifetimes));
            // the last border of a layer is its reach
            float& reach = reach_.emplace_back();
            std::memcpy(&reach, borders.data.data() + ((l + 1) * (weight_bins + 1) - 1) * sizeof reach, sizeof reach);
        }
    }

    void count_weights(const Network& network) {
        for (std::size_t l = 0; l < weights_.size(); ++l) {
            const auto counts = histogram(network.layers[l].weights, reach_[l]);
            weights_[l].append({counts});
        }
    }

    fs::path folder_;
    RecordPlan plan_;
    std::vector<std::optional<EdgeLifetimes>> lifetimes_;  // per layer, empty for those not followed
    std::vector<float> reach_;
    std::vector<CountFile> weights_;
    std::optional<OutputFile> edges_;
};

TopologyRecords::TopologyRecords(const fs::path& folder, const Network& network, const RecordPlan& plan,
                                 const std::optional<RecordedBytes>& recorded, AllLifetimes lifetimes)
    : impl_(std::make_unique<Impl>(folder, network, plan, recorded, std::move(lifetimes))) {}
TopologyRecords::~TopologyRecords() = default;
void TopologyRecords::sync(RecordedBytes& bytes) { impl_->sync(bytes); }
AllLifetimes TopologyRecords::lifetimes() const { return impl_->lifetimes(); }
void TopologyRecords::epoch(std::uint32_t epoch, const Network& network) { impl_->epoch(epoch, network); }
void TopologyRecords::finish() { impl_->finish(); }

}  // namespace espalier
