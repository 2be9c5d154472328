// Trains a small sparse network through the installed library and checks that it learned, evolved and reads back.
#include <cstdio>
#include <filesystem>

#include "espalier/experiment.hpp"
#include "host/backends.hpp"
#include "host/data/dataset.hpp"
#include "host/models/initialization.hpp"
#include "host/formats/network_file.hpp"
#include "host/training/trainer.hpp"

int main() {
    using namespace espalier;
    Experiment experiment;
    const DataSet data = load_dataset("synthetic", "", 2000, 500);
    experiment.layers = {data.features(), 100, data.classes};
    experiment.epochs = 3;
    experiment.learning_rate = Constant{0.05, 0};

    const auto backend = make_backend("cpu", 1);
    Trainer trainer(experiment, *backend, data, initialize_network(experiment));
    trainer.run();

    const EpochRecord& last = trainer.history().back();
    const auto path = std::filesystem::temp_directory_path() / "espalier-consumer.safetensors";
    save_network(path, trainer.network(), {});
    const Network read = load_network(path);
    std::filesystem::remove(path);
    const bool sound = read.layers.front().is_sparse() && fault(*read.layers.front().topology).empty();
    const bool learned = last.test_accuracy > 2.0 / data.classes;
    std::printf("consumer: %s, test accuracy %.3f, %zu edges in layer 1\n", backend->describe().c_str(),
                last.test_accuracy, read.layers.front().num_weights());
    return sound && learned ? 0 : 1;
}
