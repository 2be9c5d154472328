// Memory of the host-executed device: the host's own code can neither read nor write it, only what a stream has queued
// and Thrust's algorithms can. Anything else is a segmentation fault, as on a device.
#pragma once

#include <cstddef>
#include <mutex>

namespace cuda_on_host {

/// CUDA's calls may come from any thread: here one at a time, and with them whatever reads or writes device memory.
std::recursive_mutex& device_mutex();

/// Aligned to 256 bytes, filled with 0xFF, an unmapped page before and after. A write into the bytes between the end
/// and that page is address sanitizer's to find or, in its absence, check()'s.
class ProtectedMemory {
public:
    /// Throws std::bad_alloc.
    explicit ProtectedMemory(std::size_t bytes);
    ProtectedMemory(ProtectedMemory&& other) noexcept;
    ProtectedMemory(const ProtectedMemory&) = delete;
    ProtectedMemory& operator=(const ProtectedMemory&) = delete;
    ProtectedMemory& operator=(ProtectedMemory&&) = delete;
    ~ProtectedMemory();

    [[nodiscard]] void* data() const { return data_; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    /// Throws Fault when something was written past the end.
    void check() const;

private:
    friend class BlockAccess;
    std::byte* pages_ = nullptr;  // those that hold the bytes
    std::size_t page_bytes_ = 0;
    std::byte* data_ = nullptr;
    std::size_t bytes_ = 0;
};

/// While one lives, device memory can be read and written, by this thread.
class DeviceAccess {
public:
    DeviceAccess();
    DeviceAccess(const DeviceAccess& /*other*/) : DeviceAccess() {}
    DeviceAccess& operator=(const DeviceAccess&) = delete;
    ~DeviceAccess();
};

/// While one lives, this block can be read and written: for a copy, which touches no other.
class BlockAccess {
public:
    /// Null: the memory is the host's, nothing is opened.
    explicit BlockAccess(const ProtectedMemory* block);
    BlockAccess(const BlockAccess&) = delete;
    BlockAccess& operator=(const BlockAccess&) = delete;
    ~BlockAccess();

private:
    const ProtectedMemory* block_;
};

}  // namespace cuda_on_host
