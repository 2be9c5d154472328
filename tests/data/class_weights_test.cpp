// Weights of classes: balanced, from a file, and what is wrong with a file.
#include "host/data/class_weights.hpp"

#include <gmock/gmock.h>

#include <fstream>

#include "espalier/error.hpp"
#include "host/cpu/cpu_backend.hpp"
#include "espalier/dataset.hpp"
#include "espalier/initialize_network.hpp"
#include "small_run.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

DataSet three_classes() {
    DataSet data;
    data.classes = 3;
    data.class_names = {"rare", "common", "usual"};
    data.train.labels = {0, 1, 1, 1, 2, 2, 1, 1};  // 1, 5 and 2 of 8
    return data;
}

TEST(ClassWeights, BalancedOnesGiveEveryClassTheSameShare) {
    const DataSet data = three_classes();
    EXPECT_THAT(class_weights("balanced", data, 3),
                ElementsAre(testing::FloatEq(8.0F / 3), testing::FloatEq(8.0F / 15), testing::FloatEq(8.0F / 6)));
    // an output without a class, and a class without samples
    EXPECT_EQ(class_weights("balanced", data, 4)[3], 1);
}

TEST(ClassWeights, AFileNamesClassesByNumberOrName) {
    const TemporaryFolder folder;
    const std::string path = folder.path() / "weights.csv";
    const auto weights_of = [&](const std::string& text) {
        std::ofstream(path) << text;
        return class_weights(path, three_classes(), 3);
    };
    EXPECT_THAT(weights_of("rare,2.5\n2,0\r\ncommon,1e-1\n"), ElementsAre(2.5F, 0.1F, 0.0F));
    const auto refusal = [&](const std::string& text) -> std::string {
        try {
            (void)weights_of(text);
        } catch (const UserError& error) {
            EXPECT_EQ(error.code(), ExitCode::data);
            return error.what();
        }
        return "nothing refused";
    };
    EXPECT_THAT(refusal("0,1\n1,1\n"), HasSubstr("no weight for class 2"));
    EXPECT_THAT(refusal("0,1\nnone,1\n"), HasSubstr("line 2"));
    EXPECT_THAT(refusal("0,1\n0,1\n"), HasSubstr("each class once"));
    EXPECT_THAT(refusal("0\n"), HasSubstr("CLASS,WEIGHT"));
    EXPECT_THAT(refusal("0,-1\n"), HasSubstr("at least 0"));
    EXPECT_THAT(refusal("0,nan\n"), HasSubstr("at least 0"));
    EXPECT_THAT(refusal("3,1\n"), HasSubstr("below 3"));
    try {
        (void)class_weights((folder.path() / "none").string(), three_classes(), 3);
        ADD_FAILURE() << "read what is not there";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
    }
}

/// Weights of 1 change no bit; others do, and the training loss counts them.
TEST(ClassWeights, EnterTraining) {
    const TemporaryFolder folder;
    const auto trained = [&](const std::string& weight_of_0) {
        Experiment experiment = small_experiment();
        experiment.epochs = 1;
        if (!weight_of_0.empty()) {
            experiment.class_weights = folder.path() / "weights.csv";
            std::ofstream file(experiment.class_weights);
            for (int c = 0; c < 10; ++c) file << c << ',' << (c == 0 ? weight_of_0 : "1") << '\n';
        }
        const auto backend = make_cpu_backend(1);
        const DataSet data = load_dataset("synthetic", "", 300, 50);
        Trainer trainer(experiment, *backend, data, initialize_network(experiment));
        EXPECT_TRUE(trainer.run());
        return std::pair{trainer.network().layers.back().bias, trainer.history()[0]};
    };
    const auto [plain, plain_record] = trained("");
    const auto [ones, ones_record] = trained("1");
    const auto [heavy, heavy_record] = trained("20");
    EXPECT_EQ(plain, ones);
    EXPECT_EQ(plain_record.train_loss, ones_record.train_loss);
    EXPECT_NE(plain, heavy);
    EXPECT_GT(heavy[0], plain[0]) << "class 0 is answered more readily";
}

}  // namespace
}  // namespace espalier
