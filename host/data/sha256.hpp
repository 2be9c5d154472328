// SHA-256 (FIPS 180-4), for checking and naming data. Our own because the crypto libraries that hold one are a heavy
// dependency for sixty lines; tested on NIST's vectors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace espalier {

class Sha256 {
public:
    void update(const void* data, std::size_t bytes);
    /// Ends the message and returns its digest in hex, 64 characters. The object is spent afterwards.
    [[nodiscard]] std::string hex();
    /// The same as 32 bytes.
    [[nodiscard]] std::array<std::uint8_t, 32> bytes();

private:
    void compress(const std::uint8_t* block);

    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::uint8_t, 64> pending_{};
    std::uint64_t bytes_ = 0;
};

/// Digest of a text in hex.
std::string sha256(const std::string& text);

}  // namespace espalier
