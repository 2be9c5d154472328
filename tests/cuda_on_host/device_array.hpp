// Device memory for kernel tests: of exactly the size asked for, filled with 0xFF until written; what a kernel writes
// past its end is found.
#pragma once

#include <cstring>
#include <vector>

#include "block.hpp"

namespace cuda_on_host {

template <class T>
class DeviceArray {
public:
    explicit DeviceArray(std::size_t size) : size_(size), memory_(size * sizeof(T), "device array") {}
    explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
        if (!values.empty()) std::memcpy(memory_.data(), values.data(), values.size() * sizeof(T));
    }
    /// Where a kernel finds the array; null when it has no elements.
    [[nodiscard]] T* data() const { return size_ == 0 ? nullptr : static_cast<T*>(memory_.data()); }
    [[nodiscard]] std::size_t size() const { return size_; }
    /// The values, once it is clear that nothing was written past them.
    [[nodiscard]] std::vector<T> read() const {
        memory_.check();
        std::vector<T> values(size_);
        if (size_ > 0) std::memcpy(values.data(), memory_.data(), size_ * sizeof(T));
        return values;
    }

private:
    std::size_t size_;
    GuardedMemory memory_;
};

}  // namespace cuda_on_host
