// SHA-256 (FIPS 180-4), for checking and naming data: OpenSSL's, which uses what the processor has for it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

struct evp_md_ctx_st;

namespace espalier {

class Sha256 {
public:
    Sha256();
    void update(const void* data, std::size_t bytes);
    /// Ends the message and returns its digest in hex, 64 characters. The object is spent afterwards.
    [[nodiscard]] std::string hex();
    /// The same as 32 bytes.
    [[nodiscard]] std::array<std::uint8_t, 32> bytes();

private:
    struct Release {
        void operator()(evp_md_ctx_st* state) const;
    };
    std::unique_ptr<evp_md_ctx_st, Release> state_;
};

/// Digest of a text in hex.
std::string sha256(const std::string& text);

}  // namespace espalier
