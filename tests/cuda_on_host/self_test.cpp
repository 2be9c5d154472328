// The engine's own tests: every fault has a kernel that provokes it, and what is right is left alone.
#include <gmock/gmock.h>

#include <numeric>
#include <vector>

#include "cuda_on_host.hpp"
#include "device_array.hpp"
#include "every_order.hpp"
#include "fiber.hpp"

namespace {

using cuda_on_host::allow_shared;
using cuda_on_host::DeviceArray;
using cuda_on_host::every_order;
using cuda_on_host::EveryOrder;
using cuda_on_host::fault_of;
using cuda_on_host::launch;
using cuda_on_host::Order;
using testing::AllOf;
using testing::HasSubstr;

constexpr unsigned all = 0xffffffffU;

unsigned thread_index() { return threadIdx.x; }
unsigned lane_index() { return threadIdx.x % 32; }

using Engine = EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, Engine, testing::ValuesIn(every_order));

// ---- threads and blocks

struct Coordinates {
    unsigned block[3];
    unsigned thread[3];
};
void write_coordinates(Coordinates* out) {
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] = {{blockIdx.x, blockIdx.y, blockIdx.z},
                                                                  {threadIdx.x, threadIdx.y, threadIdx.z}};
}

TEST_P(Engine, EveryThreadOfEveryBlockRunsOnce) {
    const dim3 grid(3, 2, 2);
    const dim3 block(5, 3, 2);
    const DeviceArray<Coordinates> out(12 * 30);
    launch(write_coordinates, grid, block, 0, out.data());
    const auto found = out.read();
    for (unsigned i = 0; i < found.size(); ++i) {
        const unsigned b = i / 30;
        const unsigned t = i % 30;
        EXPECT_THAT(found[i].block, testing::ElementsAre(b % 3, b / 3 % 2, b / 6));
        EXPECT_THAT(found[i].thread, testing::ElementsAre(t % 5, t / 5 % 3, t / 15));
    }
}

void note_order(unsigned* next, unsigned* out) { out[atomicAdd(next, 1U)] = blockIdx.x * blockDim.x + threadIdx.x; }

std::vector<unsigned> order_of_threads() {
    const DeviceArray<unsigned> next(std::vector<unsigned>{0});
    const DeviceArray<unsigned> out(40);
    launch(note_order, dim3(2), dim3(20), 0, next.data(), out.data());
    return out.read();
}

TEST(Policies, OrderThreadsAndBlocks) {
    std::vector<unsigned> ascending(40);
    std::iota(ascending.begin(), ascending.end(), 0U);
    EXPECT_EQ(order_of_threads(), ascending);
    cuda_on_host::set_policy({Order::reverse, 0});
    EXPECT_EQ(order_of_threads(), std::vector<unsigned>(ascending.rbegin(), ascending.rend()));
    cuda_on_host::set_policy({Order::shuffled, 7});
    const auto shuffled = order_of_threads();
    EXPECT_EQ(order_of_threads(), shuffled) << "one seed, one order";
    EXPECT_THAT(shuffled, testing::UnorderedElementsAreArray(ascending));
    cuda_on_host::set_policy({Order::shuffled, 8});
    EXPECT_NE(order_of_threads(), shuffled);
    cuda_on_host::set_policy({});
}

void throw_from_thread() {
    if (thread_index() == 3) throw std::out_of_range("thrown by thread 3");
    __syncthreads();
}
TEST_P(Engine, WhatAThreadThrowsReachesTheHostAndTheNextLaunchIsSound) {
    EXPECT_THROW(launch(throw_from_thread, dim3(1), dim3(64), 0), std::out_of_range);
    EXPECT_EQ(order_of_threads().size(), 40U);
}

// ---- barriers

void divergent_barrier() {
    if (thread_index() < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}
TEST_P(Engine, BarriersAtTwoPlaces) {
    EXPECT_THAT(fault_of([] { launch(divergent_barrier, dim3(1), dim3(64), 0); }),
                AllOf(HasSubstr("while other threads of its block wait at"), HasSubstr("self_test.cpp"),
                      HasSubstr("block (0,0,0) thread (")));
}

void some_return_before_barrier() {
    if (thread_index() == 9) return;
    __syncthreads();
}
TEST_P(Engine, BarrierThatOneThreadNeverReaches) {
    EXPECT_THAT(fault_of([] { launch(some_return_before_barrier, dim3(1), dim3(40), 0); }),
                testing::AnyOf(HasSubstr("after a thread of its block has returned"),
                               HasSubstr("returns while other threads wait")));
}

void warp_waits_for_barrier() {
    if (thread_index() == 0) {
        __syncthreads();
    } else {
        __syncwarp();
    }
}
TEST_P(Engine, DeadlockListsWhoWaitsWhere) {
    EXPECT_THAT(fault_of([] { launch(warp_waits_for_barrier, dim3(1), dim3(32), 0); }),
                AllOf(HasSubstr("no thread can go on"), HasSubstr("thread (0,0,0) waits at __syncthreads"),
                      HasSubstr("thread (31,0,0) waits at __syncwarp with mask 0xffffffff")));
}

TEST(Outside, CollectivesNeedAKernel) {
    EXPECT_EQ(fault_of([] { __syncthreads(); }), "__syncthreads outside a kernel");
    EXPECT_EQ(fault_of([] { __syncwarp(); }), "__syncwarp outside a kernel");
    EXPECT_EQ(fault_of([] { block_shared<int>(); }), "block_shared outside a kernel");
}

void nested() { launch(write_coordinates, dim3(1), dim3(1), 0, nullptr); }
TEST_P(Engine, KernelInAKernel) {
    EXPECT_THAT(fault_of([] { launch(nested, dim3(1), dim3(1), 0); }), HasSubstr("a kernel launches a kernel"));
}

// ---- warp collectives

struct Collected {
    int shfl, up, down, exclusive_or, any, all, sum, least, most;
    unsigned ballot, match;
    double wide;
};
void collect(Collected* out) {
    const int lane = static_cast<int>(lane_index());
    out[thread_index()] = {__shfl_sync(all, lane * 10, 3),      __shfl_up_sync(all, lane, 2U),
                           __shfl_down_sync(all, lane, 4U, 8),  __shfl_xor_sync(all, lane, 5),
                           __any_sync(all, lane == 30 ? 1 : 0), __all_sync(all, lane < 32 ? 1 : 0),
                           __reduce_add_sync(all, lane),        __reduce_min_sync(all, 50 - lane),
                           __reduce_max_sync(all, 50 - lane),   __ballot_sync(all, lane % 4 == 0 ? 1 : 0),
                           __match_any_sync(all, lane / 8),     __shfl_sync(all, 1.0 / (lane + 1), 2)};
}
TEST_P(Engine, WarpCollectives) {
    const DeviceArray<Collected> out(96);
    launch(collect, dim3(1), dim3(96), 0, out.data());
    const auto found = out.read();
    for (int t = 0; t < 96; ++t) {
        const int lane = t % 32;
        const Collected& each = found[static_cast<std::size_t>(t)];
        EXPECT_EQ(each.shfl, 30);
        EXPECT_EQ(each.up, lane < 2 ? lane : lane - 2);
        EXPECT_EQ(each.down, lane % 8 < 4 ? lane + 4 : lane);
        EXPECT_EQ(each.exclusive_or, lane ^ 5);
        EXPECT_EQ(each.any, 1);
        EXPECT_EQ(each.all, 1);
        EXPECT_EQ(each.sum, 496);
        EXPECT_EQ(each.least, 19);
        EXPECT_EQ(each.most, 50);
        EXPECT_EQ(each.ballot, 0x11111111U);
        EXPECT_EQ(each.match, 0xffU << lane / 8 * 8);
        EXPECT_EQ(each.wide, 1.0 / 3);
    }
}

void half_warps(unsigned* out) {
    const unsigned mask = lane_index() < 16 ? 0xffffU : 0xffff0000U;
    out[thread_index()] = __ballot_sync(mask, 1);
}
TEST_P(Engine, PartsOfAWarpMeetApart) {
    const DeviceArray<unsigned> out(32);
    launch(half_warps, dim3(1), dim3(32), 0, out.data());
    EXPECT_EQ(out.read()[0], 0xffffU);
    EXPECT_EQ(out.read()[31], 0xffff0000U);
}

enum class Misuse { omits_caller, missing_lane, returned_lane, other_mask, other_operation, outside_mask, odd_width };
void misuse(Misuse how) {
    const unsigned lane = lane_index();
    switch (how) {
        case Misuse::omits_caller:
            __ballot_sync(0xfffffffeU, 1);
            break;
        case Misuse::missing_lane:
            __syncwarp();
            break;
        case Misuse::returned_lane:
            if (lane != 5) __syncwarp();
            break;
        case Misuse::other_mask:
            __ballot_sync(lane < 16 ? 0x1ffffU : all, 1);
            break;
        case Misuse::other_operation:
            if (lane < 16) {
                __any_sync(all, 1);
            } else {
                __all_sync(all, 1);
            }
            break;
        case Misuse::outside_mask:
            if (lane < 16) __shfl_sync(0xffffU, 1, 20);
            break;
        case Misuse::odd_width:
            __shfl_sync(all, 1, 0, 12);
            break;
    }
}
std::string misused(Misuse how, unsigned threads = 32) {
    return fault_of([&] { launch(misuse, dim3(1), dim3(threads), 0, how); });
}
TEST_P(Engine, MisusedCollectives) {
    EXPECT_THAT(misused(Misuse::omits_caller), HasSubstr("mask 0xfffffffe omits the calling lane"));
    EXPECT_THAT(misused(Misuse::missing_lane, 20), HasSubstr("names lane 20, which the block does not have"));
    EXPECT_THAT(misused(Misuse::returned_lane),
                testing::AnyOf(HasSubstr("names lane 5, which has returned"), HasSubstr("no thread can go on")));
    EXPECT_THAT(misused(Misuse::other_mask), HasSubstr("which waits at __ballot_sync with mask"));
    EXPECT_THAT(misused(Misuse::other_operation), HasSubstr("which waits at __a"));
    EXPECT_THAT(misused(Misuse::outside_mask), HasSubstr("reads lane 20, which is outside the mask"));
    EXPECT_THAT(misused(Misuse::odd_width), HasSubstr("width 12 is not a power of two"));
}

// ---- memory

struct Shared {
    float value[64];
};
void read_unwritten_shared(float* out) { out[thread_index()] = block_shared<Shared>().value[thread_index()]; }
TEST_P(Engine, SharedMemoryIsPoisonedForEveryBlock) {
    const DeviceArray<float> out(64);
    launch(read_unwritten_shared, dim3(1), dim3(64), 0, out.data());
    for (const float each : out.read()) EXPECT_TRUE(std::isnan(each));
}

void pass_through_shared(unsigned* out) {
    auto* buffer = dynamic_shared<unsigned>();
    buffer[thread_index()] = blockIdx.x * 1000 + thread_index();
    __syncthreads();
    out[blockIdx.x * blockDim.x + thread_index()] = buffer[blockDim.x - 1 - thread_index()];
}
TEST_P(Engine, DynamicSharedMemory) {
    const DeviceArray<unsigned> out(3 * 50);
    launch(pass_through_shared, dim3(3), dim3(50), 50 * sizeof(unsigned), out.data());
    const auto found = out.read();
    for (unsigned i = 0; i < 150; ++i) EXPECT_EQ(found[i], i / 50 * 1000 + 49 - i % 50);
}

void write_one_past(char* bytes, int size) { bytes[size] = 1; }
void write_one_past_shared(int size) { dynamic_shared<char>()[size] = 1; }
TEST_P(Engine, WritesPastTheEnd) {
    if (cuda_on_host::has_address_sanitizer()) GTEST_SKIP() << "address sanitizer ends the program";
    const DeviceArray<char> bytes(17);
    launch(write_one_past, dim3(1), dim3(1), 0, bytes.data(), 17);
    EXPECT_THAT(fault_of([&] { (void)bytes.read(); }), HasSubstr("something was written past its 17 bytes"));
    EXPECT_THAT(fault_of([] { launch(write_one_past_shared, dim3(2), dim3(1), 5, 5); }),
                HasSubstr("something was written past its 5 bytes"));
}

void load_misaligned(const float* x, float* y) { *y = load4(x + 1).x; }
void store_misaligned(float* y) { store4(y + 2, make_float4(1, 2, 3, 4)); }
void fetch_misaligned(const char* x, int* y) { *y = __ldg(reinterpret_cast<const int*>(x + 2)); }
void add_misaligned(char* x) { atomicAdd(reinterpret_cast<int*>(x + 1), 1); }
TEST_P(Engine, MisalignedAccesses) {
    const DeviceArray<float> x(8);
    const DeviceArray<int> word(1);
    auto* bytes = reinterpret_cast<char*>(x.data());
    EXPECT_THAT(fault_of([&] { launch(load_misaligned, dim3(1), dim3(1), 0, x.data(), x.data()); }),
                HasSubstr("load4 of an address that is not a multiple of 16 bytes"));
    EXPECT_THAT(fault_of([&] { launch(store_misaligned, dim3(1), dim3(1), 0, x.data()); }), HasSubstr("store4"));
    EXPECT_THAT(fault_of([&] { launch(fetch_misaligned, dim3(1), dim3(1), 0, bytes, word.data()); }),
                HasSubstr("__ldg"));
    EXPECT_THAT(fault_of([&] { launch(add_misaligned, dim3(1), dim3(1), 0, bytes); }), HasSubstr("atomic operation"));
}

struct TooMuch {
    float value[12289];
};
void use_too_much_static() { block_shared<TooMuch>().value[0] = 0; }
void use_both() {
    dynamic_shared<char>();
    block_shared<Shared>().value[thread_index()] = 0;
}
TEST_P(Engine, SharedMemoryLimits) {
    EXPECT_THAT(fault_of([] { launch(use_too_much_static, dim3(1), dim3(1), 0); }),
                HasSubstr("static shared memory of 49156 bytes; the limit is 49152"));
    EXPECT_THAT(fault_of([] { launch(use_both, dim3(1), dim3(1), 49000); }),
                HasSubstr("shared memory of 49256 bytes; the kernel's limit is 49152"));
    EXPECT_THAT(fault_of([] { launch(use_both, dim3(1), dim3(1), 60000); }),
                HasSubstr("dynamic shared memory of 60000 bytes"));
    allow_shared(use_both, 65536);
    EXPECT_EQ(fault_of([] { launch(use_both, dim3(1), dim3(1), 60000); }), "no fault");
    allow_shared(use_both, 233472);
    EXPECT_THAT(fault_of([] { launch(use_both, dim3(1), dim3(1), 0); }), HasSubstr("the most is 232448"));
    allow_shared(use_both, cuda_on_host::default_shared_limit);
}

void nothing() {}
TEST(Launch, Limits) {
    const auto launched = [](dim3 grid, dim3 block) { return fault_of([&] { launch(nothing, grid, block, 0); }); };
    EXPECT_EQ(launched(dim3(1), dim3(1024)), "no fault");
    EXPECT_THAT(launched(dim3(1), dim3(1025)), HasSubstr("1025 threads a block; the limit is 1024"));
    EXPECT_THAT(launched(dim3(1), dim3(0)), HasSubstr("is empty"));
    EXPECT_THAT(launched(dim3(0), dim3(1)), HasSubstr("is empty"));
    EXPECT_THAT(launched(dim3(1), dim3(1, 1, 65)), HasSubstr("block depth 65; the limit is 64"));
    EXPECT_THAT(launched(dim3(0x80000000U), dim3(1)), HasSubstr("grid width 2147483648"));
    EXPECT_THAT(launched(dim3(1, 65536), dim3(1)), HasSubstr("grid height 65536"));
    EXPECT_THAT(launched(dim3(1, 1, 65536), dim3(1)), HasSubstr("grid depth 65536"));
}

void atomics(int* sum, unsigned* least, unsigned* most, unsigned* bits, unsigned* kept, unsigned* swapped, int* first) {
    const unsigned i = thread_index();
    atomicAdd(sum, static_cast<int>(i));
    atomicMin(least, i + 3);
    atomicMax(most, i);
    atomicOr(bits, 1U << i % 32);
    atomicAnd(kept, ~(1U << i % 8));
    atomicExch(swapped, 5U);
    atomicCAS(first, 7, 8);
}
TEST_P(Engine, Atomics) {
    const DeviceArray<int> sum(std::vector{0});
    const DeviceArray<int> first(std::vector{7});
    const DeviceArray<unsigned> words(std::vector{99U, 0U, 0U, ~0U, 0U});
    unsigned* w = words.data();
    launch(atomics, dim3(1), dim3(100), 0, sum.data(), w, w + 1, w + 2, w + 3, w + 4, first.data());
    EXPECT_EQ(sum.read()[0], 4950);
    EXPECT_EQ(first.read()[0], 8);
    EXPECT_THAT(words.read(), testing::ElementsAre(3U, 99U, ~0U, ~0xffU, 5U));
}

}  // namespace
