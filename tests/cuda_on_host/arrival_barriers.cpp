#include "arrival_barriers.hpp"

#include <string>

namespace cuda_on_host {

namespace {

constexpr unsigned identity_shift = 32;  // a token: the barrier above, the phase below

[[noreturn]] void complain(const Where& where, const std::string& wrong) {
    fail(std::string(where.what) + ", " + text(where.site) + ": " + wrong);
}

void check_place(const SharedMemory& shared, const std::uint64_t* address, const Where& where) {
    if (!shared.holds(address, sizeof *address)) complain(where, "the barrier lies outside shared memory");
    if (reinterpret_cast<std::uintptr_t>(address) % sizeof *address != 0) {
        complain(where, "the barrier's address is not a multiple of 8 bytes");
    }
}

}  // namespace

ArrivalBarrier& ArrivalBarriers::init(const SharedMemory& shared, std::uint64_t* address, unsigned count,
                                      const Where& where) {
    check_place(shared, address, where);
    if (count == 0 || count > max_count) {
        complain(where, "a count of " + std::to_string(count) + "; it is 1 to " + std::to_string(max_count));
    }
    if (const auto known = barriers_.find(address); known != barriers_.end()) {
        const std::size_t waiting = known->second.waiting.size();
        complain(where,
                 "the barrier is initialised already" +
                     (waiting == 0 ? std::string() : ", and " + std::to_string(waiting) + " threads wait for it"));
    }
    ArrivalBarrier& barrier = barriers_[address];
    barrier.index = barriers_.size() - 1;
    barrier.identity = ++made_ << identity_shift;
    barrier.count = count;
    *address = barrier.identity;
    return barrier;
}

ArrivalBarrier& ArrivalBarriers::at(const SharedMemory& shared, const std::uint64_t* address, const Where& where) {
    check_place(shared, address, where);
    const auto known = barriers_.find(address);
    if (known == barriers_.end()) complain(where, "the barrier was never initialised");
    if (*address != known->second.identity) complain(where, "something was written over the barrier");
    return known->second;
}

std::uint64_t ArrivalBarriers::arrive(ArrivalBarrier& barrier) {
    const std::uint64_t token = barrier.identity | barrier.phase;
    if (++barrier.arrived == barrier.count) {
        barrier.arrived = 0;
        ++barrier.phase;
    }
    return token;
}

bool ArrivalBarriers::has_ended(const ArrivalBarrier& barrier, std::uint64_t token, const Where& where) {
    if (token >> identity_shift != barrier.identity >> identity_shift) complain(where, "a token of another barrier");
    const std::uint64_t phase = token - barrier.identity;
    if (phase > barrier.phase) complain(where, "a token that no arrival gave");
    if (barrier.phase - phase > 1) {
        complain(where, "a token of phase " + std::to_string(phase) + ", but phase " + std::to_string(phase + 1) +
                            " has ended, too: a device would take the one for the other");
    }
    return barrier.phase > phase;
}

}  // namespace cuda_on_host
