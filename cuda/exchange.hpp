// What the processes that train one network on GPUs tell each other while they train: sums of gradients, tiles, scores. NCCL
// moves the bytes; sums are made here, by halves (kernels/halves.cuh), so that the bits are those of one process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/layer.hpp"
#include "cuda/memory.hpp"
#include "cuda/nccl/communicator.hpp"
#include "cuda/rank_share.hpp"
#include "cuda_calls.hpp"
#include "espalier/ranks.hpp"

namespace espalier::cuda {

/// Where a layer's gradients lie in the bucket, in floats.
struct GradientPlace {
    /// From `begin` on.
    GradientPlace(const CudaLayer& layer, std::size_t begin)
        : weights(begin),
          bias(weights + padded_edges(layer.num_edges)),
          activation(bias + padded_edges(layer.num_outputs)),
          end(activation + padded_edges(layer.activation_parameters.values.size())) {}
    std::size_t weights;
    std::size_t bias;
    std::size_t activation;
    std::size_t end;
};

class Exchange {
public:
    /// Collective. `ranks` outlives this. Throws UserError (device): there is no NCCL, or two ranks have one GPU.
    Exchange(Ranks& ranks, Memory& memory, cudaStream_t stream);

    [[nodiscard]] const RankPlace& place() const { return ranks_.place(); }
    [[nodiscard]] RankShare share(Index batch) const {
        return {static_cast<Index>(place().rank), static_cast<Index>(place().size), batch};
    }

    /// The gradients of one more layer are to have room in the bucket, by the next make_room(), which no graph can hold.
    void expect(const CudaLayer& layer) { wanted_ += GradientPlace(layer, 0).end; }
    void make_room();
    /// Changes with the addresses of what a recorded exchange uses.
    [[nodiscard]] std::uint64_t memory_version() const { return memory_version_; }

    /// This rank's gradients of a step.
    [[nodiscard]] float* bucket() const { return own_.data(); }
    /// Enqueues that the first `floats` of the bucket become the sums over all ranks that have some of a batch's `tiles`. May
    /// be recorded.
    void add(cudaStream_t stream, std::size_t floats, Index tiles) const;
    /// Enqueues that `values`, of which this rank's tiles lie one after the other, become the whole batch's.
    void share_tiles(Activations values);

    /// The same from every rank, which wait for each other; not to be called while the stream has work of NCCL's.
    [[nodiscard]] std::vector<std::byte> gather(const std::vector<std::byte>& own);
    [[nodiscard]] std::vector<std::uint64_t> gather(std::uint64_t own) { return ranks_.gather(own); }
    /// Waits for the stream. Throws UserError (ranks) if a rank is gone or does not answer in time.
    void wait();
    /// Ends what is under way: nobody is to wait for it.
    void abort() noexcept { communicator_->abort(); }

private:
    Ranks& ranks_;
    Memory& memory_;
    cudaStream_t stream_;
    std::unique_ptr<Communicator> made_;  // null: that of `ranks`
    Communicator* communicator_ = nullptr;
    std::size_t wanted_ = 0;
    std::uint64_t memory_version_ = 0;
    Array<float> own_;
    Array<float> received_;
};

}  // namespace espalier::cuda
