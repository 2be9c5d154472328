#include "host/run/recorder.hpp"
#include "data_files.hpp"
#include "files.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "espalier/error.hpp"
#include "file_size_limit.hpp"
#include "host/formats/npy.hpp"
#include "temporary_folder.hpp"
#include "user_errors.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

std::set<std::string> recorded_names(const fs::path& folder) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
    names.erase("run.lock");  // there as long as the recorder lives
    return names;
}

std::vector<std::string> split_line(const std::string& line) {
    std::istringstream stream(line);
    std::vector<std::string> cells;
    for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
    return cells;
}

const std::vector<RecordedLayer> two_layers{{6, 3, true}, {3, 2, false}};

TEST(Recorder, HistoryIsReadableAfterEveryEpoch) {
    const TemporaryFolder temporary;
    const fs::path folder = temporary.path() / "deep" / "run";
    Recorder recorder(folder, false, "epochs = 2\n", two_layers);
    EXPECT_EQ(recorder.folder(), folder);
    EXPECT_EQ(lines_of(folder / "config.toml"), std::vector<std::string>{"epochs = 2"});
    EXPECT_EQ(lines_of(folder / "history.csv").size(), 1U);
    EXPECT_TRUE(lines_of(folder / "history.jsonl").empty());

    EpochRecord record;
    record.test_loss = 0.1 + 0.2;  // needs all 17 digits
    record.edges = 21'000;
    for (record.epoch = 1; record.epoch <= 2; ++record.epoch) {
        recorder.epoch(record);
        const auto csv = lines_of(folder / "history.csv");
        const auto jsonl = lines_of(folder / "history.jsonl");
        ASSERT_EQ(csv.size(), record.epoch + 1);
        ASSERT_EQ(jsonl.size(), record.epoch);
        const auto object = nlohmann::ordered_json::parse(jsonl.back());
        const auto names = split_line(csv.front());
        const auto cells = split_line(csv.back());
        ASSERT_EQ(names.size(), object.size());
        ASSERT_EQ(names.size(), cells.size());
        std::size_t column = 0;
        for (const auto& [name, value] : object.items()) {
            EXPECT_EQ(name, names[column]);
            EXPECT_EQ(value.get<double>(), std::stod(cells[column])) << name;
            ++column;
        }
        EXPECT_EQ(object["epoch"], record.epoch);
        EXPECT_EQ(object["test_loss"].get<double>(), record.test_loss);
        EXPECT_EQ(object["edges"], 21'000);
    }
}

TEST(Recorder, NonfiniteNumbersAreNullAndSaidAloud) {
    const TemporaryFolder temporary;
    Recorder recorder(temporary.path() / "run", false, "", two_layers);
    EpochRecord record;
    record.train_loss = std::nan("");
    record.test_loss = INFINITY;
    recorder.epoch(record);
    const auto object = nlohmann::json::parse(lines_of(temporary.path() / "run" / "history.jsonl").at(0));
    EXPECT_TRUE(object["train_loss"].is_null());
    EXPECT_TRUE(object["test_loss"].is_null());
    EXPECT_EQ(object["nonfinite"], true);
    EXPECT_EQ(object["zeta"], 0.0);
    const auto cells = split_line(lines_of(temporary.path() / "run" / "history.csv").at(1));
    EXPECT_EQ(cells.at(1), "nan");
    EXPECT_EQ(cells.at(3), "inf");
}

TEST(Recorder, AColumnHasOneTypeInEveryRow) {
    EpochRecord whole, broken;
    broken.train_loss = broken.test_loss = broken.weight_decay = broken.zeta = 1e-3;
    broken.train_accuracy = broken.images_per_second = 1e300;
    whole.images_per_second = 3e6;
    std::string header = csv_header();
    header.pop_back();  // the end of the line
    const auto names = split_line(header);
    const auto rows = {split_line(csv_line(whole)), split_line(csv_line(broken))};
    for (const auto& row : rows) {
        ASSERT_EQ(row.size(), names.size());
        for (std::size_t c = 0; c < names.size(); ++c) {
            const bool integer = row[c].find_first_not_of("-0123456789\n") == std::string::npos;
            EXPECT_EQ(integer, is_count_column(names[c])) << names[c] << " = " << row[c];
        }
    }
    EXPECT_TRUE(is_count_column("replaced_positive"));
    EXPECT_FALSE(is_count_column("weight_decay"));
}

TEST(Recorder, ARunThatAnEarlierVersionBeganKeepsItsColumns) {
    EpochRecord record;
    record.epoch = 3;
    record.zeta = 1;
    EXPECT_EQ(csv_line(record, "epoch,zeta,edges\n"), "3,1.0,0\n");
    EpochRecord old = parse_json_line(json_line(record), "line");
    EXPECT_EQ(old.epoch, 3U);
    auto object = nlohmann::json::parse(json_line(record));
    object.erase("grown");
    object.erase("pruned");
    old = parse_json_line(object.dump(), "line");
    EXPECT_EQ(old.grown, 0U);
}

TEST(Recorder, DegreesOfSparseLayersOnly) {
    const TemporaryFolder temporary;
    const fs::path folder = temporary.path() / "run";
    Recorder recorder(folder, false, "", two_layers);
    const std::set<std::string> expected{"config.toml", "history.csv", "history.jsonl", "connections.npy",
                                         "degrees-layer1-outputs.npy"};
    EXPECT_EQ(recorded_names(folder), expected);
    EXPECT_EQ(read_npy(folder / "connections.npy").shape, (std::vector<std::uint64_t>{0, 2, 6}));

    recorder.degrees(0, {{0, 1, 2, 3, 1, 0}, {3, 2, 2}}, {{1, 1, 1, 3, 1, 0}, {2, 2, 3}});
    recorder.degrees(0, {{1, 1, 1, 3, 1, 0}, {2, 2, 3}}, {{2, 0, 1, 3, 1, 0}, {1, 3, 3}});
    const NpyArray inputs = read_npy(folder / "connections.npy");
    EXPECT_EQ(inputs.type, NpyType::i2);
    EXPECT_EQ(inputs.shape, (std::vector<std::uint64_t>{2, 2, 6}));
    EXPECT_EQ(items_of<std::int16_t>(inputs), (std::vector<std::int16_t>{0, 1, 2, 3, 1, 0, 1, 1, 1, 3, 1, 0,  //
                                                                           1, 1, 1, 3, 1, 0, 2, 0, 1, 3, 1, 0}));
    const NpyArray outputs = read_npy(folder / "degrees-layer1-outputs.npy");
    EXPECT_EQ(outputs.shape, (std::vector<std::uint64_t>{2, 2, 3}));
    EXPECT_EQ(items_of<std::int16_t>(outputs), (std::vector<std::int16_t>{3, 2, 2, 2, 2, 3, 2, 2, 3, 1, 3, 3}));
    EXPECT_THROW(recorder.degrees(1, {}, {}), std::logic_error);
}

TEST(Recorder, WideLayersGetWideDegrees) {
    const TemporaryFolder temporary;
    Recorder recorder(temporary.path() / "run", false, "", {{2, 65'536, true}});
    const fs::path inputs = temporary.path() / "run" / "connections.npy";
    const fs::path outputs = temporary.path() / "run" / "degrees-layer1-outputs.npy";
    recorder.degrees(0, {{65'536, 0}, std::vector<EdgeIndex>(65'536, 1)},
                     {{65'535, 1}, std::vector<EdgeIndex>(65'536, 1)});
    EXPECT_EQ(read_npy(outputs).type, NpyType::i2);
    EXPECT_EQ(read_npy(inputs).type, NpyType::i4);
    EXPECT_EQ(items_of<std::int32_t>(read_npy(inputs)), (std::vector<std::int32_t>{65'536, 0, 65'535, 1}));
}

TEST(Recorder, HeatMapsOfFirstAndLastMoment) {
    const TemporaryFolder temporary;
    const fs::path folder = temporary.path() / "run";
    Recorder recorder(folder, false, "", two_layers);
    recorder.heat_maps(2, 3, 1);
    EXPECT_FALSE(fs::exists(folder / "connections-first.png"));  // nothing recorded yet
    recorder.degrees(0, {{0, 1, 2, 3, 1, 0}, {3, 2, 2}}, {{1, 1, 1, 3, 1, 0}, {2, 2, 3}});
    recorder.heat_maps(2, 3, 1);
    EXPECT_GT(fs::file_size(folder / "connections-first.png"), 0U);
    EXPECT_GT(fs::file_size(folder / "connections-last.png"), 0U);
    EXPECT_THROW(recorder.heat_maps(2, 2, 1), std::logic_error);
    recorder.heat_maps(1, 3, 2);  // two channels of three pixels
}

TEST(Recorder, GoesOnWhereACheckpointWasMade) {
    const TemporaryFolder temporary;
    const fs::path folder = temporary.path() / "run";
    const Degrees first{{0, 1, 2, 3, 1, 0}, {3, 2, 2}};
    const Degrees second{{1, 1, 1, 3, 1, 0}, {2, 2, 3}};
    const Degrees third{{2, 0, 1, 3, 1, 0}, {1, 3, 3}};
    EpochRecord record;
    RecordedBytes at_checkpoint;
    std::map<std::string, std::string> unbroken;
    const auto bytes_of = [&](const std::string& name) {
        std::ifstream stream(folder / name, std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(stream), {});
    };
    {
        Recorder recorder(folder, false, "seed = 1\n", two_layers);
        record.epoch = 1;
        record.test_loss = std::nan("");
        recorder.degrees(0, first, second);
        recorder.epoch(record);
        at_checkpoint = recorder.sync();
        record.epoch = 2;
        recorder.degrees(0, second, third);
        recorder.epoch(record);
        for (const auto& [name, bytes] : recorder.sync()) {
            unbroken[name] = bytes_of(name);
            EXPECT_EQ(unbroken[name].size(), bytes) << name;
        }
        recorder.heat_maps(2, 3, 1);
        unbroken["connections-first.png"] = bytes_of("connections-first.png");
        unbroken["connections-last.png"] = bytes_of("connections-last.png");
        // what a kill can leave: a row without its count, half a line
        std::ofstream(folder / "connections.npy", std::ios::app) << "half a row";
        std::ofstream(folder / "history.csv", std::ios::app) << "3,0.1";
    }
    EXPECT_EQ(at_checkpoint.size(), 4U);
    const auto history = read_history(folder / "history.jsonl", at_checkpoint["history.jsonl"]);
    ASSERT_EQ(history.size(), 1U);
    EXPECT_EQ(history[0].epoch, 1U);
    EXPECT_TRUE(std::isnan(history[0].test_loss));

    Recorder recorder(folder, false, "seed = 1\n", two_layers, at_checkpoint);
    EXPECT_EQ(read_npy(folder / "connections.npy").shape, (std::vector<std::uint64_t>{1, 2, 6}));
    recorder.degrees(0, second, third);
    recorder.epoch(record);
    recorder.heat_maps(2, 3, 1);
    for (const auto& [name, bytes] : unbroken) EXPECT_EQ(bytes_of(name), bytes) << name;
}

TEST(Recorder, AHistoryTooShortToGoOnWith) {
    const TemporaryFolder temporary;
    const fs::path folder = temporary.path() / "run";
    RecordedBytes bytes;
    {
        Recorder recorder(folder, false, "", two_layers);
        bytes = recorder.sync();
    }
    bytes["history.csv"] += 1;
    const auto [code, message] = error_of([&] { Recorder(folder, false, "", two_layers, bytes); });
    EXPECT_EQ(code, ExitCode::io);
    EXPECT_NE(message.find("history.csv"), std::string::npos) << message;
    bytes.erase("history.csv");
    EXPECT_EQ(error_of([&] { Recorder(folder, false, "", two_layers, bytes); }).first, ExitCode::checkpoint);
    EXPECT_EQ(error_of([&] { (void)read_history(folder / "history.jsonl", 5); }).first, ExitCode::checkpoint);
}

TEST(Recorder, TwoAtOnceAreRefused) {
    const TemporaryFolder temporary;
    const fs::path folder = temporary.path() / "run";
    const Recorder recorder(folder, false, "", two_layers);
    for (const bool overwrite : {false, true}) {
        EXPECT_EQ(error_of([&] { Recorder(folder, overwrite, "", two_layers); }).first, ExitCode::usage);
        EXPECT_TRUE(fs::exists(folder / "history.csv"));
    }
}

TEST(Recorder, AnExistingFolderIsRefused) {
    const TemporaryFolder temporary;
    const auto [code, message] = error_of([&] { Recorder(temporary.path(), false, "", two_layers); });
    EXPECT_EQ(code, ExitCode::usage);
    EXPECT_NE(message.find(temporary.path().string()), std::string::npos);
    EXPECT_NE(message.find("--overwrite"), std::string::npos);
}

TEST(Recorder, OverwriteRemovesOnlyItsOwnFiles) {
    const TemporaryFolder temporary;
    const fs::path folder = temporary.path() / "run";
    const std::vector<RecordedLayer> deep(12, RecordedLayer{2, 2, true});
    { Recorder recorder(folder, false, "old", deep); }
    std::ofstream(folder / "network.safetensors.tmp-77") << "left behind";
    std::ofstream(folder / "notes.txt") << "mine";
    std::ofstream(folder / "degrees-layer-inputs.npy") << "mine too";
    Recorder recorder(folder, true, "new\n", two_layers);
    const std::set<std::string> expected{"config.toml",
                                         "history.csv",
                                         "history.jsonl",
                                         "connections.npy",
                                         "degrees-layer1-outputs.npy",
                                         "notes.txt",
                                         "degrees-layer-inputs.npy"};
    EXPECT_EQ(recorded_names(folder), expected);
    EXPECT_EQ(lines_of(folder / "config.toml").at(0), "new");
}

TEST(Recorder, OverwriteRefusesWhatIsNoRunFolder) {
    const TemporaryFolder temporary;
    std::ofstream(temporary.path() / "thesis.tex") << "ten years";
    std::ofstream(temporary.path() / "history.csv") << "of somebody";
    const auto [code, message] = error_of([&] { Recorder(temporary.path(), true, "", two_layers); });
    EXPECT_EQ(code, ExitCode::usage);
    EXPECT_NE(message.find("thesis.tex"), std::string::npos);
    EXPECT_EQ(recorded_names(temporary.path()), (std::set<std::string>{"history.csv", "thesis.tex"}));

    const fs::path file = temporary.path() / "thesis.tex";
    EXPECT_EQ(error_of([&] { Recorder(file, true, "", two_layers); }).first, ExitCode::usage);
}

TEST(Recorder, AFullDiskAtCreationLeavesNothing) {
    const TemporaryFolder temporary;
    for (const rlim_t bytes : {0U, 10U, 100U}) {  // fails at config.toml, the CSV header, the first array
        std::pair<ExitCode, std::string> error;
        {
            const FileSizeLimit limit(bytes);
            error = error_of([&] { Recorder(temporary.path() / "a" / "b", false, "seed = 1\n", two_layers); });
        }
        EXPECT_EQ(error.first, ExitCode::io);
        EXPECT_NE(error.second.find((temporary.path() / "a" / "b").string()), std::string::npos) << error.second;
        EXPECT_NE(error.second.find("File too large"), std::string::npos) << error.second;
        EXPECT_TRUE(recorded_names(temporary.path()).empty()) << bytes;
    }
}

TEST(Recorder, AFullDiskLaterLeavesWholeLines) {
    const TemporaryFolder temporary;
    Recorder recorder(temporary.path() / "run", false, "", two_layers);
    const fs::path csv = temporary.path() / "run" / "history.csv";
    recorder.epoch({});
    const auto size = fs::file_size(csv);
    std::pair<ExitCode, std::string> error;
    {
        const FileSizeLimit limit(size + 5);
        error = error_of([&] { recorder.epoch({}); });
    }
    EXPECT_EQ(error.first, ExitCode::io);
    EXPECT_NE(error.second.find("history.csv"), std::string::npos);
    EXPECT_EQ(fs::file_size(csv), size);
    recorder.epoch({});
    EXPECT_EQ(lines_of(csv).size(), 3U);
}

TEST(Recorder, AFolderThatCannotBeMade) {
    const TemporaryFolder temporary;
    std::ofstream(temporary.path() / "file") << "in the way";
    const auto [code, message] = error_of([&] { Recorder(temporary.path() / "file" / "run", false, "", two_layers); });
    EXPECT_EQ(code, ExitCode::io);
    EXPECT_NE(message.find("file/run"), std::string::npos) << message;
}

}  // namespace
}  // namespace espalier
