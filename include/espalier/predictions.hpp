// What a trained network answers: probabilities and classes of samples, or the values of a regression, and how its
// answers compare with the labels or the targets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/experiment.hpp"
#include "espalier/layer.hpp"
#include "espalier/dataset.hpp"

namespace espalier {

struct Predictions {
    Index outputs = 0;                  // of the network
    std::vector<float> probabilities;   // [samples][outputs]: softmax for nll; for mse each output's own sigmoid
    std::vector<std::int32_t> classes;  // [samples]: the most probable, the first of equals
    std::vector<double> values;         // [samples][outputs] of a regression, in its targets' units, instead of both
    [[nodiscard]] float probability(std::size_t sample, std::size_t output) const {
        return probabilities.at(sample * outputs + output);
    }
};

/// Runs a perceptron that fits `experiment` over the samples of a split; `data` says how they are normalised.
Predictions predict(Backend& backend, const Experiment& experiment, const Network& network, const DataSet& data,
                    const Split& split);

/// How a model does on labelled samples.
struct Evaluation {
    double loss = 0;      // mean over the samples; of an RBM the reconstruction error, a mean square per unit; of a
                          // regression the mean square in units of the targets' deviations
    double accuracy = 0;  // share of right answers, of an RBM's visible units; NaN of a regression
    std::uint64_t samples = 0;
};

/// Runs a network of any kind that fits `experiment` over a split; `data` says how its samples are normalised.
Evaluation evaluate(Backend& backend, const Experiment& experiment, const Network& network, const DataSet& data,
                    const Split& split);

/// Answers by class. Sources of the figures: precision, recall and F1 as everywhere; a class without samples has no
/// recall and one never answered no precision.
struct ClassFigures {
    std::vector<std::string> names;
    std::vector<std::uint64_t> samples, predicted, right;  // by class: labelled so, answered so, both
    std::vector<std::vector<std::uint64_t>> confusion;     // [label][answer]; empty beyond max_confusion_classes

    [[nodiscard]] double precision(std::size_t label) const;  // NaN if nothing was answered so
    [[nodiscard]] double recall(std::size_t label) const;     // NaN without samples
    [[nodiscard]] double f1(std::size_t label) const;         // NaN if neither
    /// The mean recall of the classes that have samples.
    [[nodiscard]] double balanced_accuracy() const;
    /// The mean F1 of the classes that have samples.
    [[nodiscard]] double macro_f1() const;

private:
    [[nodiscard]] double mean_of(double (ClassFigures::*figure)(std::size_t) const) const;
};

/// How a regression's values compare with the targets, target by target, as scikit-learn has these figures: R^2 = 1 -
/// (sum of squared errors) / (sum of squares around the mean of the samples), 1 or 0 for targets that are all alike; root
/// of the mean squared error and mean absolute error in the target's units.
struct TargetFigures {
    std::vector<std::string> names;
    std::vector<double> r2, rmse, mae;  // NaN without samples; R^2 also of a single one
    /// Means over the targets, each counting alike.
    [[nodiscard]] double mean_r2() const;
    [[nodiscard]] double mean_rmse() const;
};

/// `predicted` and `actual`: [samples][names.size()].
TargetFigures target_figures(const std::vector<double>& predicted, const std::vector<double>& actual,
                             const std::vector<std::string>& names);

/// A network's outputs [samples][targets] in the targets' units.
std::vector<double> in_target_units(const std::vector<float>& outputs, const DataMeaning& data);

/// A JSON object: "r2", "rmse" (means) and "targets" (target, r2, rmse, mae; null for NaN).
std::string target_figures_json(const TargetFigures& figures);

/// A line a target.
std::string target_figures_text(const TargetFigures& figures);

/// More classes than this have no matrix: a table of 65,536 by 65,536 helps nobody.
inline constexpr std::size_t max_confusion_classes = 256;

/// `class_names`: of the data; classes beyond them, which only an answer can be, are called by their numbers.
ClassFigures class_figures(const Predictions& predictions, const std::vector<std::int32_t>& labels,
                           const std::vector<std::string>& class_names);

/// A JSON object: "balanced_accuracy", "macro_f1", "classes" (class, samples, precision, recall, f1; null for NaN) and, up
/// to max_confusion_classes, "confusion" [label][answer].
std::string class_figures_json(const ClassFigures& figures);

/// A table a line a class and, for few classes, the matrix.
std::string class_figures_table(const ClassFigures& figures);

}  // namespace espalier
