#include "host/training/run_training.hpp"

#include <chrono>
#include <cstdio>
#include <optional>

#include "espalier/error.hpp"
#include "host/backends.hpp"
#include "host/run/checkpoint.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/options/config_text.hpp"
#include "host/data/dataset.hpp"
#include "host/models/initialization.hpp"
#include "host/formats/network_file.hpp"
#include "host/options/option_table.hpp"
#include "host/formats/output_file.hpp"
#include "host/data/pixel_statistics.hpp"
#include "host/system/progress.hpp"
#include "host/models/rbm.hpp"
#include "host/rbm/pictures.hpp"
#include "host/options/recipes.hpp"
#include "host/report/report.hpp"
#include "host/system/signals.hpp"
#include "host/run/topology_records.hpp"
#include "host/training/trainer.hpp"
#include "host/system/version.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

const std::string recipe_prefix = "recipe:";

constexpr double seconds_between_checkpoints = 60;

/// Makes a run's checkpoints: when they are due, and what stands in them.
class Checkpointer {
public:
    Checkpointer(const RunPlace& place, Recorder& recorder, TopologyRecords& records, CheckpointInfo info)
        : every_(place.checkpoint_every),
          keep_(place.keep),
          recorder_(recorder),
          records_(records),
          info_(std::move(info)) {}

    void save_if_due(const Trainer& trainer, const Network& network) {
        const std::uint32_t epoch = trainer.progress().epoch;
        const bool due = every_ > 0 ? epoch % every_ == 0
                                    : std::chrono::steady_clock::now() - last_ >=
                                          std::chrono::duration<double>(seconds_between_checkpoints);
        if (keep_ == 0 || !due || epoch == info_.experiment.epochs) return;  // the last one is saved after the run
        save(trainer, network);
    }

    void save(const Trainer& trainer, const Network& network) {
        if (keep_ == 0) return;
        info_.progress = trainer.progress();
        info_.test_loss.reset();
        if (info_.progress.step == 0 && !trainer.history().empty())
            info_.test_loss = trainer.history().back().test_loss;
        info_.recorded = recorder_.sync();
        records_.sync(info_.recorded);
        info_.lifetimes = records_.lifetimes();
        add_checkpoint(recorder_.folder(), info_, network, keep_);
        last_ = std::chrono::steady_clock::now();
    }

private:
    std::uint32_t every_;
    int keep_;
    Recorder& recorder_;
    TopologyRecords& records_;
    CheckpointInfo info_;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// Recorder, checkpoints and progress bar in one observer.
class Watcher final : public TrainObserver {
public:
    /// `epoch`, from 1, is the one the run begins or goes on in.
    Watcher(Recorder& recorder, TopologyRecords& records, const RecordPlan& plan, Checkpointer& checkpointer,
            Progress& progress, std::uint32_t epoch)
        : recorder_(recorder),
          records_(records),
          plan_(plan),
          checkpointer_(checkpointer),
          progress_(progress),
          epoch_(epoch) {}

    void on_progress(std::uint32_t epoch, double part) override { progress_.within(epoch, part); }
    void on_degrees(std::size_t layer, const Degrees& before, const Degrees& after) override {
        if (is_recorded(epoch_, plan_.every, plan_.epochs)) recorder_.degrees(layer, before, after);
    }
    void on_epoch_end(Trainer& trainer) override {
        const Network network = trainer.network();
        records_.epoch(epoch_, network);
        checkpointer_.save_if_due(trainer, network);
        ++epoch_;
    }
    void on_epoch(const EpochRecord& record) override {
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
    Checkpointer& checkpointer_;
    Progress& progress_;
    std::uint32_t epoch_;  // the one at work, from 1
};

/// `only_name` true: the name a run has unless others had it before.
fs::path default_folder(const Experiment& experiment, bool only_name) {
    std::string name =
        experiment.recipe.empty() ? experiment.dataset.substr(0, experiment.dataset.find(':')) : experiment.recipe;
    name += "-seed" + std::to_string(experiment.seed);
    fs::path folder = fs::path("runs") / name;
    for (int n = 2; !only_name && fs::exists(folder); ++n) folder = fs::path("runs") / (name + "-" + std::to_string(n));
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

/// Reads the data again: while training, only the backend holds them.
void draw_rbm(const Experiment& experiment, const Network& network, const fs::path& folder) {
    DataSet data =
        load_dataset(experiment.dataset, experiment.data_dir, experiment.train_samples, experiment.test_samples);
    use_as_units(data);
    write_rbm_pictures(folder, network, data, experiment.seed, experiment.threads);
}

void count_parameters(const Network& network, RunResults& results) {
    for (const Layer& layer : network.layers) {
        if (layer.is_sparse()) results.edges += layer.weights.size();
        if (results.experiment.model == ModelKind::rbm && &layer != network.layers.data()) {
            results.parameters += layer.num_inputs;  // the visible biases; of what follows nothing is trained
            break;
        }
        results.parameters += layer.weights.size() + layer.bias.size() + layer.activation_parameters.size();
    }
}

/// Refuses options other than the run's own; those of the machine may change.
void expect_same_options(const Experiment& asked, const Experiment& run, const fs::path& checkpoint) {
    for (const auto& option : experiment_options()) {
        if (option.group == "Machine" || option.name == "data-dir" || option.name == "recipe") continue;
        const std::string now = option.get(asked);
        const std::string then = option.get(run);
        if (now == then) continue;
        throw UserError(ExitCode::usage, "cannot resume from " + checkpoint.string() + ": its run has " + option.name +
                                             " = " + (then.empty() ? "none" : then) + ", asked for is " +
                                             (now.empty() ? "none" : now) +
                                             "; a run with other options is a new one (--init-from starts it from an "
                                             "old one's network)");
    }
}

/// The checkpoint this run goes on from, read into `checkpoint`; nothing for a run that starts anew.
std::optional<FoundCheckpoint> checkpoint_to_resume(const Experiment& experiment, const fs::path& folder,
                                                    const RunPlace& place, Checkpoint& checkpoint) {
    if (place.resume == Resume::never) return std::nullopt;
    std::optional<FoundCheckpoint> found;
    if (place.checkpoint.empty()) {
        found = find_checkpoint(folder, checkpoint);
    } else {
        found = open_checkpoint(place.checkpoint, checkpoint);
    }
    if (found.has_value()) {
        expect_same_options(experiment, checkpoint.info.experiment, found->path);
    } else if (place.resume == Resume::always) {
        throw UserError(ExitCode::checkpoint, folder.string() + " holds no checkpoint to resume from");
    }
    return found;
}

/// With --resume auto: a folder without any checkpoint is one whose run was killed before its first, and starts anew.
bool may_restart(const fs::path& folder, const RunPlace& place) {
    if (place.resume != Resume::if_possible || !fs::exists(folder)) return false;
    if (!fs::exists(folder / "network.safetensors")) return true;
    throw UserError(ExitCode::usage, folder.string() +
                                         " holds a network but no checkpoint to resume from; pass "
                                         "--overwrite to replace it, or choose another folder with --out");
}

/// The history up to a checkpoint that fits data and experiment.
std::vector<EpochRecord> expect_resumable(const Experiment& experiment, const DataSet& data,
                                          const FoundCheckpoint& found, Checkpoint& checkpoint) {
    const CheckpointInfo& info = checkpoint.info;
    const auto refuse = [&](const std::string& what) {
        throw UserError(ExitCode::checkpoint, found.path.string() + ": " + what);
    };
    if (info.dataset_digest != data.digest) {
        refuse("its run saw other data: expected digest " + info.dataset_digest + ", found " + data.digest + " in " +
               data.source);
    }
    fit_network(experiment, false, checkpoint.network);
    const std::uint32_t steps = (data.train.count() + experiment.batch - 1) / experiment.batch;
    const bool past_end = info.progress.epoch == experiment.epochs && info.progress.step > 0;
    if (info.progress.step > steps || past_end) {
        refuse("step " + std::to_string(info.progress.step) + " of epoch " + std::to_string(info.progress.epoch + 1) +
               " lies beyond the run");
    }
    const auto recorded = info.recorded.find("history.jsonl");
    auto history = read_history(found.run / "history.jsonl", recorded == info.recorded.end() ? 0 : recorded->second);
    if (history.size() != info.progress.epoch) {
        refuse("after epoch " + std::to_string(info.progress.epoch) + ", but history.jsonl holds " +
               std::to_string(history.size()) + " epochs there");
    }
    return history;
}

void say_resumed(const FoundCheckpoint& found, const CheckpointInfo& info, const Backend& backend, Progress& progress) {
    for (const std::string& warning : found.warnings) progress.say("warning: " + warning);
    const CheckpointPlace place{info.progress.epoch, info.progress.step};
    const int forgotten = forget_newer(found.run, place);
    progress.say("resuming from " + found.path.string() +
                 (forgotten > 0 ? " (removed the " + std::to_string(forgotten) + " after it)" : ""));
    const auto without_threads = [](const std::string& description) {
        return description.substr(0, description.find(','));
    };
    if (without_threads(info.machine) != without_threads(backend.describe())) {
        progress.say("warning: this run began on '" + info.machine + "' and goes on on '" + backend.describe() +
                     "': from here on its bits differ from those of an unbroken run");
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
    if (experiment.model == ModelKind::mlp && experiment.layers.back() < data.classes) {
        refuse("layers: " + data.name + " has " + std::to_string(data.classes) + " classes, the network only " +
               std::to_string(experiment.layers.back()) + " outputs");
    }
}

RunResults run_training(const Experiment& experiment, const RunPlace& place) {
    watch_signals();
    const fs::path folder =
        !place.folder.empty() ? place.folder : default_folder(experiment, place.resume == Resume::if_possible);
    Checkpoint checkpoint;
    const std::optional<FoundCheckpoint> found = checkpoint_to_resume(experiment, folder, place, checkpoint);
    const bool from_data = experiment.init_from == init_from_data;
    fs::path start_file = from_data ? std::string{} : experiment.init_from;
    if (!found.has_value() && experiment.init_from.starts_with(recipe_prefix)) {
        RunPlace start = place;
        start.folder = folder.string() + ".start";
        const RunResults earlier = run_training(predecessor(experiment), start);
        if (earlier.stopped) return earlier;
        start_file = earlier.run_dir / "network.safetensors";
    }

    std::string remark;
    const std::unique_ptr<Backend> backend = make_backend(experiment, &remark);
    DataSet data =
        load_dataset(experiment.dataset, experiment.data_dir, experiment.train_samples, experiment.test_samples);
    check_against_data(experiment, data);
    if (experiment.model == ModelKind::rbm) use_as_units(data);
    Network network;
    std::vector<EpochRecord> history;
    if (found.has_value()) {
        history = expect_resumable(experiment, data, *found, checkpoint);
        network = std::move(checkpoint.network);
    } else if (start_file.empty()) {
        network = initialize_network(experiment);
        if (from_data) fit_visible_biases(data, network);
    } else {
        network = load_network(start_file);
        fit_network(experiment, experiment.reset_optimizer, network);
    }

    std::optional<Recorder> held;
    if (found.has_value()) {
        held.emplace(folder, checkpoint.info.recorded, config_text(experiment), recorded_layers(network));
    } else {
        held.emplace(folder, place.overwrite || may_restart(folder, place), config_text(experiment),
                     recorded_layers(network));
    }
    Recorder& recorder = *held;
    write_pixel_statistics(recorder.folder(), pixel_statistics(data));
    Progress progress(experiment.recipe.empty() ? data.name : experiment.recipe, experiment.epochs);
    if (!remark.empty()) progress.say(remark);
    if (experiment.spmm != Spmm::automatic && backend->name() == "cpu") {
        progress.say("spmm chooses between CUDA kernels; the CPU backend has one way to multiply and takes that");
    }
    progress.say(data.name + " from " + data.source + ", " + std::to_string(data.train.count()) + " + " +
                 std::to_string(data.test.count()) + " samples; " + backend->describe());
    if (found.has_value()) say_resumed(*found, checkpoint.info, *backend, progress);
    const RecordPlan plan{experiment.record_every, experiment.epochs};
    std::optional<TopologyRecords> kept;
    if (found.has_value()) {
        kept.emplace(folder, network, plan, checkpoint.info.recorded, std::move(checkpoint.info.lifetimes));
    } else {
        kept.emplace(folder, network, plan);
    }
    TopologyRecords& records = *kept;
    CheckpointInfo info{experiment, {}, {}, {}, data.name, data.digest, backend->name(), backend->describe(), {}};
    Checkpointer checkpointer(place, recorder, records, std::move(info));
    Watcher watcher(recorder, records, plan, checkpointer, progress, checkpoint.info.progress.epoch + 1);
    Trainer trainer(experiment, *backend, data, network, watcher);
    if (found.has_value()) trainer.continue_from(checkpoint.info.progress, std::move(history));
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
    checkpointer.save(trainer, network);
    save_network(recorder.folder() / "network.safetensors", network, metadata(experiment, data, results.history));
    if (!results.history.empty() && experiment.model == ModelKind::rbm)
        draw_rbm(experiment, network, recorder.folder());
    if (!results.history.empty()) {
        network = {};  // the report reads its own
        try {
            recorder.heat_maps(data.height, data.width, data.channels);
            write_report({recorder.folder()}, recorder.folder() / "report.html");
        } catch (const UserError& error) {
            throw UserError(ExitCode::io, std::string("the run is saved, but not its report: ") + error.what());
        }
    }
    if (results.stopped && place.keep > 0) {
        progress.say("stopped by a signal and saved; --resume '" + recorder.folder().string() + "' goes on");
    }
    if (!results.stopped) {  // last of all: who finds it finds a finished run
        const std::string text = results_json(results) + "\n";
        write_atomically(recorder.folder() / results_file, [&](OutputFile& file) { file.append(text); });
    }
    return results;
}

}  // namespace espalier
