// libarchive, opened by the first who unpacks an archive and by nobody else: it brings an XML library with half of Unicode's
// tables along, which whoever starts the program or imports the Python package would load for nothing.
#pragma once

#include <archive.h>
#include <archive_entry.h>

namespace espalier {

/// The functions of libarchive that are used here, under their names without "archive_".
class ArchiveLibrary {
public:
    /// The library, opened by the first call: $ESPALIER_LIBARCHIVE if it is set, else the one found at build time, else the
    /// system's. Throws UserError (device) where there is none.
    static const ArchiveLibrary& get();

    ArchiveLibrary(const ArchiveLibrary&) = delete;
    ArchiveLibrary& operator=(const ArchiveLibrary&) = delete;

    decltype(&archive_read_new) read_new;
    decltype(&archive_read_free) read_free;
    decltype(&archive_error_string) error_string;
    decltype(&archive_read_support_filter_all) read_support_filter_all;
    decltype(&archive_read_support_format_zip) read_support_format_zip;
    decltype(&archive_read_support_format_tar) read_support_format_tar;
    decltype(&archive_read_open_filename) read_open_filename;
    decltype(&archive_read_next_header) read_next_header;
    decltype(&archive_read_data_block) read_data_block;
    decltype(&archive_entry_filetype) entry_filetype;
    decltype(&archive_entry_hardlink) entry_hardlink;
    decltype(&archive_entry_pathname) entry_pathname;

private:
    ArchiveLibrary();
};

}  // namespace espalier
