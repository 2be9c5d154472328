#include "host/run/run_results.hpp"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "host/options/option_table.hpp"
#include "host/system/utf8.hpp"

namespace espalier {
namespace {

std::string decimals(double value, int digits) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
}

std::string grouped(std::uint64_t value) {
    std::string text = std::to_string(value);
    for (int place = static_cast<int>(text.size()) - 3; place > 0; place -= 3) {
        text.insert(static_cast<std::size_t>(place), ",");
    }
    return text;
}

const EpochRecord& best(const std::vector<EpochRecord>& history) {
    return *std::max_element(history.begin(), history.end(), [](const EpochRecord& a, const EpochRecord& b) {
        return a.test_r2.value_or(a.test_accuracy) < b.test_r2.value_or(b.test_accuracy);
    });
}

/// The figures of the network kept, in the rows' order.
void add_figures(const RunResults& results, std::vector<std::pair<std::string, std::string>>& rows) {
    const EpochRecord& last = results.kept();
    const bool rbm = results.experiment.model == ModelKind::rbm;
    const bool of_batches = results.experiment.train_loss_mean == TrainLossMean::batches;
    const auto pair = [](double loss, double accuracy) {
        return decimals(loss, 4) + " / " + decimals(100 * accuracy, 2) + " %";
    };
    const std::string figures = rbm ? " reconstruction_error / units right" : " loss / accuracy";
    rows.emplace_back(!rbm && of_batches ? "train loss (mean of batches) / accuracy" : "train" + figures,
                      pair(last.train_loss, last.train_accuracy));
    if (last.validation_loss.has_value()) {
        rows.emplace_back("validation" + figures, pair(*last.validation_loss, last.validation_accuracy.value_or(0)));
    }
    rows.emplace_back("test" + figures, pair(last.test_loss, last.test_accuracy));
    rows.emplace_back(rbm ? "most test units right" : "best test accuracy",
                      decimals(100 * best(results.history).test_accuracy, 2) + " % in epoch " +
                          std::to_string(best(results.history).epoch));
}

/// The same of a regression.
void add_regression_figures(const RunResults& results, std::vector<std::pair<std::string, std::string>>& rows) {
    const EpochRecord& last = results.kept();
    const auto figures = [](double loss, double r2) { return decimals(loss, 4) + " / " + decimals(r2, 4); };
    const auto with_error = [&](double loss, double r2, double rmse) {
        char text[32];
        std::snprintf(text, sizeof text, " / %.6g", rmse);
        return figures(loss, r2) + text;
    };
    rows.emplace_back("train loss / R2", figures(last.train_loss, last.train_r2.value_or(0)));
    if (last.validation_loss.has_value()) {
        rows.emplace_back("validation loss / R2 / RMSE",
                          with_error(*last.validation_loss, last.validation_r2.value_or(0),
                                     last.validation_rmse.value_or(0)));
    }
    rows.emplace_back("test loss / R2 / RMSE", with_error(last.test_loss, *last.test_r2, last.test_rmse.value_or(0)));
    const EpochRecord& highest = best(results.history);
    rows.emplace_back("best test R2", decimals(*highest.test_r2, 4) + " in epoch " + std::to_string(highest.epoch));
}

}  // namespace

double seconds_per_epoch(const std::vector<EpochRecord>& history) {
    if (history.empty()) return 0;
    std::vector<double> seconds;
    for (const EpochRecord& record : history) seconds.push_back(record.train_seconds);
    std::sort(seconds.begin(), seconds.end());
    const std::size_t middle = seconds.size() / 2;
    return seconds.size() % 2 == 1 ? seconds[middle] : 0.5 * (seconds[middle - 1] + seconds[middle]);
}

std::string results_table(const RunResults& results) {
    std::vector<std::pair<std::string, std::string>> rows;
    const auto& history = results.history;
    rows.emplace_back("recipe", results.experiment.recipe.empty() ? "(none)" : results.experiment.recipe);
    rows.emplace_back("data", results.experiment.dataset + " (" + results.dataset_source + ")");
    rows.emplace_back("backend", results.backend);
    rows.emplace_back("sparse edges", grouped(results.edges));
    rows.emplace_back("trained parameters", grouped(results.parameters));
    rows.emplace_back("epochs", std::to_string(history.size()) + (results.stopped         ? " (stopped)"
                                                            : results.stopped_early ? " (out of patience)"
                                                                                    : ""));
    if (results.kept_epoch > 0) rows.emplace_back("network kept", "of epoch " + std::to_string(results.kept_epoch));
    if (!history.empty()) {
        if (results.kept().test_r2.has_value()) {
            add_regression_figures(results, rows);
        } else {
            add_figures(results, rows);
        }
        rows.emplace_back("seconds per epoch", decimals(seconds_per_epoch(history), 4) + " (median, training only)");
    }
    rows.emplace_back("run folder", results.run_dir.string());
    std::size_t width = 0;
    for (const auto& [name, value] : rows) width = std::max(width, name.size());
    std::string text;
    for (const auto& [name, value] : rows) text += name + std::string(width + 2 - name.size(), ' ') + value + "\n";
    return text;
}

namespace {

void add_regression_json(const RunResults& results, nlohmann::ordered_json& object) {
    const EpochRecord& kept = results.kept();
    const auto figure = [&](const char* name, const std::optional<double>& value) {
        if (value.has_value()) object[name] = *value;
    };
    figure("test_r2", kept.test_r2);
    figure("test_rmse", kept.test_rmse);
    figure("train_r2", kept.train_r2);
    figure("best_test_r2", best(results.history).test_r2);
    figure("validation_r2", kept.validation_r2);
    figure("validation_rmse", kept.validation_rmse);
}

}  // namespace

std::string results_json(const RunResults& results) {
    nlohmann::ordered_json object;
    const auto& history = results.history;
    const auto last = [&](double EpochRecord::*member) -> nlohmann::ordered_json {
        return history.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(results.kept().*member);
    };
    object["recipe"] = results.experiment.recipe;
    object["dataset"] = results.experiment.dataset;
    object["seed"] = results.experiment.seed;
    const bool regression = is_regression(results.experiment.loss);
    const auto of_classes = [&](double EpochRecord::*member) {
        return regression ? nlohmann::ordered_json() : last(member);
    };
    object["test_accuracy"] = of_classes(&EpochRecord::test_accuracy);
    object["test_loss"] = last(&EpochRecord::test_loss);
    object["train_accuracy"] = of_classes(&EpochRecord::train_accuracy);
    object["train_loss"] = last(&EpochRecord::train_loss);
    object["train_loss_mean"] = results.experiment.train_loss_mean == TrainLossMean::batches ? "batches" : "samples";
    object["best_test_accuracy"] =
        regression || history.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(best(history).test_accuracy);
    if (regression && !history.empty()) add_regression_json(results, object);
    if (results.experiment.model == ModelKind::rbm) {  // the same figures by their names
        object["reconstruction_error"] = last(&EpochRecord::test_loss);
        object["units_reconstructed"] = last(&EpochRecord::test_accuracy);
        object["train_reconstruction_error"] = last(&EpochRecord::train_loss);
        object["train_units_reconstructed"] = last(&EpochRecord::train_accuracy);
    }
    if (!history.empty() && results.kept().validation_loss.has_value()) {
        object["validation_loss"] = *results.kept().validation_loss;
        if (!regression) object["validation_accuracy"] = results.kept().validation_accuracy.value_or(0);
    }
    object["epochs"] = history.size();
    if (results.experiment.patience > 0) {
        object["stopped_early"] = results.stopped_early;
        object["kept_epoch"] = history.empty() ? 0 : results.kept().epoch;
    }
    object["seconds_per_epoch"] = seconds_per_epoch(history);
    object["run_dir"] = results.run_dir.string();
    object["backend"] = results.backend;
    object["machine"] = results.machine;
    if (results.ranks > 1) object["ranks"] = results.ranks;
    object["edges"] = results.edges;
    object["parameters"] = results.parameters;
    object["stopped"] = results.stopped;
    if (!results.class_figures.empty()) {
        object["class_figures"] = nlohmann::ordered_json::parse(results.class_figures);
    }
    if (!results.target_figures.empty()) {
        object["target_figures"] = nlohmann::ordered_json::parse(results.target_figures);
    }
    return json_text(object);
}

}  // namespace espalier
