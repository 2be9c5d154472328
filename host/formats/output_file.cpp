#include "host/formats/output_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

#include "espalier/error.hpp"
#include "host/system/progress.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view temporary_mark = ".tmp-";

/// Some file systems cannot sync at all, others no folder.
bool knows_no_sync(int error) {
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == ENOTSUP ;
}

/// Makes a rename in `folder` survive a power cut, where the file system can.
void sync_folder(const fs::path& folder) {
    const fs::path named = folder.empty() ? fs::path(".") : folder;
    const int descriptor = ::open(named.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) throw_unwritable(named, errno);
    const int error = ::fsync(descriptor) == 0 ? 0 : errno;
    ::close(descriptor);
    if (error != 0 && !knows_no_sync(error)) throw_unwritable(named, error);
}

}  // namespace

void throw_unwritable(const fs::path& path, int error) {
    throw UserError(ExitCode::io, "cannot write " + path.string() + ": " + std::generic_category().message(error));
}

OutputFile::OutputFile(const fs::path& path, fs::path shown) : shown_(std::move(shown)) {
    do {
        file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    } while (file_ < 0 && errno == EINTR);
    if (file_ < 0) throw_unwritable(shown_, errno);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : shown_(std::move(other.shown_)),
      file_(std::exchange(other.file_, -1)),
      size_(other.size_),
      watcher_(std::move(other.watcher_)) {}

OutputFile OutputFile::reopened(const fs::path& path, std::uint64_t size) {
    OutputFile file;
    file.shown_ = path;
    file.file_ = reopen(path, size);
    file.size_ = size;
    if (::lseek(file.file_, 0, SEEK_END) < 0) throw_unwritable(path, errno);
    return file;
}

OutputFile::~OutputFile() {
    if (file_ >= 0) ::close(file_);
}

void OutputFile::write(const void* bytes, std::size_t size) {
    const char* next = static_cast<const char*>(bytes);
    while (size > 0) {
        const ssize_t written = ::write(file_, next, size);
        if (written < 0) {
            if (errno == EINTR) continue;
            throw_unwritable(shown_, errno);
        }
        if (watcher_) watcher_(next, static_cast<std::size_t>(written));
        next += written;
        size -= static_cast<std::size_t>(written);
        size_ += static_cast<std::uint64_t>(written);
    }
}

void OutputFile::append(std::string_view text) {
    const std::uint64_t before = size_;
    try {
        write(text.data(), text.size());
    } catch (const UserError&) {
        // A file that cannot be cut back, a pipe say, cannot be helped; the error that counts is the first.
        if (::ftruncate(file_, static_cast<off_t>(before)) == 0) {
            ::lseek(file_, static_cast<off_t>(before), SEEK_SET);
            size_ = before;
        }
        throw;
    }
}

void OutputFile::sync() { sync_file(file_, shown_); }

void OutputFile::close() {
    // Closed whatever it returns; EINTR leaves nothing to repeat on Linux.
    if (::close(std::exchange(file_, -1)) != 0 && errno != EINTR) throw_unwritable(shown_, errno);
}

int reopen(const fs::path& path, std::uint64_t size) {
    int file = -1;
    do {
        file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    } while (file < 0 && errno == EINTR);
    if (file < 0) throw_unwritable(path, errno);
    try {
        struct stat status {};
        if (::fstat(file, &status) != 0) throw_unwritable(path, errno);
        if (static_cast<std::uint64_t>(status.st_size) < size) {
            throw UserError(ExitCode::io, "cannot go on writing " + path.string() + ": it has " +
                                              std::to_string(status.st_size) + " bytes, expected at least " +
                                              std::to_string(size));
        }
        if (::ftruncate(file, static_cast<off_t>(size)) != 0) throw_unwritable(path, errno);
    } catch (...) {
        ::close(file);
        throw;
    }
    return file;
}

void sync_file(int descriptor, const fs::path& path) {
    while (::fsync(descriptor) != 0) {
        if (errno == EINTR) continue;
        if (!knows_no_sync(errno)) throw_unwritable(path, errno);
        static std::atomic<bool> said{false};  // once is enough, whichever file it was
        if (said.exchange(true)) return;
        warn_once("the file system of " + path.string() +
                  " cannot sync: what a power cut leaves of files just written is up to it");
        return;
    }
}

void write_atomically(const fs::path& path, const std::function<void(OutputFile&)>& body,
                      const std::function<void(const fs::path&)>& verify) {
    std::error_code unreadable;
    const auto status = fs::status(path, unreadable);
    if (fs::exists(status) && !fs::is_regular_file(status)) {
        throw UserError(ExitCode::io, "cannot write " + path.string() + ": it exists and is not a regular file");
    }
    fs::path temporary = path;
    temporary += std::string(temporary_mark) + std::to_string(::getpid());
    try {
        OutputFile file(temporary, path);
        body(file);
        file.sync();
        file.close();
        if (verify) verify(temporary);
        fs::rename(temporary, path);
    } catch (const fs::filesystem_error& failed) {
        ::unlink(temporary.c_str());
        throw_unwritable(path, failed.code().value());
    } catch (...) {
        ::unlink(temporary.c_str());
        throw;
    }
    sync_folder(path.parent_path());
}

bool is_temporary(const fs::path& path) {
    const std::string name = path.filename().string();
    const auto mark = name.rfind(temporary_mark);
    return mark != std::string::npos && mark > 0 && mark + temporary_mark.size() < name.size() &&
           name.find_first_not_of("0123456789", mark + temporary_mark.size()) == std::string::npos;
}

}  // namespace espalier
