#include "host/study/study_parts.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "espalier/error.hpp"
#include "espalier/number_text.hpp"
#include "host/formats/output_file.hpp"
#include "host/options/config_text.hpp"
#include "host/run/run_layout.hpp"

namespace espalier {

namespace fs = std::filesystem;

Shard read_shard(const std::string& text) {
    const std::size_t bar = std::min(text.find('/'), text.size());
    const auto number = number_from<std::uint32_t>(text.substr(0, bar));
    const auto parts = number_from<std::uint32_t>(bar < text.size() ? text.substr(bar + 1) : "");
    if (!number || !parts || *number < 1 || *number > *parts) {
        throw UserError(ExitCode::usage, "shard: '" + text + "' is no part of a study; expected NUMBER/PARTS from 1/1 up");
    }
    return {*number, *parts};
}

void keep_shard(Study& study, Shard shard) {
    std::vector<StudyCell> kept;
    for (std::size_t c = shard.number - 1; c < study.cells.size(); c += shard.parts) kept.push_back(study.cells[c]);
    study.cells = std::move(kept);
}

double work(const Experiment& experiment) {
    double edges = 0;
    for (std::size_t l = 0; l + 1 < experiment.layers.size(); ++l) {
        const double inputs = experiment.layers[l];
        const double outputs = experiment.layers[l + 1];
        const double cells = inputs * outputs;
        const bool by_epsilon = experiment.density == Density::epsilon;
        const double sparse = by_epsilon ? experiment.epsilon * (inputs + outputs) : (1 - experiment.sparsity) * cells;
        edges += experiment.topology == TopologyKind::dense ? cells : std::min(cells, sparse);
    }
    return edges * experiment.epochs;
}

fs::path cell_folder(const fs::path& study_folder, const StudyCell& cell) { return study_folder / "runs" / cell.name; }

std::optional<Experiment> experiment_in(const fs::path& run) {
    std::ifstream stream(run / run_layout::config, std::ios::binary);
    std::ostringstream text;
    if (!stream || !(text << stream.rdbuf())) return std::nullopt;
    try {
        return recorded_experiment(parse_config(text.str(), run_layout::config), run_layout::config);
    } catch (const UserError&) {
        return std::nullopt;
    }
}

std::string difference(const Experiment& found, const Experiment& wanted) {
    if (found.seed != wanted.seed) return "seed " + std::to_string(found.seed);
    const OptionTexts theirs = experiment_texts(found);
    for (const auto& [name, text] : experiment_texts(wanted)) {
        if (theirs.at(name) != text) return name + " " + theirs.at(name) + " instead of " + text;
    }
    return {};
}

bool is_finished(const fs::path& run, const StudyCell& cell, bool overwrite) {
    if (!fs::exists(run / run_layout::results)) return false;
    const auto found = experiment_in(run);
    const std::string other = found ? difference(*found, cell.experiment) : "a config.toml that does not read";
    if (other.empty()) return true;
    if (overwrite) return false;
    throw UserError(ExitCode::usage, run.string() + " holds a finished run with other settings (" + other +
                                         "); choose another folder with --out, or pass --overwrite to replace it");
}

std::vector<std::string> collect_cells(const Study& study, const std::vector<fs::path>& folders, const fs::path& out) {
    std::vector<std::string> missing;
    for (const StudyCell& cell : study.cells) {
        const fs::path target = cell_folder(out, cell);
        if (is_finished(target, cell, false)) continue;
        const auto found = std::find_if(folders.begin(), folders.end(), [&](const fs::path& folder) {
            return is_finished(cell_folder(folder, cell), cell, false);
        });
        if (found == folders.end()) {
            missing.push_back(cell.name);
            continue;
        }
        // Under another name first: a run folder is whole or not there.
        const fs::path arriving = target.string() + ".arriving-" + std::to_string(::getpid());
        std::error_code fault;
        fs::create_directories(target.parent_path(), fault);
        if (!fault) fs::copy(cell_folder(*found, cell), arriving, fs::copy_options::recursive, fault);
        if (!fault) fs::remove_all(target, fault);
        if (!fault) fs::rename(arriving, target, fault);
        if (fault) {
            std::error_code ignored;
            fs::remove_all(arriving, ignored);
            throw_unwritable(target, fault.value());
        }
    }
    return missing;
}

}  // namespace espalier
