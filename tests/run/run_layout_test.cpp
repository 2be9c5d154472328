// The names in a run folder: what a run writes is known as its own, everything else is somebody's.
#include "host/run/run_layout.hpp"

#include <gtest/gtest.h>

#include "espalier/experiment.hpp"
#include "host/run/run_reader.hpp"
#include "host/training/run_training.hpp"
#include "small_run.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

TEST(RunLayout, KnowsTheFilesOfARun) {
    for (const char* name :
         {"config.toml", "edges.csv", "survival.csv", "weights-bins.npy", "weights-layer12.npy", "connections.npy",
          "degrees-layer1-outputs.npy", "degrees-layer10-inputs.npy", "network.safetensors.tmp-17", "run.lock"}) {
        EXPECT_TRUE(run_layout::is_run_file(name)) << name;
        EXPECT_TRUE(run_layout::is_run_file(fs::path("some") / "where" / name)) << name;
    }
    for (const char* name : {"weights-layer.npy", "weights-layerx.npy", "my-edges.csv", "weights-layer1.npy.bak",
                             "degrees-layer1.npy", "degrees-layer-inputs.npy", "checkpoints", "notes.txt", ""}) {
        EXPECT_FALSE(run_layout::is_run_file(name)) << name;
    }
}

/// Whatever a writer calls its file: --overwrite must find it, or it would stay and be taken for the next run's.
TEST(RunLayout, HoldsEveryNameThatARunWrites) {
    const TemporaryFolder temporary;
    for (const bool rbm : {false, true}) {
        Experiment experiment = small_experiment();
        experiment.epochs = 2;
        if (rbm) {
            experiment.model = ModelKind::rbm;
            experiment.layers = {784, 12};
            experiment.dense_output = false;
        }
        RunPlace place;
        place.folder = temporary.path() / (rbm ? "rbm" : "mlp");
        place.checkpoint_every = 1;
        EXPECT_FALSE(run_training(experiment, place).stopped);
        int files = 0;
        for (const auto& entry : fs::directory_iterator(place.folder)) {
            const fs::path name = entry.path().filename();
            // a page keeps its figures in a folder of its name, and makes it anew with itself
            const bool folder = name == run_layout::checkpoints || name == "report-figures";
            EXPECT_EQ(entry.is_directory(), folder) << name;
            EXPECT_TRUE(folder || run_layout::is_run_file(name)) << name;
            ++files;
        }
        EXPECT_GT(files, 12);
        EXPECT_FALSE(fs::exists(place.folder / run_layout::lock));
        EXPECT_EQ(read_run_folder(place.folder).epochs(), 2U);
    }
}

}  // namespace
}  // namespace espalier
