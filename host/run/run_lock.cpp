#include "host/run/run_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "espalier/error.hpp"
#include "host/formats/output_file.hpp"
#include "host/run/run_layout.hpp"

namespace espalier {

namespace {

/// True if `path` still names the open file: the owner before us may have removed it after we opened it.
bool is_at(int file, const std::filesystem::path& path) {
    struct stat open_file {};
    struct stat named {};
    return ::fstat(file, &open_file) == 0 && ::stat(path.c_str(), &named) == 0 && open_file.st_ino == named.st_ino &&
           open_file.st_dev == named.st_dev;
}

std::string owner_in(int file) {
    char text[32] = {};
    const ssize_t got = ::pread(file, text, sizeof text - 1, 0);
    std::string owner(text, got > 0 ? static_cast<std::size_t>(got) : 0);
    return owner.substr(0, owner.find_first_not_of("0123456789"));
}

/// 0, or why not. Short writes are finished, interrupted calls made again.
int replace_contents(int file, const std::string& text) {
    while (::ftruncate(file, 0) != 0) {
        if (errno != EINTR) return errno;
    }
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t written = ::pwrite(file, text.data() + done, text.size() - done, static_cast<off_t>(done));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return written < 0 ? errno : ENOSPC;
        done += static_cast<std::size_t>(written);
    }
    return 0;
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& folder) : path_(folder / run_layout::lock) {
    for (;;) {
        file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (file_ < 0) throw_unwritable(path_, errno);
        if (::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            const std::string owner = owner_in(file_);
            ::close(file_);
            throw UserError(ExitCode::usage, folder.string() + " is being written by process " +
                                                 (owner.empty() ? "unknown" : owner) +
                                                 "; wait for it to end or choose another --out");
        }
        // Any other error: a file system without locks, where there is nothing but the process id to see.
        if (is_at(file_, path_)) break;
        ::close(file_);
    }
    stale_owner_ = owner_in(file_);
    const std::string own = std::to_string(::getpid()) + "\n";
    if (const int error = replace_contents(file_, own); error != 0) {
        ::unlink(path_.c_str());
        ::close(file_);
        throw_unwritable(path_, error);
    }
}

RunLock::~RunLock() {
    ::unlink(path_.c_str());
    ::close(file_);
}

}  // namespace espalier
