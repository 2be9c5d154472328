// What the stand-ins of CUDA's libraries (libraries/) know of a stream, as the real ones have it from the driver: a
// stream of runtime.cpp begins with this.
#pragma once

#include <cstddef>
#include <functional>

struct CUstream_st;

namespace cuda_on_host {

struct LibraryStream {
    void (*enqueue)(CUstream_st*, std::function<void()>);  // work for the stream's turn
    bool (*is_capturing)(CUstream_st*);
    bool (*is_device_memory)(const void*, std::size_t);  // all of it within one allocation
};

inline const LibraryStream& library_stream(CUstream_st* stream) {
    return *reinterpret_cast<const LibraryStream*>(stream);
}

}  // namespace cuda_on_host
