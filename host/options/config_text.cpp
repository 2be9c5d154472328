#include "host/options/config_text.hpp"

#include <fstream>

#include "espalier/data_meaning.hpp"
#include "espalier/error.hpp"
#include "espalier/number_text.hpp"
#include "host/options/config_lines.hpp"

namespace espalier {
namespace {

[[noreturn]] void refuse_config(const std::string& message) { throw UserError(ExitCode::usage, message); }

}  // namespace

OptionTexts parse_config(const std::string& text, const std::string& source) {
    OptionTexts texts;
    for (const ConfigLine& line : read_config_lines(text, source)) {
        if (!line.section.empty()) {
            refuse_config(source + ": tables like [" + line.section +
                          "] are not used here; write plain key = value lines");
        }
        std::string value;
        for (const std::string& part : line.values) value += (value.empty() ? "" : ",") + part;
        if (!texts.emplace(line.name, value).second) refuse_config(source + ": '" + line.name + "' is given twice");
    }
    return texts;
}

OptionTexts read_config_file(const std::string& path) {
    constexpr std::size_t longest = std::size_t{1} << 20;
    std::ifstream file(path, std::ios::binary);
    std::string text(longest + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad() || (!file.eof() && file.gcount() == 0)) refuse_config("cannot read the config file " + path);
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.size() > longest) refuse_config(path + " is longer than 1 MiB; it is no config file");
    return parse_config(text, path);
}

Experiment recorded_experiment(const OptionTexts& texts, const std::string& source) {
    Experiment experiment;
    experiment.train_loss_mean = TrainLossMean::batches;
    OptionTexts all = texts;
    if (const auto dataset = texts.find("dataset"); dataset != texts.end()) {
        all.try_emplace("standardize", standardize_before_the_option(dataset->second));
    }
    apply(all, source, experiment);
    return experiment;
}

namespace {

std::string config_text(const Experiment& experiment, bool with_machine) {
    std::string text;
    std::string group;
    for (const auto& option : experiment_options()) {
        const std::string value = option.get(experiment);
        if (value.empty()) continue;
        if (!with_machine && (option.group == "Machine" || option.group == "Records")) continue;
        if (option.group != group) text += (text.empty() ? "# " : "\n# ") + option.group + "\n";
        group = option.group;
        const bool plain = value == "true" || value == "false" || number_from<double>(value);
        text += option.name + " = " + (plain ? value : quoted_config_value(value)) + "\n";
    }
    return text;
}

}  // namespace

std::string config_text(const Experiment& experiment) { return config_text(experiment, true); }

std::string experiment_text(const Experiment& experiment) { return config_text(experiment, false); }

}  // namespace espalier
