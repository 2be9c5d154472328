// Copies that arrive later (cp.async): the engine's own tests.
#include <gmock/gmock.h>

#include <cmath>
#include <vector>

#include "cuda_on_host.hpp"
#include "device_array.hpp"
#include "every_order.hpp"

namespace {

using cuda_on_host::DeviceArray;
using cuda_on_host::EveryOrder;
using cuda_on_host::fault_of;
using cuda_on_host::launch;
using testing::HasSubstr;

using Copies = EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, Copies, testing::ValuesIn(cuda_on_host::every_order));

/// Copies eight floats a thread, in two groups of four, waiting for all but the last `groups`.
void copy_groups(const float* from, float* to, std::size_t groups) {
    auto* shared = dynamic_shared<float>();
    const unsigned own = threadIdx.x * 8;
    from += blockIdx.x * blockDim.x * 8;
    to += blockIdx.x * blockDim.x * 8;
    __pipeline_memcpy_async(shared + own, from + own, 16);
    __pipeline_commit();
    __pipeline_memcpy_async(shared + own + 4, from + own + 4, 16);
    __pipeline_commit();
    __pipeline_wait_prior(groups);
    store4(to + own, load4(shared + own));
    store4(to + own + 4, load4(shared + own + 4));
    __pipeline_wait_prior(0);
}

TEST_P(Copies, ArriveInGroups) {
    constexpr unsigned threads = 40;
    std::vector<float> values(2 * threads * 8);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    const DeviceArray<float> from(values);
    const DeviceArray<float> to(values.size());
    for (const std::size_t groups : {0U, 1U, 2U}) {
        launch(copy_groups, dim3(2), dim3(threads), threads * 32, from.data(), to.data(), groups);
        const auto found = to.read();
        for (std::size_t i = 0; i < found.size(); ++i) {
            const bool arrived = groups == 0 || (groups == 1 && i % 8 < 4);
            if (arrived) {
                ASSERT_EQ(found[i], values[i]) << groups << " groups left, " << i;
            } else {
                ASSERT_TRUE(std::isnan(found[i])) << groups << " groups left, " << i;
            }
        }
    }
}

void copy_without_commit(const float* from) {
    __pipeline_memcpy_async(dynamic_shared<float>(), from, 16);
    __pipeline_wait_prior(0);
}
void copy_misaligned(const float* from) { __pipeline_memcpy_async(dynamic_shared<float>() + 1, from, 16); }
void copy_from_misaligned(const float* from) { __pipeline_memcpy_async(dynamic_shared<float>(), from + 1, 16); }
void copy_four_bytes(const float* from) { __pipeline_memcpy_async(dynamic_shared<float>(), from, 4); }
void copy_to_global(float* to) { __pipeline_memcpy_async(to, to + 4, 16); }

TEST(CopyFaults, NameWhatIsWrong) {
    const DeviceArray<float> memory(std::vector<float>(8));
    const float* from = memory.data();
    EXPECT_THAT(fault_of([&] { launch(copy_without_commit, dim3(1), dim3(1), 32, from); }),
                HasSubstr("without having waited for a copy"));
    EXPECT_THAT(fault_of([&] { launch(copy_misaligned, dim3(1), dim3(1), 32, from); }),
                HasSubstr("not a multiple of 16 bytes"));
    EXPECT_THAT(fault_of([&] { launch(copy_from_misaligned, dim3(1), dim3(1), 32, from); }),
                HasSubstr("not a multiple of 16 bytes"));
    EXPECT_THAT(fault_of([&] { launch(copy_four_bytes, dim3(1), dim3(1), 32, from); }), HasSubstr("of 4 bytes"));
    EXPECT_THAT(fault_of([&] { launch(copy_to_global, dim3(1), dim3(1), 32, memory.data()); }),
                HasSubstr("outside shared memory"));
}

}  // namespace
