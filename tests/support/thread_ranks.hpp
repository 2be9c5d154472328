// Ranks that are threads of one process: what travels is copied, in the order of the calls, and whoever does not come is
// noticed. Tests of what several ranks compute need no MPI with them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "espalier/error.hpp"
#include "espalier/ranks.hpp"

namespace espalier {

/// Where the threads meet.
class Meeting {
public:
    explicit Meeting(int size) : size_(size), given_(static_cast<std::size_t>(size)) {}
    [[nodiscard]] int size() const { return size_; }

    /// Everybody gives an address; when all have, each calls take(addresses), and nobody leaves before all have.
    template <class Take>
    void meet(int rank, const void* own, const Take& take) {
        given_[static_cast<std::size_t>(rank)] = own;
        arrive();
        take(given_);
        arrive();
    }

private:
    void arrive() {
        std::unique_lock lock(mutex_);
        const std::uint64_t generation = generation_;
        if (++arrived_ == size_) {
            arrived_ = 0;
            ++generation_;
            changed_.notify_all();
            return;
        }
        if (!changed_.wait_for(lock, std::chrono::seconds(120), [&] { return generation_ != generation; })) {
            throw UserError(ExitCode::ranks, "a rank did not come");
        }
    }

    int size_;
    std::vector<const void*> given_;
    std::mutex mutex_;
    std::condition_variable changed_;
    int arrived_ = 0;
    std::uint64_t generation_ = 0;
};

class ThreadRanks final : public Ranks {
public:
    ThreadRanks(Meeting& meeting, int rank) : meeting_(meeting) {
        set_place({rank, meeting.size(), rank, meeting.size(), meeting.size()});
    }
    [[nodiscard]] std::string describe() const override { return "threads"; }
    [[nodiscard]] Ticket begin_all_gather(const void* own, void* all, std::size_t bytes) override {
        const std::vector<char> mine(static_cast<const char*>(own), static_cast<const char*>(own) + bytes);
        meeting_.meet(place().rank, mine.data(), [&](const std::vector<const void*>& given) {
            for (std::size_t r = 0; r < given.size(); ++r) {
                if (is_other(r)) copy(static_cast<char*>(all) + r * bytes, given[r], bytes);
            }
        });
        return 0;
    }
    [[nodiscard]] Ticket begin_all_to_all(const void* to, void* from, std::size_t bytes) override {
        const std::size_t mine = static_cast<std::size_t>(place().rank) * bytes;
        meeting_.meet(place().rank, to, [&](const std::vector<const void*>& given) {
            for (std::size_t r = 0; r < given.size(); ++r) {
                if (is_other(r)) copy(static_cast<char*>(from) + r * bytes, static_cast<const char*>(given[r]) + mine, bytes);
            }
        });
        return 0;
    }
    [[nodiscard]] Ticket begin_broadcast(void* data, std::size_t bytes) override {
        meeting_.meet(place().rank, data, [&](const std::vector<const void*>& given) {
            if (place().rank != 0) copy(data, given[0], bytes);
        });
        return 0;
    }
    void wait(Ticket /*ticket*/) override {}
    [[nodiscard]] bool is_done(Ticket /*ticket*/) override { return true; }
    [[noreturn]] void abort(int /*code*/) noexcept override { std::abort(); }
    void leave(bool /*in_haste*/) noexcept override {}

private:
    [[nodiscard]] bool is_other(std::size_t rank) const { return rank != static_cast<std::size_t>(place().rank); }
    static void copy(void* to, const void* from, std::size_t bytes) {
        if (bytes > 0) std::memcpy(to, from, bytes);
    }
    Meeting& meeting_;
};

/// Calls work(ranks) on `size` threads, null instead of one rank alone, and throws what any of them threw, the first
/// rank's first.
inline void on_ranks(int size, const std::function<void(Ranks*)>& work) {
    if (size == 1) return work(nullptr);
    Meeting meeting(size);
    std::vector<std::exception_ptr> thrown(static_cast<std::size_t>(size));
    std::vector<std::thread> threads;
    for (int r = 0; r < size; ++r) {
        threads.emplace_back([&, r] {
            ThreadRanks ranks(meeting, r);
            try {
                work(&ranks);
            } catch (...) {
                thrown[static_cast<std::size_t>(r)] = std::current_exception();
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& each : thrown) {
        if (each) std::rethrow_exception(each);
    }
}

}  // namespace espalier
