// Files this program writes. Whatever goes wrong (no space, no permission, read-only, over a quota) becomes a
// UserError (io) with path and reason, and what was there before the call is still there after it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace espalier {

/// The error for `path` and an errno value: "cannot write PATH: reason".
[[noreturn]] void throw_unwritable(const std::filesystem::path& path, int error);

/// A file opened for writing from its start. Throws as above; the destructor closes without a word.
class OutputFile {
public:
    /// Creates the file, or empties it. Errors call it `shown`, for a file that is only on its way to that name.
    OutputFile(const std::filesystem::path& path, std::filesystem::path shown);
    explicit OutputFile(const std::filesystem::path& path) : OutputFile(path, path) {}
    OutputFile(OutputFile&& other) noexcept;
    OutputFile& operator=(OutputFile&&) = delete;
    ~OutputFile();

    void write(const void* bytes, std::size_t size);
    /// Appends all of `text` or, if that fails, none of it.
    void append(std::string_view text);
    /// Waits until the contents are on the disk.
    void sync();
    void close();

private:
    std::filesystem::path shown_;
    int file_ = -1;
    std::size_t size_ = 0;
};

/// Replaces the regular file `path` by what `body` writes: at every moment, also after a power cut, the old or the new
/// contents are there, whole. Writes a temporary file in the same folder, syncs, renames, syncs the folder; on any
/// error the temporary file is removed.
void write_atomically(const std::filesystem::path& path, const std::function<void(OutputFile&)>& body);

/// True for the name of a temporary file that write_atomically() can have left behind when it was killed.
bool is_temporary(const std::filesystem::path& path);

}  // namespace espalier
