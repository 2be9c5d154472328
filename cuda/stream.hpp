// A stream that lives as long as its owner.
#pragma once

#include "cuda/check.hpp"
#include "cuda_calls.hpp"

namespace espalier::cuda {

class OwnStream {
public:
    OwnStream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"); }
    OwnStream(const OwnStream&) = delete;
    OwnStream& operator=(const OwnStream&) = delete;
    ~OwnStream() { static_cast<void>(cudaStreamDestroy(stream_)); }
    operator cudaStream_t() const { return stream_; }  // NOLINT(google-explicit-constructor)

private:
    cudaStream_t stream_ = nullptr;
};

}  // namespace espalier::cuda
