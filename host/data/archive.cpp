#include "host/data/archive.hpp"

#include <cerrno>
#include <memory>
#include <string>

#include "espalier/error.hpp"
#include "host/data/archive_library.hpp"
#include "host/formats/output_file.hpp"
#include "host/system/signals.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

using Reader = std::unique_ptr<archive, decltype(ArchiveLibrary::read_free)>;

/// What libarchive says, or that it says nothing.
std::string reason(archive* from) {
    const char* text = ArchiveLibrary::get().error_string(from);
    return text != nullptr ? text : "unknown error";
}

Reader open_archive(const fs::path& path) {
    const ArchiveLibrary& library = ArchiveLibrary::get();
    Reader reader(library.read_new(), library.read_free);
    expects(reader != nullptr, "memory for an archive's reader");
    library.read_support_filter_all(reader.get());
    library.read_support_format_zip(reader.get());
    library.read_support_format_tar(reader.get());
    constexpr std::size_t block = std::size_t{1} << 20;
    if (library.read_open_filename(reader.get(), path.c_str(), block) != ARCHIVE_OK) {
        throw UserError(ExitCode::data, path.string() + " is no archive that can be read: " + reason(reader.get()));
    }
    return reader;
}

/// A name inside the archive as a path below the folder; empty for one that would lead out of it.
fs::path safe_name(const char* name) {
    const fs::path given = fs::path(name == nullptr ? "" : name).lexically_normal();
    if (given.empty() || given.is_absolute() || *given.begin() == "..") return {};
    return given;
}

void write_entry(archive* reader, const fs::path& source, const fs::path& to) {
    std::error_code error;
    fs::create_directories(to.parent_path(), error);
    if (error) throw_unwritable(to.parent_path(), error.value());
    OutputFile file(to);
    const void* bytes = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const ArchiveLibrary& library = ArchiveLibrary::get();
    for (int status = ARCHIVE_OK; (status = library.read_data_block(reader, &bytes, &size, &offset)) != ARCHIVE_EOF;) {
        if (status < ARCHIVE_WARN) {
            throw UserError(ExitCode::data, source.string() + " is damaged at " + to.filename().string() + ": " +
                                                reason(reader));
        }
        if (stop_signal() != 0) throw UserError(ExitCode::stopped, "stopped while unpacking " + source.string());
        if (static_cast<std::uint64_t>(offset) < file.size()) {
            throw UserError(ExitCode::data, source.string() + " is damaged at " + to.filename().string());
        }
        const std::string hole(static_cast<std::size_t>(offset) - file.size(), '\0');  // of a sparse file
        file.write(hole.data(), hole.size());
        file.write(bytes, size);
    }
    file.close();
}

}  // namespace

void require_archive_library() { ArchiveLibrary::get(); }

void unpack_archive(const fs::path& archive_path, const fs::path& folder) {
    const ArchiveLibrary& library = ArchiveLibrary::get();
    const Reader reader = open_archive(archive_path);
    archive_entry* entry = nullptr;
    for (int status = ARCHIVE_OK; (status = library.read_next_header(reader.get(), &entry)) != ARCHIVE_EOF;) {
        if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {  // ARCHIVE_RETRY: a header that is none
            throw UserError(ExitCode::data, archive_path.string() + " is damaged: " + reason(reader.get()));
        }
        // Data sets are plain files: links and devices are left where they are.
        if (library.entry_filetype(entry) != AE_IFREG || library.entry_hardlink(entry) != nullptr) continue;
        const fs::path name = safe_name(library.entry_pathname(entry));
        if (!name.empty()) write_entry(reader.get(), archive_path, folder / name);
    }
}

}  // namespace espalier
