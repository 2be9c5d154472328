#include "host/data/sha256.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace espalier {
namespace {

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
constexpr std::uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// One round, for variables that have already traded places: only d and h change.
inline void round(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t& d, std::uint32_t e, std::uint32_t f,
                  std::uint32_t g, std::uint32_t& h, std::uint32_t input) {
    h += (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + (g ^ (e & (f ^ g))) + input;
    d += h;
    h += (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) | (c & (a | b)));
}

}  // namespace

void Sha256::compress(const std::uint8_t* block) {
    std::uint32_t w[16];  // a window of the message schedule
    for (std::size_t i = 0; i < 16; ++i) {
        w[i] = (std::uint32_t{block[4 * i]} << 24) | (std::uint32_t{block[4 * i + 1]} << 16) |
               (std::uint32_t{block[4 * i + 2]} << 8) | block[4 * i + 3];
    }
    auto [a, b, c, d, e, f, g, h] = state_;
    for (std::size_t start = 0; start < 64; start += 16) {
        const auto input = [&](std::size_t i) {
            if (start > 0) {
                const std::uint32_t early = w[(i + 1) % 16];
                const std::uint32_t late = w[(i + 14) % 16];
                w[i] += (std::rotr(early, 7) ^ std::rotr(early, 18) ^ (early >> 3)) + w[(i + 9) % 16] +
                        (std::rotr(late, 17) ^ std::rotr(late, 19) ^ (late >> 10));
            }
            return w[i] + round_constants[start + i];
        };
        for (std::size_t i = 0; i < 16; i += 8) {
            round(a, b, c, d, e, f, g, h, input(i));
            round(h, a, b, c, d, e, f, g, input(i + 1));
            round(g, h, a, b, c, d, e, f, input(i + 2));
            round(f, g, h, a, b, c, d, e, input(i + 3));
            round(e, f, g, h, a, b, c, d, input(i + 4));
            round(d, e, f, g, h, a, b, c, input(i + 5));
            round(c, d, e, f, g, h, a, b, input(i + 6));
            round(b, c, d, e, f, g, h, a, input(i + 7));
        }
    }
    const std::uint32_t sum[8] = {a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < 8; ++i) state_[i] += sum[i];
}

void Sha256::update(const void* data, std::size_t bytes) {
    const auto* from = static_cast<const std::uint8_t*>(data);
    std::size_t used = bytes_ % 64;
    bytes_ += bytes;
    while (bytes > 0) {
        if (used == 0 && bytes >= 64) {
            compress(from);
            from += 64;
            bytes -= 64;
            continue;
        }
        const std::size_t part = std::min(bytes, 64 - used);
        std::memcpy(pending_.data() + used, from, part);
        from += part;
        bytes -= part;
        used = (used + part) % 64;
        if (used == 0) compress(pending_.data());
    }
}

std::array<std::uint8_t, 32> Sha256::bytes() {
    const std::uint64_t bits = bytes_ * 8;
    constexpr std::uint8_t padding[64] = {0x80};
    update(padding, 1 + (119 - bytes_ % 64) % 64);  // up to 56 of the last block
    std::uint8_t length[8];
    for (int i = 0; i < 8; ++i) length[i] = static_cast<std::uint8_t>(bits >> (56 - 8 * i));
    update(length, 8);
    std::array<std::uint8_t, 32> result{};
    for (std::size_t i = 0; i < 32; ++i) result[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
    return result;
}

std::string Sha256::hex() {
    std::string text;
    for (const std::uint8_t byte : bytes()) {
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

std::string sha256(const std::string& text) {
    Sha256 digest;
    digest.update(text.data(), text.size());
    return digest.hex();
}

}  // namespace espalier
