// A small training run for tests of whole runs, and its comparison to the bit.
#pragma once

#include "backend_fixture.hpp"
#include "espalier/dataset.hpp"
#include "espalier/initialize_network.hpp"
#include "espalier/trainer.hpp"
#include "same_network.hpp"

namespace espalier {

/// A small experiment on the built-in data.
inline Experiment small_experiment(const DataSet& data) {
    Experiment experiment;
    experiment.dataset = "synthetic";
    experiment.layers = {data.features(), 30, 20, data.classes};
    experiment.epsilon = 1.5;
    experiment.batch = 70;
    experiment.epochs = 4;
    experiment.dropout = 0.2;
    return experiment;
}

inline DataSet small_data() { return load_dataset("synthetic", "", 200, 150); }

struct Trained {
    Network network;
    std::vector<EpochRecord> history;
};

inline Trained train(Backend& backend, const Experiment& experiment, const DataSet& data) {
    Trainer trainer(experiment, backend, data, initialize_network(experiment));
    trainer.run();
    return {trainer.network(), trainer.history()};
}

inline void expect_same(const Trained& got, const Trained& want) {
    ASSERT_EQ(got.history.size(), want.history.size());
    for (std::size_t e = 0; e < want.history.size(); ++e) {
        EXPECT_EQ(got.history[e].train_loss, want.history[e].train_loss);
        EXPECT_EQ(got.history[e].test_loss, want.history[e].test_loss);
        EXPECT_EQ(got.history[e].test_confidence, want.history[e].test_confidence);
        EXPECT_EQ(got.history[e].edges, want.history[e].edges);
        EXPECT_EQ(got.history[e].replaced_positive, want.history[e].replaced_positive);
    }
    ASSERT_TRUE(same_arrays(got.network, want.network));
    for (std::size_t l = 0; l < want.network.layers.size(); ++l) {
        expect_identical(got.network.layers[l], want.network.layers[l]);
    }
}

}  // namespace espalier
