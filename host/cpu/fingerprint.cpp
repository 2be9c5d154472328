#include "host/cpu/fingerprint.hpp"

#include <array>
#include <cstring>

namespace espalier {
namespace {

class Fold {
public:
    /// `count` words of four bytes. Four chains side by side: a multiplication waits for the one before it.
    void add(const void* words, std::size_t count) {
        const char* bytes = static_cast<const char*>(words);
        std::size_t i = 0;
        for (; i + 4 <= count; i += 4) {
            for (std::size_t c = 0; c < 4; ++c) mix(chains_[c], bytes + 4 * (i + c));
        }
        for (; i < count; ++i) mix(chains_[0], bytes + 4 * i);
    }
    [[nodiscard]] std::uint64_t value() const {
        std::uint64_t all = 0;
        for (const std::uint64_t chain : chains_) all = (all ^ chain) * prime;
        return all ^ (all >> 32);
    }

private:
    static constexpr std::uint64_t prime = 0x9E3779B97F4A7C15U;

    static void mix(std::uint64_t& chain, const char* at) {
        std::uint32_t word = 0;
        std::memcpy(&word, at, 4);
        chain = (chain ^ word) * prime;
        chain ^= chain >> 29;
    }

    std::array<std::uint64_t, 4> chains_{1, 2, 3, 4};
};

}  // namespace

std::uint64_t fingerprint(const CpuLayer& layer) {
    Fold fold;
    const auto add = [&](const auto& values) { fold.add(values.data(), values.size()); };
    if (const auto* sparse = dynamic_cast<const SparseCpuLayer*>(&layer)) {
        add(sparse->column);
        add(sparse->weights);
    } else {
        add(dynamic_cast<const DenseCpuLayer&>(layer).weights);
    }
    add(layer.neurons.bias);
    return fold.value();
}

}  // namespace espalier
