#include "host/study/study_results.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "espalier/version.hpp"
#include "host/options/recipes.hpp"
#include "host/run/run_reader.hpp"
#include "host/run/training_operations.hpp"
#include "host/study/study_parts.hpp"
#include "host/system/utf8.hpp"

namespace espalier {

namespace fs = std::filesystem;

std::vector<double> RowResult::values(const std::string& figure) const {
    std::vector<double> all;
    for (const CellResult& cell : cells) {
        if (const auto found = cell.figures.find(figure); found != cell.figures.end()) all.push_back(found->second);
    }
    return all;
}

namespace {

/// The share of the sparse layers' cells that ever held an edge.
std::optional<double> ever_active(const RunFolder& run) {
    const auto shares = run.edges.find("ever_active");
    if (shares == run.edges.end() || shares->second.empty()) return std::nullopt;
    const auto& epochs = run.edges.at("epoch");
    double active = 0, all = 0;
    for (std::size_t i = 0; i < epochs.size(); ++i) {
        if (epochs[i] != epochs.back()) continue;
        const auto layer = static_cast<std::size_t>(run.edges.at("layer")[i]);
        const double cells = static_cast<double>(run.experiment.layers[layer - 1]) * run.experiment.layers[layer];
        active += cells * shares->second[i];
        all += cells;
    }
    return active / all;
}

/// What the run cost and which cells and inputs it came to use.
void add_evolution_figures(const RunFolder& run, Figures& figures) {
    if (const auto operations = training_operations(run)) {
        figures["operations"] = operations->total();
        figures["operations_of_evolution"] = operations->birth + operations->evolution;
    }
    if (const auto share = ever_active(run)) figures["ever_active"] = *share;
    if (run.connections() == nullptr) return;
    const auto degrees = run.connections()->at(run.connections()->moments() - 1);
    const auto unused = std::count(degrees.begin(), degrees.end(), EdgeIndex{0});
    figures["inputs_used"] = static_cast<double>(degrees.size()) - static_cast<double>(unused);
    figures["largest_input_degree"] = *std::max_element(degrees.begin(), degrees.end());
}

}  // namespace

Figures run_figures(const fs::path& folder) {
    const RunFolder run = read_run_folder(folder);
    Figures figures;
    for (const auto& [column, values] : run.history) figures[column] = values.back();
    const auto& losses = run.history.at("test_loss");
    const auto lowest = std::min_element(losses.begin(), losses.end());
    const std::string quality = run.is_regression() ? "test_r2" : "test_accuracy";
    const auto& values = run.history.at(quality);
    figures["best_" + quality] = *std::max_element(values.begin(), values.end());
    figures["lowest_test_loss"] = *lowest;
    figures["lowest_test_loss_epoch"] = run.history.at("epoch")[static_cast<std::size_t>(lowest - losses.begin())];
    figures["loss_gap"] = figures["test_loss"] - figures["train_loss"];
    add_evolution_figures(run, figures);
    if (run.connections() == nullptr) return figures;
    const PixelMap born = run.map_at(0);
    figures["contrast_first"] = contrast(born);
    figures["margin_first"] = margin_contrast(born);
    const PixelMap map = run.map_at(run.connections()->moments() - 1);
    figures["margin"] = margin_contrast(map);
    const SignTest sign = sign_test(map);
    figures["contrast"] = sign.contrast;
    figures["contrast_p_value"] = sign.p_value;
    if (run.pixels) figures["correlation_with_variance"] = correlation(map, run.pixels->variance_map());
    return figures;
}

StudyResults collect_results(const Study& study, const StudyPlace& place, const StudyProgress& progress) {
    StudyResults results{study.name, study.summary, version(), {}};
    for (const StudyRow& row : study.rows) {
        RowResult result;
        result.name = row.name;
        result.options = experiment_texts(row.experiment);
        if (const Published* known = published(row.experiment)) {
            result.published = known->figures;
            result.published_recipe = known->recipe;
            result.published_learning = known->learning;
            result.published_source = known->source;
        }
        results.rows.push_back(result);
    }
    for (const StudyCell& cell : study.cells) {
        CellResult result{cell.experiment.seed, {}, {}};
        if (const auto failed = progress.failures.find(cell.name); failed != progress.failures.end()) {
            result.failure = failed->second;
        } else {
            try {
                result.figures = run_figures(cell_folder(place.folder, cell));
            } catch (const UserError& error) {
                result.failure = error.what();
            }
        }
        results.rows[cell.row].cells.push_back(result);
    }
    return results;
}

std::string study_json(const StudyResults& results) {
    using Json = nlohmann::ordered_json;
    // numbers as JSON has them: what is not finite is left out
    const auto finite = [](const Figures& figures) {
        Json object = Json::object();
        for (const auto& [name, value] : figures) {
            if (std::isfinite(value)) object[name] = value;
        }
        return object;
    };
    Json rows = Json::array();
    for (const RowResult& row : results.rows) {
        Json cells = Json::array();
        Figures all;
        for (const CellResult& cell : row.cells) {
            Json object = {{"seed", cell.seed}};
            if (!cell.failure.empty()) object["failure"] = cell.failure;
            object["figures"] = finite(cell.figures);
            cells.push_back(object);
            all.insert(cell.figures.begin(), cell.figures.end());
        }
        Json means = Json::object();
        for (const auto& [name, ignored] : all) {
            const MeanInterval interval = mean_interval(row.values(name));
            means[name] =
                finite({{"mean", interval.mean}, {"half_width", interval.half_width}, {"count", interval.count}});
        }
        Json object = {{"name", row.name}, {"options", row.options}};
        if (!row.published_recipe.empty()) {
            object["published"] = {{"recipe", row.published_recipe},
                                   {"source", row.published_source},
                                   {"learning", row.published_learning},
                                   {"figures", finite(row.published)}};
        }
        object["cells"] = cells;
        object["means"] = means;
        rows.push_back(object);
    }
    const Json object = {
        {"study", results.study}, {"summary", results.summary}, {"version", results.version}, {"rows", rows}};
    return json_text(object, 1) + "\n";
}

StudyResults read_study_json(const fs::path& path) {
    try {
        std::ifstream stream(path);
        if (!stream) throw UserError(ExitCode::data, path.string() + ": cannot be read");
        const auto object = nlohmann::json::parse(stream);
        StudyResults results{object.at("study"), object.at("summary"), object.at("version"), {}};
        for (const auto& from : object.at("rows")) {
            RowResult row;
            row.name = from.at("name");
            row.options = from.at("options").get<OptionTexts>();
            if (from.contains("published")) {
                const auto& known = from.at("published");
                row.published_recipe = known.at("recipe");
                row.published_source = known.at("source");
                row.published_learning = known.at("learning");
                row.published = known.at("figures").get<Figures>();
            }
            for (const auto& each : from.at("cells")) {
                row.cells.push_back(
                    {each.at("seed"), each.value("failure", std::string{}), each.at("figures").get<Figures>()});
            }
            results.rows.push_back(std::move(row));
        }
        return results;
    } catch (const nlohmann::json::exception& error) {
        throw UserError(ExitCode::data,
                        path.string() + ": is not a study's results as espalier study writes them: " + error.what());
    }
}

}  // namespace espalier
