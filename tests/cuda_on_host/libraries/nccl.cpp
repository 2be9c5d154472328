// Stands in for NCCL at its C interface, between processes of one machine: calls are queued on the stream as NCCL's kernels
// would be, and when their turn comes every rank tells rank 0, over a socket, what it asks for. Rank 0 ends the program
// with a sentence where they do not ask for the same, in the same order, all of them recorded into a graph or none, and
// otherwise hands everybody the bytes. A rank that is gone, or does not come within NCCL_ON_HOST_TIMEOUT seconds (60), is
// an asynchronous error of the communicator, as with NCCL, and its memory stays as it was.
#include "nccl_meeting.hpp"

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace {

using cuda_on_host::require;
using nccl_on_host::Bytes;
using nccl_on_host::Kind;
using nccl_on_host::Told;
using nccl_on_host::Transfer;
using nccl_on_host::listeners;
using nccl_on_host::meet;

struct LocalTransfer : Transfer {
    void* data = nullptr;
    ncclComm_t comm = nullptr;
    cudaStream_t stream = nullptr;
};

int group_depth = 0;
std::vector<LocalTransfer> group;

bool is_recording(cudaStream_t stream) { return cuda_on_host::library_stream(stream).is_capturing(stream); }
void require_memory(cudaStream_t stream, const void* data, std::size_t bytes, const char* what) {
    require(cuda_on_host::library_stream(stream).is_device_memory(data, bytes), what);
}

void enqueue(cudaStream_t stream, std::function<void()> work) {
    cuda_on_host::library_stream(stream).enqueue(stream, std::move(work));
}

/// All transfers of a group as one call.
void run_group(ncclComm& comm, const std::vector<LocalTransfer>& transfers, bool is_recorded) {
    Told own;
    own.asked.kind = Kind::group;
    own.asked.is_recorded = is_recorded ? 1 : 0;
    own.asked.transfers = static_cast<std::int32_t>(transfers.size());
    std::size_t expected = 0;
    for (const LocalTransfer& each : transfers) {
        own.transfers.push_back(each);
        const char* const data = static_cast<const char*>(each.data);
        if (each.is_send != 0) {
            own.data.insert(own.data.end(), data, data + each.bytes);
        } else {
            expected += each.bytes;
        }
    }
    own.asked.bytes = own.data.size();
    const Bytes given = meet(comm, std::move(own), expected);
    std::size_t at = 0;
    for (const LocalTransfer& each : transfers) {
        if (each.is_send != 0 || given.empty()) continue;
        std::memcpy(each.data, given.data() + at, each.bytes);
        at += each.bytes;
    }
}

ncclResult_t add_transfer(void* data, std::size_t count, int peer, bool is_send, ncclComm_t comm, cudaStream_t stream) {
    if (comm == nullptr || peer < 0 || peer >= comm->size) return ncclInvalidArgument;
    require(group_depth > 0, "NCCL: ncclSend or ncclRecv outside a group, which waits for what comes after it");
    require_memory(stream, data, count, "NCCL: a transfer of what is no device memory");
    LocalTransfer made;
    made.peer = peer;
    made.is_send = is_send ? 1 : 0;
    made.bytes = count;
    made.data = data;
    made.comm = comm;
    made.stream = stream;
    group.push_back(made);
    return ncclSuccess;
}

}  // namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
    *version = 22703;
    return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
    switch (result) {
        case ncclSuccess:
            return "no error";
        case ncclInvalidArgument:
            return "invalid argument";
        case ncclRemoteError:
            return "remote process exited or there was a network error";
        default:
            return "an error of another kind";
    }
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
    std::memset(id, 0, sizeof *id);
    if (const char* const given = std::getenv("NCCL_COMM_ID"); given != nullptr) {
        std::strncpy(id->internal, given, sizeof id->internal - 1);
        return ncclSuccess;
    }
    const int listener = nccl_on_host::listening(nccl_on_host::address_of("127.0.0.1:0"));
    sockaddr_in own{};
    socklen_t size = sizeof own;
    getsockname(listener, reinterpret_cast<sockaddr*>(&own), &size);
    const std::string text = "127.0.0.1:" + std::to_string(ntohs(own.sin_port));
    std::strncpy(id->internal, text.c_str(), sizeof id->internal - 1);
    listeners()[text] = listener;
    return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int nranks, ncclUniqueId id, int rank) {
    if (nranks < 1 || rank < 0 || rank >= nranks) return ncclInvalidArgument;
    require(group_depth == 0, "NCCL: a communicator made within a group, which the backend does not");
    auto made = std::make_unique<ncclComm>();
    made->rank = rank;
    made->size = nranks;
    const std::string where(id.internal);
    if (rank > 0) {
        if (!nccl_on_host::meet_first(*made, where)) return ncclSystemError;
    } else {
        const auto known = listeners().find(where);
        const int listener = known != listeners().end() ? known->second : nccl_on_host::listening(nccl_on_host::address_of(where));
        if (listener < 0) return ncclSystemError;
        const bool met = nccl_on_host::meet_all(*made, listener);
        close(listener);
        listeners().erase(where);
        if (!met) return ncclSystemError;
    }
    for (const int each : made->sockets) {
        const int yes = 1;
        if (each >= 0) setsockopt(each, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
    *comm = made.release();
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    delete comm;
    return ncclSuccess;
}

/// Calls that are queued still know of it, and now do nothing: it stays.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
    comm->lose();
    return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
    *error = comm->error;
    return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
    ++group_depth;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
    require(group_depth > 0, "NCCL: the end of a group that did not begin");
    if (--group_depth > 0 || group.empty()) return ncclSuccess;
    std::vector<LocalTransfer> transfers;
    transfers.swap(group);
    for (const LocalTransfer& each : transfers) {
        require(each.comm == transfers[0].comm && each.stream == transfers[0].stream,
                "NCCL: a group over several communicators or streams, which the backend does not");
    }
    ncclComm* const comm = transfers[0].comm;
    const cudaStream_t stream = transfers[0].stream;
    enqueue(stream, [=, recorded = is_recording(stream)] { run_group(*comm, transfers, recorded); });
    return ncclSuccess;
}

ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t /*type*/, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
    return add_transfer(const_cast<void*>(data), count, peer, true, comm, stream);
}

ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t /*type*/, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
    return add_transfer(data, count, peer, false, comm, stream);
}

ncclResult_t ncclAllGather(const void* own, void* all, std::size_t count, ncclDataType_t /*type*/, ncclComm_t comm,
                           cudaStream_t stream) {
    if (comm == nullptr || group_depth > 0) return ncclInvalidArgument;
    const std::size_t whole = count * static_cast<std::size_t>(comm->size);
    require_memory(stream, own, count, "NCCL: ncclAllGather of what is no device memory");
    require_memory(stream, all, whole, "NCCL: ncclAllGather into what is no device memory");
    const char* const from = static_cast<const char*>(own);
    char* const to = static_cast<char*>(all);
    require(from == to + static_cast<std::size_t>(comm->rank) * count || from + count <= to || to + whole <= from,
            "NCCL: ncclAllGather onto another part of what it sends");
    enqueue(stream, [=, recorded = is_recording(stream)] {
        Told told;
        told.asked.bytes = count;
        told.asked.is_recorded = recorded ? 1 : 0;
        told.data.assign(from, from + count);
        const Bytes given = meet(*comm, std::move(told), whole);
        if (!given.empty()) std::memcpy(to, given.data(), whole);
    });
    return ncclSuccess;
}

ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t count, ncclDataType_t /*type*/, int root,
                           ncclComm_t comm, cudaStream_t stream) {
    if (comm == nullptr || group_depth > 0 || root < 0 || root >= comm->size) return ncclInvalidArgument;
    require_memory(stream, to, count, "NCCL: ncclBroadcast into what is no device memory");
    require_memory(stream, from, count, "NCCL: ncclBroadcast of what is no device memory");
    enqueue(stream, [=, recorded = is_recording(stream)] {
        Told told;
        told.asked.kind = Kind::broadcast;
        told.asked.root = root;
        told.asked.bytes = count;
        told.asked.is_recorded = recorded ? 1 : 0;
        const char* const data = static_cast<const char*>(from);
        told.data.assign(data, data + count);  // of others than the root nobody reads it
        const Bytes given = meet(*comm, std::move(told), count);
        if (!given.empty()) std::memcpy(to, given.data(), count);
    });
    return ncclSuccess;
}

}  // extern "C"
