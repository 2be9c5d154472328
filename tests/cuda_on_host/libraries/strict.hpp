// How the stand-ins of CUDA's libraries refuse: what the real ones document as an error is its status, what they leave
// undefined ends the program with a sentence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "library_stream.hpp"

namespace cuda_on_host {

inline void require(bool good, const char* what) {
    if (good) return;
    std::fprintf(stderr, "a stand-in of CUDA's libraries: %s\n", what);
    std::abort();
}

inline bool is_aligned(const void* address) { return reinterpret_cast<std::uintptr_t>(address) % 16 == 0; }

/// `count` elements at `address` are device memory, aligned as the libraries' fast paths want it.
template <class T>
void require_array(CUstream_st* stream, const T* address, std::size_t count, const char* what) {
    require(is_aligned(address), what);
    require(library_stream(stream).is_device_memory(address, count * sizeof(T)), what);
}

/// What the libraries' products write: a value that counts for nothing is not read.
inline void combine(float& value, float factor, float sum, float kept) {
    value = kept == 0 ? factor * sum : factor * sum + kept * value;
}

}  // namespace cuda_on_host
