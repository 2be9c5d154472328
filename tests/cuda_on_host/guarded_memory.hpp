// Memory that notices writes past its end.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace cuda_on_host {

/// A kernel broke a rule of CUDA.
class Fault : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Bytes as the device would hand them out: of exactly this size, aligned to 256, filled with 0xFF. A write past the
/// end is address sanitizer's to find or, in its absence, check()'s.
class GuardedMemory {
public:
    GuardedMemory(std::size_t bytes, std::string name);
    GuardedMemory(GuardedMemory&& other) noexcept;
    GuardedMemory(const GuardedMemory&) = delete;
    GuardedMemory& operator=(const GuardedMemory&) = delete;
    GuardedMemory& operator=(GuardedMemory&&) = delete;
    ~GuardedMemory();

    [[nodiscard]] void* data() const { return data_; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    /// Throws Fault when something was written past the end.
    void check() const;

private:
    std::byte* data_ = nullptr;
    std::size_t bytes_ = 0;
    std::string name_;
};

}  // namespace cuda_on_host
