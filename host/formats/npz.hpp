// NPZ, NumPy's archive of arrays: a ZIP file of NPY members, stored without compression.
// Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

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

}  // namespace espalier
