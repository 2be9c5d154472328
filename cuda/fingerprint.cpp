#include "cuda/fingerprint.hpp"

#include <array>
#include <cstring>
#include <vector>

#include "cuda/layer_transfer.hpp"

namespace espalier::cuda {
namespace {

/// Folds words of four bytes in four chains side by side, since a multiplication waits for the one before it.
template <class Word>
void fold(std::array<std::uint64_t, 4>& chains, const std::vector<Word>& words) {
    static_assert(sizeof(Word) == 4);
    for (std::size_t i = 0; i < words.size(); ++i) {
        std::uint32_t word = 0;
        std::memcpy(&word, &words[i], 4);
        std::uint64_t& chain = chains[i % 4];
        chain = (chain ^ word) * 0x9E3779B97F4A7C15U;
        chain ^= chain >> 29;
    }
}

}  // namespace

std::uint64_t fingerprint(cudaStream_t stream, const CudaLayer& layer) {
    std::array<std::uint64_t, 4> chains{1, 2, 3, 4};
    if (layer.is_sparse) fold(chains, downloaded(stream, layer.column.data(), layer.num_edges));
    fold(chains, downloaded(stream, layer.weights.values.data(), layer.num_edges));
    fold(chains, downloaded(stream, layer.bias.values.data(), layer.num_outputs));
    std::uint64_t all = 0;
    for (const std::uint64_t chain : chains) all = (all ^ chain) * 0x9E3779B97F4A7C15U;
    return all ^ (all >> 32);
}

}  // namespace espalier::cuda
