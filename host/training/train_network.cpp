#include "espalier/train_network.hpp"

#include "espalier/error.hpp"
#include "espalier/network_file.hpp"
#include "host/data/validation.hpp"
#include "host/models/rbm.hpp"
#include "host/run/epoch_record.hpp"
#include "host/run/run_layout.hpp"
#include "host/training/run_observers.hpp"
#include "host/training/run_training.hpp"

namespace espalier {
namespace {

/// The best network so far, for runs with patience.
struct BestNetwork {
    Network network;
    std::uint32_t epoch = 0;
};

}  // namespace

void prepare_data(const Experiment& experiment, DataSet& data) {
    check_against_data(experiment, data);
    if (data.validation.count() == 0) take_validation(experiment, data);
    if (experiment.model == ModelKind::rbm) use_as_units(data);
}

TrainedNetwork train_network(const Experiment& experiment, Backend& backend, const DataSet& data,
                             const Network& network, const TrainingHooks& hooks) {
    if (experiment.patience > 0 && data.test.count() == 0 && data.validation.count() == 0) {
        throw UserError(ExitCode::usage, "patience: it goes by the loss on validation or test samples, and there are none");
    }
    BestNetwork best;
    const auto save_best = [&](const Network& better, std::uint32_t epoch) { best = {better, epoch}; };
    NetworkKeeper keeper(experiment.patience > 0 ? NetworkKeeper::SaveBest(save_best) : nullptr);
    Trainer trainer(experiment, backend, data, network);
    trainer.add_observer(keeper);
    for (TrainObserver* each : hooks.observers) trainer.add_observer(*each);
    TrainedNetwork trained;
    trained.stopped = !trainer.run(hooks.stop);
    trained.history = trainer.history();
    trained.stopped_early = trainer.out_of_patience() && trainer.progress().epoch < experiment.epochs;
    trained.kept_epoch = static_cast<std::uint32_t>(trained.history.size());
    if (best.epoch > 0) {
        trained.kept_epoch = best.epoch;
        trained.network = std::make_shared<const Network>(std::move(best.network));
    } else if (keeper.latest() != nullptr) {
        trained.network = keeper.latest();
    } else {
        trained.network = std::make_shared<const Network>(trainer.network());
    }
    return trained;
}

TrainedNetwork train_network_into(const std::filesystem::path& folder, const Experiment& experiment,
                                  const DataSet& data, const TrainingHooks& hooks, bool overwrite) {
    if (data.test.count() == 0) {
        throw UserError(ExitCode::data, "test samples: a run folder records how the network does on some, and there are none");
    }
    RunPlace place;
    place.folder = folder;
    place.overwrite = overwrite;
    place.progress = ProgressForm::silent;
    place.data = &data;
    place.hooks = hooks;
    if (!place.hooks.stop) place.hooks.stop = [] { return false; };
    Experiment named = experiment;
    if (data.source == "memory") named.dataset = data.name;
    const RunResults results = run_training(named, place);
    TrainedNetwork trained;
    trained.history = results.history;
    trained.stopped = results.stopped;
    trained.stopped_early = results.stopped_early;
    trained.kept_epoch = results.history.empty() ? 0 : results.kept().epoch;
    trained.network = std::make_shared<const Network>(load_network(results.run_dir / run_layout::network));
    return trained;
}

}  // namespace espalier
