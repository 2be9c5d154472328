#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "espalier/error.hpp"
#include "espalier/predictions.hpp"

namespace espalier {
namespace {

constexpr double no_figure = std::numeric_limits<double>::quiet_NaN();

double mean_figure(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

nlohmann::ordered_json figure_or_null(double value) {
    return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

}  // namespace

double TargetFigures::mean_r2() const { return mean_figure(r2); }
double TargetFigures::mean_rmse() const { return mean_figure(rmse); }

TargetFigures target_figures(const std::vector<double>& predicted, const std::vector<double>& actual,
                             const std::vector<std::string>& names) {
    const std::size_t targets = names.size();
    expects(targets > 0 && predicted.size() == actual.size() && actual.size() % targets == 0,
            "a value for each sample and target");
    const auto samples = static_cast<double>(actual.size() / targets);
    TargetFigures figures{names, {}, {}, {}};
    for (std::size_t t = 0; t < targets; ++t) {
        double mean = 0, squares = 0, errors = 0, distances = 0;
        for (std::size_t i = t; i < actual.size(); i += targets) mean += actual[i] / samples;
        for (std::size_t i = t; i < actual.size(); i += targets) {
            const double error = predicted[i] - actual[i];
            squares += (actual[i] - mean) * (actual[i] - mean);
            errors += error * error;
            distances += std::abs(error);
        }
        const double all_alike = errors == 0 ? 1 : 0;
        figures.r2.push_back(samples < 2 ? no_figure : squares > 0 ? 1 - errors / squares : all_alike);
        figures.rmse.push_back(samples < 1 ? no_figure : std::sqrt(errors / samples));
        figures.mae.push_back(samples < 1 ? no_figure : distances / samples);
    }
    return figures;
}

std::vector<double> in_target_units(const std::vector<float>& outputs, const DataMeaning& data) {
    const std::size_t targets = data.targets();
    expects(targets > 0 && outputs.size() % targets == 0, "outputs for each target");
    std::vector<double> values(outputs.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<double>(outputs[i]) * data.target_deviation[i % targets] + data.target_mean[i % targets];
    }
    return values;
}

std::string target_figures_json(const TargetFigures& figures) {
    auto targets = nlohmann::ordered_json::array();
    for (std::size_t t = 0; t < figures.names.size(); ++t) {
        targets.push_back({{"target", figures.names[t]},
                           {"r2", figure_or_null(figures.r2[t])},
                           {"rmse", figure_or_null(figures.rmse[t])},
                           {"mae", figure_or_null(figures.mae[t])}});
    }
    const nlohmann::ordered_json object{{"r2", figure_or_null(figures.mean_r2())},
                                        {"rmse", figure_or_null(figures.mean_rmse())},
                                        {"targets", std::move(targets)}};
    return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string target_figures_text(const TargetFigures& figures) {
    std::string text;
    for (std::size_t t = 0; t < figures.names.size(); ++t) {
        char line[96];
        std::snprintf(line, sizeof line, ": R2 %.4f, RMSE %.6g, mean absolute error %.6g\n", figures.r2[t],
                      figures.rmse[t], figures.mae[t]);
        text += figures.names[t] + line;
    }
    return text;
}

}  // namespace espalier
