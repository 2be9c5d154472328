#include "host/run/checkpoint.hpp"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "espalier/data_meaning.hpp"
#include "espalier/error.hpp"
#include "espalier/number_text.hpp"
#include "host/options/config_text.hpp"
#include "host/formats/network_file.hpp"
#include "host/options/option_table.hpp"
#include "espalier/version.hpp"

namespace espalier {

namespace {

constexpr const char* schema_key = "checkpoint";
constexpr const char* schema = "1";

/// The sums of the epoch begun, as one JSON object: numbers read back exactly.
std::string begun_text(const TrainingProgress& progress) {
    nlohmann::ordered_json begun;
    Metrics::for_each_sum([&](const char* name, auto sum) { begun[name] = progress.metrics.*sum; });
    begun["record"] = json_line(progress.record);
    return begun.dump();
}

std::string degrees_key(std::size_t layer, bool inputs) {
    return "before." + std::to_string(layer + 1) + (inputs ? ".inputs" : ".outputs");
}

/// Whole numbers as a tensor of Stored items; readers elsewhere want signed ones.
template <class Stored, class Item>
TensorSource whole_numbers(const std::string& name, const std::vector<Item>& items) {
    return {name, sizeof(Stored) == 8 ? "I64" : "I32", {items.size()}, [&items](OutputFile& file) {
                std::vector<Stored> stored(items.size());
                for (std::size_t i = 0; i < items.size(); ++i) stored[i] = static_cast<Stored>(items[i]);
                file.write(stored.data(), stored.size() * sizeof(Stored));
            }};
}

std::string lifetimes_key(std::size_t layer, const std::string& rest) {
    return "lives." + std::to_string(layer + 1) + "." + rest;
}

/// A layer's lifetimes; the topology they were last observed at only if evolution went on since.
void add_lifetimes(std::size_t layer, const LayerLifetimes& each, const Topology& now,
                   const std::vector<std::uint64_t>& counts, std::vector<TensorSource>& extra) {
    extra.push_back(whole_numbers<std::int64_t>(lifetimes_key(layer, "counts"), counts));
    extra.push_back(whole_numbers<std::int64_t>(lifetimes_key(layer, "ever"), each.lifetimes.ever));
    extra.push_back(whole_numbers<std::int64_t>(lifetimes_key(layer, "at_risk"), each.lifetimes.at_risk));
    extra.push_back(whole_numbers<std::int64_t>(lifetimes_key(layer, "lost"), each.lifetimes.lost));
    extra.push_back(whole_numbers<std::int32_t>(lifetimes_key(layer, "born"), each.lifetimes.born));
    if (each.last.column == now.column && each.last.row_start == now.row_start) return;
    extra.push_back(whole_numbers<std::int64_t>(lifetimes_key(layer, "row_start"), each.last.row_start));
    extra.push_back(whole_numbers<std::int64_t>(lifetimes_key(layer, "column"), each.last.column));
}

/// The parts of a checkpoint beside the network, read from an open file and its metadata.
class InfoReader {
public:
    InfoReader(const SafetensorsFile& file, const NetworkMetadata& metadata) : file_(file), metadata_(metadata) {}

    CheckpointInfo read(const Network& network) {
        if (!metadata_.contains(schema_key)) file_.refuse("expected a checkpoint, found a network without a run");
        if (text(schema_key) != schema) {
            file_.refuse("expected a checkpoint of schema " + std::string(schema) + ", found '" + text(schema_key) +
                         "'; another version of this program wrote it");
        }
        CheckpointInfo info;
        try {
            info.experiment = recorded_experiment(parse_config(text("experiment"), "experiment"), "experiment");
            validate(info.experiment);
        } catch (const UserError& error) {
            if (error.code() == ExitCode::checkpoint) throw;
            file_.refuse(error.what());
        }
        info.dataset = text("dataset");
        info.dataset_digest = text("dataset_digest");
        if (metadata_.contains(meaning_key)) info.data_meaning = text(meaning_key);
        info.backend = text("backend");
        info.machine = text("machine");
        info.progress.epoch = count("epoch", info.experiment.epochs);
        info.progress.step = count("step", 0xFFFFFFFF);
        if (metadata_.contains("test_loss")) info.test_loss = number("test_loss");
        if (metadata_.contains("validation_loss")) info.validation_loss = number("validation_loss");
        const auto history = object("history");
        for (const auto& [name, size] : history.items()) {
            if (!size.is_number_unsigned()) file_.refuse("'history' has no size for '" + name + "'");
            info.recorded[name] = size.get<std::uint64_t>();
        }
        if (info.progress.step > 0) read_begun(network, info.progress);
        for (std::size_t l = 0; l < network.layers.size(); ++l) {
            info.lifetimes.emplace_back();
            if (!file_.tensors().contains(lifetimes_key(l, "counts"))) continue;
            if (!network.layers[l].is_sparse())
                file_.refuse("'" + lifetimes_key(l, "counts") + "' belongs to no sparse layer");
            info.lifetimes.back() = read_lifetimes(l, *network.layers[l].topology);
            if (info.lifetimes.back()->lifetimes.epoch != info.progress.epoch) {
                file_.refuse("'" + lifetimes_key(l, "counts") + "' is of another epoch than the checkpoint");
            }
        }
        return info;
    }

private:
    const std::string& text(const std::string& key) const {
        const auto found = metadata_.find(key);
        if (found == metadata_.end()) file_.refuse("expected '" + key + "' in __metadata__, found none");
        return found->second;
    }

    std::uint32_t count(const std::string& key, std::uint32_t most) const {
        const std::string& written = text(key);
        const auto value = number_from<std::uint32_t>(written);
        if (!value || *value > most) {
            file_.refuse("expected '" + key + "' to be a number up to " + std::to_string(most) + ", found '" + written +
                         "'");
        }
        return *value;
    }

    double number(const std::string& key) const {
        const std::string& written = text(key);
        const auto value = number_from<double>(written);
        if (!value || !std::isfinite(*value)) {
            file_.refuse("expected '" + key + "' to be a number, found '" + written + "'");
        }
        return *value;
    }

    nlohmann::json object(const std::string& key) const {
        auto parsed = nlohmann::json::parse(text(key), nullptr, false);
        if (!parsed.is_object()) file_.refuse("expected '" + key + "' to be a JSON object, found '" + text(key) + "'");
        return parsed;
    }

    void read_begun(const Network& network, TrainingProgress& progress) {
        const auto begun = object("begun");
        const auto read = [&](const char* name, auto& value) {
            const auto found = begun.find(name);
            if (found == begun.end() || !found->is_number())
                file_.refuse("'begun' has no number '" + std::string(name) + "'");
            value = found->template get<std::remove_reference_t<decltype(value)>>();
        };
        Metrics::for_each_sum([&](const char* name, auto sum) { read(name, progress.metrics.*sum); });
        const auto record = begun.find("record");
        if (record == begun.end() || !record->is_string()) file_.refuse("'begun' has no text 'record'");
        progress.record = parse_json_line(record->get<std::string>(), "'begun'");
        for (std::size_t l = 0; l < network.layers.size(); ++l) {
            const Layer& layer = network.layers[l];
            if (!layer.is_sparse()) continue;
            progress.before.push_back({degrees(l, true, layer.num_inputs), degrees(l, false, layer.num_outputs)});
        }
    }

    std::vector<EdgeIndex> degrees(std::size_t layer, bool inputs, Index neurons) const {
        auto values = items<std::int64_t, EdgeIndex>(degrees_key(layer, inputs));
        if (values.size() != neurons) {
            file_.refuse("expected " + std::to_string(neurons) + " numbers in '" + degrees_key(layer, inputs) +
                         "', found " + std::to_string(values.size()));
        }
        return values;
    }

    LayerLifetimes read_lifetimes(std::size_t layer, const Topology& now) const {
        const auto key = [&](const std::string& rest) { return lifetimes_key(layer, rest); };
        LayerLifetimes result;
        const auto counts = items<std::int64_t, std::uint32_t>(key("counts"));
        if (counts.size() != 3) file_.refuse("expected 3 numbers in '" + key("counts") + "'");
        result.lifetimes.epoch = counts[0];
        result.lifetimes.first_epoch = counts[1];
        result.lifetimes.first_edges = counts[2];
        result.lifetimes.born = items<std::int32_t, std::uint32_t>(key("born"));
        result.lifetimes.ever = items<std::int64_t, std::uint64_t>(key("ever"));
        result.lifetimes.at_risk = items<std::int64_t, std::uint64_t>(key("at_risk"));
        result.lifetimes.lost = items<std::int64_t, std::uint64_t>(key("lost"));
        result.last = now;
        if (!file_.tensors().contains(key("row_start"))) return result;
        result.last.row_start = items<std::int64_t, EdgeIndex>(key("row_start"));
        result.last.column = items<std::int64_t, Index>(key("column"));
        if (const std::string broken = fault(result.last); !broken.empty()) {
            file_.refuse("'" + key("column") + "': " + broken);
        }
        return result;
    }

    /// A tensor of one dimension whose items, stored as Stored, all fit Item; those of 64 bits keep their pattern.
    template <class Stored, class Item>
    [[nodiscard]] std::vector<Item> items(const std::string& key) const {
        const auto found = file_.tensors().find(key);
        const char* type = sizeof(Stored) == 8 ? "I64" : "I32";
        if (found == file_.tensors().end() || found->second.type != type || found->second.shape.size() != 1) {
            file_.refuse("expected a tensor '" + key + "' of one dimension, " + type + ", found another or none");
        }
        std::vector<Stored> stored(found->second.bytes() / sizeof(Stored));
        file_.read(found->second, stored.data());
        std::vector<Item> values(stored.size());
        for (std::size_t i = 0; i < stored.size(); ++i) {
            if (sizeof(Item) < sizeof(std::int64_t) && !std::in_range<Item>(stored[i])) {
                file_.refuse(found->second, i * sizeof(Stored),
                             "'" + key + "': expected a number of 32 bits, found " + std::to_string(stored[i]));
            }
            values[i] = static_cast<Item>(stored[i]);
        }
        return values;
    }

    const SafetensorsFile& file_;
    const NetworkMetadata& metadata_;
};

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const CheckpointInfo& info, const Network& network) {
    NetworkMetadata metadata{{schema_key, schema},
                             {"experiment", config_text(info.experiment)},
                             {"seed", std::to_string(info.experiment.seed)},
                             {"epoch", std::to_string(info.progress.epoch)},
                             {"step", std::to_string(info.progress.step)},
                             {"dataset", info.dataset},
                             {"dataset_digest", info.dataset_digest},
                             {"backend", info.backend},
                             {"machine", info.machine},
                             {"history", nlohmann::json(info.recorded).dump()},
                             {"program", version()}};
    if (!info.data_meaning.empty()) metadata[meaning_key] = info.data_meaning;
    if (info.test_loss.has_value()) metadata["test_loss"] = number_text(*info.test_loss);
    if (info.validation_loss.has_value()) metadata["validation_loss"] = number_text(*info.validation_loss);
    std::vector<TensorSource> extra;
    if (info.progress.step > 0) {
        metadata["begun"] = begun_text(info.progress);
        std::size_t sparse = 0;
        for (std::size_t l = 0; l < network.layers.size(); ++l) {
            if (!network.layers[l].is_sparse()) continue;
            const Degrees& before = info.progress.before.at(sparse++);
            extra.push_back(whole_numbers<std::int64_t>(degrees_key(l, true), before.inputs));
            extra.push_back(whole_numbers<std::int64_t>(degrees_key(l, false), before.outputs));
        }
    }
    std::vector<std::vector<std::uint64_t>> counts(info.lifetimes.size());  // the sources point at them
    for (std::size_t l = 0; l < info.lifetimes.size(); ++l) {
        if (!info.lifetimes[l].has_value()) continue;
        const LifetimeState& lifetimes = info.lifetimes[l]->lifetimes;
        counts[l] = {lifetimes.epoch, lifetimes.first_epoch, lifetimes.first_edges};
        add_lifetimes(l, *info.lifetimes[l], network.layers[l].topology.value(), counts[l], extra);
    }
    save_network(path, network, metadata, extra);
}

Checkpoint load_checkpoint(const std::filesystem::path& path) {
    const SafetensorsFile file(path);
    file.expect_checksum();
    NetworkMetadata metadata;
    Checkpoint checkpoint;
    checkpoint.network = read_network(file, &metadata);
    checkpoint.info = InfoReader(file, metadata).read(checkpoint.network);
    return checkpoint;
}

}  // namespace espalier
