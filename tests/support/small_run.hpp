// A training run of milliseconds on made-up data, for tests of what surrounds training: checkpoints, resuming, faults.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "espalier/experiment.hpp"
#include "host/run/checkpoint.hpp"
#include "espalier/dataset.hpp"
#include "espalier/trainer.hpp"

namespace espalier {

/// 784-12-8-10 on 150 steps an epoch, so that an epoch has more than two slices.
inline Experiment small_experiment() {
    Experiment experiment;
    experiment.dataset = "synthetic";
    experiment.layers = {784, 12, 8, 10};
    experiment.epsilon = 3;
    experiment.train_samples = 300;
    experiment.test_samples = 50;
    experiment.batch = 2;
    experiment.epochs = 4;
    experiment.learning_rate = Constant{0.02, 0};
    experiment.weight_decay = Constant{0.001, 0};
    experiment.backend = "cpu";
    experiment.threads = 1;
    return experiment;
}

/// Keeps what a run says, and stops it at a chosen look.
class KeepingObserver final : public TrainObserver {
public:
    explicit KeepingObserver(int stop_at = -1) : stop_at_(stop_at) {}
    void on_degrees(std::uint32_t, std::size_t layer, const Degrees& before, const Degrees& after) override {
        all_degrees.push_back({layer, before, after});
    }
    /// What run() asks.
    std::function<bool()> stop() {
        return [this] { return looks++ == stop_at_; };
    }

    struct Recorded {
        std::size_t layer;
        Degrees before, after;
        bool operator==(const Recorded& other) const {
            return layer == other.layer && before.inputs == other.before.inputs && after.inputs == other.after.inputs &&
                   before.outputs == other.before.outputs && after.outputs == other.after.outputs;
        }
    };
    std::vector<Recorded> all_degrees;
    int looks = 0;

private:
    int stop_at_;
};

/// What must be equal between two records of the same epoch: all but times.
inline std::string without_times(EpochRecord record) {
    record.train_seconds = record.test_seconds = record.evolution_seconds = record.images_per_second = 0;
    return json_line(record);
}

}  // namespace espalier
