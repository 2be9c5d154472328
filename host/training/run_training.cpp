#include "host/training/run_training.hpp"

#include <chrono>
#include <memory>
#include <optional>

#include "espalier/backends.hpp"
#include "espalier/dataset.hpp"
#include "espalier/error.hpp"
#include "espalier/network_file.hpp"
#include "espalier/predictions.hpp"
#include "espalier/saved_network.hpp"
#include "espalier/trainer.hpp"
#include "espalier/version.hpp"
#include "host/formats/output_file.hpp"
#include "host/models/rbm.hpp"
#include "host/options/config_text.hpp"
#include "host/options/option_table.hpp"
#include "host/rbm/pictures.hpp"
#include "host/report/report.hpp"
#include "host/run/run_layout.hpp"
#include "host/system/progress.hpp"
#include "host/system/signals.hpp"
#include "host/training/event_observer.hpp"
#include "host/training/rank_agreement.hpp"
#include "host/training/rank_start.hpp"
#include "host/training/run_observers.hpp"
#include "host/training/run_records.hpp"
#include "host/training/run_start.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

/// What a run leaves behind in memory.
struct TrainedRun {
    RunResults results;
    std::shared_ptr<const Network> network;
};

/// Reads the data again: while training, only the backend holds them.
void draw_rbm(const Experiment& experiment, const Network& network, const fs::path& folder, const DataSet* given) {
    DataSet data = given != nullptr ? *given : load_dataset(request_of(experiment));
    use_as_units(data);
    write_rbm_pictures(
        {folder / run_layout::receptive_fields, folder / run_layout::reconstructions, folder / run_layout::samples},
        network, data, experiment.seed, experiment.threads);
}

/// What the saved network answers to the test samples, by class or by target; empty if there is no memory for a second copy of it.
std::string detailed_figures(const Experiment& experiment, Backend& backend, const Network& network,
                             const DataSet& data, Progress& progress) {
    try {
        const Predictions predictions = predict(backend, experiment, network, data, data.test);
        if (data.targets() > 0) {
            return target_figures_json(target_figures(predictions.values, data.test.targets, data.target_names));
        }
        return class_figures_json(class_figures(predictions, data.test.labels, data.class_names));
    } catch (const UserError& error) {
        if (error.code() != ExitCode::device) throw;
        progress.say(std::string("warning: no figures by ") + (data.targets() > 0 ? "target: " : "class: ") +
                     error.what());
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

std::string monitored(const EpochRecord& record) {
    return record.validation_loss.has_value() ? "the validation loss" : "the test loss";
}

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

CheckpointInfo checkpoint_info(const Experiment& experiment, const RunStart& start) {
    CheckpointInfo info;
    info.experiment = experiment;
    info.dataset = start.data.name;
    info.dataset_digest = start.data.digest;
    info.backend = start.backend->name();
    info.machine = start.backend->describe();
    info.data_meaning = meaning_json(start.data);
    return info;
}

/// From here on the backend has the network and the samples; `start` keeps what the run's end needs.
void hand_over(const Experiment& experiment, RunStart& start, Trainer& trainer) {
    if (start.resumed) trainer.continue_from(start.resumed->info.progress, std::move(start.resumed->history));
    start.network = {};
    start.data.train = start.data.validation = {};
    if (experiment.model == ModelKind::rbm) start.data.test = {};
}

/// Asked between slices: what stops one rank stops all at the same step.
std::function<bool()> stop_of(const RunPlace& place) {
    return agreed_stop(place.ranks, place.hooks.stop ? place.hooks.stop
                                                     : std::function<bool()>([] { return stop_signal() != 0; }));
}

RunResults results_of(const Experiment& experiment, const RunStart& start, const Trainer& trainer,
                      const fs::path& folder, bool finished) {
    RunResults results;
    results.experiment = experiment;
    results.dataset_source = start.data.source;
    results.backend = start.backend->name();
    results.machine = start.backend->describe();
    results.run_dir = folder;
    results.history = trainer.history();
    results.stopped = !finished;
    results.ranks = start.backend->ranks();
    results.stopped_early = trainer.out_of_patience() && trainer.progress().epoch < experiment.epochs;
    return results;
}

/// Part three: trains until the last epoch or a signal, watched by everybody who keeps something of it.
TrainedRun train(const Experiment& experiment, const RunPlace& place, RunStart& start, RunRecords& records,
                 TrainObserver* live) {
    // first of all: what a network is computed with is known once a backend has it
    Trainer trainer(experiment, *start.backend, start.data, start.network);
    records.note_machine(*start.backend);
    if (start.resumed) say_other_machine(*start.resumed, *start.backend, records.progress);
    HistoryObserver history(records.recorder, records.plan);
    TopologyObserver topology(records.topology);
    Checkpointer checkpointer(place, records.recorder, records.topology, checkpoint_info(experiment, start));
    ProgressObserver progress(records.progress, experiment.model);
    const fs::path folder = records.recorder.folder();
    const auto save_best = [&](const Network& network, std::uint32_t epoch) {
        save_network(folder / run_layout::best_network, network, network_metadata(experiment, start.data, epoch));
    };
    NetworkKeeper keeper(experiment.patience > 0 ? NetworkKeeper::SaveBest(save_best) : nullptr);

    const double steps = steps_per_epoch(experiment, start.data);
    for (TrainObserver* each :
         std::initializer_list<TrainObserver*>{&history, &topology, &keeper, &checkpointer, &progress}) {
        trainer.add_observer(*each);
    }
    if (live != nullptr) trainer.add_observer(*live);
    std::optional<EventObserver> events;
    if (place.tensorboard) {
        events.emplace(folder, records.plan,
                       start.resumed ? std::optional(start.resumed->info.progress.epoch) : std::nullopt);
        trainer.add_observer(*events);
    }
    for (TrainObserver* each : place.hooks.observers) trainer.add_observer(*each);
    hand_over(experiment, start, trainer);

    const TrainingProgress& begun = trainer.progress();
    records.progress.begin((begun.epoch + begun.step / steps) / experiment.epochs);
    TrainedRun run;
    const bool finished = trainer.run(stop_of(place));
    start.backend->part();  // what is left to do is this run's alone
    run.results = results_of(experiment, start, trainer, folder, finished);
    records.topology.finish();
    const bool kept_last = trainer.progress().epoch == experiment.epochs && keeper.latest() != nullptr;
    const auto last = kept_last ? keeper.latest() : std::make_shared<const Network>(trainer.network());
    checkpointer.save(trainer, *last);
    run.network = kept_network(keeper, last, run.results, records.progress);
    count_parameters(*run.network, run.results);
    return run;
}

/// Part three of every rank but the first: trains as the first does, and keeps nothing.
RunResults follow(const Experiment& experiment, const RunPlace& place, RunStart& start) {
    Trainer trainer(experiment, *start.backend, start.data, start.network);
    hand_over(experiment, start, trainer);
    const bool finished = trainer.run(stop_of(place));
    return results_of(experiment, start, trainer, {}, finished);
}

/// What is left to compute is rank 0's alone.
void part_from_others(const Experiment& experiment, const RunPlace& place, RunStart& start) {
    if (place.ranks == nullptr) return;
    Experiment alone = experiment;
    alone.backend = start.backend->name();
    start.backend = make_backend(alone);
}

/// What a person looks at, drawn from what the folder has by now.
void write_pages(const RunPlace& place, const DataSet& data, RunRecords& records, TrainedRun& run) {
    const Experiment& experiment = run.results.experiment;
    const fs::path& folder = run.results.run_dir;
    if (experiment.model == ModelKind::rbm) draw_rbm(experiment, *run.network, folder, place.data);
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

/// Part four: what is made of a run once. In the order of worth: if the disk fills up, the network is there and only
/// its pictures are not; the results come last of all, because who finds them finds a finished run.
void close_run(const RunPlace& place, const RunStart& start, RunRecords& records, TrainedRun& run) {
    const DataSet& data = start.data;
    const Experiment& experiment = run.results.experiment;
    const fs::path& folder = run.results.run_dir;
    const std::size_t epochs = run.results.history.empty() ? 0 : run.results.kept().epoch;
    save_network(folder / run_layout::network, *run.network, network_metadata(experiment, data, epochs));
    if (!run.results.stopped && experiment.model == ModelKind::mlp) {
        auto& figures = data.targets() > 0 ? run.results.target_figures : run.results.class_figures;
        figures = detailed_figures(experiment, *start.backend, *run.network, data, records.progress);
    }
    if (!run.results.history.empty()) write_pages(place, data, records, run);
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

RunResults run_training(const Experiment& experiment, const RunPlace& place) {
    if (!place.hooks.stop) watch_signals();
    RunStart start = choose_start(experiment, place);
    if (start.stopped.has_value()) return std::move(*start.stopped);
    if (!is_rank_0(place.ranks)) return follow(experiment, place, start);
    RunRecords records(experiment, place, start);
    std::optional<LiveObserver> live;
    if (place.live) live.emplace(records.recorder.folder(), experiment.epochs, records.progress);
    TrainedRun run = train(experiment, place, start, records, live ? &*live : nullptr);
    if (live) live->end(run.results.stopped);
    part_from_others(experiment, place, start);
    close_run(place, start, records, run);
    return std::move(run.results);
}

}  // namespace espalier
