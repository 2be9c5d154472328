// The bytes a fuzzer chose as a file that a reader can open. Readers may refuse with a UserError and do nothing else.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "espalier/error.hpp"

namespace espalier {

class FuzzFile {
public:
    FuzzFile(const std::uint8_t* bytes, std::size_t size) : file_(memfd_create("fuzz", MFD_CLOEXEC)) {
        if (file_ < 0 || write(file_, bytes, size) != static_cast<ssize_t>(size)) std::abort();
    }
    FuzzFile(const FuzzFile&) = delete;
    FuzzFile& operator=(const FuzzFile&) = delete;
    ~FuzzFile() { close(file_); }
    [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

private:
    int file_;
};

/// True if `read` accepts the bytes. Any other exception than UserError is a finding.
template <class Read>
bool accepts(Read&& read) {
    try {
        read();
        return true;
    } catch (const UserError&) {
        return false;
    }
}

}  // namespace espalier
