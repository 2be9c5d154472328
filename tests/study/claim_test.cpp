#include "host/study/claim.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "temporary_folder.hpp"

namespace espalier {
namespace {

using std::chrono::milliseconds;
constexpr ClaimTimes short_times{milliseconds(20), milliseconds(3000)};

/// As if nobody had touched it for ten minutes.
void age(const std::filesystem::path& file) {
    std::filesystem::last_write_time(file, std::filesystem::last_write_time(file) - std::chrono::minutes(10));
}

class ClaimTest : public testing::Test {
protected:
    TemporaryFolder folder_;
    const std::filesystem::path path_ = folder_.path() / "cell.claim";

    [[nodiscard]] bool exists(const std::string& name) const { return std::filesystem::exists(folder_.path() / name); }
};

TEST_F(ClaimTest, OneTakesItUntilItIsLetGo) {
    auto first = Claim::take(path_);
    ASSERT_NE(first, nullptr);
    EXPECT_EQ(Claim::take(path_), nullptr);
    EXPECT_TRUE(is_claimed(path_));
    EXPECT_FALSE(first->lost());
    first.reset();
    EXPECT_FALSE(exists("cell.claim"));
    EXPECT_FALSE(is_claimed(path_));
    EXPECT_NE(Claim::take(path_), nullptr);
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));  // neither claims nor clocks stay
}

TEST_F(ClaimTest, AClaimIsTouchedAsLongAsItIsHeld) {
    const auto held = Claim::take(path_, {milliseconds(20), claim_expires});
    const auto start = std::filesystem::last_write_time(path_);
    age(path_);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::filesystem::last_write_time(path_) < start && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(milliseconds(5));
    }
    EXPECT_GE(std::filesystem::last_write_time(path_), start);
    EXPECT_EQ(Claim::take(path_), nullptr);
    EXPECT_FALSE(held->lost());
}

TEST_F(ClaimTest, OneTakerWinsAnExpiredClaim) {
    std::ofstream(path_) << "of a process that died\n";
    EXPECT_EQ(Claim::take(path_), nullptr);
    age(path_);
    std::unique_ptr<Claim> taken[8];
    {
        std::vector<std::thread> takers;
        for (auto& each : taken) takers.emplace_back([&each, this] { each = Claim::take(path_); });
        for (std::thread& taker : takers) taker.join();
    }
    EXPECT_EQ(std::count_if(std::begin(taken), std::end(taken), [](const auto& each) { return each != nullptr; }), 1);
    EXPECT_TRUE(exists("cell.claim.2"));
    for (auto& each : taken) each.reset();
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(ClaimTest, WhoWasHeldUpTooLongLearnsThatItLostItsClaim) {
    const auto held = Claim::take(path_);
    age(path_);
    const auto taker = Claim::take(path_);
    ASSERT_NE(taker, nullptr);
    EXPECT_TRUE(held->lost());
    EXPECT_FALSE(taker->lost());
    EXPECT_TRUE(is_claimed(path_));
}

TEST_F(ClaimTest, WhatADeadProcessOfThisMachineHadIsFreeAtOnce) {
    const pid_t child = fork();
    if (child == 0) {
        Claim::take(path_).release();
        _exit(0);
    }
    waitpid(child, nullptr, 0);
    ASSERT_TRUE(exists("cell.claim"));
    EXPECT_NE(Claim::take(path_), nullptr);
}

TEST_F(ClaimTest, WhatAnotherProcessLeftHalfLetGoStillTells) {
    std::ofstream(folder_.path() / "cell.claim.3") << "its first two names are gone already\n";
    EXPECT_TRUE(is_claimed(path_));
    age(folder_.path() / "cell.claim.3");
    EXPECT_NE(Claim::take(path_), nullptr);
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

/// Processes that take 60 cells between them, one of which is killed while it has one.
TEST_F(ClaimTest, ManyProcessesRunEveryCellOnce) {
    constexpr int cells = 60;
    const auto work = [this](bool hangs) {
        for (bool any_left = true; any_left;) {
            any_left = false;
            for (int cell = 0; cell < cells; ++cell) {
                const auto done = folder_.path() / (std::to_string(cell) + ".done");
                if (std::filesystem::exists(done)) continue;
                any_left = true;
                const auto claim = Claim::take(folder_.path() / (std::to_string(cell) + ".claim"), short_times);
                if (claim == nullptr || std::filesystem::exists(done)) continue;
                if (hangs) raise(SIGKILL);
                std::ofstream(done, std::ios::app) << "x";
            }
            std::this_thread::sleep_for(milliseconds(5));
        }
    };
    std::vector<pid_t> children;
    for (int i = 0; i < 4; ++i) {
        const pid_t child = fork();
        if (child == 0) {
            work(i == 0);
            _exit(0);
        }
        children.push_back(child);
    }
    int killed = 0;
    for (const pid_t child : children) {
        int status = 0;
        waitpid(child, &status, 0);
        killed += WIFSIGNALED(status) ? 1 : 0;
    }
    EXPECT_LE(killed, 1);
    for (int cell = 0; cell < cells; ++cell) {
        EXPECT_EQ(std::filesystem::file_size(folder_.path() / (std::to_string(cell) + ".done")), 1U) << cell;
    }
}

}  // namespace
}  // namespace espalier
