// TAR archives, read: regular members of a file that may be gzipped, as data sets are published. Not by libarchive, which
// unpacks what was verified (host/data/archive.hpp): its gzip filter does not compare checksums (3.6.2).
// Format: POSIX.1-1988 (ustar), https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace espalier {

using TarMembers = std::map<std::string, std::vector<std::uint8_t>>;

/// Reads the members named in `wanted`; those that are not there are left out. Throws UserError (data) with path,
/// offset, expected and found, ended by `remedy`.
TarMembers read_tar(const std::filesystem::path& path, const std::vector<std::string>& wanted,
                    const std::string& remedy = "");

}  // namespace espalier
