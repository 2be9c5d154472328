// Fetches the files of a known data set with the system's curl or wget. Everything lands in a hidden file beside its
// destination, is verified, and only then renamed: at every moment a file is there whole or not at all. A download that
// broke off goes on where it stopped.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "host/data/catalog.hpp"

namespace espalier {

/// Fetches a set into `folder`, progress on stderr. Files that are there and right are left alone.
/// Throws UserError: data when no mirror delivered (which were tried, what each answered, what to do by hand), io when
/// the folder cannot be written, stopped after a signal.
void fetch_dataset(const KnownSet& set, const std::filesystem::path& folder);

/// What `espalier data verify` says of one file.
struct VerifiedFile {
    std::filesystem::path path;
    std::string digest;    // of the decompressed content; empty if it cannot be read
    std::string expected;  // published; empty if none is
    std::string fault;     // empty: right, as far as can be told
};
std::vector<VerifiedFile> verify_files(const KnownSet& set, const FoundFiles& found);

}  // namespace espalier
