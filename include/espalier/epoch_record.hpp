// What is known of one epoch when it ends.
#pragma once

#include <cstdint>
#include <optional>

namespace espalier {

struct EpochRecord {
    std::uint32_t epoch = 0;                    // from 1
    double train_loss = 0, train_accuracy = 0;  // running, while training; accuracies as fractions, 0 of a regression
    double test_loss = 0, test_accuracy = 0;
    double test_confidence = 0, test_wrong_confidence = 0;  // mean confidence of all and of the wrong test predictions
    double train_seconds = 0, test_seconds = 0, evolution_seconds = 0;
    double images_per_second = 0;
    std::uint64_t edges = 0;  // sparse layers, after evolution
    std::uint64_t replaced_positive = 0, replaced_negative = 0;  // pruned edges in whose place others grew, by sign
    std::uint64_t pruned = 0, grown = 0;                         // edges that went and came, whatever they weighed
    double learning_rate = 0, weight_decay = 0, zeta = 0;        // at the epoch's start
    std::optional<double> validation_loss, validation_accuracy;  // of runs with validation samples
    // Of a regression: means over its targets (TargetFigures); while training the share of the variance that the running
    // loss leaves.
    std::optional<double> train_r2, test_r2, test_rmse, validation_r2, validation_rmse;

    /// What the best epoch is told by: the loss on the validation samples, on the test samples where there are none.
    [[nodiscard]] double monitored_loss() const { return validation_loss.value_or(test_loss); }
};

}  // namespace espalier
