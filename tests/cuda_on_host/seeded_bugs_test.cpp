// Mutation tests of the engine: each seeded bug must be found under every order of threads that can show it, and by the
// watch runtime always. A run finds a bug by a fault, a wrong value or a crash, so each has a process of its own.
#include "seeded_bugs.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "device_array.hpp"
#include "watch.hpp"

namespace {

using cuda_on_host::DeviceArray;
using cuda_on_host::launch;
using cuda_on_host::Order;
using cuda_on_host::Policy;
using seeded::Bug;

/// A bug and where plain execution shows it; the watch runtime must find every real one.
struct Case {
    Bug bug;
    const char* name;
    bool forward;
    bool reverse;
    bool shuffled;
    bool real = true;
};

constexpr Case cases[] = {
    {Bug::none, "none", false, false, false, false},
    {Bug::no_sync_after_staging, "no_sync_after_staging", true, true, true},
    {Bug::no_sync_before_restaging, "no_sync_before_restaging", true, true, true},
    {Bug::no_sync_before_tree, "no_sync_before_tree", true, true, true},
    {Bug::no_sync_in_tree, "no_sync_in_tree", true, true, true},
    {Bug::no_sync_at_tile_end, "no_sync_at_tile_end", false, false, false, false},
    {Bug::divergent_barrier, "divergent_barrier", true, true, true},
    {Bug::return_before_barrier, "return_before_barrier", true, true, true},
    {Bug::shared_array_too_short, "shared_array_too_short", true, true, true},
    {Bug::dynamic_shared_overrun, "dynamic_shared_overrun", true, true, true},
    {Bug::write_past_batch, "write_past_batch", true, true, true},
    {Bug::unwritten_shared_read, "unwritten_shared_read", true, true, true},
    {Bug::misaligned_float4, "misaligned_float4", true, true, true},
    {Bug::blocks_update_one_word, "blocks_update_one_word", false, false, false},
    {Bug::full_mask_in_half_a_warp, "full_mask_in_half_a_warp", true, true, true},
    {Bug::wrong_offset, "wrong_offset", true, true, true},
    {Bug::all_lanes_update, "all_lanes_update", true, true, true},
    {Bug::no_tail_guard, "no_tail_guard", true, true, true},
    {Bug::reduction_without_syncwarp, "reduction_without_syncwarp", true, false, true},
    {Bug::ballot_in_divergent_code, "ballot_in_divergent_code", true, true, true},
    {Bug::plain_min, "plain_min", false, false, false},
    {Bug::plain_key_insert, "plain_key_insert", false, false, false},
    {Bug::counter_without_atomic, "counter_without_atomic", false, false, false},
    {Bug::no_wait_for_copy, "no_wait_for_copy", true, true, true},
    {Bug::wait_for_too_few_copies, "wait_for_too_few_copies", true, true, true},
    {Bug::no_commit, "no_commit", true, true, true},
    {Bug::no_sync_after_copy, "no_sync_after_copy", true, true, true},
    {Bug::no_sync_before_next_copy, "no_sync_before_next_copy", true, true, true},
    {Bug::panel_half_mixed_up, "panel_half_mixed_up", true, true, true},
    {Bug::both_ends_in_one_part, "both_ends_in_one_part", true, true, true},
    {Bug::part_written_as_sum, "part_written_as_sum", true, true, true},
    {Bug::first_part_left_out, "first_part_left_out", true, true, true},
    {Bug::no_sync_after_init, "no_sync_after_init", false, true, true},
    {Bug::full_counts_too_few, "full_counts_too_few", false, true, true},
    {Bug::no_wait_for_full_stage, "no_wait_for_full_stage", false, true, true},
    {Bug::no_wait_for_empty_stage, "no_wait_for_empty_stage", false, false, false},
    {Bug::arrive_before_fill, "arrive_before_fill", false, false, true},
    {Bug::no_warp_sync_before_arrival, "no_warp_sync_before_arrival", false, false, false},
};

/// Small numbers of which sums of products are exact, so that any order of summation gives the same.
float exact(int seed) { return static_cast<float>(seed * 37 % 17 - 8) / 8.0F; }

std::vector<float> exact_values(std::size_t count) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = exact(static_cast<int>(i));
    return values;
}

bool spmm_is_right(Bug bug) {
    constexpr int columns = 150;
    constexpr int batch = 132;  // one whole tile and four of the next
    const std::vector<int> lengths{3, 0, 150, 1, 64, 77};
    std::vector<int> start{0};
    std::vector<int> column;
    for (const int length : lengths) {
        for (int i = 0; i < length; ++i) column.push_back((i * 7 + 3) % columns);
        start.push_back(static_cast<int>(column.size()));
    }
    const auto value = exact_values(column.size());
    const auto x = exact_values(columns * batch);
    std::vector<float> expected(lengths.size() * batch, 0.0F);
    for (std::size_t row = 0; row < lengths.size(); ++row) {
        for (int e = start[row]; e < start[row + 1]; ++e) {
            const auto edge = static_cast<std::size_t>(e);
            for (std::size_t b = 0; b < batch; ++b) {
                expected[row * batch + b] += value[edge] * x[static_cast<std::size_t>(column[edge]) * batch + b];
            }
        }
    }
    const DeviceArray<int> d_start(start);
    const DeviceArray<int> d_column(column);
    const DeviceArray<float> d_value(value);
    const DeviceArray<float> d_x(x);
    const DeviceArray<float> y(expected.size());
    const DeviceArray<int> word(std::vector<int>{0});
    launch(seeded::spmm, dim3(static_cast<unsigned>(lengths.size())), dim3(seeded::spmm_threads),
           seeded::spmm_shared_bytes, bug, {d_start.data(), d_column.data(), d_value.data()}, d_x.data(), y.data(),
           batch, word.data());
    return y.read() == expected;
}

bool sddmm_is_right(Bug bug) {
    constexpr int count = 37;  // no multiple of the warps in a block
    constexpr int rows = 9;
    constexpr int batch = 50;
    std::vector<int> row;
    std::vector<int> column;
    for (int e = 0; e < count; ++e) {
        row.push_back(e / 5);
        column.push_back(e * 3 % rows);
    }
    const auto dy = exact_values(rows * batch);
    const auto x = exact_values(rows * batch + 5);
    std::vector<float> weight = exact_values(count);
    std::vector<float> velocity(count, 2.0F);
    const DeviceArray<int> d_row(row);
    const DeviceArray<int> d_column(column);
    const DeviceArray<float> d_dy(dy);
    const DeviceArray<float> d_x(x);
    const DeviceArray<float> d_weight(weight);
    const DeviceArray<float> d_velocity(velocity);
    launch(seeded::sddmm, dim3((count + seeded::sddmm_warps - 1) / seeded::sddmm_warps), dim3(32 * seeded::sddmm_warps),
           0, bug, d_row.data(), d_column.data(), count, d_dy.data(), d_x.data(), batch, d_weight.data(),
           d_velocity.data());
    for (std::size_t e = 0; e < count; ++e) {
        float gradient = 0;
        for (std::size_t b = 0; b < batch; ++b) {
            gradient +=
                dy[static_cast<std::size_t>(row[e]) * batch + b] * x[static_cast<std::size_t>(column[e]) * batch + b];
        }
        velocity[e] = 0.5F * velocity[e] - gradient;
        weight[e] += velocity[e];
    }
    return d_weight.read() == weight && d_velocity.read() == velocity;
}

bool regrow_is_right(Bug bug) {
    constexpr unsigned draws = 333;
    constexpr unsigned cells = 200;
    constexpr unsigned capacity = 512;
    std::set<unsigned> expected;
    for (unsigned draw = 0; draw < draws; ++draw) expected.insert((draw * 2654435761U >> 7) % cells);
    const DeviceArray<unsigned> keys(capacity);  // filled with 0xFF: empty
    const DeviceArray<unsigned> kept(cells);
    const DeviceArray<unsigned> num_kept(std::vector<unsigned>{0});
    const DeviceArray<unsigned> least(1);
    launch(seeded::regrow, dim3((draws + 63) / 64), dim3(64), 0, bug, draws, cells, keys.data(), capacity, kept.data(),
           num_kept.data(), least.data());
    const auto found = kept.read();
    const std::size_t count = num_kept.read()[0];
    if (count != expected.size() || least.read()[0] != *expected.begin()) return false;
    return std::set<unsigned>(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count)) == expected;
}

/// Rows of `lengths` edges; columns ascending from `row`, two apart.
struct Rows {
    std::vector<int> start{0}, row, column;
    explicit Rows(const std::vector<int>& lengths) {
        for (std::size_t r = 0; r < lengths.size(); ++r) {
            for (int i = 0; i < lengths[r]; ++i) {
                row.push_back(static_cast<int>(r));
                column.push_back(static_cast<int>(r) + 2 * i);
            }
            start.push_back(static_cast<int>(column.size()));
        }
    }
};

bool panel_is_right(Bug bug) {
    constexpr int columns = 22;
    const Rows rows({9, 0, 10, 1, 7});
    const auto value = exact_values(rows.column.size());
    const auto x = exact_values(columns * seeded::panel_batch);
    std::vector<float> expected((rows.start.size() - 1) * seeded::panel_batch, 0.0F);
    for (std::size_t e = 0; e < value.size(); ++e) {
        for (std::size_t b = 0; b < seeded::panel_batch; ++b) {
            expected[static_cast<std::size_t>(rows.row[e]) * seeded::panel_batch + b] +=
                value[e] * x[static_cast<std::size_t>(rows.column[e]) * seeded::panel_batch + b];
        }
    }
    const DeviceArray<int> start(rows.start);
    const DeviceArray<int> column(rows.column);
    const DeviceArray<float> d_value(value);
    const DeviceArray<float> d_x(x);
    const DeviceArray<float> y(expected.size());
    launch(seeded::panel, dim3(static_cast<unsigned>(rows.start.size() - 1)), dim3(seeded::panel_threads),
           seeded::panel_shared_bytes, bug, {start.data(), column.data(), d_value.data()}, columns, d_x.data(),
           y.data());
    return y.read() == expected;
}

bool coo_is_right(Bug bug) {
    const Rows rows({3, 5, 20, 0, 1, 40, 9, 2, 8});
    const auto value = exact_values(rows.row.size());
    std::vector<float> expected(rows.start.size() - 1, 0.0F);
    for (std::size_t e = 0; e < value.size(); ++e) expected[static_cast<std::size_t>(rows.row[e])] += value[e];
    const int count = static_cast<int>(value.size());
    const int chunks = (count + seeded::coo_chunk - 1) / seeded::coo_chunk;
    const DeviceArray<int> start(rows.start);
    const DeviceArray<int> row(rows.row);
    const DeviceArray<float> d_value(value);
    const DeviceArray<float> parts(static_cast<std::size_t>(chunks) * 2);
    const DeviceArray<float> sums(expected.size());
    launch(seeded::coo, dim3(2), dim3(32), 0, bug, row.data(), d_value.data(), count, parts.data(), sums.data());
    launch(seeded::coo_join, dim3(1), dim3(32), 0, bug, start.data(), static_cast<int>(expected.size()), parts.data(),
           sums.data());
    return sums.read() == expected;
}

bool ring_is_right(Bug bug) {
    constexpr int chunks = 8;
    const auto x = exact_values(chunks * seeded::ring_chunk);
    std::vector<float> expected(seeded::ring_chunk, 0.0F);
    for (std::size_t i = 0; i < x.size(); ++i) expected[i % seeded::ring_chunk] += x[i];
    const DeviceArray<float> d_x(x);
    const DeviceArray<float> y(expected.size());
    launch(seeded::ring, dim3(1), dim3(seeded::ring_threads), 0, bug, chunks, d_x.data(), y.data());
    return y.read() == expected;
}

bool is_right(Bug bug) {
    if (bug == Bug::none) {
        return spmm_is_right(bug) && sddmm_is_right(bug) && regrow_is_right(bug) && panel_is_right(bug) &&
               coo_is_right(bug) && ring_is_right(bug);
    }
    if (bug <= Bug::blocks_update_one_word) return spmm_is_right(bug);
    if (bug <= Bug::ballot_in_divergent_code) return sddmm_is_right(bug);
    if (bug <= Bug::counter_without_atomic) return regrow_is_right(bug);
    if (bug <= Bug::panel_half_mixed_up) return panel_is_right(bug);
    return bug <= Bug::first_part_left_out ? coo_is_right(bug) : ring_is_right(bug);
}

/// Whether a run under `policy`, in a process of its own, goes wrong in any way.
bool found(Bug bug, const Policy& policy) {
    const pid_t child = fork();
    if (child == 0) {
        const rlimit no_core{0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        cuda_on_host::set_policy(policy);
        cuda_on_host::watch::preempt(policy.order == Order::shuffled ? 20 : 0, policy.seed);
        bool right = false;
        try {
            right = is_right(bug);
        } catch (const std::exception&) {
        }
        _exit(right ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

class SeededBugs : public testing::TestWithParam<Case> {};

TEST_P(SeededBugs, AreFoundWhereTheyCanBe) {
    const Case& bug = GetParam();
    const bool always = cuda_on_host::watch::enabled() && bug.real;
    const auto check = [&](bool expected, const Policy& policy, const std::string& order) {
        const bool seen = found(bug.bug, policy);
        if (expected || always) {
            EXPECT_TRUE(seen) << bug.name << " was not found, " << order;
        } else if (!bug.real) {
            EXPECT_FALSE(seen) << bug.name << " is harmless but was reported, " << order;
        }
    };
    check(bug.forward, {Order::forward, 0}, "forward");
    check(bug.reverse, {Order::reverse, 0}, "reverse");
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        check(bug.shuffled, {Order::shuffled, seed}, "shuffled with seed " + std::to_string(seed));
    }
}

INSTANTIATE_TEST_SUITE_P(All, SeededBugs, testing::ValuesIn(cases),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
