// Stands in for Thrust's CUDA policies: the algorithms run on the host, after what the stream has queued, with the
// device's memory in reach. On a device that has broken they throw what Thrust throws.
#pragma once

#include "cuda_calls.hpp"
#include "protected_memory.hpp"
#include <thrust/system/cpp/execution_policy.h>
#include <thrust/system_error.h>

#include <type_traits>

namespace cuda_on_host {
/// Runs what the stream has queued.
void flush(cudaStream_t stream);
void count_algorithm();
bool device_is_broken();
}  // namespace cuda_on_host

THRUST_NAMESPACE_BEGIN
namespace cuda {

template <class Policy>
struct PolicyWithAccess : Policy {
    explicit PolicyWithAccess(const Policy& policy) : Policy(policy) {}
    ::cuda_on_host::DeviceAccess access;
};

template <class Allocator>
struct HostPolicyFor {
    Allocator& allocator;
    auto on(cudaStream_t stream) const {
        ::cuda_on_host::count_algorithm();
        ::cuda_on_host::flush(stream);
        if (::cuda_on_host::device_is_broken()) {
            throw THRUST_NS_QUALIFIER::system_error(
                THRUST_NS_QUALIFIER::error_code(cudaErrorLaunchFailure, THRUST_NS_QUALIFIER::generic_category()),
                "copy_if failed on 2nd step");
        }
        const auto policy = THRUST_NS_QUALIFIER::cpp::par(allocator);
        return PolicyWithAccess<std::remove_const_t<decltype(policy)>>(policy);
    }
};
struct HostPolicies {
    template <class Allocator>
    HostPolicyFor<Allocator> operator()(Allocator& allocator) const {
        return {allocator};
    }
};
inline constexpr HostPolicies par_nosync{};

}  // namespace cuda
THRUST_NAMESPACE_END
