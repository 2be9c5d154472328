#include "host/training_run.hpp"

#include <cstdio>

#include "espalier/error.hpp"
#include "host/backends.hpp"
#include "host/data/dataset.hpp"
#include "host/network_birth.hpp"
#include "host/network_file.hpp"
#include "host/option_table.hpp"
#include "host/output_file.hpp"
#include "host/pixel_statistics.hpp"
#include "host/progress.hpp"
#include "host/recipes.hpp"
#include "host/report/report.hpp"
#include "host/signals.hpp"
#include "host/topology_records.hpp"
#include "host/trainer.hpp"
#include "host/version.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

const std::string recipe_prefix = "recipe:";

/// Runs, records and progress bar in one observer.
class Watcher final : public TrainObserver {
public:
    Watcher(Recorder& recorder, TopologyRecords& records, const RecordPlan& plan, Progress& progress)
        : recorder_(recorder), records_(records), plan_(plan), progress_(progress) {}

    void within(std::uint32_t epoch, double part) override {
        epoch_ = epoch;
        progress_.within(epoch, part);
    }
    void degrees(std::size_t layer, const Degrees& before, const Degrees& after) override {
        if (is_recorded(epoch_, plan_.every, plan_.epochs)) recorder_.degrees(layer, before, after);
    }
    void epoch_ended(Trainer& trainer) override { records_.epoch(epoch_, trainer.network()); }
    void epoch(const EpochRecord& record) override {
        recorder_.epoch(record);
        char line[160];
        std::snprintf(line, sizeof line, "train %.4f %6.2f %%   test %.4f %6.2f %%   %.3f s   %llu replaced",
                      record.train_loss, 100 * record.train_accuracy, record.test_loss, 100 * record.test_accuracy,
                      record.train_seconds + record.test_seconds + record.evolution_seconds,
                      static_cast<unsigned long long>(record.replaced_positive + record.replaced_negative));
        progress_.epoch_done(record.epoch, line);
    }
    bool stop() override { return stop_signal() != 0; }

private:
    Recorder& recorder_;
    TopologyRecords& records_;
    RecordPlan plan_;
    Progress& progress_;
    std::uint32_t epoch_ = 0;  // the one at work
};

fs::path fresh_folder(const Experiment& experiment) {
    std::string name =
        experiment.recipe.empty() ? experiment.dataset.substr(0, experiment.dataset.find(':')) : experiment.recipe;
    name += "-seed" + std::to_string(experiment.seed);
    fs::path folder = fs::path("runs") / name;
    for (int n = 2; fs::exists(folder); ++n) folder = fs::path("runs") / (name + "-" + std::to_string(n));
    return folder;
}

/// The experiment that a "recipe:NAME" starts from: the recipe, on this machine, data and seed.
Experiment predecessor(const Experiment& experiment) {
    const std::string name = experiment.init_from.substr(recipe_prefix.size());
    Experiment earlier;
    apply(recipe_options(name), "recipe " + name, earlier);
    earlier.dataset = experiment.dataset;
    earlier.data_dir = experiment.data_dir;
    earlier.train_samples = experiment.train_samples;
    earlier.test_samples = experiment.test_samples;
    earlier.topology = experiment.topology;
    earlier.seed = experiment.seed;
    earlier.backend = experiment.backend;
    earlier.threads = experiment.threads;
    earlier.graph = experiment.graph;
    earlier.spmm = experiment.spmm;
    return earlier;
}

NetworkMetadata metadata(const Experiment& experiment, const DataSet& data, const std::vector<EpochRecord>& history) {
    return {{"experiment", config_text(experiment)},
            {"epochs", std::to_string(history.size())},
            {"dataset", data.name},
            {"dataset_digest", data.digest},
            {"program", version()}};
}

std::vector<RecordedLayer> recorded_layers(const Network& network) {
    std::vector<RecordedLayer> layers;
    for (const Layer& layer : network.layers)
        layers.push_back({layer.num_inputs, layer.num_outputs, layer.is_sparse()});
    return layers;
}

void count_parameters(const Network& network, RunResults& results) {
    for (const Layer& layer : network.layers) {
        if (layer.is_sparse()) results.edges += layer.weights.size();
        results.parameters += layer.weights.size() + layer.bias.size() + layer.activation_parameters.size();
    }
}

}  // namespace

void check_against_data(const Experiment& experiment, const DataSet& data) {
    const auto refuse = [](const std::string& message) { throw UserError(ExitCode::usage, message); };
    if (experiment.layers.front() != data.features()) {
        refuse("layers: the network takes " + std::to_string(experiment.layers.front()) + " inputs, but " + data.name +
               " has " + std::to_string(data.features()) + " features (" + std::to_string(data.height) + " x " +
               std::to_string(data.width) + " x " + std::to_string(data.channels) + ")");
    }
    if (experiment.layers.back() < data.classes) {
        refuse("layers: " + data.name + " has " + std::to_string(data.classes) + " classes, the network only " +
               std::to_string(experiment.layers.back()) + " outputs");
    }
}

RunResults run_training(const Experiment& experiment, const RunPlace& place) {
    const fs::path folder = place.folder.empty() ? fresh_folder(experiment) : place.folder;
    fs::path start_file = experiment.init_from;
    if (experiment.init_from.starts_with(recipe_prefix)) {
        const RunResults earlier = run_training(predecessor(experiment), {folder.string() + ".start", place.overwrite});
        if (earlier.stopped) return earlier;
        start_file = earlier.run_dir / "network.safetensors";
    }

    watch_signals();
    std::string remark;
    const std::unique_ptr<Backend> backend = make_backend(experiment, &remark);
    DataSet data =
        load_dataset(experiment.dataset, experiment.data_dir, experiment.train_samples, experiment.test_samples);
    check_against_data(experiment, data);
    Network network;
    if (start_file.empty()) {
        network = new_network(experiment);
    } else {
        network = load_network(start_file);
        fit_network(experiment, experiment.reset_optimizer, network);
    }

    Recorder recorder(folder, place.overwrite, config_text(experiment), recorded_layers(network));
    write_pixel_statistics(recorder.folder(), pixel_statistics(data));
    Progress progress(experiment.recipe.empty() ? data.name : experiment.recipe, experiment.epochs);
    if (!remark.empty()) progress.say(remark);
    if (experiment.spmm != Spmm::automatic && backend->name() == "cpu") {
        progress.say("spmm chooses between CUDA kernels; the CPU backend has one way to multiply and takes that");
    }
    progress.say(data.name + " from " + data.source + ", " + std::to_string(data.train.count()) + " + " +
                 std::to_string(data.test.count()) + " samples; " + backend->describe());
    const RecordPlan plan{experiment.record_every, experiment.epochs};
    TopologyRecords records(recorder.folder(), network, plan);
    Watcher watcher(recorder, records, plan, progress);
    Trainer trainer(experiment, *backend, data, network, watcher);
    network = {};  // the backend has its own copies of both
    data.train = data.test = {};

    RunResults results;
    results.experiment = experiment;
    results.dataset_source = data.source;
    results.backend = backend->name();
    results.run_dir = recorder.folder();
    results.stopped = !trainer.run();
    results.history = trainer.history();
    records.finish();
    network = trainer.network();
    count_parameters(network, results);
    save_network(recorder.folder() / "network.safetensors", network, metadata(experiment, data, results.history));
    if (!results.history.empty()) {
        network = {};  // the report reads its own
        recorder.heat_maps(data.height, data.width, data.channels);
        write_report({recorder.folder()}, recorder.folder() / "report.html");
    }
    if (!results.stopped) {  // last of all: who finds it finds a finished run
        const std::string text = results_json(results) + "\n";
        write_atomically(recorder.folder() / results_file, [&](OutputFile& file) { file.append(text); });
    }
    return results;
}

}  // namespace espalier
