// NCCL, which moves bytes between the GPUs of several processes: opened at run time, as cuBLAS is, so that the module runs
// where there is none. Everything but making and ending a communicator is enqueued on a stream and may be recorded into a
// graph; every call is collective, the same ones in the same order on all ranks.
#pragma once

#include <cstddef>
#include <string>

#include "cuda_calls.hpp"

struct ncclComm;

namespace espalier::cuda {

/// What the ranks of one communicator have in common; NCCL's own bytes.
struct CommunicatorId {
    char bytes[128];
};

/// Why there is no NCCL to open, one sentence; empty if there is.
std::string nccl_fault();
/// "NCCL 2.27.3". As all that follows, for when there is no fault.
std::string nccl_version();
/// Rank 0 makes it, the others are told. Throws UserError (device), as the following do where NCCL fails.
CommunicatorId new_communicator_id();

class Communicator {
public:
    /// Waits for all ranks. On the current device.
    Communicator(int rank, int size, const CommunicatorId& id);
    Communicator(const Communicator&) = delete;
    Communicator& operator=(const Communicator&) = delete;
    /// Waits for what was enqueued, unless an exception is on its way. Graphs that hold its calls must be gone.
    ~Communicator();

    /// `all` [size][bytes] = every rank's `own`, which may be its place there.
    void all_gather(const void* own, void* all, std::size_t bytes, cudaStream_t stream);
    /// `from` [size][bytes]: from each rank what it has for this one in `to` [size][bytes].
    void all_to_all(const void* to, void* from, std::size_t bytes, cudaStream_t stream);
    /// From rank 0.
    void broadcast(void* data, std::size_t bytes, cudaStream_t stream);

    /// What went wrong since, in NCCL's words; empty: nothing.
    [[nodiscard]] std::string fault() const;
    /// Ends what is under way, whoever it waits for. Nothing but the destructor may follow.
    void abort() noexcept;

private:
    int size_;
    ncclComm* handle_ = nullptr;
};

/// Waits for the stream. Throws UserError (ranks), having aborted the communicator, if a rank is gone or `timeout_s` seconds
/// pass.
void wait_for_ranks(cudaStream_t stream, Communicator& communicator, double timeout_s);

/// The machine's name, ended by 0.
void host_name_of_machine(char* to, std::size_t capacity);

}  // namespace espalier::cuda
