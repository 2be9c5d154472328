#include "host/formats/sha256.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <new>

#include "espalier/error.hpp"

namespace espalier {

void Sha256::Release::operator()(evp_md_ctx_st* state) const { EVP_MD_CTX_free(state); }

Sha256::Sha256() {
    // No configuration of the system's has a say in what a digest is, so its file is not read.
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
    state_.reset(EVP_MD_CTX_new());
    if (state_ == nullptr) throw std::bad_alloc();
    expects(EVP_DigestInit_ex(state_.get(), EVP_sha256(), nullptr) == 1, "an OpenSSL that has SHA-256");
}

void Sha256::update(const void* data, std::size_t bytes) {
    expects(EVP_DigestUpdate(state_.get(), data, bytes) == 1, "a digest that is not spent");
}

std::array<std::uint8_t, 32> Sha256::bytes() {
    std::array<std::uint8_t, 32> result{};
    expects(EVP_DigestFinal_ex(state_.get(), result.data(), nullptr) == 1, "a digest that is not spent");
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
