#include "host/study/claim.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "espalier/error.hpp"
#include "host/formats/output_file.hpp"
#include "host/system/process_name.hpp"
#include "host/system/threads.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using std::chrono::nanoseconds;

fs::path generation(const fs::path& path, int number) {
    fs::path name = path;
    if (number > 1) name += "." + std::to_string(number);
    return name;
}

std::optional<nanoseconds> modified(const fs::path& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    return std::chrono::seconds(status.st_mtim.tv_sec) + nanoseconds(status.st_mtim.tv_nsec);
}

/// Whether a claim's process is known to have ended, which spares the time until it expires.
bool owner_is_gone(const fs::path& claim) {
    std::ifstream file(claim);
    std::string text;
    return std::getline(file, text) && is_gone(process_in(text));
}

/// What time the file system gives a file that is written now.
nanoseconds time_of_new_file(const fs::path& folder) {
    const fs::path file = folder / (".clock-" + std::to_string(::getpid()) + "-" + std::to_string(std::random_device()()));
    const int descriptor = ::open(file.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
    if (descriptor < 0) throw_unwritable(file, errno);
    const bool written = ::write(descriptor, "\n", 1) == 1;
    const int fault = errno;
    ::close(descriptor);
    const auto time = modified(file);
    ::unlink(file.c_str());
    if (!written || !time) throw_unwritable(file, written ? ENOENT : fault);
    return *time;
}

/// The file system's time now; asked at most once a minute, for every question is a file.
nanoseconds folder_time(const fs::path& folder) {
    static std::mutex mutex;
    static fs::path known;
    static nanoseconds offset{};
    static std::chrono::steady_clock::time_point asked;
    const std::lock_guard lock(mutex);
    const auto now = std::chrono::steady_clock::now();
    if (known != folder || now - asked > std::chrono::minutes(1)) {
        offset = time_of_new_file(folder) - std::chrono::steady_clock::now().time_since_epoch();
        known = folder;
        asked = now;
    }
    return std::chrono::steady_clock::now().time_since_epoch() + offset;
}

/// The number of the claim to create: the one after the last, if that expired; null while it lives. A claim that is let
/// go loses its oldest names first, so some may be missing before the last.
std::optional<int> next_generation(const fs::path& path, ClaimTimes times) {
    constexpr int longest_gap = 4;
    int last = 0;
    std::optional<nanoseconds> touched;
    for (int number = 1; number <= last + longest_gap; ++number) {
        if (const auto time = modified(generation(path, number))) {
            last = number;
            touched = time;
        }
    }
    const auto lives = [&] {
        return folder_time(path.parent_path()) - *touched <= times.expires && !owner_is_gone(generation(path, last));
    };
    if (touched && lives()) return std::nullopt;
    return last + 1;
}

}  // namespace

class Claim::Impl {
public:
    Impl(fs::path path, int number, ClaimTimes times) : path_(std::move(path)), number_(number), times_(times) {}
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        {
            const std::lock_guard lock(mutex_);
            ended_ = true;
        }
        end_.notify_all();
        if (toucher_.joinable()) toucher_.join();
        // The oldest first: while the last stands, whoever looks finds the claim taken.
        for (int number = 1; number <= number_; ++number) ::unlink(generation(path_, number).c_str());
    }

    void begin_touching() {
        toucher_ = start_thread([this] { touch(); });
    }
    [[nodiscard]] bool lost() const {
        return modified(generation(path_, number_ + 1)).has_value() || !modified(generation(path_, number_)).has_value();
    }

private:
    void touch() {
        std::unique_lock lock(mutex_);
        while (!end_.wait_for(lock, times_.touch, [this] { return ended_; })) {
            ::utimensat(AT_FDCWD, generation(path_, number_).c_str(), nullptr, 0);  // now, by the file system's clock
        }
    }

    fs::path path_;
    int number_;
    ClaimTimes times_;
    std::mutex mutex_;
    std::condition_variable end_;
    bool ended_ = false;
    std::jthread toucher_;
};

Claim::Claim(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Claim::~Claim() = default;
bool Claim::lost() const { return impl_->lost(); }

std::unique_ptr<Claim> Claim::take(const fs::path& path, ClaimTimes times) {
    const auto number = next_generation(path, times);
    if (!number) return nullptr;
    const fs::path file = generation(path, *number);
    const int descriptor = ::open(file.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        if (errno == EEXIST) return nullptr;
        throw_unwritable(file, errno);
    }
    const std::string text = text_of(this_process());
    const bool written = ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const int fault = errno;
    ::close(descriptor);
    if (!written) {
        ::unlink(file.c_str());
        throw_unwritable(file, fault);
    }
    auto impl = std::make_unique<Impl>(path, *number, times);  // lets the claim go if what follows fails
    impl->begin_touching();
    return std::unique_ptr<Claim>(new Claim(std::move(impl)));
}

bool is_claimed(const fs::path& path, ClaimTimes times) { return !next_generation(path, times).has_value(); }

}  // namespace espalier
