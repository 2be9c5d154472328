// The experiment's options on a subcommand's command line: --recipe, --config and every entry of the option table.
#pragma once

#include <memory>
#include <string>

#include "espalier/experiment.hpp"
#include "host/options/option_table.hpp"
#include "host/system/progress.hpp"

namespace CLI {
class App;
}

namespace espalier {

/// Adds an option for every entry of the option table; what is given lands in `given`, which must outlive `app`.
void add_experiment_options(CLI::App& app, OptionTexts& given);

/// Adds --progress; `form`, which must outlive `app`, is what stderr shows.
void add_progress_option(CLI::App& app, ProgressForm& form, const std::string& group);

class ExperimentArguments {
public:
    /// Adds the options to `app`, which must not outlive this object.
    explicit ExperimentArguments(CLI::App& app);

    /// Defaults (or `experiment`) < recipe < config file < command line, validated. Throws UserError (usage).
    [[nodiscard]] Experiment resolve(Experiment experiment = {}) const;

    /// What of the command line says how layers evolve, in an experiment whose layers do not: "--zeta and --grow do
    /// nothing: the topology is fixed". Empty where there is nothing to say.
    [[nodiscard]] std::string idle_options(const Experiment& experiment) const;

private:
    OptionTexts given_;
    std::string config_;
};

}  // namespace espalier
