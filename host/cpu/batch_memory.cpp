#include "host/cpu/batch_memory.hpp"

#include <deque>
#include <mutex>

#include "host/cpu/memory.hpp"

namespace espalier {
namespace {

/// What is kept at most, in pieces released last.
constexpr std::size_t most_kept = std::size_t{16} << 20;
constexpr std::size_t most_pieces = 64;

struct Piece {
    float* memory;
    std::size_t bytes;
};

struct Pool {
    std::mutex mutex;
    std::deque<Piece> pieces;
    std::size_t bytes = 0;
};

/// Never destroyed: an interpreter that ends may release batches after everything else.
Pool& pool() {
    static Pool* const only = new Pool;
    return *only;
}

}  // namespace

float* allocate_batch(std::size_t bytes) {
    Pool& from = pool();
    {
        const std::scoped_lock lock(from.mutex);
        for (auto piece = from.pieces.rbegin(); piece != from.pieces.rend(); ++piece) {
            if (piece->bytes != bytes) continue;
            float* memory = piece->memory;
            from.pieces.erase(std::next(piece).base());
            from.bytes -= bytes;
            return memory;
        }
    }
    return static_cast<float*>(allocate_aligned(bytes));
}

void release_batch(float* memory, std::size_t bytes) noexcept {
    if (memory == nullptr) return;
    try {
        Pool& to = pool();
        const std::scoped_lock lock(to.mutex);
        to.pieces.push_back({memory, bytes});
        to.bytes += bytes;
        while (to.bytes > most_kept || to.pieces.size() > most_pieces) {
            to.bytes -= to.pieces.front().bytes;
            release_aligned(to.pieces.front().memory);
            to.pieces.pop_front();
        }
    } catch (...) {  // no memory for the note of it
        release_aligned(memory);
    }
}

}  // namespace espalier
