// Files this program writes. Whatever goes wrong (no space, no permission, read-only, over a quota) becomes a
// UserError (io) with path and reason, and what was there before the call is still there after it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace espalier {

/// The error for `path` and an errno value: "cannot write PATH: reason".
[[noreturn]] void throw_unwritable(const std::filesystem::path& path, int error);

/// A file opened for writing from its start. Throws as above; the destructor closes without a word.
class OutputFile {
public:
    /// Creates the file, or empties it. Errors call it `shown`, for a file that is only on its way to that name.
    OutputFile(const std::filesystem::path& path, std::filesystem::path shown);
    explicit OutputFile(const std::filesystem::path& path) : OutputFile(path, path) {}
    /// Opens a file that is there, cut back to its first `size` bytes, to append to it.
    static OutputFile reopened(const std::filesystem::path& path, std::uint64_t size);
    /// Either: begins a file, or goes on after the first `size` bytes of one.
    static OutputFile growing(const std::filesystem::path& path, std::optional<std::uint64_t> size) {
        return size.has_value() ? reopened(path, *size) : OutputFile(path);
    }
    OutputFile(OutputFile&& other) noexcept;
    OutputFile& operator=(OutputFile&&) = delete;
    ~OutputFile();

    void write(const void* bytes, std::size_t size);
    /// Appends all of `text` or, if that fails, none of it.
    void append(std::string_view text);
    /// Waits until the contents are on the disk.
    void sync();
    void close();
    /// Bytes written, those before reopening included.
    [[nodiscard]] std::uint64_t size() const { return size_; }
    /// Everything written from now on passes `watcher` too.
    void watch(std::function<void(const void*, std::size_t)> watcher) { watcher_ = std::move(watcher); }

private:
    OutputFile() = default;

    std::filesystem::path shown_;
    int file_ = -1;
    std::uint64_t size_ = 0;
    std::function<void(const void*, std::size_t)> watcher_;
};

/// Opens a file that is there to write into it, cut back to its first `size` bytes. Throws as above; a file shorter
/// than that is an error too.
int reopen(const std::filesystem::path& path, std::uint64_t size);

/// Waits until an open file's contents are on the disk. On a file system that cannot say, warns once and goes on.
void sync_file(int descriptor, const std::filesystem::path& path);

/// Replaces the regular file `path` by what `body` writes: at every moment, also after a power cut, the old or the new
/// contents are there, whole. Writes a temporary file in the same folder, syncs, renames, syncs the folder; on any
/// error the temporary file is removed. `verify`, if given, reads the temporary file back before it takes its place,
/// and throws if it is not what was written.
void write_atomically(const std::filesystem::path& path, const std::function<void(OutputFile&)>& body,
                      const std::function<void(const std::filesystem::path&)>& verify = {});

/// True for the name of a temporary file that write_atomically() can have left behind when it was killed.
bool is_temporary(const std::filesystem::path& path);

}  // namespace espalier
