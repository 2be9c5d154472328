// Device memory of a backend. What lives long is allocated and released; scratch memory is borrowed and given back, and
// a block given back waits for the next borrower, so that an evolution allocates only what none before it needed. All
// borrowers work on one stream, so a block may change hands while its work is still queued.
#pragma once

#include <cstddef>
#include <map>
#include <unordered_map>
#include <utility>

#include "cuda_calls.hpp"

namespace espalier::cuda {

/// What a scratch block for so many bytes takes: sizes come in steps of an eighth, so that the next, slightly different
/// need fits.
std::size_t scratch_size(std::size_t bytes);

class Memory {
public:
    /// `stream`: that of all borrowers.
    explicit Memory(cudaStream_t stream) : stream_(stream) {}
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory();

    /// Uninitialised, aligned to 256 bytes. Throws UserError (device) that says how much was needed, how much is free
    /// and what to lower.
    [[nodiscard]] void* allocate(std::size_t bytes);
    void release(void* memory) noexcept;

    /// As allocate; for a while.
    [[nodiscard]] void* borrow(std::size_t bytes);
    void give_back(void* memory) noexcept;

private:
    void drop_idle() noexcept;

    cudaStream_t stream_;
    std::multimap<std::size_t, void*> idle_;          // scratch blocks by size
    std::unordered_map<void*, std::size_t> on_loan_;  // their sizes
    std::size_t held_ = 0;                            // bytes allocated, scratch included
    std::unordered_map<void*, std::size_t> allocated_;
};

/// `size` elements that live as long as this does; no memory at all for none.
template <class T>
class Array {
public:
    Array() = default;
    Array(Memory& memory, std::size_t size)
        : memory_(&memory),
          data_(size == 0 ? nullptr : static_cast<T*>(memory.allocate(size * sizeof(T)))),
          size_(size) {}
    Array(Array&& other) noexcept { swap(other); }
    Array& operator=(Array&& other) noexcept {
        Array moved(std::move(other));
        swap(moved);
        return *this;
    }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array() {
        if (data_ != nullptr) memory_->release(data_);
    }
    [[nodiscard]] T* data() const { return data_; }
    [[nodiscard]] std::size_t size() const { return size_; }

private:
    void swap(Array& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }
    Memory* memory_ = nullptr;
    T* data_ = nullptr;
    std::size_t size_ = 0;
};

/// A borrowed block, given back when this ends.
class Borrowed {
public:
    Borrowed() = default;
    Borrowed(Memory& memory, std::size_t bytes) : memory_(&memory), data_(memory.borrow(bytes)) {}
    Borrowed(Borrowed&& other) noexcept { swap(other); }
    Borrowed& operator=(Borrowed&& other) noexcept {
        Borrowed moved(std::move(other));
        swap(moved);
        return *this;
    }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    ~Borrowed() {
        if (data_ != nullptr) memory_->give_back(data_);
    }
    [[nodiscard]] void* data() const { return data_; }

private:
    void swap(Borrowed& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(data_, other.data_);
    }
    Memory* memory_ = nullptr;
    void* data_ = nullptr;
};

}  // namespace espalier::cuda
