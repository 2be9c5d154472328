// Memory of evolutions, kept for the next one: having the system clear fresh pages costs as much as a pass over the
// data. Every thread that evolves layers keeps as much as its largest evolution took.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "host/cpu/memory.hpp"

namespace espalier {

/// Uninitialised memory, given back all at once; one CpuScratch may live inside another's life.
class CpuScratch {
public:
    CpuScratch() : before_(arena().taken) {}
    ~CpuScratch() { arena().give_back(before_); }
    CpuScratch(const CpuScratch&) = delete;
    CpuScratch& operator=(const CpuScratch&) = delete;

    template <class T>
    [[nodiscard]] T* take(std::size_t count) {
        return static_cast<T*>(arena().take(count * sizeof(T)));
    }

private:
    /// How many blocks are in use, and how much of the last of them.
    struct Mark {
        std::size_t blocks = 0;
        std::size_t bytes = 0;
    };

    struct Arena {
        struct Block {
            void* memory;
            std::size_t bytes;
        };
        std::vector<Block> blocks;
        Mark taken;
        std::size_t most = 0;  // that one evolution took of several blocks

        Arena() = default;
        ~Arena() { release(); }
        Arena(const Arena&) = delete;
        Arena& operator=(const Arena&) = delete;

        void* take(std::size_t bytes) {
            const std::size_t rounded = (bytes + 63) / 64 * 64;
            while (taken.blocks == 0 || blocks[taken.blocks - 1].bytes - taken.bytes < rounded) {
                if (taken.blocks == blocks.size()) {
                    const std::size_t size = std::max(rounded, blocks.empty() ? most : 0);
                    blocks.push_back({allocate_aligned(size), size});
                }
                ++taken.blocks;
                taken.bytes = 0;
            }
            void* memory = static_cast<std::byte*>(blocks[taken.blocks - 1].memory) + taken.bytes;
            taken.bytes += rounded;
            return memory;
        }
        /// Many blocks become one of their size, for the next evolution.
        void give_back(Mark before) {
            taken = before;
            if (taken.blocks > 0 || blocks.size() < 2) return;
            most = 0;
            for (const Block& block : blocks) most += block.bytes;
            release();
        }
        void release() {
            for (const Block& block : blocks) release_aligned(block.memory);
            blocks.clear();
        }
    };

    static Arena& arena() {
        static thread_local Arena kept;
        return kept;
    }

    Mark before_;
};

}  // namespace espalier
