// Checkpoints as files: what they hold, which are kept, what damage is detected, which one a run resumes from.
#include "host/run/checkpoint.hpp"
#include "files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "espalier/error.hpp"
#include "file_size_limit.hpp"
#include "espalier/network_file.hpp"
#include "host/run/checkpoint_folder.hpp"
#include "host/run/run_layout.hpp"
#include "host/run/run_lock.hpp"
#include "same_network.hpp"
#include "small_run.hpp"
#include "temporary_folder.hpp"
#include "user_errors.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

CheckpointInfo example_info() {
    CheckpointInfo info;
    info.experiment = small_experiment();
    info.experiment.seed = 18446744073709551615U;
    info.progress.epoch = 3;
    info.recorded = {{"history.csv", 0}, {"history.jsonl", 0}};
    info.dataset = "synthetic";
    info.dataset_digest = "d";
    info.backend = "cpu";
    info.machine = "cpu: AVX3, 2 threads";
    info.test_loss = 0.1 + 0.2;
    return info;
}

CheckpointInfo begun_info() {
    CheckpointInfo info = example_info();
    info.test_loss.reset();
    info.progress.step = 7;
    info.progress.metrics = {1.0 / 3, 2.0 / 3, 1e-300, 5e-324, 7, 14, 3, ~std::uint64_t{0}};
    info.progress.record.epoch = 4;
    info.progress.record.replaced_positive = 12;
    info.progress.record.zeta = 0.1 + 0.2;
    info.progress.before = {{{1, 2, 1, 1}, {2, 1, 2}}, {{1, 0, 1}, {0, 2}}};
    // Layer 1 has evolved since its last look, layer 2 has not, layer 3 is dense.
    const std::uint64_t all = ~std::uint64_t{0};
    info.lifetimes = {LayerLifetimes{Topology{4, 3, {0, 1, 3, 3}, {2, 0, 1}},
                                     LifetimeState{3, 0, 3, {0, 1, 3}, {all}, {9, 5, 1}, {4, 0, 1}}},
                      LayerLifetimes{*example_network().layers[1].topology,
                                     LifetimeState{3, 0, 2, {0, 0}, {5}, {2, 2, 2}, {0, 0, 0}}},
                      std::nullopt};
    return info;
}

class CheckpointTest : public testing::Test {
protected:
    CheckpointTest() {
        write_file(run_ / "history.csv", "");
        write_file(run_ / "history.jsonl", "");
    }
    /// Adds the checkpoint after `epoch` epochs and `step` steps.
    void add(std::uint32_t epoch, std::uint32_t step, std::optional<double> test_loss, int keep) {
        CheckpointInfo info = step > 0 ? begun_info() : example_info();
        info.progress.epoch = epoch;
        info.progress.step = step;
        for (auto& lives : info.lifetimes) {
            if (lives.has_value()) lives->lifetimes.epoch = epoch;
        }
        info.test_loss = test_loss;
        add_checkpoint(run_, info, example_network(), keep);
    }
    std::vector<std::string> names() const { return names_in(run_ / run_layout::checkpoints); }

    TemporaryFolder temporary_;
    fs::path run_ = temporary_.path();
    fs::path file_ = temporary_.path() / "ckpt-3.safetensors";
};

TEST_F(CheckpointTest, HoldsAllThatDecidesWhatFollows) {
    for (const CheckpointInfo& info : {example_info(), begun_info()}) {
        save_checkpoint(file_, info, example_network());
        const Checkpoint read = load_checkpoint(file_);
        EXPECT_TRUE(same_arrays(read.network, example_network()));
        EXPECT_EQ(read.info.experiment.seed, info.experiment.seed);
        EXPECT_EQ(read.info.experiment.layers, info.experiment.layers);
        EXPECT_EQ(read.info.progress.epoch, info.progress.epoch);
        EXPECT_EQ(read.info.progress.step, info.progress.step);
        EXPECT_EQ(read.info.recorded, info.recorded);
        EXPECT_EQ(read.info.dataset, info.dataset);
        EXPECT_EQ(read.info.dataset_digest, info.dataset_digest);
        EXPECT_EQ(read.info.backend, info.backend);
        EXPECT_EQ(read.info.machine, info.machine);
        EXPECT_EQ(read.info.test_loss, info.test_loss);
        if (info.progress.step == 0) continue;
        EXPECT_EQ(read.info.progress.metrics.batch_loss_sum, info.progress.metrics.batch_loss_sum);
        EXPECT_EQ(read.info.progress.metrics.sample_loss_sum, info.progress.metrics.sample_loss_sum);
        EXPECT_EQ(read.info.progress.metrics.confidence_sum, info.progress.metrics.confidence_sum);
        EXPECT_EQ(read.info.progress.metrics.wrong_confidence_sum, info.progress.metrics.wrong_confidence_sum);
        EXPECT_EQ(read.info.progress.metrics.batches, 7U);
        EXPECT_EQ(read.info.progress.metrics.samples, 14U);
        EXPECT_EQ(read.info.progress.metrics.correct, 3U);
        EXPECT_EQ(json_line(read.info.progress.record), json_line(info.progress.record));
        ASSERT_EQ(read.info.lifetimes.size(), 3U);
        for (std::size_t l = 0; l < 2; ++l) {
            ASSERT_TRUE(read.info.lifetimes[l].has_value());
            EXPECT_EQ(read.info.lifetimes[l]->last.row_start, info.lifetimes[l]->last.row_start);
            EXPECT_EQ(read.info.lifetimes[l]->last.column, info.lifetimes[l]->last.column);
            EXPECT_EQ(read.info.lifetimes[l]->lifetimes.epoch, 3U);
            EXPECT_EQ(read.info.lifetimes[l]->lifetimes.first_edges, info.lifetimes[l]->lifetimes.first_edges);
            EXPECT_EQ(read.info.lifetimes[l]->lifetimes.born, info.lifetimes[l]->lifetimes.born);
            EXPECT_EQ(read.info.lifetimes[l]->lifetimes.ever, info.lifetimes[l]->lifetimes.ever);
            EXPECT_EQ(read.info.lifetimes[l]->lifetimes.at_risk, info.lifetimes[l]->lifetimes.at_risk);
            EXPECT_EQ(read.info.lifetimes[l]->lifetimes.lost, info.lifetimes[l]->lifetimes.lost);
        }
        EXPECT_FALSE(read.info.lifetimes[2].has_value());
        ASSERT_EQ(read.info.progress.before.size(), 2U);
        EXPECT_EQ(read.info.progress.before[0].inputs, info.progress.before[0].inputs);
        EXPECT_EQ(read.info.progress.before[1].outputs, info.progress.before[1].outputs);
    }
}

TEST_F(CheckpointTest, EqualStatesGiveEqualBytes) {
    save_checkpoint(file_, begun_info(), example_network());
    const std::string first = text_of(file_);
    const Checkpoint read = load_checkpoint(file_);
    save_checkpoint(file_, read.info, read.network);
    EXPECT_EQ(text_of(file_), first);
}

TEST_F(CheckpointTest, EveryFlippedBitAndEveryTruncationIsDetected) {
    save_checkpoint(file_, begun_info(), example_network());
    const std::string bytes = text_of(file_);
    ASSERT_GT(bytes.size(), 2000U);
    const auto expect_refused = [&](const std::string& damaged, std::size_t at) {
        write_file(file_, damaged);
        ASSERT_EQ(error_of([&] { (void)load_checkpoint(file_); }).first, ExitCode::checkpoint) << at;
    };
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        std::string damaged = bytes;
        for (const int mask : {0x01, 0x80, 0xFF}) {
            damaged[at] = static_cast<char>(bytes[at] ^ mask);
            expect_refused(damaged, at);
        }
        expect_refused(bytes.substr(0, at), at);
    }
    expect_refused(bytes + '\0', bytes.size());
    write_file(file_, bytes);
    EXPECT_TRUE(same_arrays(load_checkpoint(file_).network, example_network()));
}

TEST_F(CheckpointTest, ANetworkFileIsNoCheckpoint) {
    save_network(file_, example_network(), {});
    const auto [code, message] = error_of([&] { (void)load_checkpoint(file_); });
    EXPECT_EQ(code, ExitCode::checkpoint);
    EXPECT_THAT(message, HasSubstr("expected a checkpoint"));
    // but a checkpoint is a network
    save_checkpoint(file_, begun_info(), example_network());
    EXPECT_TRUE(same_arrays(load_network(file_), example_network()));
}

TEST_F(CheckpointTest, NamesSayThePlace) {
    EXPECT_EQ(checkpoint_name({12, 0}), "ckpt-12.safetensors");
    EXPECT_EQ(checkpoint_name({12, 64}), "ckpt-12-64.safetensors");
    EXPECT_EQ(checkpoint_place("a/ckpt-12-64.safetensors"), (CheckpointPlace{12, 64}));
    for (const char* other : {"ckpt-.safetensors", "ckpt-1-.safetensors", "ckpt-01.safetensors", "ckpt-1-0.safetensors",
                              "ckpt--1.safetensors", "ckpt-1.safetensors.tmp-5", "ckpt-4294967296.safetensors",
                              "ckpt-1 .safetensors", "network.safetensors", ".safetensors", ""}) {
        EXPECT_FALSE(checkpoint_place(other).has_value()) << other;
    }
}

TEST_F(CheckpointTest, TheNewestAndTheBestAreKept) {
    const double losses[] = {0.9, 0.5, 0.7, 0.6, 0.8, 0.4, 0.45};
    for (std::uint32_t epoch = 1; epoch <= 5; ++epoch) add(epoch, 0, losses[epoch - 1], 2);
    EXPECT_THAT(names(), ElementsAre("ckpt-2.safetensors", "ckpt-4.safetensors", "ckpt-5.safetensors"));
    add(5, 64, std::nullopt, 2);  // inside an epoch: counts as new, never as best
    EXPECT_THAT(names(), ElementsAre("ckpt-2.safetensors", "ckpt-5-64.safetensors", "ckpt-5.safetensors"));
    add(6, 0, losses[5], 2);
    EXPECT_THAT(names(), ElementsAre("ckpt-5-64.safetensors", "ckpt-6.safetensors"));
    add(7, 0, losses[6], 1);
    EXPECT_THAT(names(), ElementsAre("ckpt-6.safetensors", "ckpt-7.safetensors"));
    add(10, 0, 1.0, 1);  // 10 comes after 7, whatever the alphabet says
    EXPECT_THAT(names(), ElementsAre("ckpt-10.safetensors", "ckpt-6.safetensors"));
}

TEST_F(CheckpointTest, NothingIsDeletedBeforeTheNewOneIsSafe) {
    for (std::uint32_t epoch = 1; epoch <= 3; ++epoch) add(epoch, 0, 1.0 / epoch, 3);
    const auto before = names();
    for (std::size_t bytes = 0; bytes < 2000; bytes += 333) {
        const FileSizeLimit full(bytes);
        EXPECT_EQ(error_of([&] { add(4, 0, 0.1, 1); }).first, ExitCode::io);
        EXPECT_EQ(names(), before) << bytes;
    }
    Network broken = example_network();
    broken.layers[2].bias[0] = std::nanf("");
    CheckpointInfo info = example_info();
    info.progress.epoch = 3;  // would replace a good one
    EXPECT_EQ(error_of([&] { add_checkpoint(run_, info, broken, 1); }).first, ExitCode::nonfinite);
    EXPECT_EQ(names(), before);
    Checkpoint read;
    EXPECT_EQ(find_checkpoint(run_, read)->path.filename(), "ckpt-3.safetensors");
}

TEST_F(CheckpointTest, TheNewestThatVerifiesIsFound) {
    Checkpoint read;
    EXPECT_FALSE(find_checkpoint(run_, read).has_value());
    for (std::uint32_t epoch = 1; epoch <= 3; ++epoch) add(epoch, 0, 0.5, 9);
    add(3, 5, std::nullopt, 9);
    auto found = find_checkpoint(run_, read);
    EXPECT_EQ(found->path.filename(), "ckpt-3-5.safetensors");
    EXPECT_EQ(found->run, run_);
    EXPECT_TRUE(found->warnings.empty());

    const fs::path folder = run_ / run_layout::checkpoints;
    write_file(folder / "ckpt-3-5.safetensors", "");
    std::string flipped = text_of(folder / "ckpt-3.safetensors");
    flipped[flipped.size() - 100] ^= 1;
    write_file(folder / "ckpt-3.safetensors", flipped);
    write_file(folder / "ckpt-9.safetensors.tmp-1", "left by a writer that was killed");
    found = find_checkpoint(run_, read);
    EXPECT_EQ(found->path.filename(), "ckpt-2.safetensors");
    EXPECT_EQ(read.info.progress.epoch, 2U);
    ASSERT_EQ(found->warnings.size(), 2U);
    EXPECT_THAT(found->warnings[0], HasSubstr("ckpt-3-5.safetensors"));
    EXPECT_THAT(found->warnings[1], HasSubstr("checksum"));

    EXPECT_EQ(forget_newer(run_, {2, 0}), 2);
    EXPECT_THAT(names(), ElementsAre("ckpt-1.safetensors", "ckpt-2.safetensors"));
    for (const char* name : {"ckpt-1.safetensors", "ckpt-2.safetensors"}) write_file(folder / name, "rubbish");
    const auto [code, message] = error_of([&] { (void)find_checkpoint(run_, read); });
    EXPECT_EQ(code, ExitCode::checkpoint);
    EXPECT_THAT(message, testing::AllOf(HasSubstr("ckpt-1.safetensors"), HasSubstr("ckpt-2.safetensors")));
}

TEST_F(CheckpointTest, AHistoryThatIsGoneIsNoticed) {
    CheckpointInfo info = example_info();
    add_checkpoint(run_, info, example_network(), 9);
    info.progress.epoch = 4;
    info.recorded["history.csv"] = 100;
    add_checkpoint(run_, info, example_network(), 9);
    Checkpoint read;
    const auto found = find_checkpoint(run_, read);
    EXPECT_EQ(found->path.filename(), "ckpt-3.safetensors");
    EXPECT_THAT(found->warnings.at(0), HasSubstr("history.csv: expected at least 100 bytes, found 0"));
}

TEST_F(CheckpointTest, OneFileOfARunCanBeChosen) {
    for (std::uint32_t epoch = 1; epoch <= 2; ++epoch) add(epoch, 0, 0.5, 9);
    Checkpoint read;
    const auto found = open_checkpoint(run_ / run_layout::checkpoints / "ckpt-1.safetensors", read);
    EXPECT_EQ(read.info.progress.epoch, 1U);
    EXPECT_EQ(found.run, run_);
    save_checkpoint(file_, example_info(), example_network());
    EXPECT_THAT(error_of([&] { (void)open_checkpoint(file_, read); }).second, HasSubstr("--init-from"));
    EXPECT_EQ(run_of_checkpoint("checkpoints/ckpt-1.safetensors"), ".");
}

TEST_F(CheckpointTest, RemovalTouchesNothingElse) {
    add(1, 0, 0.5, 9);
    write_file(run_ / run_layout::checkpoints / "ckpt-2.safetensors.tmp-77", "");
    remove_checkpoints(run_);
    EXPECT_FALSE(fs::exists(run_ / run_layout::checkpoints));
    remove_checkpoints(run_);  // nothing there
    add(1, 0, 0.5, 9);
    write_file(run_ / run_layout::checkpoints / "notes.txt", "mine");
    remove_checkpoints(run_);
    EXPECT_THAT(names(), ElementsAre("notes.txt"));
}

TEST_F(CheckpointTest, OneProcessHoldsARunFolder) {
    std::optional<RunLock> first(run_);
    EXPECT_EQ(first->stale_owner(), "");
    const auto [code, message] = error_of([&] { const RunLock second(run_); });
    EXPECT_EQ(code, ExitCode::usage);
    EXPECT_THAT(message, HasSubstr("process " + std::to_string(getpid())));
    first.reset();
    EXPECT_FALSE(fs::exists(run_ / run_layout::lock));
    write_file(run_ / run_layout::lock, "999999999\n");  // its owner died
    const RunLock third(run_);
    EXPECT_EQ(third.stale_owner(), "999999999");
}

}  // namespace
}  // namespace espalier
