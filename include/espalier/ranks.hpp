// The processes ("ranks") that train one network together. A rank holds the whole network and computes the batch tiles
// t with t mod size == rank; what it tells the others goes through this seam. It moves bytes and never adds: sums are the
// backends' own, in one order, so that bits depend on no library, network or algorithm.
//
// Calls are collective: every rank makes the same ones in the same order, from one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace espalier {

/// One rank's place among all.
struct RankPlace {
    int rank = 0;
    int size = 1;
    int local_rank = 0;  // among those on this machine
    int local_size = 1;
    int sharing = 1;  // ranks that share this one's CPUs, itself included
    double timeout_s = 600;  // for how long a rank may keep the others waiting
    bool on_gpus = false;    // brought together by NCCL: each has a GPU
};

class Ranks {
public:
    /// A transfer that was begun; wait() takes it once.
    using Ticket = std::uint64_t;

    Ranks() = default;
    Ranks(const Ranks&) = delete;
    Ranks& operator=(const Ranks&) = delete;
    virtual ~Ranks() = default;

    [[nodiscard]] const RankPlace& place() const { return place_; }
    void set_place(const RankPlace& place) { place_ = place; }
    /// "Open MPI 4.1.4", say.
    [[nodiscard]] virtual std::string describe() const = 0;

    /// `own`: `bytes` for everybody; `all`: as many from each other rank, in rank order. Its own place there is left alone,
    /// and `own` may be that.
    [[nodiscard]] virtual Ticket begin_all_gather(const void* own, void* all, std::size_t bytes) = 0;
    /// `to`: `bytes` for each rank, in rank order; `from`: as many from each other rank. The two do not overlap, and what
    /// is its own stays where it is.
    [[nodiscard]] virtual Ticket begin_all_to_all(const void* to, void* from, std::size_t bytes) = 0;
    /// From rank 0 to all others.
    [[nodiscard]] virtual Ticket begin_broadcast(void* data, std::size_t bytes) = 0;
    /// Memory given to the transfer is its own until then. Throws UserError (ranks) naming the ranks that were waited for
    /// in vain, after the time that the ranks were opened with.
    virtual void wait(Ticket ticket) = 0;
    /// Whether wait() would return at once. Libraries that move bytes only inside their calls do so here.
    [[nodiscard]] virtual bool is_done(Ticket ticket) = 0;

    /// Ends all ranks' processes with this code, whatever they do. Says nothing.
    [[noreturn]] virtual void abort(int code) noexcept = 0;
    /// The last call. In haste nothing is waited for: the launcher is about to kill everybody.
    virtual void leave(bool in_haste) noexcept = 0;

    /// Its own place in `all` included.
    void all_gather(const void* own, void* all, std::size_t bytes) {
        void* const place = static_cast<char*>(all) + static_cast<std::size_t>(place_.rank) * bytes;
        if (place != own) std::memcpy(place, own, bytes);
        wait(begin_all_gather(place, all, bytes));
    }
    void broadcast(void* data, std::size_t bytes) { wait(begin_broadcast(data, bytes)); }
    /// A trivially copyable value of every rank, in rank order.
    template <class T>
    [[nodiscard]] std::vector<T> gather(const T& own) {
        std::vector<T> all(static_cast<std::size_t>(place_.size));
        all_gather(&own, all.data(), sizeof(T));
        return all;
    }

private:
    RankPlace place_;
};

// ---- the module that brings ranks together by MPI: a shared object, opened at run time

/// Bumped whenever the seam changes.
inline constexpr int ranks_interface = 4;
/// One for each family of MPI libraries, whose binary interfaces differ.
inline constexpr const char* openmpi_module_name = "libespalier_openmpi.so";
inline constexpr const char* mpich_module_name = "libespalier_mpich.so";
inline constexpr const char* ranks_module_entry = "make_espalier_ranks";

/// Of the CUDA module (module.hpp), which brings ranks together by NCCL and torchrun's variables: an entry of the same kind.
inline constexpr const char* nccl_ranks_entry = "make_nccl_ranks";

/// The entry: `extern "C" espalier::Ranks* make_espalier_ranks(int interface, double timeout_s, char* reason, std::size_t
/// capacity)`. Joins the other ranks; whoever opened the module deletes the result. Null with why not in `reason`, one
/// sentence of at most `capacity` bytes, the closing zero included. Throws nothing.
using MakeRanks = Ranks* (*)(int interface, double timeout_s, char* reason, std::size_t capacity);

}  // namespace espalier
