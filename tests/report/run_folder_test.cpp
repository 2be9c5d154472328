// Run folders read back, what is said of damaged ones, and statistics of pixels.
#include "host/run/run_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <string>

#include "espalier/dataset.hpp"
#include "espalier/error.hpp"
#include "files.hpp"
#include "host/data/pixel_statistics.hpp"
#include "host/formats/npy.hpp"
#include "recorded_run.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

void add_text(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::app) << text; }

/// The message of the UserError (data or checkpoint) that reading `folder` ends in.
std::string folder_refusal(const fs::path& folder) {
    try {
        (void)read_run_folder(folder);
    } catch (const UserError& error) {
        EXPECT_TRUE(error.code() == ExitCode::data || error.code() == ExitCode::checkpoint);
        return error.what();
    }
    return "no error";
}

TEST(RunFolder, ReadsBackWhatWasRecorded) {
    const TemporaryFolder temporary;
    const RecordedRunOptions options{.image = {6, 4, 2}, .outputs = 10, .num_edges = 200};
    const RunFolder run = read_run_folder(record_run(temporary.path() / "a run", options));
    EXPECT_EQ(run.name, "a run");
    EXPECT_EQ(run.epochs(), 6U);
    EXPECT_EQ(run.image, (ImageShape{6, 4, 2}));
    EXPECT_TRUE(run.image_known);
    ASSERT_NE(run.connections(), nullptr);
    ASSERT_EQ(run.connections()->moments(), 7U);
    for (std::uint32_t moment = 0; moment < 7; ++moment) {
        EXPECT_EQ(run.connections()->at(moment), recorded_degrees(options, moment));
        EXPECT_EQ(run.epoch_of(moment), moment);
    }
    EXPECT_EQ(run.degrees.size(), 2U);
    EXPECT_TRUE(run.network.has_value());
    EXPECT_TRUE(run.remarks.empty());
    EXPECT_NEAR(run.last("test_wrong_confidence"), 0.5 + 1.8 / 7, 1e-12);
}

TEST(RunFolder, StillRunningOrWithoutPixelStatistics) {
    const TemporaryFolder temporary;
    const RunFolder run = read_run_folder(record_run(temporary.path() / "run", {.pixels = false, .network = false}));
    EXPECT_EQ(run.image, (ImageShape{12, 12, 1}));  // 144 inputs
    EXPECT_FALSE(run.image_known);
    ASSERT_EQ(run.remarks.size(), 1U);
    EXPECT_THAT(run.remarks[0], HasSubstr("network.safetensors"));
}

TEST(RunFolder, SaysWhichFileIsWrongAndWhy) {
    const TemporaryFolder temporary;
    int n = 0;
    const auto damaged = [&](auto&& damage) {
        const fs::path folder = record_run(temporary.path() / std::to_string(n++), {});
        damage(folder);
        return folder_refusal(folder);
    };
    EXPECT_THAT(folder_refusal(temporary.path() / "nowhere"), HasSubstr("nowhere: there is no such run folder"));
    EXPECT_THAT(damaged([](const fs::path& f) { fs::remove(f / "config.toml"); }),
                HasSubstr("config.toml: is missing"));
    EXPECT_THAT(damaged([](const fs::path& f) { add_text(f / "config.toml", "warp-speed = 9\n"); }),
                testing::AllOf(HasSubstr("warp-speed"), HasSubstr("another version")));
    EXPECT_THAT(damaged([](const fs::path& f) { fs::remove(f / "history.csv"); }),
                HasSubstr("history.csv: is missing"));
    EXPECT_THAT(damaged([](const fs::path& f) { add_text(f / "history.csv", "7,0.1,0.9"); }),
                HasSubstr("history.csv: line 8 is cut off (3 of 19 columns)"));
    EXPECT_THAT(damaged([](const fs::path& f) { std::ofstream(f / "history.csv") << "epoch,loss\n1,2\n"; }),
                testing::AllOf(HasSubstr("no column 'train_loss'"), HasSubstr("another version")));
    EXPECT_THAT(damaged([](const fs::path& f) {
                    const auto lines = lines_of(f / "history.csv");
                    std::ofstream(f / "history.csv") << lines[0] << '\n';
                }),
                HasSubstr("history.csv: holds no finished epoch"));
    EXPECT_THAT(damaged([](const fs::path& f) {
                    const auto lines = lines_of(f / "history.csv");
                    std::ofstream(f / "history.csv") << lines[0] << '\n' << "one" << lines[1].substr(1) << '\n';
                }),
                HasSubstr("line 2: 'one' is not a number"));
    EXPECT_THAT(damaged([](const fs::path& f) { fs::remove(f / "connections.npy"); }),
                HasSubstr("connections.npy: is missing"));
    EXPECT_THAT(damaged([](const fs::path& f) { fs::resize_file(f / "connections.npy", 500); }),
                HasSubstr("connections.npy"));
    EXPECT_THAT(damaged([](const fs::path& f) {
                    const std::vector<float> zeros(2 * 144);
                    write_npy(f / "connections.npy", NpyType::f4, {1, 2, 144}, zeros.data());
                }),
                testing::AllOf(HasSubstr("[records][2][144]"), HasSubstr("of another type")));
    EXPECT_THAT(damaged([](const fs::path& f) {
                    const std::vector<std::uint16_t> zeros(3 * 2 * 144);
                    write_npy(f / "connections.npy", NpyType::u2, {3, 2, 144}, zeros.data());
                }),
                HasSubstr("holds 3 records, but history.csv 6 epochs"));
    EXPECT_THAT(damaged([](const fs::path& f) { fs::resize_file(f / "network.safetensors", 1000); }),
                HasSubstr("network.safetensors"));
    EXPECT_THAT(damaged([](const fs::path& f) {
                    const std::vector<float> zeros(2 * 100);
                    write_npy(f / "pixels.npy", NpyType::f4, {2, 1, 10, 10}, zeros.data());
                }),
                HasSubstr("describes 100 pixels, but the network has 144 inputs"));
}

TEST(PixelStatistics, OfBytesAndFloatsAgreeAndSurviveTheFile) {
    DataSet data;
    data.height = 1, data.width = 2, data.channels = 1, data.scale = 0.5;
    data.train.bytes = {0, 4, 2, 4, 4, 4};
    data.train.labels = {0, 0, 0};
    const PixelStatistics of_bytes = pixel_statistics(data);
    EXPECT_DOUBLE_EQ(of_bytes.mean[0], 1);
    EXPECT_DOUBLE_EQ(of_bytes.mean[1], 2);
    EXPECT_NEAR(of_bytes.variance[0], 8.0 / 3 / 4, 1e-15);
    EXPECT_EQ(of_bytes.variance[1], 0);
    data.train.floats.assign(data.train.bytes.begin(), data.train.bytes.end());
    data.train.bytes.clear();
    const PixelStatistics of_floats = pixel_statistics(data);
    for (std::size_t f = 0; f < 2; ++f) {
        EXPECT_NEAR(of_floats.mean[f], of_bytes.mean[f], 1e-14);
        EXPECT_NEAR(of_floats.variance[f], of_bytes.variance[f], 1e-14);
    }
    const TemporaryFolder temporary;
    write_pixel_statistics(temporary.path() / "pixels.npy", of_bytes);
    const PixelStatistics read = read_pixel_statistics(temporary.path() / "pixels.npy");
    EXPECT_EQ(read.shape, (ImageShape{1, 2, 1}));
    EXPECT_FLOAT_EQ(static_cast<float>(read.variance[0]), static_cast<float>(of_bytes.variance[0]));
}

}  // namespace
}  // namespace espalier
