#include "cuda/memory.hpp"

#include <algorithm>
#include <bit>
#include <string>

#include "cuda/check.hpp"
#include "cuda_calls.hpp"
#include "espalier/error.hpp"
#include "espalier/number_text.hpp"

namespace espalier::cuda {
namespace {

constexpr std::size_t min_block = 256;

}  // namespace

std::size_t scratch_size(std::size_t bytes) {
    const std::size_t step = std::max(min_block, std::bit_floor(bytes) / 8);
    return (std::max<std::size_t>(bytes, 1) + step - 1) / step * step;
}

Memory::~Memory() { drop_idle(); }

void* Memory::allocate(std::size_t bytes) {
    bytes = std::max(bytes, min_block);
    void* memory = nullptr;
    cudaError_t error = cudaMalloc(&memory, bytes);
    if (error == cudaErrorMemoryAllocation && !idle_.empty()) {
        static_cast<void>(cudaGetLastError());
        drop_idle();
        error = cudaMalloc(&memory, bytes);
    }
    if (error == cudaErrorMemoryAllocation) {
        static_cast<void>(cudaGetLastError());  // or the next launch would be blamed
        std::size_t free = 0;
        std::size_t total = 0;
        if (cudaMemGetInfo(&free, &total) != cudaSuccess) static_cast<void>(cudaGetLastError());
        throw UserError(ExitCode::device,
                        "the GPU is out of memory: " + bytes_text(bytes, 2) + " more were needed, " +
                            bytes_text(free, 2) + " of its " + bytes_text(total, 2) + " are free, this run holds " +
                            bytes_text(held_, 2) +
                            ". A smaller --batch, --epsilon or --layers, a higher --sparsity, --spmm gather or --backend cpu helps");
    }
    check(error, "cudaMalloc of " + bytes_text(bytes, 2));
    allocated_.emplace(memory, bytes);
    held_ += bytes;
    return memory;
}

void Memory::release(void* memory) noexcept {
    const auto found = allocated_.find(memory);
    if (found == allocated_.end()) return;
    held_ -= found->second;
    allocated_.erase(found);
    static_cast<void>(cudaFree(memory));  // waits for the work that uses it
}

void* Memory::borrow(std::size_t bytes) {
    const std::size_t size = scratch_size(bytes);
    const auto idle = idle_.lower_bound(size);
    // a much larger block is kept for whoever needs it
    if (idle != idle_.end() && idle->first / 2 <= size) {
        void* const memory = idle->second;
        on_loan_.emplace(memory, idle->first);
        idle_.erase(idle);
        return memory;
    }
    void* const memory = allocate(size);
    on_loan_.emplace(memory, size);
    return memory;
}

void Memory::give_back(void* memory) noexcept {
    const auto found = on_loan_.find(memory);
    if (found == on_loan_.end()) return;
    note_scratch_returned(memory, found->second, stream_);
    try {
        idle_.emplace(found->second, memory);
    } catch (...) {
        release(memory);
    }
    on_loan_.erase(found);
}

void Memory::drop_idle() noexcept {
    for (const auto& [size, memory] : idle_) release(memory);
    idle_.clear();
}

}  // namespace espalier::cuda
