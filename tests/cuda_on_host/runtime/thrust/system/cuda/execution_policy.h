// Stands in for Thrust's CUDA policies: the algorithms run on the host, after what the stream has queued.
#pragma once

#include "cuda_calls.hpp"
#include <thrust/system/cpp/execution_policy.h>

namespace cuda_on_host {
/// Runs what the stream has queued.
void flush(cudaStream_t stream);
}  // namespace cuda_on_host

THRUST_NAMESPACE_BEGIN
namespace cuda {

template <class Allocator>
struct HostPolicyFor {
    Allocator& allocator;
    auto on(cudaStream_t stream) const {
        cuda_on_host::flush(stream);
        return THRUST_NS_QUALIFIER::cpp::par(allocator);
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
