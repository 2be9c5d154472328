#include "host/output_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "espalier/error.hpp"

namespace espalier {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view temporary_mark = ".tmp-";

/// Makes a rename in `folder` survive a power cut. Some file systems cannot sync a folder and say EINVAL.
void sync_folder(const fs::path& folder) {
    const fs::path named = folder.empty() ? fs::path(".") : folder;
    const int descriptor = ::open(named.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) throw_unwritable(named, errno);
    const int error = ::fsync(descriptor) == 0 ? 0 : errno;
    ::close(descriptor);
    if (error != 0 && error != EINVAL) throw_unwritable(named, error);
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
    : shown_(std::move(other.shown_)), file_(std::exchange(other.file_, -1)), size_(other.size_) {}

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
        next += written;
        size -= static_cast<std::size_t>(written);
        size_ += static_cast<std::size_t>(written);
    }
}

void OutputFile::append(std::string_view text) {
    const std::size_t before = size_;
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

void OutputFile::sync() {
    while (::fsync(file_) != 0) {
        if (errno != EINTR) throw_unwritable(shown_, errno);
    }
}

void OutputFile::close() {
    // Closed whatever it returns; EINTR leaves nothing to repeat on Linux.
    if (::close(std::exchange(file_, -1)) != 0 && errno != EINTR) throw_unwritable(shown_, errno);
}

void write_atomically(const fs::path& path, const std::function<void(OutputFile&)>& body) {
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
