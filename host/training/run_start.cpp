#include "host/training/run_start.hpp"

#include <limits>

#include "espalier/backends.hpp"
#include "espalier/error.hpp"
#include "espalier/initialize_network.hpp"
#include "espalier/network_file.hpp"
#include "host/models/rbm.hpp"
#include "host/options/option_table.hpp"
#include "host/options/recipes.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/run/run_layout.hpp"
#include "host/training/evolution_plan.hpp"
#include "host/training/memory_estimate.hpp"
#include "host/training/rank_agreement.hpp"
#include "host/training/rank_start.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

const std::string recipe_prefix = "recipe:";

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
    earlier.validation = experiment.validation;
    earlier.topology = experiment.topology;
    earlier.seed = experiment.seed;
    earlier.backend = experiment.backend;
    earlier.threads = experiment.threads;
    earlier.device = experiment.device;
    earlier.graph = experiment.graph;
    earlier.spmm = experiment.spmm;
    return earlier;
}

/// Of a new run: drawn, drawn and fitted to the data, or loaded from `file`.
Network first_network(const Experiment& experiment, const fs::path& file, const DataSet& data) {
    Network network;
    if (file.empty()) {
        network = initialize_network(experiment, &data);
        if (experiment.init_from == init_from_data) fit_visible_biases(data, network);
    } else {
        network = load_network(network_of(file));
        fit_network(experiment, experiment.reset_optimizer, network);
    }
    expect_edges(experiment, network);
    return network;
}

}  // namespace

Network starting_network(const Experiment& experiment, Backend& backend, const DataSet& data) {
    if (experiment.init_from.starts_with(recipe_prefix)) {
        const Experiment earlier = predecessor(experiment);
        Network network = *train_network(earlier, backend, data, starting_network(earlier, backend, data)).network;
        fit_network(experiment, experiment.reset_optimizer, network);
        expect_edges(experiment, network);
        return network;
    }
    return first_network(experiment, experiment.init_from == init_from_data ? "" : experiment.init_from, data);
}

RunStart choose_start(const Experiment& experiment, const RunPlace& place) {
    RunStart start;
    const bool writes = is_rank_0(place.ranks);
    expect_equal_options(place.ranks, experiment);
    if (writes) {
        choose_folder(experiment, place, start);
        start.resumed = find_interrupted_run(experiment, start.folder, place);
    }
    share_interrupted_run(place.ranks, start.resumed);
    fs::path file = experiment.init_from == init_from_data ? std::string{} : experiment.init_from;
    if (!start.resumed.has_value() && experiment.init_from.starts_with(recipe_prefix)) {
        RunPlace before = place;
        before.folder = start.folder.string() + ".start";  // of no meaning to other ranks than 0
        RunResults results = run_training(predecessor(experiment), before);
        if (results.stopped) {
            start.stopped = std::move(results);
            return start;
        }
        file = results.run_dir / run_layout::network;
    }
    if (place.backend != nullptr) start.backend = std::move(*place.backend);
    if (start.backend == nullptr) start.backend = make_backend(experiment, &start.remark, place.ranks);
    start.data = place.data != nullptr ? *place.data : load_dataset(request_of(experiment));
    prepare_data(experiment, start.data);
    expect_equal_data(place.ranks, experiment, start.data.digest, start.backend->lanes());
    expect_within_limits(experiment, *start.backend);
    if (start.resumed.has_value()) {
        expect_resumable(experiment, start.data, *start.resumed);
        start.network = std::move(start.resumed->network);
    } else {
        if (writes) start.network = first_network(experiment, file, start.data);
        share_network(place.ranks, start.network);
    }
    return start;
}

std::uint32_t steps_per_epoch(const Experiment& experiment, const DataSet& data) {
    return (data.train.count() + experiment.batch - 1) / experiment.batch;
}

void check_against_data(const Experiment& experiment, const DataSet& data) {
    const auto refuse = [](const std::string& message) { throw UserError(ExitCode::usage, message); };
    if (experiment.layers.front() != data.features()) {
        refuse("layers: the network takes " + std::to_string(experiment.layers.front()) + " inputs, but " + data.name +
               " has " + std::to_string(data.features()) + " features (" + std::to_string(data.height) + " x " +
               std::to_string(data.width) + " x " + std::to_string(data.channels) + ")");
    }
    const bool regression = is_regression(experiment.loss);
    if (regression && data.targets() == 0) {
        refuse("loss: squared-error is for real-valued targets; say which columns of " + data.name +
               " they are with --targets");
    }
    if (!regression && data.targets() > 0) {
        refuse("loss: " + rule_text(experiment.loss) + " is for classes; the real-valued targets of " + data.name +
               " have squared-error");
    }
    if (regression && experiment.layers.back() != data.targets()) {
        refuse("layers: " + data.name + " has " + std::to_string(data.targets()) +
               (data.targets() == 1 ? " target" : " targets") + ", the network " +
               std::to_string(experiment.layers.back()) + " outputs; expected " + std::to_string(data.targets()));
    }
    if (experiment.model == ModelKind::mlp && experiment.layers.back() < data.classes) {
        refuse("layers: " + data.name + " has " + std::to_string(data.classes) + " classes, the network only " +
               std::to_string(experiment.layers.back()) + " outputs");
    }
    static_cast<void>(probe_size(experiment, data.train.count()));
    // Steps are told apart by 32 bits wherever random numbers are drawn for them.
    const std::uint64_t steps = steps_per_epoch(experiment, data);
    constexpr std::uint64_t max_steps = std::numeric_limits<std::uint32_t>::max();
    if (steps * experiment.epochs > max_steps) {
        refuse("epochs: " + std::to_string(experiment.epochs) + " of " + std::to_string(steps) +
               " steps each are more than the " + std::to_string(max_steps) + " steps a run may have; at most " +
               std::to_string(max_steps / steps) + " epochs of them are");
    }
}

}  // namespace espalier
