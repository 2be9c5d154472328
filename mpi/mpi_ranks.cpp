// Ranks by MPI. Every transfer is made of messages between pairs, so that whoever does not answer is known by name, and
// waiting is by asking, so that it can end. MPI is called by one thread (MPI_THREAD_FUNNELED).
// The C interface is the one that all families share.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "espalier/error.hpp"
#include "espalier/ranks.hpp"

namespace espalier {
namespace {

using Clock = std::chrono::steady_clock;

// MPI counts in ints.
constexpr std::size_t largest_message = std::size_t{1} << 30;

class MpiRanks final : public Ranks {
public:
    explicit MpiRanks(double timeout_s) : timeout_(timeout_s) {
        MPI_Comm_dup(MPI_COMM_WORLD, &everybody_);
        RankPlace place;
        MPI_Comm_rank(everybody_, &place.rank);
        MPI_Comm_size(everybody_, &place.size);
        set_place(place);
    }

    [[nodiscard]] std::string describe() const override {
        char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
        int length = 0;
        MPI_Get_library_version(text, &length);
        const std::string whole(text);  // "Open MPI v4.1.4, package: ..." or "MPICH Version:      4.0\n..."
        return whole.substr(0, whole.find_first_of(",\n"));
    }

    [[nodiscard]] Ticket begin_all_gather(const void* own, void* all, std::size_t bytes) override {
        auto* const out = static_cast<char*>(const_cast<void*>(own));  // MPI reads it
        char* const in = static_cast<char*>(all);
        return begin([&](std::size_t) { return out; }, [&](std::size_t peer) { return in + peer * bytes; }, bytes);
    }

    [[nodiscard]] Ticket begin_all_to_all(const void* to, void* from, std::size_t bytes) override {
        auto* const out = static_cast<char*>(const_cast<void*>(to));  // MPI reads it
        char* const in = static_cast<char*>(from);
        return begin([&](std::size_t peer) { return out + peer * bytes; },
                     [&](std::size_t peer) { return in + peer * bytes; }, bytes);
    }

    [[nodiscard]] Ticket begin_broadcast(void* data, std::size_t bytes) override {
        Transfer& transfer = transfers_[++last_];
        if (place().rank != 0) {
            receive(transfer, 0, static_cast<char*>(data), bytes);
        } else {
            for (int peer = 1; peer < place().size; ++peer) send(transfer, peer, static_cast<char*>(data), bytes);
        }
        return last_;
    }

    void wait(Ticket ticket) override {
        const auto found = transfers_.find(ticket);
        expects(found != transfers_.end(), "a transfer that was begun");
        Transfer& transfer = found->second;
        const auto start = Clock::now();
        for (std::uint64_t asked = 0;; ++asked) {
            if (are_done(transfer.requests)) break;
            if (asked < 200 && place().sharing == 1) continue;
            const double waited = std::chrono::duration<double>(Clock::now() - start).count();
            if (waited > timeout_) refuse(transfer, waited);
            rest(waited);
        }
        transfers_.erase(found);
    }

    [[nodiscard]] bool is_done(Ticket ticket) override {
        const auto found = transfers_.find(ticket);
        expects(found != transfers_.end(), "a transfer that was begun");
        return are_done(found->second.requests);
    }

    [[noreturn]] void abort(int code) noexcept override {
        MPI_Abort(MPI_COMM_WORLD, code);
        std::_Exit(code);
    }

    void leave(bool in_haste) noexcept override {
        if (in_haste) return;
        MPI_Comm_free(&everybody_);
        MPI_Finalize();
    }

private:
    struct Transfer {
        std::vector<MPI_Request> requests;
        std::vector<int> peers;  // whom each of them waits for
    };

    /// Messages of `bytes` from out(peer) and into in(peer), for every other rank.
    template <class Out, class In>
    Ticket begin(const Out& out, const In& in, std::size_t bytes) {
        Transfer& transfer = transfers_[++last_];
        const int size = place().size;
        for (int i = 1; i < size; ++i) {  // every rank begins with its neighbour, so that no rank is everybody's first
            const int source = (place().rank + size - i) % size;
            receive(transfer, source, in(static_cast<std::size_t>(source)), bytes);
        }
        for (int i = 1; i < size; ++i) {
            const int target = (place().rank + i) % size;
            send(transfer, target, out(static_cast<std::size_t>(target)), bytes);
        }
        return last_;
    }

    void receive(Transfer& transfer, int peer, char* data, std::size_t bytes) {
        in_pieces(bytes, [&](std::size_t at, int count) {
            MPI_Irecv(data + at, count, MPI_BYTE, peer, 0, everybody_, &request_of(transfer, peer));
        });
    }
    void send(Transfer& transfer, int peer, char* data, std::size_t bytes) {
        in_pieces(bytes, [&](std::size_t at, int count) {
            MPI_Isend(data + at, count, MPI_BYTE, peer, 0, everybody_, &request_of(transfer, peer));
        });
    }
    static bool are_done(std::vector<MPI_Request>& requests) {
        int done = 0;
        MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
        return done != 0;
    }
    template <class Piece>
    static void in_pieces(std::size_t bytes, const Piece& piece) {
        for (std::size_t at = 0; at < bytes; at += largest_message) {
            piece(at, static_cast<int>(std::min(largest_message, bytes - at)));
        }
    }
    static MPI_Request& request_of(Transfer& transfer, int peer) {
        transfer.peers.push_back(peer);
        return transfer.requests.emplace_back(MPI_REQUEST_NULL);
    }

    /// Lets others have the CPU: at once where it is theirs too, and for a while where the wait is long.
    void rest(double waited) const {
        if (waited > 0.05) {
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        } else if (place().sharing > 1 || waited > 0.001) {
            sched_yield();
        }
    }

    [[noreturn]] void refuse(Transfer& transfer, double waited) const {
        std::vector<int> missing;
        for (std::size_t i = 0; i < transfer.requests.size(); ++i) {
            if (transfer.requests[i] != MPI_REQUEST_NULL) missing.push_back(transfer.peers[i]);
        }
        std::sort(missing.begin(), missing.end());
        missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
        std::string names;
        for (const int peer : missing) names += (names.empty() ? "" : ", ") + std::to_string(peer);
        char seconds[32];
        std::snprintf(seconds, sizeof seconds, "%.0f", waited);
        throw UserError(ExitCode::ranks, std::string("rank") + (missing.size() > 1 ? "s " : " ") + names +
                                             " did not answer for " + seconds +
                                             " seconds (--rank-timeout); checkpoints are as they were");
    }

    double timeout_;
    MPI_Comm everybody_ = MPI_COMM_NULL;
    std::map<Ticket, Transfer> transfers_;
    Ticket last_ = 0;
};

}  // namespace
}  // namespace espalier

extern "C" __attribute__((visibility("default"))) espalier::Ranks* make_espalier_ranks(int interface, double timeout_s,
                                                                                      char* reason,
                                                                                      std::size_t capacity) {
    const auto refuse = [&](const char* why) {
        std::snprintf(reason, capacity, "%s", why);
        return nullptr;
    };
    if (interface != espalier::ranks_interface) return refuse("it was built for another version of the program");
    int initialized = 0;
    MPI_Initialized(&initialized);
    int provided = MPI_THREAD_FUNNELED;
    if (initialized == 0 && MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
        return refuse("MPI_Init_thread failed");
    }
    if (provided < MPI_THREAD_FUNNELED) return refuse("the MPI library was built without threads");
    try {
        return new espalier::MpiRanks(timeout_s);
    } catch (...) {
        return refuse("there is no memory for it");
    }
}
