// NPZ, NumPy's archive of arrays: a ZIP file of NPY members, written without compression, read with or without.
// Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "host/formats/npy.hpp"
#include "host/formats/zip.hpp"

namespace espalier {

/// An array to store; `descr` is NumPy's type ("<f4"). The items are only pointed at.
struct NpzMember {
    std::string name;
    std::string descr;
    std::vector<std::uint64_t> shape;
    const void* items = nullptr;
    std::uint64_t bytes = 0;
};

/// Writes the archive, whole or not at all; equal arguments give equal bytes. Throws UserError (io) with path and
/// cause, also beyond the 4 GiB of a plain ZIP file.
void write_npz(const std::filesystem::path& path, const std::vector<NpzMember>& members);

/// An archive opened for reading.
class NpzFile {
public:
    /// Throws UserError (data) with path, expected and found.
    explicit NpzFile(const std::filesystem::path& path) : zip_(path) {}

    [[nodiscard]] const std::filesystem::path& path() const { return zip_.path(); }
    /// Of the arrays, without ".npy".
    [[nodiscard]] std::vector<std::string> names() const;
    [[nodiscard]] bool contains(const std::string& name) const { return zip_.contains(name + ".npy"); }
    /// Throws UserError (data) with path and member, offset, expected and found.
    [[nodiscard]] NpyArray read(const std::string& name) const;

private:
    ZipFile zip_;
};

}  // namespace espalier
