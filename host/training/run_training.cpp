#include "host/training/run_training.hpp"

#include <limits>
#include <memory>
#include <chrono>
#include <optional>

#include "espalier/error.hpp"
#include "espalier/backends.hpp"
#include "espalier/dataset.hpp"
#include "host/data/pixel_statistics.hpp"
#include "espalier/network_file.hpp"
#include "host/formats/output_file.hpp"
#include "espalier/initialize_network.hpp"
#include "host/models/predictions.hpp"
#include "host/models/rbm.hpp"
#include "host/options/config_text.hpp"
#include "host/options/option_table.hpp"
#include "host/options/recipes.hpp"
#include "host/rbm/pictures.hpp"
#include "host/report/report.hpp"
#include "host/run/fresh_folder.hpp"
#include "host/run/provenance.hpp"
#include "host/run/run_layout.hpp"
#include "host/system/progress.hpp"
#include "host/system/signals.hpp"
#include "espalier/version.hpp"
#include "host/training/resume.hpp"
#include "host/training/run_observers.hpp"
#include "espalier/trainer.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

const std::string recipe_prefix = "recipe:";

/// What a run begins with.
struct RunStart {
    fs::path folder;
    std::unique_ptr<FreshFolder> fresh;  // the folder, if it was made for this run
    std::optional<InterruptedRun> resumed;
    std::unique_ptr<Backend> backend;
    std::string remark;  // on the choice of the backend
    DataSet data;
    Network network;
    std::optional<RunResults> stopped;  // set, and nothing else, if already the recipe's run before this one was
};

/// What a run leaves behind in memory.
struct TrainedRun {
    RunResults results;
    std::shared_ptr<const Network> network;
};

std::uint32_t steps_per_epoch(const Experiment& experiment, const DataSet& data) {
    return (data.train.count() + experiment.batch - 1) / experiment.batch;
}

/// The name a run has unless others had it before.
std::string usual_name(const Experiment& experiment) {
    const std::string& dataset = experiment.dataset;
    const std::string name = experiment.recipe.empty() ? dataset.substr(0, dataset.find(':')) : experiment.recipe;
    return name + "-seed" + std::to_string(experiment.seed);
}

void choose_folder(const Experiment& experiment, const RunPlace& place, RunStart& start) {
    const fs::path runs = "runs";
    if (!place.folder.empty()) {
        start.folder = place.folder;
    } else if (place.resume == Resume::if_possible) {
        start.folder = runs / usual_name(experiment);
    } else {
        start.fresh = std::make_unique<FreshFolder>(runs, usual_name(experiment));
        start.folder = start.fresh->path();
    }
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
    earlier.split = experiment.split;
    earlier.standardize = experiment.standardize;
    earlier.topology = experiment.topology;
    earlier.seed = experiment.seed;
    earlier.backend = experiment.backend;
    earlier.threads = experiment.threads;
    earlier.graph = experiment.graph;
    earlier.spmm = experiment.spmm;
    return earlier;
}

/// Of the network that `epochs` epochs made.
NetworkMetadata metadata(const Experiment& experiment, const DataSet& data, std::size_t epochs) {
    return {{"experiment", experiment_text(experiment)},
            {"epochs", std::to_string(epochs)},
            {"dataset", data.name},
            {"dataset_digest", data.digest},
            {meaning_key, meaning_json(data)},
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
    DataSet data = load_dataset(request_of(experiment));
    use_as_units(data);
    write_rbm_pictures(
        {folder / run_layout::receptive_fields, folder / run_layout::reconstructions, folder / run_layout::samples},
        network, data, experiment.seed, experiment.threads);
}

/// What the saved network answers to the test samples, by class; empty if there is no memory for a second copy of it.
std::string figures_by_class(const Experiment& experiment, Backend& backend, const Network& network,
                             const DataSet& data, Progress& progress) {
    try {
        const Predictions predictions = predict(backend, experiment, network, data, data.test);
        return class_figures_json(class_figures(predictions, data.test.labels, data.class_names));
    } catch (const UserError& error) {
        if (error.code() != ExitCode::device) throw;
        progress.say(std::string("warning: no figures by class: ") + error.what());
        return "";
    }
}

void count_parameters(const Network& network, RunResults& results) {
    for (const Layer& layer : network.layers) {
        if (layer.is_sparse()) results.edges += layer.weights.size();
        results.parameters += layer.weights.size() + layer.bias.size() + layer.activation_parameters.size();
    }
    if (const NamedArray* biases = network.array(visible_bias_array)) results.parameters += biases->values.size();
}

/// Of a new run: drawn, drawn and fitted to the data, or loaded from `file`.
Network first_network(const Experiment& experiment, const fs::path& file, const DataSet& data) {
    Network network;
    if (file.empty()) {
        network = initialize_network(experiment);
        if (experiment.init_from == init_from_data) fit_visible_biases(data, network);
    } else {
        network = load_network(file);
        fit_network(experiment, experiment.reset_optimizer, network);
    }
    expect_edges(experiment, network);
    return network;
}

/// Part one of a run: fresh, from another run's network, or where an interrupted one stood.
RunStart choose_start(const Experiment& experiment, const RunPlace& place) {
    RunStart start;
    choose_folder(experiment, place, start);
    start.resumed = find_interrupted_run(experiment, start.folder, place);
    fs::path file = experiment.init_from == init_from_data ? std::string{} : experiment.init_from;
    if (!start.resumed.has_value() && experiment.init_from.starts_with(recipe_prefix)) {
        RunPlace before = place;
        before.folder = start.folder.string() + ".start";
        RunResults results = run_training(predecessor(experiment), before);
        if (results.stopped) {
            start.stopped = std::move(results);
            return start;
        }
        file = results.run_dir / run_layout::network;
    }
    start.backend = make_backend(experiment, &start.remark);
    start.data = load_dataset(request_of(experiment));
    check_against_data(experiment, start.data);
    if (experiment.model == ModelKind::rbm) use_as_units(start.data);
    if (start.resumed.has_value()) {
        expect_resumable(experiment, start.data, *start.resumed);
        start.network = std::move(start.resumed->network);
    } else {
        start.network = first_network(experiment, file, start.data);
    }
    return start;
}

std::string monitored(const EpochRecord& record) {
    return record.validation_loss.has_value() ? "the validation loss" : "the test loss";
}

/// An epoch's record as this run will have them.
EpochRecord like_record(const DataSet& data) {
    EpochRecord record;
    if (data.validation.count() > 0) record.validation_loss = record.validation_accuracy = 0;
    return record;
}

/// Part two: the files that grow with a run, new or cut back to the checkpoint it goes on from, and its progress bar.
struct RunRecords {
    RunRecords(const Experiment& experiment, const RunPlace& place, RunStart& start)
        : plan{experiment.record_every, experiment.epochs},
          recorder(start.folder, !start.resumed && (place.overwrite || start.fresh || may_restart(start.folder, place)),
                   config_text(experiment), recorded_layers(start.network), recorded(start), like_record(start.data)),
          topology(start.folder, start.network, plan, recorded(start),
                   start.resumed ? std::move(start.resumed->info.lifetimes) : AllLifetimes{}),
          progress(experiment.recipe.empty() ? start.data.name : experiment.recipe, experiment.epochs,
                   place.progress) {
        write_pixel_statistics(recorder.folder() / run_layout::pixels, pixel_statistics(start.data));
        provenance = provenance_now(start.backend->describe());
        const auto before = start.resumed ? read_provenance(recorder.folder()) : std::nullopt;
        if (before) provenance.seconds = before->seconds;
        write_provenance(recorder.folder(), provenance);
        if (!start.remark.empty()) progress.say(start.remark);
        if (experiment.spmm != Spmm::automatic && start.backend->name() == "cpu") {
            progress.say("spmm chooses between CUDA kernels; the CPU backend has one way to multiply and takes that");
        }
        progress.say(start.data.name + " from " + start.data.source + ", " + std::to_string(start.data.train.count()) +
                     " + " + std::to_string(start.data.test.count()) + " samples; " + start.backend->describe());
        for (const std::string& each : start.data.remarks) progress.say(each);
        if (experiment.patience > 0 && start.data.validation.count() == 0) {
            progress.say("note: there are no validation samples, so --patience goes by the test loss: the test figures of the "
                         "network kept are too good");
        }
        for (const std::string& layer : full_layers(experiment)) progress.say("note: " + layer);
        if (start.resumed) say_resumed(experiment, *start.resumed, *start.backend, progress);
        // A run that is to train more epochs is complete no longer.
        if (start.resumed && start.resumed->info.progress.epoch < experiment.epochs) {
            std::error_code absent;
            fs::remove(recorder.folder() / run_layout::results, absent);
        }
    }

    static std::optional<RecordedBytes> recorded(const RunStart& start) {
        if (!start.resumed) return std::nullopt;
        return start.resumed->info.recorded;
    }

    RecordPlan plan;
    Recorder recorder;
    TopologyRecords topology;
    Progress progress;
    Provenance provenance;
    std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
};

/// A network of the run folder, if it is there, whole and that of so many epochs.
std::shared_ptr<const Network> network_of_epoch(const fs::path& file, std::size_t epochs) {
    if (!fs::exists(file)) return nullptr;
    try {
        NetworkMetadata said;
        auto network = std::make_shared<const Network>(load_network(file, &said));
        if (said["epochs"] == std::to_string(epochs)) return network;
    } catch (const UserError&) {  // damaged: not the one that is looked for
    }
    return nullptr;
}

/// The network that a run ends with: always the one that the figures it ends with are of. With patience that is the
/// best one; after a signal the last one tested, not the one in the middle of training, which the checkpoint has.
std::shared_ptr<const Network> kept_network(const NetworkKeeper& keeper, const std::shared_ptr<const Network>& last,
                                            RunResults& results, Progress& progress) {
    const std::vector<EpochRecord>& history = results.history;
    if (history.empty()) return last;
    if (results.experiment.patience > 0) {
        const std::uint32_t best = best_epoch(history);
        if (auto network = network_of_epoch(results.run_dir / run_layout::best_network, best)) {
            results.kept_epoch = best;
            return network;
        }
    }
    if (keeper.latest() != nullptr) return keeper.latest();
    if (!results.stopped) return last;  // gone on with, and nothing was left to do
    // gone on with and stopped again before another epoch ended
    if (auto network = network_of_epoch(results.run_dir / run_layout::network, history.size())) return network;
    progress.say("note: network.safetensors is of the middle of epoch " + std::to_string(history.size() + 1) +
                 ", which no test has seen");
    return last;
}

/// Part three: trains until the last epoch or a signal, watched by everybody who keeps something of it. Takes the
/// network and the samples out of `start`: from here on the backend has its own.
TrainedRun train(const Experiment& experiment, const RunPlace& place, RunStart& start, RunRecords& records,
                 TrainObserver* live) {
    HistoryObserver history(records.recorder, records.plan);
    TopologyObserver topology(records.topology);
    Checkpointer checkpointer(place, records.recorder, records.topology,
                              {experiment,
                               {},
                               {},
                               {},
                               start.data.name,
                               start.data.digest,
                               start.backend->name(),
                               start.backend->describe(),
                               {},
                               {},
                               meaning_json(start.data)});
    ProgressObserver progress(records.progress, experiment.model);
    const double steps = steps_per_epoch(experiment, start.data);

    const fs::path folder = records.recorder.folder();
    const auto save_best = [&](const Network& network, std::uint32_t epoch) {
        save_network(folder / run_layout::best_network, network, metadata(experiment, start.data, epoch));
    };
    NetworkKeeper keeper(experiment.patience > 0 ? NetworkKeeper::SaveBest(save_best) : nullptr);

    Trainer trainer(experiment, *start.backend, start.data, start.network);
    for (TrainObserver* each :
         std::initializer_list<TrainObserver*>{&history, &topology, &keeper, &checkpointer, &progress}) {
        trainer.add_observer(*each);
    }
    if (live != nullptr) trainer.add_observer(*live);
    if (start.resumed) trainer.continue_from(start.resumed->info.progress, std::move(start.resumed->history));
    start.network = {};
    start.data.train = start.data.validation = {};
    if (experiment.model == ModelKind::rbm) start.data.test = {};

    const TrainingProgress& begun = trainer.progress();
    records.progress.begin((begun.epoch + begun.step / steps) / experiment.epochs);
    TrainedRun run;
    run.results.stopped = !trainer.run([] { return stop_signal() != 0; });
    run.results.experiment = experiment;
    run.results.dataset_source = start.data.source;
    run.results.backend = start.backend->name();
    run.results.run_dir = folder;
    run.results.history = trainer.history();
    run.results.stopped_early = trainer.out_of_patience() && trainer.progress().epoch < experiment.epochs;
    records.topology.finish();
    const bool kept_last = trainer.progress().epoch == experiment.epochs && keeper.latest() != nullptr;
    const auto last = kept_last ? keeper.latest() : std::make_shared<const Network>(trainer.network());
    checkpointer.save(trainer, *last);
    run.network = kept_network(keeper, last, run.results, records.progress);
    count_parameters(*run.network, run.results);
    return run;
}

/// Part four: what is made of a run once. In the order of worth: if the disk fills up, the network is there and only
/// its pictures are not; the results come last of all, because who finds them finds a finished run.
void close_run(const RunPlace& place, const RunStart& start, RunRecords& records, TrainedRun& run) {
    const DataSet& data = start.data;
    const Experiment& experiment = run.results.experiment;
    const fs::path& folder = run.results.run_dir;
    const std::size_t epochs = run.results.history.empty() ? 0 : run.results.kept().epoch;
    save_network(folder / run_layout::network, *run.network, metadata(experiment, data, epochs));
    if (!run.results.stopped && experiment.model == ModelKind::mlp) {
        run.results.class_figures = figures_by_class(experiment, *start.backend, *run.network, data, records.progress);
    }
    if (!run.results.history.empty()) {
        if (experiment.model == ModelKind::rbm) draw_rbm(experiment, *run.network, folder);
        run.network.reset();  // the report reads its own
        try {
            records.recorder.heat_maps(data.height, data.width, data.channels);
            records.provenance.seconds +=
                std::chrono::duration<double>(std::chrono::steady_clock::now() - records.begun).count();
            write_provenance(folder, records.provenance);
            write_report({folder}, folder / run_layout::report);
        } catch (const UserError& error) {
            throw UserError(ExitCode::io, std::string("the run is saved, but not its report: ") + error.what());
        }
    }
    if (run.results.stopped_early) {
        records.progress.say("stopped early: " + monitored(run.results.history.back()) + " has not fallen for " +
                             std::to_string(experiment.patience) + " epochs; kept the network of epoch " +
                             std::to_string(run.results.kept().epoch));
    }
    if (!run.results.stopped) {
        std::error_code ignored;
        fs::remove(folder / run_layout::best_network, ignored);  // is network.safetensors by now
    }
    if (run.results.stopped) {
        if (place.keep == 0) return;
        records.progress.say("stopped by a signal and saved; --resume '" + folder.string() + "' goes on");
        return;
    }
    const std::string text = results_json(run.results) + "\n";
    write_atomically(folder / run_layout::results, [&](OutputFile& file) { file.append(text); });
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
    // Steps are told apart by 32 bits wherever random numbers are drawn for them.
    const std::uint64_t steps = steps_per_epoch(experiment, data);
    constexpr std::uint64_t max_steps = std::numeric_limits<std::uint32_t>::max();
    if (steps * experiment.epochs > max_steps) {
        refuse("epochs: " + std::to_string(experiment.epochs) + " of " + std::to_string(steps) +
               " steps each are more than the " + std::to_string(max_steps) + " steps a run may have; at most " +
               std::to_string(max_steps / steps) + " epochs of them are");
    }
}

RunResults run_training(const Experiment& experiment, const RunPlace& place) {
    watch_signals();
    RunStart start = choose_start(experiment, place);
    if (start.stopped.has_value()) return std::move(*start.stopped);
    RunRecords records(experiment, place, start);
    std::optional<LiveObserver> live;
    if (place.live) live.emplace(records.recorder.folder(), experiment.epochs, records.progress);
    TrainedRun run = train(experiment, place, start, records, live ? &*live : nullptr);
    if (live) live->end(run.results.stopped);
    close_run(place, start, records, run);
    return std::move(run.results);
}

}  // namespace espalier
