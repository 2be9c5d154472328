// One process per run folder: run.lock names its owner (process, host, start time) and is locked as long as that
// process lives, however it ends. What a dead process left behind is recognised and taken over. On a file system
// without locks whoever creates the file holds the folder, and what is there is taken over only if its owner ran on
// this host and is gone.
#pragma once

#include <filesystem>
#include <string>

namespace espalier {

class RunLock {
public:
    /// Throws UserError: usage naming the process that holds the folder, io if the file cannot be written.
    explicit RunLock(const std::filesystem::path& folder);
    RunLock(const RunLock&) = delete;
    RunLock& operator=(const RunLock&) = delete;
    /// Removes the file.
    ~RunLock();

    /// Process id of an owner that died without removing its lock; empty if there was none.
    [[nodiscard]] const std::string& stale_owner() const { return stale_owner_; }

private:
    /// False on a file system without locks.
    bool lock(const std::filesystem::path& folder);
    void take_without_locks(const std::filesystem::path& folder);
    void write_owner();

    std::filesystem::path path_;
    int file_ = -1;
    std::string stale_owner_;
};

}  // namespace espalier
