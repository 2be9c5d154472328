// The only CUDA header a kernel includes. Under nvcc it is real CUDA and eleven small functions; elsewhere it is the
// vocabulary with which kernels run on the CPU (tests/cuda_on_host, put on the include path by those tests).
#pragma once

#ifdef __CUDACC__

#include <cuda_awbarrier_primitives.h>
#include <cuda_pipeline_primitives.h>

#include <type_traits>

/// Before a loop over an array that must stay in registers.
#define ESPALIER_UNROLL _Pragma("unroll")

/// Before a loop whose body is long enough once.
#define ESPALIER_NO_UNROLL _Pragma("unroll 1")

/// The block's one T, shared by its threads. Uninitialised.
template <class T>
__device__ inline T& block_shared() {
    __shared__ T value;
    return value;
}
/// The shared memory whose bytes the launch gives. Uninitialised.
template <class T>
__device__ inline T* dynamic_shared() {
    extern __shared__ float4 dynamic_shared_memory[];
    return reinterpret_cast<T*>(dynamic_shared_memory);
}
/// Four floats from a multiple of 16 bytes.
__device__ inline float4 load4(const float* address) { return *reinterpret_cast<const float4*>(address); }
/// Four floats to a multiple of 16 bytes.
__device__ inline void store4(float* address, float4 values) { *reinterpret_cast<float4*>(address) = values; }

// Two, likewise of 8.
__device__ inline float2 load2(const float* address) { return *reinterpret_cast<const float2*>(address); }
__device__ inline void store2(float* address, float2 values) { *reinterpret_cast<float2*>(address) = values; }

/// Returns when the phase of the token has ended; what was done before the arrivals in it is then visible.
__device__ inline void wait_at(__mbarrier_t* barrier, __mbarrier_token_t token) {
    while (!__mbarrier_test_wait(barrier, token)) {
    }
    // before sm_80 the test is a mere volatile read, which nvcc may move later reads across
    asm volatile("" ::: "memory");
}

/// The same address in global memory, of which nvcc no longer knows how it was made: what is added to it stays a sum of two.
__device__ inline const float* opaque(const float* address) {
    std::size_t global = __cvta_generic_to_global(address);
    asm("" : "+l"(global));
    return static_cast<const float*>(__cvta_global_to_generic(global));
}

/// Has a value computed here: nvcc would put it off, and keep in registers what it is made of.
__device__ inline void settle(float& value) { asm volatile("" : "+f"(value)); }

/// threadIdx.x, read anew: nothing made of it is kept in registers from before.
__device__ inline unsigned thread_anew() {
    unsigned x = 0;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(x));
    return x;
}

/// kernel(arguments...) enqueued on a stream; cudaGetLastError tells what was wrong with the launch.
template <class... Parameters>
void enqueue_kernel(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
                    std::type_identity_t<Parameters>... arguments) {
    kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
}

#else

#define ESPALIER_UNROLL
#define ESPALIER_NO_UNROLL
#include "cuda_on_host.hpp"
inline const float* opaque(const float* address) { return address; }
inline void settle(float& /*value*/) {}
inline unsigned thread_anew() { return threadIdx.x; }
#endif
