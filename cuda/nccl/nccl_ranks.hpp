// Ranks brought together by NCCL alone, where a launcher gave no more than torchrun's variables: RANK, WORLD_SIZE,
// LOCAL_RANK, MASTER_ADDR and MASTER_PORT. What hosts tell each other goes through GPU memory.
#pragma once

#include <optional>
#include <string>

#include "cuda/memory.hpp"
#include "cuda/nccl/communicator.hpp"
#include "cuda/stream.hpp"
#include "espalier/ranks.hpp"

namespace espalier::cuda {

class NcclRanks final : public Ranks {
public:
    /// On the current device. Throws UserError (device).
    NcclRanks(const RankPlace& place, int device, const CommunicatorId& id);
    ~NcclRanks() override;

    [[nodiscard]] std::string describe() const override { return nccl_version(); }
    // Transfers are done when they were begun.
    [[nodiscard]] Ticket begin_all_gather(const void* own, void* all, std::size_t bytes) override;
    [[nodiscard]] Ticket begin_all_to_all(const void* to, void* from, std::size_t bytes) override;
    [[nodiscard]] Ticket begin_broadcast(void* data, std::size_t bytes) override;
    void wait(Ticket /*ticket*/) override {}
    [[nodiscard]] bool is_done(Ticket /*ticket*/) override { return true; }
    [[noreturn]] void abort(int code) noexcept override;
    void leave(bool in_haste) noexcept override;

    [[nodiscard]] Communicator& communicator() { return *communicator_; }
    [[nodiscard]] int device() const { return device_; }

private:
    /// Copies `bytes` to the first `sent` of memory for `received` more, lets `move` enqueue, copies those back.
    template <class Move>
    void travel(const void* from, std::size_t sent, void* to, std::size_t received, const Move& move);

    int device_;
    OwnStream stream_;
    Memory memory_;
    std::optional<Communicator> communicator_;
};

/// Joins the processes that the environment speaks of. Throws UserError (device) with why that cannot be.
Ranks* join_by_nccl(double timeout_s);

}  // namespace espalier::cuda
