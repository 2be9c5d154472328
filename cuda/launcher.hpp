// Where an operation's launches go: onto a stream, or into a list, from which those of several networks become one launch
// each (cohort.hpp).
#pragma once

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "cuda_calls.hpp"
#include "espalier/index.hpp"

namespace espalier::cuda {

/// A program holds what no list, and no graph, can: it just runs, by itself.
struct Unlistable {};

struct ListedLaunch {
    const void* kernel = nullptr;
    dim3 grid;
    unsigned threads = 0;
    std::size_t shared_bytes = 0;
    std::function<void(cudaStream_t)> alone;

    /// The kernel's form for many networks (kernels/many.cuh), `rows` being in device memory; null: it has none.
    using Together = void (*)(cudaStream_t stream, dim3 grid, unsigned threads, std::size_t shared_bytes,
                              const std::byte* rows);
    Together together = nullptr;
    std::vector<std::byte> row;  // of that form's table
};
using Launches = std::vector<ListedLaunch>;

class Launcher {
public:
    Launcher(cudaStream_t stream) : stream_(stream) {}  // NOLINT(google-explicit-constructor): most are just that
    /// `networks`: how many will be launched together.
    Launcher(Launches& list, Index networks) : list_(&list), networks_(networks) {}

    [[nodiscard]] bool lists() const { return list_ != nullptr; }
    [[nodiscard]] Index networks() const { return networks_; }
    /// For work that is no launch of ours. Throws Unlistable.
    [[nodiscard]] cudaStream_t stream() const {
        if (lists()) throw Unlistable{};
        return stream_;
    }
    void add(ListedLaunch launch) const { list_->push_back(std::move(launch)); }

private:
    cudaStream_t stream_ = nullptr;
    Launches* list_ = nullptr;  // null: onto the stream
    Index networks_ = 1;
};

}  // namespace espalier::cuda
