// CUDA's vocabulary for kernels compiled by a C++ compiler and run by the engine of block.hpp. What no kernel may use
// is missing (__shared__: ask block_shared) or deleted (__activemask).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>

#include "block.hpp"
#include "vector_types.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace cuda_on_host {

inline constexpr std::uint32_t full_mask = 0xffffffffU;

template <class T>
std::uint64_t to_word(T value) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
    std::uint64_t word = 0;
    std::memcpy(&word, &value, sizeof value);
    return word;
}
template <class T>
T from_word(std::uint64_t word) {
    T value;
    std::memcpy(&value, &word, sizeof value);
    return value;
}

/// Every shuffle: the value of lane `source`, which must be in the mask.
template <class T, class Source>
T shuffle(const char* what, std::uint32_t mask, T value, int width, Site site, const Source& source) {
    if (width < 1 || width > 32 || !std::has_single_bit(static_cast<unsigned>(width))) {
        fail(std::string(what) + ": width " + std::to_string(width) + " is not a power of two up to 32");
    }
    const std::uint64_t* words = exchange(what, mask, to_word(value), false, site);
    const int own = static_cast<int>(lane());
    const int begin = own / width * width;
    const int from = source(own, begin, begin + width);
    if ((mask >> from & 1U) == 0) {
        fail(std::string(what) + ": reads lane " + std::to_string(from) + ", which is outside the mask");
    }
    return from_word<T>(words[from]);
}

/// Folds the values of the lanes in the mask, in lane order.
template <class T, class Operation>
T fold(const char* what, std::uint32_t mask, T value, Site site, const Operation& operation) {
    const std::uint64_t* words = exchange(what, mask, to_word(value), false, site);
    T result{};
    bool first = true;
    for (unsigned l = 0; l < 32; ++l) {
        if ((mask >> l & 1U) == 0) continue;
        const T each = from_word<T>(words[l]);
        result = first ? each : operation(result, each);
        first = false;
    }
    return result;
}

template <class T>
void require_aligned(const T* address, std::size_t alignment, const char* what) {
    if (reinterpret_cast<std::uintptr_t>(address) % alignment != 0) {
        fail(std::string(what) + " of an address that is not a multiple of " + std::to_string(alignment) + " bytes");
    }
}

/// Compare-exchange loop: *address becomes operation(*address); returns what it was.
template <class T, class Operation>
T atomic_update(T* address, const Operation& operation) {
    require_aligned(address, sizeof(T), "atomic operation");
    T before;
    __atomic_load(address, &before, __ATOMIC_RELAXED);
    for (;;) {
        T after = operation(before);
        if (__atomic_compare_exchange(address, &before, &after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            return before;
        }
    }
}

/// 16 bytes, or 8, as one access, so that the watch runtime sees one request.
using Vector16 [[gnu::vector_size(16)]] = float;
using Vector8 [[gnu::vector_size(8)]] = float;

inline std::map<const void*, std::size_t>& shared_limits() {
    static std::map<const void*, std::size_t> limits;
    return limits;
}

}  // namespace cuda_on_host

// Where a collective is called: CUDA has no such parameters, kernels give no such arguments.
#define CUDA_ON_HOST_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(CUDA_ON_HOST_SITE) { cuda_on_host::barrier({file, line}); }
inline void __syncwarp(unsigned mask = cuda_on_host::full_mask, CUDA_ON_HOST_SITE) {
    cuda_on_host::exchange("__syncwarp", mask, 0, true, {file, line});
}
unsigned __activemask() = delete;

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, CUDA_ON_HOST_SITE) {
    return cuda_on_host::shuffle("__shfl_sync", mask, value, width, {file, line},
                                 [&](int, int begin, int end) { return begin + (source & (end - begin - 1)); });
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, CUDA_ON_HOST_SITE) {
    return cuda_on_host::shuffle("__shfl_up_sync", mask, value, width, {file, line}, [&](int own, int begin, int) {
        return own - static_cast<int>(delta) >= begin ? own - static_cast<int>(delta) : own;
    });
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, CUDA_ON_HOST_SITE) {
    return cuda_on_host::shuffle("__shfl_down_sync", mask, value, width, {file, line}, [&](int own, int, int end) {
        return own + static_cast<int>(delta) < end ? own + static_cast<int>(delta) : own;
    });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, CUDA_ON_HOST_SITE) {
    return cuda_on_host::shuffle("__shfl_xor_sync", mask, value, width, {file, line}, [&](int own, int, int end) {
        return (own ^ lane_mask) < end ? own ^ lane_mask : own;
    });
}

inline unsigned __ballot_sync(unsigned mask, int predicate, CUDA_ON_HOST_SITE) {
    const std::uint32_t bit = predicate != 0 ? 1U << cuda_on_host::lane() : 0U;
    return cuda_on_host::fold("__ballot_sync", mask, bit, {file, line}, std::bit_or<>());
}
inline int __any_sync(unsigned mask, int predicate, CUDA_ON_HOST_SITE) {
    return cuda_on_host::fold("__any_sync", mask, predicate != 0 ? 1 : 0, {file, line}, std::bit_or<>());
}
inline int __all_sync(unsigned mask, int predicate, CUDA_ON_HOST_SITE) {
    return cuda_on_host::fold("__all_sync", mask, predicate != 0 ? 1 : 0, {file, line}, std::bit_and<>());
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, CUDA_ON_HOST_SITE) {
    const std::uint64_t* words =
        cuda_on_host::exchange("__match_any_sync", mask, cuda_on_host::to_word(value), false, {file, line});
    unsigned same = 0;
    for (unsigned l = 0; l < 32; ++l) {
        if ((mask >> l & 1U) != 0 && words[l] == cuda_on_host::to_word(value)) same |= 1U << l;
    }
    return same;
}
template <class T>
T __reduce_add_sync(unsigned mask, T value, CUDA_ON_HOST_SITE) {
    static_assert(std::is_integral_v<T> && sizeof(T) == 4);
    return cuda_on_host::fold("__reduce_add_sync", mask, value, {file, line}, std::plus<>());
}
template <class T>
T __reduce_min_sync(unsigned mask, T value, CUDA_ON_HOST_SITE) {
    static_assert(std::is_integral_v<T> && sizeof(T) == 4);
    return cuda_on_host::fold("__reduce_min_sync", mask, value, {file, line}, [](T a, T b) { return b < a ? b : a; });
}
template <class T>
T __reduce_max_sync(unsigned mask, T value, CUDA_ON_HOST_SITE) {
    static_assert(std::is_integral_v<T> && sizeof(T) == 4);
    return cuda_on_host::fold("__reduce_max_sync", mask, value, {file, line}, [](T a, T b) { return a < b ? b : a; });
}

using __mbarrier_t = std::uint64_t;
using __mbarrier_token_t = std::uint64_t;

inline void __mbarrier_init(__mbarrier_t* barrier, unsigned count, CUDA_ON_HOST_SITE) {
    cuda_on_host::init_arrivals(barrier, count, {file, line});
}
inline __mbarrier_token_t __mbarrier_arrive(__mbarrier_t* barrier, CUDA_ON_HOST_SITE) {
    return cuda_on_host::arrive(barrier, {file, line});
}
inline void wait_at(__mbarrier_t* barrier, __mbarrier_token_t token, CUDA_ON_HOST_SITE) {
    cuda_on_host::wait_at(barrier, token, {file, line});
}

#undef CUDA_ON_HOST_SITE

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
    return cuda_on_host::atomic_update(address, [&](T before) { return static_cast<T>(before + value); });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
    return cuda_on_host::atomic_update(address, [&](T before) { return value < before ? value : before; });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
    return cuda_on_host::atomic_update(address, [&](T before) { return before < value ? value : before; });
}
template <class T>
T atomicOr(T* address, std::type_identity_t<T> value) {
    return cuda_on_host::atomic_update(address, [&](T before) { return before | value; });
}
template <class T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
    return cuda_on_host::atomic_update(address, [&](T before) { return before & value; });
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
    return cuda_on_host::atomic_update(address, [&](T) { return value; });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
    return cuda_on_host::atomic_update(address, [&](T before) { return before == expected ? value : before; });
}

inline int __popc(unsigned word) { return std::popcount(word); }
inline int __clz(int word) { return std::countl_zero(static_cast<unsigned>(word)); }
inline int __ffs(int word) { return word == 0 ? 0 : std::countr_zero(static_cast<unsigned>(word)) + 1; }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float __uint_as_float(unsigned word) { return std::bit_cast<float>(word); }

template <class T>
T __ldg(const T* address) {
    cuda_on_host::require_aligned(address, alignof(T), "__ldg");
    return *address;
}

inline float4 load4(const float* address) {
    cuda_on_host::require_aligned(address, 16, "load4");
    const auto v = *reinterpret_cast<const cuda_on_host::Vector16*>(address);
    return {v[0], v[1], v[2], v[3]};
}
inline void store4(float* address, float4 v) {
    cuda_on_host::require_aligned(address, 16, "store4");
    *reinterpret_cast<cuda_on_host::Vector16*>(address) = cuda_on_host::Vector16{v.x, v.y, v.z, v.w};
}

inline float2 load2(const float* address) {
    cuda_on_host::require_aligned(address, 8, "load2");
    const auto v = *reinterpret_cast<const cuda_on_host::Vector8*>(address);
    return {v[0], v[1]};
}
inline void store2(float* address, float2 v) {
    cuda_on_host::require_aligned(address, 8, "store2");
    *reinterpret_cast<cuda_on_host::Vector8*>(address) = cuda_on_host::Vector8{v.x, v.y};
}

/// A copy from global into shared memory that arrives when it is waited for; until then its place holds 0xFF.
inline void __pipeline_memcpy_async(void* to, const void* from, std::size_t bytes) {
    if (bytes != 16) cuda_on_host::fail("__pipeline_memcpy_async of " + std::to_string(bytes) + " bytes, not 16");
    auto* place = static_cast<cuda_on_host::Vector16*>(to);
    cuda_on_host::require_aligned(place, 16, "__pipeline_memcpy_async to");
    cuda_on_host::require_aligned(from, 16, "__pipeline_memcpy_async from");
    cuda_on_host::begin_copy({to, from});
    const float unwritten = __uint_as_float(0xffffffffU);
    *place = cuda_on_host::Vector16{unwritten, unwritten, unwritten, unwritten};
}
inline void __pipeline_commit() { cuda_on_host::commit_copies(); }
inline void __pipeline_wait_prior(std::size_t groups) {
    cuda_on_host::PendingCopy copy{};
    while (cuda_on_host::take_copy(groups, copy)) {
        *static_cast<cuda_on_host::Vector16*>(copy.to) = *static_cast<const cuda_on_host::Vector16*>(copy.from);
    }
}

/// The block's one T, shared by its threads.
template <class T>
T& block_shared() {
    static_assert(std::is_trivially_default_constructible_v<T>, "nvcc initialises no shared memory");
    static const char key = 0;
    return *static_cast<T*>(cuda_on_host::shared(&key, sizeof(T), alignof(T)));
}
/// The shared memory whose bytes the launch gives.
template <class T>
T* dynamic_shared() {
    return static_cast<T*>(cuda_on_host::dynamic_shared());
}

namespace cuda_on_host {

/// Lets launches of `kernel` ask for this much shared memory, as cudaFuncSetAttribute does.
template <class... Parameters>
void allow_shared(void (*kernel)(Parameters...), std::size_t bytes) {
    shared_limits()[reinterpret_cast<const void*>(kernel)] = bytes;
}

/// kernel<<<grid, block, shared_bytes>>>(arguments...), finished on return.
template <class... Parameters>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
            std::type_identity_t<Parameters>... arguments) {
    static_assert((std::is_trivially_copyable_v<Parameters> && ...), "kernel parameters travel as bytes");
    static_assert((!std::is_reference_v<Parameters> && ...), "a reference parameter would point into host memory");
    static_assert((sizeof(Parameters) + ... + 0) <= 4096, "kernel parameters of at most 4 KiB");
    const auto limit = shared_limits().find(reinterpret_cast<const void*>(kernel));
    run_grid(grid, block, shared_bytes, limit == shared_limits().end() ? default_shared_limit : limit->second,
             [&] { kernel(arguments...); });
}

}  // namespace cuda_on_host

struct CUstream_st;

namespace cuda_on_host {
/// A kernel's turn on a stream (runtime/runtime.cpp).
void enqueue(CUstream_st* stream, std::function<void()> work);
/// Whether no device would take such a launch; cudaGetLastError then says so.
bool refuses_launch(const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes);
}  // namespace cuda_on_host

/// kernel<<<grid, block, shared_bytes, stream>>>(arguments...), run when the stream's turn comes.
template <class... Parameters>
void enqueue_kernel(CUstream_st* stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
                    std::type_identity_t<Parameters>... arguments) {
    if (cuda_on_host::refuses_launch(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes)) return;
    cuda_on_host::enqueue(stream,
                          [=] { cuda_on_host::launch(kernel, grid, block, shared_bytes, Parameters(arguments)...); });
}
