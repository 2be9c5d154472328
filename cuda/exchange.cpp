#include "cuda/exchange.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "cuda/check.hpp"
#include "cuda/nccl/nccl_ranks.hpp"
#include "cuda/operations.hpp"
#include "espalier/common/sum_exchange.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {
namespace {

/// What tells one GPU of one machine from all others.
struct Seat {
    char gpu[32] = {};
    char host[64] = {};
};

void expect_own_gpus(Ranks& ranks) {
    Seat own;
    int device = 0;
    check(cudaGetDevice(&device), "asking for the current device");
    check(cudaDeviceGetPCIBusId(own.gpu, sizeof own.gpu, device), "asking for the device's place");
    host_name_of_machine(own.host, sizeof own.host);
    const std::vector<Seat> seats = ranks.gather(own);
    for (std::size_t r = 0; r < seats.size(); ++r) {
        for (std::size_t other = 0; other < r; ++other) {
            if (std::strcmp(seats[r].gpu, seats[other].gpu) != 0 || std::strcmp(seats[r].host, seats[other].host) != 0) continue;
            throw UserError(ExitCode::device, "ranks " + std::to_string(other) + " and " + std::to_string(r) +
                                                  " have one GPU, " + seats[r].gpu + " of " + seats[r].host +
                                                  "; start as many ranks as there are GPUs, or let the launcher give each "
                                                  "its own");
        }
    }
}

}  // namespace

Exchange::Exchange(Ranks& ranks, Memory& memory, cudaStream_t stream) : ranks_(ranks), memory_(memory), stream_(stream) {
    expect_own_gpus(ranks);
    if (auto* const by_nccl = dynamic_cast<NcclRanks*>(&ranks)) {
        communicator_ = &by_nccl->communicator();
        return;
    }
    // Whoever cannot, all end: nobody is to wait for those who cannot come.
    const std::string fault = nccl_fault();
    const std::vector<char> faults = ranks.gather(static_cast<char>(fault.empty() ? 0 : 1));
    for (std::size_t r = 0; r < faults.size(); ++r) {
        if (faults[r] == 0) continue;
        throw UserError(ExitCode::device, fault.empty() ? "rank " + std::to_string(r) + " finds no NCCL" : fault);
    }
    CommunicatorId id{};
    if (ranks.place().rank == 0) id = new_communicator_id();
    ranks.broadcast(&id, sizeof id);
    made_ = std::make_unique<Communicator>(ranks.place().rank, ranks.place().size, id);
    communicator_ = made_.get();
}

void Exchange::make_room() {
    const auto ranks = static_cast<std::size_t>(place().size);
    const std::size_t most = piece_floats(wanted_, place().size) * ranks;
    if (own_.size() >= most) return;
    ++memory_version_;
    own_ = Array<float>();
    received_ = Array<float>();
    own_ = Array<float>(memory_, most);
    const bool gathers = place().size <= gathering_ranks;
    received_ = Array<float>(memory_, std::max(most, gathers ? std::min(wanted_, gathered_floats) * ranks : 0));
}

void Exchange::add(cudaStream_t stream, std::size_t floats, Index tiles) const {
    const auto ranks = static_cast<Index>(place().size);
    const Index there = std::min(ranks, tiles);  // the others' arrays hold nothing
    if (go_whole(floats, place().size)) {
        communicator_->all_gather(own_.data(), received_.data(), floats * sizeof(float), stream);
        sum_arrays(stream, received_.data(), floats, there, floats, own_.data());
        return;
    }
    const std::size_t piece = piece_floats(floats, place().size);
    communicator_->all_to_all(own_.data(), received_.data(), piece * sizeof(float), stream);
    sum_arrays(stream, received_.data(), piece, there, piece, received_.data());
    communicator_->all_gather(received_.data(), own_.data(), piece * sizeof(float), stream);
}

void Exchange::share_tiles(Activations values) {
    const auto ranks = static_cast<Index>(place().size);
    const std::size_t tile_floats = std::size_t{values.rows} * values.lanes;
    const std::size_t of_rank = tile_floats * ((values.tiles() + ranks - 1) / ranks);
    const Borrowed all(memory_, of_rank * ranks * sizeof(float));
    auto* const from = static_cast<float*>(all.data());
    communicator_->all_gather(values.data, from, of_rank * sizeof(float), stream_);
    for (Index tile = 0; tile < values.tiles(); ++tile) {
        check(cudaMemcpyAsync(values.row(tile, 0), from + tile % ranks * of_rank + tile / ranks * tile_floats,
                              tile_floats * sizeof(float), cudaMemcpyDeviceToDevice, stream_),
              "a copy");
    }
}

std::vector<std::byte> Exchange::gather(const std::vector<std::byte>& own) {
    std::vector<std::byte> all(own.size() * static_cast<std::size_t>(place().size));
    ranks_.all_gather(own.data(), all.data(), own.size());
    return all;
}

void Exchange::wait() { wait_for_ranks(stream_, *communicator_, place().timeout_s); }

}  // namespace espalier::cuda
