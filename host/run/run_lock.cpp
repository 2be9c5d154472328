#include "host/run/run_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "espalier/error.hpp"
#include "host/formats/output_file.hpp"
#include "host/run/run_layout.hpp"
#include "host/system/process_name.hpp"
#include "host/system/progress.hpp"

namespace espalier {

namespace {

/// True if `path` still names the open file: the owner before us may have removed it after we opened it.
bool is_at(int file, const std::filesystem::path& path) {
    struct stat open_file {};
    struct stat named {};
    return ::fstat(file, &open_file) == 0 && ::stat(path.c_str(), &named) == 0 && open_file.st_ino == named.st_ino &&
           open_file.st_dev == named.st_dev;
}

ProcessName owner_in(int file) {
    char text[400] = {};
    const ssize_t got = ::pread(file, text, sizeof text - 1, 0);
    return process_in(std::string(text, got > 0 ? static_cast<std::size_t>(got) : 0));
}

[[noreturn]] void refuse_held(const std::filesystem::path& folder, const ProcessName& owner, const std::string& cure) {
    throw UserError(ExitCode::usage, folder.string() + " is being written by process " +
                                         (owner.process.empty() ? "unknown" : owner.process) +
                                         (owner.host.empty() ? "" : " on " + owner.host) + "; " + cure);
}

bool knows_no_locks(int error) {
    return error == ENOLCK || error == ENOSYS || error == EOPNOTSUPP || error == ENOTSUP || error == EINVAL;
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
    if (!lock(folder)) {
        take_without_locks(folder);
        warn_once(folder.string() + " lies on a file system without locks: " + run_layout::lock +
                  " alone keeps other processes out of it");
    }
    try {
        write_owner();
    } catch (const UserError&) {
        ::unlink(path_.c_str());
        ::close(file_);
        throw;
    }
}

bool RunLock::lock(const std::filesystem::path& folder) {
    constexpr int most_tries = 1000;  // some network file systems give a file another number at every look
    for (int tries = 0;; ++tries) {
        // A file that is there may be another's on a file system without locks: it is looked at, not touched.
        bool made = false;
        do {
            file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
            made = file_ >= 0;
            if (!made && errno == EEXIST) file_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
        } while (file_ < 0 && (errno == ENOENT || errno == EINTR) && ++tries < most_tries);
        if (file_ < 0) throw_unwritable(path_, errno);
        int locked = 0;
        while ((locked = ::flock(file_, LOCK_EX | LOCK_NB)) != 0 && errno == EINTR) {
        }
        if (locked != 0) {
            const int error = errno;
            const ProcessName owner = owner_in(file_);
            if (error == EWOULDBLOCK) {
                ::close(file_);
                refuse_held(folder, owner, "wait for it to end or choose another --out");
            }
            if (knows_no_locks(error) && made) return false;  // ours by being the first
            ::close(file_);
            file_ = -1;
            if (knows_no_locks(error)) return false;
            if (made) ::unlink(path_.c_str());
            throw_unwritable(path_, error);
        }
        if (is_at(file_, path_) || tries >= most_tries) break;
        ::close(file_);
    }
    stale_owner_ = owner_in(file_).process;
    return true;
}

/// Only one of several processes that find a dead owner's file may replace it: the one that creates a second file.
void RunLock::take_without_locks(const std::filesystem::path& folder) {
    if (file_ >= 0) return;
    const std::filesystem::path second = path_.parent_path() / run_layout::takeover;
    const int turn = ::open(second.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    const int error = errno;
    const int found = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    const ProcessName owner = found >= 0 ? owner_in(found) : ProcessName{};
    if (found >= 0) ::close(found);
    if (turn < 0) {
        if (error != EEXIST) throw_unwritable(second, error);
        refuse_held(folder, owner, "if there is none, remove " + second.string());
    }
    if (!is_gone(owner)) {
        ::unlink(second.c_str());
        ::close(turn);
        refuse_held(folder, owner,
                    "wait for it to end or choose another --out; if there is no such process, remove " +
                        path_.string());
    }
    ::unlink(path_.c_str());
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    const int failed = errno;
    ::unlink(second.c_str());
    ::close(turn);
    if (file_ < 0) throw_unwritable(path_, failed);
    stale_owner_ = owner.process;
}

void RunLock::write_owner() {
    if (const int error = replace_contents(file_, text_of(this_process())); error != 0) throw_unwritable(path_, error);
}

RunLock::~RunLock() {
    ::unlink(path_.c_str());
    ::close(file_);
}

}  // namespace espalier
