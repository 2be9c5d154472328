// Archives (zip, tar and what tar is packed with) unpacked by libarchive.
#pragma once

#include <filesystem>

namespace espalier {

/// Throws UserError (device) where nothing can be unpacked: better known before half a gigabyte is fetched.
void require_archive_library();

/// Unpacks all files of an archive below `folder`, which is there; nothing lands outside of it, whatever names and
/// links the archive holds. Throws UserError: data for a damaged archive, io if a file cannot be written, stopped after
/// a signal (host/system/signals.hpp), device as above.
void unpack_archive(const std::filesystem::path& archive, const std::filesystem::path& folder);

}  // namespace espalier
