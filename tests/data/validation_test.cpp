// Validation samples: held out or read, recorded, and what the best epoch is told by.
#include "host/data/validation.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "espalier/options.hpp"
#include "files.hpp"
#include "host/run/epoch_record.hpp"
#include "host/run/run_layout.hpp"
#include "host/training/run_training.hpp"
#include "small_run.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

using testing::HasSubstr;

TEST(Validation, AShareIsHeldOutOfTheTrainingSamples) {
    Experiment experiment = small_experiment();
    DataSet whole = load_dataset("synthetic", "", 300, 50);
    DataSet data = whole;
    experiment.validation = "0.1";
    take_validation(experiment, data);
    EXPECT_EQ(data.validation.count(), 30U);
    EXPECT_EQ(data.train.count(), 270U);
    EXPECT_EQ(data.test.labels, whole.test.labels);
    auto labels = data.train.labels;
    labels.insert(labels.end(), data.validation.labels.begin(), data.validation.labels.end());
    std::sort(labels.begin(), labels.end());
    std::sort(whole.train.labels.begin(), whole.train.labels.end());
    EXPECT_EQ(labels, whole.train.labels);
    // the same ones whatever the seed
    DataSet again = load_dataset("synthetic", "", 300, 50);
    experiment.seed = 77;
    take_validation(experiment, again);
    EXPECT_EQ(again.validation.labels, data.validation.labels);
    EXPECT_EQ(again.validation.bytes, data.validation.bytes);
}

TEST(Validation, AFileIsReadAsTheNetworkWillSeeIt) {
    const TemporaryFolder folder;
    const auto put = [&](const std::string& name, const std::string& text) {
        std::ofstream(folder.path() / name) << text;
        return (folder.path() / name).string();
    };
    const std::string train = put("train.csv", "no,1,10\nyes,2,20\nno,3,30\n");
    const std::string test = put("test.csv", "yes,4,40\n");
    DataSet data = load_dataset("csv:" + train + "," + test, "");
    const auto mean = data.mean;
    Experiment experiment = small_experiment();
    experiment.validation = "csv:" + put("validation.csv", "yes,100,200\nyes,5,6\n");
    take_validation(experiment, data);
    EXPECT_EQ(data.validation.count(), 2U);
    EXPECT_EQ(data.validation.labels, (std::vector<std::int32_t>{1, 1}));  // as trained: no 0, yes 1
    EXPECT_EQ(data.mean, mean);
    EXPECT_EQ(data.train.count(), 3U);
    experiment.validation = "csv:" + put("other.csv", "yes,1\n");
    EXPECT_THROW(take_validation(experiment, data), UserError);
}

TEST(Validation, ChoosesTheBestEpochAndStandsInEveryRecord) {
    const TemporaryFolder temporary;
    RunPlace place;
    place.folder = temporary.path() / "run";
    Experiment experiment = small_experiment();
    experiment.validation = "0.2";
    experiment.patience = 100;
    experiment.epochs = 6;
    experiment.learning_rate = parse_schedule("linear(value=0.005,end=0.8)");
    const RunResults results = run_training(experiment, place);
    ASSERT_EQ(results.history.size(), 6U);
    const std::uint32_t best = best_epoch(results.history);
    for (const EpochRecord& record : results.history) {
        ASSERT_TRUE(record.validation_loss.has_value());
        EXPECT_GE(*record.validation_loss, *results.history[best - 1].validation_loss);
    }
    EXPECT_EQ(results.kept_epoch, best);
    const auto object = nlohmann::json::parse(results_json(results));
    EXPECT_EQ(object["validation_loss"], *results.history[best - 1].validation_loss);
    EXPECT_EQ(object["test_loss"], results.history[best - 1].test_loss);
    EXPECT_THAT(text_of(place.folder / run_layout::history_csv), HasSubstr(",validation_loss,validation_accuracy\n"));
    EXPECT_EQ(parse_json_line(json_line(results.history[0]), "line").validation_loss, results.history[0].validation_loss);
}

TEST(Validation, SharesThatLeaveNothingAreRefused) {
    Experiment experiment;
    for (const char* wrong : {"0", "1", "-0.1", "1.5", "much"}) {
        EXPECT_THROW(set_option(experiment, "validation", wrong), UserError) << wrong;
    }
    set_option(experiment, "validation", "0.25");
    EXPECT_EQ(experiment.validation, "0.25");
}

}  // namespace
}  // namespace espalier
