// Who runs a cell of a study: a claim is a file beside the run's folder that one process created and keeps touching. Any
// number of processes on any number of machines share a study by nothing but a folder that all of them see; no locks, for
// some clusters' file systems have none.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace espalier {

/// A claim nobody touched for so long is taken over, one of a process of this machine that ended at once. File systems of clusters may show a time up to 60 s late.
constexpr std::chrono::seconds claim_expires{180};

struct ClaimTimes {
    std::chrono::milliseconds touch = std::chrono::seconds(20);
    std::chrono::milliseconds expires = claim_expires;
};

/// Held from take() on; touched by a thread of its own; let go when destroyed.
class Claim {
public:
    /// The claim `path` if it is free or expired, null if a process that lives has it. Whether a claim expired is judged
    /// by the file system's clock alone, so clocks of machines need not agree. Claims that take the place of an expired
    /// one are called `path`.2, .3 ...: creating the next name is what only one taker can do. Throws UserError (io; device
    /// if no thread can be had).
    static std::unique_ptr<Claim> take(const std::filesystem::path& path, ClaimTimes times = {});

    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    ~Claim();

    /// Whether another process took it over, because this one was held up for longer than claims last.
    [[nodiscard]] bool lost() const;

private:
    class Impl;
    explicit Claim(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// Whether a process that lives has the claim `path`.
bool is_claimed(const std::filesystem::path& path, ClaimTimes times = {});

}  // namespace espalier
