// The watch runtime's own tests: races and their places, preemption, traffic.
#include <gmock/gmock.h>

#include <vector>

#include "cuda_on_host.hpp"
#include "device_array.hpp"
#include "every_order.hpp"

namespace {

using cuda_on_host::DeviceArray;
using cuda_on_host::every_order;
using cuda_on_host::EveryOrder;
using cuda_on_host::fault_of;
using cuda_on_host::launch;
using testing::AllOf;
using testing::HasSubstr;

constexpr unsigned all = 0xffffffffU;

unsigned thread_index() { return threadIdx.x; }

void pass_through_shared(unsigned* out) {
    auto* buffer = dynamic_shared<unsigned>();
    buffer[thread_index()] = blockIdx.x * 1000 + thread_index();
    __syncthreads();
    out[blockIdx.x * blockDim.x + thread_index()] = buffer[blockDim.x - 1 - thread_index()];
}
void blocks_write_one_word(int* word) { *word = static_cast<int>(blockIdx.x); }
void reversed_without_barrier(int* values) {
    values[thread_index()] = 1;
    values[blockDim.x - 1 - thread_index()] += 1;
}
void reversed_with_barrier(int* values) {
    values[thread_index()] = 1;
    __syncthreads();
    values[blockDim.x - 1 - thread_index()] += 1;
}
void neighbour_through_warp(int* values, bool sync) {
    values[thread_index()] = 1;
    if (sync) {
        __syncwarp();
    } else {
        __shfl_sync(all, 0, 0);  // meets, but orders no memory
    }
    values[thread_index() ^ 1U] += 1;
}
void mixed_atomics(int* word, bool plain) {
    if (plain && thread_index() == 0) *word = 1;
    atomicAdd(word, 1);
}
void neighbouring_bytes(unsigned char* bytes) { bytes[thread_index()] = 1; }

class Watch : public EveryOrder {
protected:
    void SetUp() override {
        if (!cuda_on_host::watch::enabled()) GTEST_SKIP() << "this program's accesses are not watched";
        EveryOrder::SetUp();
    }
};
INSTANTIATE_TEST_SUITE_P(Orders, Watch, testing::ValuesIn(every_order));

TEST_P(Watch, RacesAreReportedWithTheirPlaces) {
    const DeviceArray<int> values(64);
    EXPECT_THAT(fault_of([&] { launch(blocks_write_one_word, dim3(2), dim3(1), 0, values.data()); }),
                AllOf(HasSubstr("race on 0x"), HasSubstr("block 0 thread 0 writes at"),
                      HasSubstr("block 1 thread 0 writes at"), HasSubstr("watch_test.cpp:")));
    EXPECT_THAT(fault_of([&] { launch(reversed_without_barrier, dim3(1), dim3(64), 0, values.data()); }),
                HasSubstr("race on"));
    EXPECT_THAT(fault_of([&] { launch(neighbour_through_warp, dim3(1), dim3(32), 0, values.data(), false); }),
                HasSubstr("race on"));
    EXPECT_THAT(fault_of([&] { launch(mixed_atomics, dim3(1), dim3(32), 0, values.data(), true); }),
                HasSubstr("race on"));
}

TEST_P(Watch, OrderedAccessesAreNoRace) {
    const DeviceArray<int> values(std::vector<int>(64, 0));
    const DeviceArray<unsigned char> bytes(64);
    EXPECT_EQ(fault_of([&] {
                  launch(reversed_with_barrier, dim3(1), dim3(64), 0, values.data());
                  launch(blocks_write_one_word, dim3(1), dim3(1), 0, values.data());
                  launch(blocks_write_one_word, dim3(1), dim3(1), 0, values.data());
                  launch(neighbour_through_warp, dim3(1), dim3(64), 0, values.data(), true);
                  launch(mixed_atomics, dim3(2), dim3(32), 0, values.data(), false);
                  launch(neighbouring_bytes, dim3(1), dim3(64), 0, bytes.data());
                  launch(pass_through_shared, dim3(4), dim3(16), 64, reinterpret_cast<unsigned*>(values.data()));
              }),
              "no fault");
}

void count_up(int* word, int times) {
    for (int i = 0; i < times; ++i) *word = *word + 1;
}
TEST_P(Watch, PreemptionLosesUpdates) {
    cuda_on_host::watch::preempt(3, 1);
    const DeviceArray<int> word(std::vector{0});
    EXPECT_THAT(fault_of([&] { launch(count_up, dim3(1), dim3(32), 0, word.data(), 20); }), HasSubstr("race on"));
    EXPECT_LT(word.read()[0], 640);
}

void copy_vectors(const float* x, float* y, unsigned stride) {
    store4(y + thread_index() * 4, load4(x + thread_index() * stride * 4));
}
TEST_P(Watch, SectorsPerRequest) {
    const DeviceArray<float> x(64 * 4 * 2);
    const DeviceArray<float> y(64 * 4);
    cuda_on_host::watch::count_traffic(true);
    launch(copy_vectors, dim3(1), dim3(64), 0, x.data(), y.data(), 1U);
    EXPECT_EQ(cuda_on_host::watch::traffic(16, false).requests, 2U);
    EXPECT_EQ(cuda_on_host::watch::traffic(16, false).sectors_per_request(), 16);
    EXPECT_EQ(cuda_on_host::watch::traffic(16, true).sectors_per_request(), 16);
    cuda_on_host::watch::count_traffic(true);
    launch(copy_vectors, dim3(1), dim3(64), 0, x.data(), y.data(), 2U);
    EXPECT_EQ(cuda_on_host::watch::traffic(16, false).sectors_per_request(), 32);
    EXPECT_EQ(cuda_on_host::watch::traffic(16, true).sectors_per_request(), 16);
}

}  // namespace
