#include "cuda/nccl/nccl_ranks.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/check.hpp"
#include "cuda/device.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {
namespace {

// of the device's memory, at a time
constexpr std::size_t largest_transfer = std::size_t{16} << 20;

/// A variable of the environment, which torchrun sets. Throws UserError (device) where there is none.
const char* value_of(const char* name) {
    const char* const text = std::getenv(name);
    if (text == nullptr) throw UserError(ExitCode::device, std::string(name) + " is not set");
    return text;
}

/// The same as a number in [0, most].
int number_in(const char* name, int most) {
    const char* const text = value_of(name);
    const char* const end = text + std::strlen(text);
    int number = -1;
    const auto read = std::from_chars(text, end, number);
    if (read.ec == std::errc() && read.ptr == end && number >= 0 && number <= most) return number;
    throw UserError(ExitCode::device, std::string(name) + ": " + text + " is outside [0, " + std::to_string(most) + "]");
}

void copy_now(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    if (bytes > 0) check(cudaMemcpyAsync(to, from, bytes, kind, stream), "a copy");
}

}  // namespace

NcclRanks::NcclRanks(const RankPlace& place, int device, const CommunicatorId& id) : device_(device), memory_(stream_) {
    set_place(place);
    communicator_.emplace(place.rank, place.size, id);
}

NcclRanks::~NcclRanks() { static_cast<void>(cudaSetDevice(device_)); }

template <class Move>
void NcclRanks::travel(const void* from, std::size_t sent, void* to, std::size_t received, const Move& move) {
    make_current(device_);
    const Borrowed memory(memory_, sent + received);
    auto* const first = static_cast<std::byte*>(memory.data());
    copy_now(first, from, sent, cudaMemcpyHostToDevice, stream_);
    move(first, first + sent);
    wait_for_ranks(stream_, *communicator_, place().timeout_s);
    copy_now(to, first + sent, received, cudaMemcpyDeviceToHost, stream_);
    check(cudaStreamSynchronize(stream_), "work on the device");
}

Ranks::Ticket NcclRanks::begin_all_gather(const void* own, void* all, std::size_t bytes) {
    const auto size = static_cast<std::size_t>(place().size);
    const std::size_t most = largest_transfer / size;
    std::vector<std::byte> sent(bytes);  // `own` may be its place in `all`
    if (bytes > 0) std::memcpy(sent.data(), own, bytes);
    std::vector<std::byte> piece(std::min(bytes, most) * size);
    for (std::size_t at = 0; at < bytes; at += most) {
        const std::size_t count = std::min(most, bytes - at);
        travel(sent.data() + at, count, piece.data(), count * size,
               [&](void* from, void* to) { communicator_->all_gather(from, to, count, stream_); });
        for (std::size_t r = 0; r < size; ++r) {
            std::memcpy(static_cast<std::byte*>(all) + r * bytes + at, piece.data() + r * count, count);
        }
    }
    return 0;
}

Ranks::Ticket NcclRanks::begin_all_to_all(const void* to, void* from, std::size_t bytes) {
    const auto size = static_cast<std::size_t>(place().size);
    const std::size_t all = bytes * size;
    if (all > 0) {
        travel(to, all, from, all, [&](void* out, void* in) { communicator_->all_to_all(out, in, bytes, stream_); });
    }
    return 0;
}

Ranks::Ticket NcclRanks::begin_broadcast(void* data, std::size_t bytes) {
    for (std::size_t at = 0; at < bytes; at += largest_transfer) {
        const std::size_t count = std::min(largest_transfer, bytes - at);
        auto* const piece = static_cast<std::byte*>(data) + at;
        travel(piece, place().rank == 0 ? count : 0, piece, count, [&](void* from, void* to) {
            if (place().rank == 0) copy_now(to, from, count, cudaMemcpyDeviceToDevice, stream_);
            communicator_->broadcast(to, count, stream_);
        });
    }
    return 0;
}

void NcclRanks::abort(int code) noexcept {
    if (communicator_) communicator_->abort();
    std::_Exit(code);
}

void NcclRanks::leave(bool in_haste) noexcept {
    if (in_haste && communicator_) communicator_->abort();
    communicator_.reset();
}

Ranks* join_by_nccl(double timeout_s) {
    constexpr int most = 1 << 20;
    RankPlace place;
    place.size = number_in("WORLD_SIZE", most);
    place.rank = number_in("RANK", place.size - 1);
    place.local_rank = number_in("LOCAL_RANK", most);
    place.timeout_s = timeout_s;
    place.on_gpus = true;
    const char* const address = value_of("MASTER_ADDR");
    const int port = number_in("MASTER_PORT", 65534);
    if (const std::string fault = nccl_fault(); !fault.empty()) throw UserError(ExitCode::device, fault);
    const int device = device_of_rank(place);
    if (const std::string fault = take_device(device); !fault.empty()) throw UserError(ExitCode::device, fault);
    // torchrun itself listens at the port
    const std::string meeting = std::string(address) + ":" + std::to_string(port + 1);
    setenv("NCCL_COMM_ID", meeting.c_str(), 1);
    return new NcclRanks(place, device, new_communicator_id());
}

}  // namespace espalier::cuda
