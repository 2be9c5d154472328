// Barriers in shared memory (mbarrier): the engine's own tests, and the watch runtime's of what they order.
#include <gmock/gmock.h>

#include <vector>

#include "cuda_on_host.hpp"
#include "device_array.hpp"
#include "every_order.hpp"

namespace {

using cuda_on_host::DeviceArray;
using cuda_on_host::EveryOrder;
using cuda_on_host::fault_of;
using cuda_on_host::launch;
using testing::AllOf;
using testing::HasSubstr;

using Mbarrier = EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, Mbarrier, testing::ValuesIn(cuda_on_host::every_order));

template <class Kernel, class... Arguments>
std::string fault_with(Kernel kernel, unsigned threads, Arguments... arguments) {
    return fault_of([&] { launch(kernel, dim3(1), dim3(threads), 1024, arguments...); });
}

void init_by_first(__mbarrier_t* barrier, unsigned count) {
    if (threadIdx.x == 0) __mbarrier_init(barrier, count);
    __syncthreads();
}

// ---- phases

/// Round after round, each thread reads what its neighbour wrote; two slots, so that one phase a round is enough.
void pass_around(int* out, int rounds) {
    auto& barrier = block_shared<__mbarrier_t>();
    auto* slots = dynamic_shared<int>();
    init_by_first(&barrier, blockDim.x);
    int value = static_cast<int>(threadIdx.x);
    for (int round = 0; round < rounds; ++round) {
        int* slot = slots + round % 2 * static_cast<int>(blockDim.x);
        slot[threadIdx.x] = value;
        const __mbarrier_token_t token = __mbarrier_arrive(&barrier);
        wait_at(&barrier, token);
        wait_at(&barrier, token);  // which the token still allows
        value = slot[(threadIdx.x + 1) % blockDim.x];
    }
    out[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

TEST_P(Mbarrier, PhasesFollowEachOther) {
    constexpr unsigned threads = 70;
    constexpr int rounds = 5;
    const DeviceArray<int> out(2 * threads);
    launch(pass_around, dim3(2), dim3(threads), 2 * threads * sizeof(int), out.data(), rounds);
    const auto found = out.read();
    for (unsigned i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i], static_cast<int>((i % threads + rounds) % threads)) << i;
    }
}

/// The first `writers` threads arrive and never wait; the last one arrives, does something else, and waits then.
void arrive_and_leave(int* out, unsigned writers) {
    auto& barrier = block_shared<__mbarrier_t>();
    auto* slots = dynamic_shared<int>();
    init_by_first(&barrier, writers + 1);
    if (threadIdx.x < writers) {
        slots[threadIdx.x] = 1 + static_cast<int>(threadIdx.x);
        __mbarrier_arrive(&barrier);
    } else if (threadIdx.x == blockDim.x - 1) {
        const __mbarrier_token_t token = __mbarrier_arrive(&barrier);
        out[1] = 7;
        wait_at(&barrier, token);
        int sum = 0;
        for (unsigned i = 0; i < writers; ++i) sum += slots[i];
        out[0] = sum;
    }
}

TEST_P(Mbarrier, AThreadMayLeaveWithoutWaiting) {
    const DeviceArray<int> out(2);
    launch(arrive_and_leave, dim3(1), dim3(100), 50 * sizeof(int), out.data(), 50U);
    EXPECT_THAT(out.read(), testing::ElementsAre(50 * 51 / 2, 7));
}

// ---- a ring: warp 0 copies chunks into three stages, the other warps share each chunk

constexpr int ring_stages = 3;
constexpr int ring_chunk = 128;  // floats, four for each lane of the producer
constexpr int ring_consumers = 4;
constexpr std::size_t ring_bytes = sizeof(float) * ring_stages * ring_chunk;

struct RingBarriers {
    __mbarrier_t full[ring_stages];   // 32 lanes' copies, and each consumer warp once it has no more use for the stage
    __mbarrier_t empty[ring_stages];  // the producer once it has filled, and each consumer warp
};

enum class Skip { nothing, wait_for_full, wait_for_empty, wait_for_copies };

void fill_ring(RingBarriers& barriers, float* stages, const float* from, int chunks, Skip skip) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    __mbarrier_token_t used[ring_stages] = {};
    const auto copied = [&](int chunk) {
        const int stage = chunk % ring_stages;
        __mbarrier_arrive(&barriers.full[stage]);
        if (lane == 0) used[stage] = __mbarrier_arrive(&barriers.empty[stage]);
    };
    for (int chunk = 0; chunk < chunks; ++chunk) {
        const int stage = chunk % ring_stages;
        if (chunk >= ring_stages && skip != Skip::wait_for_empty) {
            if (lane == 0) wait_at(&barriers.empty[stage], used[stage]);
            __syncwarp();
        }
        __pipeline_memcpy_async(stages + stage * ring_chunk + lane * 4, from + chunk * ring_chunk + lane * 4, 16);
        __pipeline_commit();
        if (chunk == 0) continue;
        if (skip != Skip::wait_for_copies) __pipeline_wait_prior(1);
        copied(chunk - 1);
    }
    __pipeline_wait_prior(0);
    copied(chunks - 1);
}

/// A consumer warp's lane sums one float of each chunk.
float drain_ring(RingBarriers& barriers, const float* stages, int chunks, Skip skip) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32 - 1;
    __mbarrier_token_t filled[ring_stages] = {};
    for (int stage = 0; stage < ring_stages && lane == 0; ++stage)
        filled[stage] = __mbarrier_arrive(&barriers.full[stage]);
    float sum = 0;
    for (int chunk = 0; chunk < chunks; ++chunk) {
        const int stage = chunk % ring_stages;
        if (lane == 0 && skip != Skip::wait_for_full) wait_at(&barriers.full[stage], filled[stage]);
        __syncwarp();
        sum += stages[stage * ring_chunk + warp * 32 + lane];
        __syncwarp();
        if (lane == 0) {
            __mbarrier_arrive(&barriers.empty[stage]);
            if (chunk + ring_stages < chunks) filled[stage] = __mbarrier_arrive(&barriers.full[stage]);
        }
    }
    return sum;
}

void sum_through_ring(const float* from, float* to, int chunks, Skip skip) {
    auto& barriers = block_shared<RingBarriers>();
    auto* stages = dynamic_shared<float>();
    if (threadIdx.x < ring_stages) {
        __mbarrier_init(&barriers.full[threadIdx.x], 32 + ring_consumers);
        __mbarrier_init(&barriers.empty[threadIdx.x], 1 + ring_consumers);
    }
    __syncthreads();
    if (threadIdx.x < 32) {
        fill_ring(barriers, stages, from, chunks, skip);
    } else {
        to[blockIdx.x * ring_chunk + threadIdx.x - 32] = drain_ring(barriers, stages, chunks, skip);
    }
}

std::string ring_fault(int chunks, Skip skip, bool& right) {
    std::vector<float> values(static_cast<std::size_t>(chunks) * ring_chunk);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 1009);
    std::vector<float> expected(ring_chunk, 0.0F);
    for (std::size_t i = 0; i < values.size(); ++i) expected[i % ring_chunk] += values[i];
    expected.insert(expected.end(), expected.begin(), expected.end());  // of the second block
    const DeviceArray<float> from(values);
    const DeviceArray<float> to(2 * ring_chunk);
    const std::string fault = fault_of([&] {
        launch(sum_through_ring, dim3(2), dim3(32 * (1 + ring_consumers)), ring_bytes, from.data(), to.data(), chunks,
               skip);
    });
    right = to.read() == expected;
    return fault;
}

TEST_P(Mbarrier, ARingOfStagesCarriesEveryChunk) {
    for (const int chunks : {1, 2, 3, 4, 7, 20}) {
        bool right = false;
        EXPECT_EQ(ring_fault(chunks, Skip::nothing, right), "no fault") << chunks;
        EXPECT_TRUE(right) << chunks;
    }
}

// ---- faults

void init_in_global(__mbarrier_t* word) { __mbarrier_init(word, 1); }
void init_misaligned() { __mbarrier_init(reinterpret_cast<__mbarrier_t*>(dynamic_shared<char>() + 4), 1); }
void init_with(unsigned count) { __mbarrier_init(dynamic_shared<__mbarrier_t>(), count); }
void init_past_end() { __mbarrier_init(dynamic_shared<__mbarrier_t>() + 128, 1); }
void init_twice(bool waiting) {
    auto* barrier = dynamic_shared<__mbarrier_t>();
    init_by_first(barrier, blockDim.x);
    if (waiting && threadIdx.x != 0) wait_at(barrier, __mbarrier_arrive(barrier));
    for (int i = 0; i < 5; ++i) __syncwarp(1);  // keeps thread 0 busy
    __mbarrier_init(barrier, 1);
}
void arrive_uninitialised() { __mbarrier_arrive(dynamic_shared<__mbarrier_t>()); }
void wait_uninitialised() { wait_at(dynamic_shared<__mbarrier_t>(), 0); }
void arrive_in_global(__mbarrier_t* word) { __mbarrier_arrive(word); }
void wait_in_global(__mbarrier_t* word) { wait_at(word, 0); }
void arrive_in_second_block() {
    auto* barrier = dynamic_shared<__mbarrier_t>();
    if (blockIdx.x == 0) __mbarrier_init(barrier, 1);
    __mbarrier_arrive(barrier);
}
void overwritten() {
    auto* barrier = dynamic_shared<__mbarrier_t>();
    __mbarrier_init(barrier, 1);
    *barrier = 5;
    __mbarrier_arrive(barrier);
}

TEST(MbarrierFaults, OfPlacesAndCounts) {
    const DeviceArray<__mbarrier_t> global(1);
    EXPECT_THAT(fault_with(init_in_global, 1, global.data()),
                AllOf(HasSubstr("block (0,0,0) thread (0,0,0): __mbarrier_init, "), HasSubstr("mbarrier_test.cpp:"),
                      HasSubstr("outside shared memory")));
    EXPECT_THAT(fault_with(init_misaligned, 1), HasSubstr("not a multiple of 8 bytes"));
    EXPECT_THAT(fault_with(init_past_end, 1), HasSubstr("outside shared memory"));
    EXPECT_THAT(fault_with(init_with, 1, 0U), HasSubstr("a count of 0; it is 1 to 16383"));
    EXPECT_THAT(fault_with(init_with, 1, 16384U), HasSubstr("a count of 16384"));
    EXPECT_EQ(fault_with(init_with, 1, 16383U), "no fault");
    EXPECT_THAT(fault_with(init_twice, 1, false), HasSubstr("initialised already"));
    EXPECT_THAT(fault_with(arrive_uninitialised, 1),
                AllOf(HasSubstr("__mbarrier_arrive, "), HasSubstr("never initialised")));
    EXPECT_THAT(fault_with(wait_uninitialised, 1), AllOf(HasSubstr("wait_at, "), HasSubstr("never initialised")));
    EXPECT_THAT(fault_with(arrive_in_global, 1, global.data()), HasSubstr("outside shared memory"));
    EXPECT_THAT(fault_with(wait_in_global, 1, global.data()), HasSubstr("outside shared memory"));
    EXPECT_THAT(fault_of([] { launch(arrive_in_second_block, dim3(2), dim3(1), 8); }),
                AllOf(HasSubstr("block (1,0,0)"), HasSubstr("never initialised")));
    EXPECT_THAT(fault_with(overwritten, 1), HasSubstr("written over the barrier"));
    EXPECT_THAT(fault_of([] { __mbarrier_arrive(nullptr); }), HasSubstr("__mbarrier_arrive outside a kernel"));
}

TEST_P(Mbarrier, InitialisedWhileThreadsWait) {
    EXPECT_THAT(fault_with(init_twice, 4, true), HasSubstr("initialised already"));
}

void token_of_another() {
    auto* barriers = dynamic_shared<__mbarrier_t>();
    __mbarrier_init(barriers, 1);
    __mbarrier_init(barriers + 1, 1);
    wait_at(barriers + 1, __mbarrier_arrive(barriers));
}
void token_of_phase(unsigned phases_later) {
    auto* barrier = dynamic_shared<__mbarrier_t>();
    __mbarrier_init(barrier, 1);
    const __mbarrier_token_t token = __mbarrier_arrive(barrier);
    for (unsigned i = 0; i < phases_later; ++i) __mbarrier_arrive(barrier);
    wait_at(barrier, token);
}
void token_made_up() {
    auto* barrier = dynamic_shared<__mbarrier_t>();
    __mbarrier_init(barrier, 1);
    wait_at(barrier, __mbarrier_arrive(barrier) + 2);
}
/// Thread 0 ends two phases while thread 1, which waits for the first of them, has had no chance to see it.
void ended_twice() {
    auto* barrier = dynamic_shared<__mbarrier_t>();
    init_by_first(barrier, 2);
    const __mbarrier_token_t token = __mbarrier_arrive(barrier);
    if (threadIdx.x == 1) {
        __mbarrier_arrive(barrier);
        __mbarrier_arrive(barrier);
    } else {
        wait_at(barrier, token);
    }
}

TEST(MbarrierFaults, OfTokens) {
    EXPECT_THAT(fault_with(token_of_another, 1), HasSubstr("a token of another barrier"));
    EXPECT_EQ(fault_with(token_of_phase, 1, 0U), "no fault");
    EXPECT_THAT(fault_with(token_of_phase, 1, 1U), HasSubstr("a token of phase 0, but phase 1 has ended, too"));
    EXPECT_THAT(fault_with(token_made_up, 1), HasSubstr("that no arrival gave"));
    EXPECT_THAT(fault_with(ended_twice, 2), HasSubstr("thread (0,0,0): wait_at, "));
}

void too_few_arrive(unsigned count) {
    auto* barrier = dynamic_shared<__mbarrier_t>();
    init_by_first(barrier, count);
    if (threadIdx.x == 0) return;
    wait_at(barrier, __mbarrier_arrive(barrier));
}

TEST_P(Mbarrier, ThreadsThatWaitForEverAreNamed) {
    EXPECT_THAT(fault_with(too_few_arrive, 3, 3U),
                AllOf(HasSubstr("no thread can go on"), HasSubstr("mbarrier_test.cpp:"),
                      HasSubstr("thread (1,0,0) waits at wait_at with 2 of 3 arrivals, "),
                      HasSubstr("thread (2,0,0) waits at wait_at"), testing::Not(HasSubstr("thread (0,0,0)"))));
    EXPECT_EQ(fault_with(too_few_arrive, 3, 2U), "no fault");
}

// ---- what they order

class MbarrierWatch : public EveryOrder {
protected:
    void SetUp() override {
        if (!cuda_on_host::watch::enabled()) GTEST_SKIP() << "this program's accesses are not watched";
        EveryOrder::SetUp();
    }
};
INSTANTIATE_TEST_SUITE_P(Orders, MbarrierWatch, testing::ValuesIn(cuda_on_host::every_order));

enum class Way { right, no_wait, arrive_first, no_warp_sync_before, no_warp_sync_after, reader_without };

/// Warp 0 writes, one lane arrives; a lane of warp 1 waits, and warp 1 reads each lane's word.
void between_warps(int* out, Way way) {
    auto& barrier = block_shared<__mbarrier_t>();
    auto* slots = dynamic_shared<int>();
    init_by_first(&barrier, 2);
    const unsigned lane = threadIdx.x % 32;
    if (threadIdx.x < 32) {
        if (way == Way::arrive_first && lane == 0) __mbarrier_arrive(&barrier);
        slots[lane] = static_cast<int>(lane);
        if (way != Way::no_warp_sync_before) __syncwarp();
        if (way != Way::arrive_first && lane == 0) __mbarrier_arrive(&barrier);
    } else if (threadIdx.x < 64) {
        if (lane == 5) {
            const __mbarrier_token_t token = __mbarrier_arrive(&barrier);
            if (way != Way::no_wait) wait_at(&barrier, token);
        }
        if (way != Way::no_warp_sync_after) __syncwarp();
        out[lane] = slots[31 - lane];
    } else if (way == Way::reader_without) {
        out[64 + lane] = slots[lane];
    }
}

TEST_P(MbarrierWatch, OrdersWarpsThatArriveAndWait) {
    const DeviceArray<int> out(128);
    EXPECT_EQ(fault_with(between_warps, 96, out.data(), Way::right), "no fault");
    for (const Way way :
         {Way::no_wait, Way::arrive_first, Way::no_warp_sync_before, Way::no_warp_sync_after, Way::reader_without}) {
        EXPECT_THAT(fault_with(between_warps, 96, out.data(), way),
                    AllOf(HasSubstr("race on"), HasSubstr("mbarrier_test.cpp:")))
            << static_cast<int>(way);
    }
}

/// Thread 0 writes, and tells thread 32 through one barrier, which tells thread 64 through another.
void through_a_chain(int* out, bool second) {
    auto* barriers = dynamic_shared<__mbarrier_t>();
    auto& word = block_shared<int>();
    if (threadIdx.x == 0) {
        __mbarrier_init(barriers, 2);
        __mbarrier_init(barriers + 1, 2);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        word = 3;
        __mbarrier_arrive(barriers);
    } else if (threadIdx.x == 32) {
        wait_at(barriers, __mbarrier_arrive(barriers));
        __mbarrier_arrive(barriers + 1);
    } else if (threadIdx.x == 64) {
        const __mbarrier_token_t token = __mbarrier_arrive(barriers + 1);
        if (second) wait_at(barriers + 1, token);
        out[0] = word;
    }
}
/// Thread 1 has waited for a phase that ended before thread 0 wrote, and not for the next.
void of_an_earlier_phase(int* out) {
    auto* barrier = dynamic_shared<__mbarrier_t>();
    auto& word = block_shared<int>();
    init_by_first(barrier, 2);
    wait_at(barrier, __mbarrier_arrive(barrier));
    if (threadIdx.x == 0) word = 3;
    __mbarrier_arrive(barrier);
    if (threadIdx.x == 1) out[0] = word;
}
void init_unseen() {
    auto* barrier = dynamic_shared<__mbarrier_t>();
    if (threadIdx.x == 0) __mbarrier_init(barrier, 2);
    __shfl_sync(3U, 0, 0);  // meets, but orders no memory
    __mbarrier_arrive(barrier);
}

TEST_P(MbarrierWatch, OrdersThroughChainsButNotAcrossPhases) {
    const DeviceArray<int> out(1);
    EXPECT_EQ(fault_with(through_a_chain, 96, out.data(), true), "no fault");
    EXPECT_EQ(out.read()[0], 3);
    EXPECT_THAT(fault_with(through_a_chain, 96, out.data(), false), HasSubstr("race on"));
    EXPECT_THAT(fault_with(of_an_earlier_phase, 2, out.data()), HasSubstr("race on"));
}

TEST_P(MbarrierWatch, InitialisationMustBeSeen) { EXPECT_THAT(fault_with(init_unseen, 2), HasSubstr("race on")); }

TEST_P(MbarrierWatch, ARingThatSkipsAWaitIsFound) {
    bool right = false;
    EXPECT_THAT(ring_fault(7, Skip::wait_for_full, right), HasSubstr("race on"));
    EXPECT_THAT(ring_fault(7, Skip::wait_for_copies, right), HasSubstr("race on"));
    // the producer's arrivals then end phases for which consumers have yet to arrive or to wait
    EXPECT_THAT(ring_fault(7, Skip::wait_for_empty, right), HasSubstr("wait_at"));
}

}  // namespace
