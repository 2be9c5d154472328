#include "cuda/nccl/communicator.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <thread>

#include "cuda/check.hpp"
#include "cuda/nccl/nccl_calls.hpp"
#include "cuda/products/library.hpp"
#include "espalier/error.hpp"

namespace espalier::cuda {
namespace {

const Library& nccl_library() {
    static const Library library(nccl_file_name);
    return library;
}

template <class Function>
Function* nccl_function(const char* name) {
    return nccl_library().function<Function>(name);
}
#define ESPALIER_NCCL(name) nccl_function<decltype(name)>(#name)

std::string words_for(ncclResult_t result) { return ESPALIER_NCCL(ncclGetErrorString)(result); }

void check_nccl(ncclResult_t result, const char* what) {
    if (result == ncclSuccess) return;
    throw UserError(ExitCode::device, std::string("NCCL: ") + what + " failed with \"" + words_for(result) +
                                          "\"; NCCL_DEBUG=WARN says more");
}

}  // namespace

std::string nccl_fault() {
    if (nccl_library().opens()) return {};
    return nccl_library().name() + " (NCCL) does not open, so that one network is trained on one GPU";
}

std::string nccl_version() {
    int number = 0;
    check_nccl(ESPALIER_NCCL(ncclGetVersion)(&number), "asking for the version");
    // 2.9 and later count 10,000 a major number, before that 1,000
    const int unit = number < 10000 ? 1000 : 10000;
    return "NCCL " + std::to_string(number / unit) + "." + std::to_string(number % unit / 100) + "." +
           std::to_string(number % 100);
}

CommunicatorId new_communicator_id() {
    ncclUniqueId id{};
    check_nccl(ESPALIER_NCCL(ncclGetUniqueId)(&id), "making a number for the ranks to meet by");
    CommunicatorId result{};
    static_assert(sizeof result == sizeof id);
    std::memcpy(&result, &id, sizeof id);
    return result;
}

Communicator::Communicator(int rank, int size, const CommunicatorId& id) : size_(size) {
    ncclUniqueId own{};
    std::memcpy(&own, &id, sizeof own);
    check_nccl(ESPALIER_NCCL(ncclCommInitRank)(&handle_, size, own, rank), "joining the ranks");
}

Communicator::~Communicator() {
    if (std::uncaught_exceptions() > 0) abort();  // the others may wait elsewhere
    if (handle_ != nullptr) static_cast<void>(ESPALIER_NCCL(ncclCommDestroy)(handle_));
}

void Communicator::all_gather(const void* own, void* all, std::size_t bytes, cudaStream_t stream) {
    check_nccl(ESPALIER_NCCL(ncclAllGather)(own, all, bytes, ncclInt8, handle_, stream), "ncclAllGather");
}

void Communicator::all_to_all(const void* to, void* from, std::size_t bytes, cudaStream_t stream) {
    // one call since NCCL 2.28; this is what it does
    auto* const send = ESPALIER_NCCL(ncclSend);
    auto* const receive = ESPALIER_NCCL(ncclRecv);
    check_nccl(ESPALIER_NCCL(ncclGroupStart)(), "ncclGroupStart");
    ncclResult_t worst = ncclSuccess;
    for (int peer = 0; peer < size_ && worst == ncclSuccess; ++peer) {
        const std::size_t at = static_cast<std::size_t>(peer) * bytes;
        worst = send(static_cast<const char*>(to) + at, bytes, ncclInt8, peer, handle_, stream);
        if (worst == ncclSuccess) worst = receive(static_cast<char*>(from) + at, bytes, ncclInt8, peer, handle_, stream);
    }
    const ncclResult_t ended = ESPALIER_NCCL(ncclGroupEnd)();
    check_nccl(worst, "ncclSend or ncclRecv");
    check_nccl(ended, "ncclGroupEnd");
}

void Communicator::broadcast(void* data, std::size_t bytes, cudaStream_t stream) {
    check_nccl(ESPALIER_NCCL(ncclBroadcast)(data, data, bytes, ncclInt8, 0, handle_, stream), "ncclBroadcast");
}

std::string Communicator::fault() const {
    if (handle_ == nullptr) return "aborted";
    ncclResult_t error = ncclSuccess;
    const ncclResult_t asked = ESPALIER_NCCL(ncclCommGetAsyncError)(handle_, &error);
    if (asked != ncclSuccess) error = asked;
    return error == ncclSuccess || error == ncclInProgress ? "" : words_for(error);
}

void Communicator::abort() noexcept {
    if (handle_ != nullptr) static_cast<void>(ESPALIER_NCCL(ncclCommAbort)(handle_));
    handle_ = nullptr;
}

#undef ESPALIER_NCCL

void wait_for_ranks(cudaStream_t stream, Communicator& communicator, double timeout_s) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const auto refuse = [&](const std::string& why) {
        communicator.abort();
        throw UserError(ExitCode::ranks, why + "; checkpoints are as they were");
    };
    for (std::uint64_t asked = 0;; ++asked) {
        const cudaError_t state = cudaStreamQuery(stream);
        if (state != cudaSuccess && state != cudaErrorNotReady) check(state, "work on the device");
        if (state == cudaSuccess || asked % 64 == 63) {
            if (const std::string fault = communicator.fault(); !fault.empty()) {
                refuse("a rank is gone, or its network is: NCCL says \"" + fault + "\"");
            }
        }
        if (state == cudaSuccess) return;
        static_cast<void>(cudaGetLastError());  // not being ready is no error
        const double waited = std::chrono::duration<double>(Clock::now() - start).count();
        if (waited > timeout_s) {
            char seconds[32];
            std::snprintf(seconds, sizeof seconds, "%.0f", waited);
            refuse(std::string("another rank did not answer for ") + seconds + " seconds (--rank-timeout)");
        }
        if (waited > 0.01) std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
}

void host_name_of_machine(char* to, std::size_t capacity) {
    std::memset(to, 0, capacity);
    static_cast<void>(gethostname(to, capacity - 1));
}

}  // namespace espalier::cuda
