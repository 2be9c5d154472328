// How the stand-in of NCCL's ranks (nccl.cpp) find each other and meet for every call: over sockets of one machine, by way
// of rank 0. For one source to include.
#pragma once

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "cuda/nccl/nccl_calls.hpp"
#include "strict.hpp"

namespace nccl_on_host {

using cuda_on_host::require;
using Clock = std::chrono::steady_clock;
using Bytes = std::vector<char>;

inline double timeout_s() {
    const char* const text = std::getenv("NCCL_ON_HOST_TIMEOUT");
    return text != nullptr ? std::atof(text) : 60;
}

enum class Kind : std::int32_t { all_gather, broadcast, group };
inline constexpr const char* kind_names[] = {"ncclAllGather", "ncclBroadcast", "a group of ncclSend and ncclRecv"};

/// What a rank asks for.
struct Asked {
    std::uint64_t number = 0;  // of the communicator's calls
    Kind kind = Kind::all_gather;
    std::int32_t root = 0;
    std::uint64_t bytes = 0;  // of a rank; of a group all that it sends
    std::int32_t is_recorded = 0;
    std::int32_t transfers = 0;  // of a group

    [[nodiscard]] std::string text() const {
        return std::string(kind_names[static_cast<int>(kind)]) + " number " + std::to_string(number) + " of " +
               std::to_string(bytes) + " bytes" + (kind == Kind::broadcast ? " from rank " + std::to_string(root) : "") +
               (is_recorded != 0 ? ", from a graph" : "");
    }
    [[nodiscard]] bool agrees_with(const Asked& other) const {
        return number == other.number && kind == other.kind && root == other.root && is_recorded == other.is_recorded &&
               (kind == Kind::group || bytes == other.bytes);
    }
};

/// One ncclSend or ncclRecv.
struct Transfer {
    std::int32_t peer = 0;
    std::int32_t is_send = 0;
    std::uint64_t bytes = 0;
};
inline bool is_ready(int socket, short what) {
    const auto end = Clock::now() + std::chrono::duration<double>(timeout_s());
    for (;;) {
        pollfd waited{socket, what, 0};
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
        if (left <= 0) return false;
        const int found = poll(&waited, 1, static_cast<int>(left));
        if (found > 0) return true;
        if (found < 0 && errno != EINTR) return false;
    }
}

inline bool send_all(int socket, const void* data, std::size_t bytes) {
    const char* at = static_cast<const char*>(data);
    while (bytes > 0) {
        if (!is_ready(socket, POLLOUT)) return false;
        const ssize_t sent = send(socket, at, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (sent <= 0) return false;
        at += sent;
        bytes -= static_cast<std::size_t>(sent);
    }
    return true;
}

inline bool receive_all(int socket, void* data, std::size_t bytes) {
    char* at = static_cast<char*>(data);
    while (bytes > 0) {
        if (!is_ready(socket, POLLIN)) return false;
        const ssize_t got = recv(socket, at, bytes, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        bytes -= static_cast<std::size_t>(got);
    }
    return true;
}

inline sockaddr_in address_of(const std::string& text) {
    sockaddr_in address{};
    const auto colon = text.rfind(':');
    require(colon != std::string::npos, "NCCL_COMM_ID: expected ADDRESS:PORT");
    addrinfo hints{};
    hints.ai_family = AF_INET;
    addrinfo* found = nullptr;
    require(getaddrinfo(text.substr(0, colon).c_str(), nullptr, &hints, &found) == 0, "NCCL: an address that is none");
    std::memcpy(&address, found->ai_addr, sizeof address);
    freeaddrinfo(found);
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(text.c_str() + colon + 1)));
    return address;
}

/// Port 0: any. -1 where it is taken.
inline int listening(sockaddr_in address) {
    const int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(made, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && listen(made, 64) == 0) return made;
    close(made);
    return -1;
}

/// Of ids made here, by text.
inline std::map<std::string, int>& listeners() {
    static std::map<std::string, int> all;
    return all;
}

}  // namespace nccl_on_host

struct ncclComm {
    int rank = 0;
    int size = 1;
    std::vector<int> sockets;  // of rank 0 to every other, of others to rank 0 (its place alone); -1: none
    std::uint64_t calls = 0;
    ncclResult_t error = ncclSuccess;

    void lose() {
        error = ncclRemoteError;
        for (int& each : sockets) {
            if (each >= 0) close(each);
            each = -1;
        }
    }
    ~ncclComm() {
        for (const int each : sockets) {
            if (each >= 0) close(each);
        }
    }
};

namespace nccl_on_host {

/// What rank 0 knows of a rank's call.
struct Told {
    Asked asked;
    std::vector<Transfer> transfers;
    Bytes data;
};

inline void refuse_difference(int rank, const Asked& first, const Asked& other) {
    std::fprintf(stderr, "a stand-in of NCCL: rank 0 asks for %s, rank %d for %s\n", first.text().c_str(), rank,
                 other.text().c_str());
    std::abort();
}

/// The bytes that rank `to` is given.
inline Bytes given_to(int to, const std::vector<Told>& all) {
    Bytes given;
    const Asked& asked = all[0].asked;
    if (asked.kind == Kind::all_gather) {
        for (const Told& each : all) given.insert(given.end(), each.data.begin(), each.data.end());
    } else if (asked.kind == Kind::broadcast) {
        given = all[static_cast<std::size_t>(asked.root)].data;
    } else {
        // in the order of its receives; from one peer the first that is sent is received first
        std::map<int, std::size_t> taken;
        for (const Transfer& wanted : all[static_cast<std::size_t>(to)].transfers) {
            if (wanted.is_send != 0) continue;
            const Told& peer = all[static_cast<std::size_t>(wanted.peer)];
            std::size_t at = 0;
            std::size_t number = 0;
            bool found = false;
            for (const Transfer& sent : peer.transfers) {
                if (sent.is_send == 0) continue;
                if (sent.peer == to && number++ == taken[wanted.peer]) {
                    require(sent.bytes == wanted.bytes, "NCCL: a send and its receive of different sizes");
                    given.insert(given.end(), peer.data.begin() + static_cast<std::ptrdiff_t>(at),
                                 peer.data.begin() + static_cast<std::ptrdiff_t>(at + sent.bytes));
                    found = true;
                    break;
                }
                at += sent.bytes;
            }
            require(found, "NCCL: a receive of what nobody sends");
            ++taken[wanted.peer];
        }
        std::size_t sent_here = 0;
        std::size_t received_here = 0;
        for (const Told& each : all) {
            for (const Transfer& sent : each.transfers) sent_here += sent.is_send != 0 && sent.peer == to ? 1 : 0;
        }
        for (const auto& [peer, count] : taken) received_here += count;
        require(sent_here == received_here, "NCCL: a send that nobody receives");
    }
    return given;
}

/// Rank 0's part: hears everybody, answers everybody. False: somebody is gone.
inline bool lead(ncclComm& comm, Told own, Bytes& given) {
    std::vector<Told> all(static_cast<std::size_t>(comm.size));
    all[0] = std::move(own);
    for (std::size_t rank = 1; rank < all.size(); ++rank) {
        Told& told = all[rank];
        const int socket = comm.sockets[rank];
        if (!receive_all(socket, &told.asked, sizeof told.asked)) {
            std::fprintf(stderr, "a stand-in of NCCL: rank 0 asks for %s, rank %zu is gone or asks for nothing\n",
                         all[0].asked.text().c_str(), rank);
            return false;
        }
        if (!all[0].asked.agrees_with(told.asked)) refuse_difference(static_cast<int>(rank), all[0].asked, told.asked);
        told.transfers.resize(static_cast<std::size_t>(told.asked.transfers));
        told.data.resize(told.asked.bytes);
        if (!receive_all(socket, told.transfers.data(), told.transfers.size() * sizeof(Transfer)) ||
            !receive_all(socket, told.data.data(), told.data.size())) {
            return false;
        }
    }
    for (std::size_t rank = 1; rank < all.size(); ++rank) {
        const Bytes bytes = given_to(static_cast<int>(rank), all);
        if (!send_all(comm.sockets[rank], bytes.data(), bytes.size())) return false;
    }
    given = given_to(0, all);
    return true;
}

inline bool follow(ncclComm& comm, const Told& own, Bytes& given) {
    const int socket = comm.sockets[0];
    return send_all(socket, &own.asked, sizeof own.asked) &&
           send_all(socket, own.transfers.data(), own.transfers.size() * sizeof(Transfer)) &&
           send_all(socket, own.data.data(), own.data.size()) && receive_all(socket, given.data(), given.size());
}

/// The turn of a call: `given` has the size of what is to come. Empty where it does not come.
inline Bytes meet(ncclComm& comm, Told own, std::size_t expected) {
    own.asked.number = comm.calls++;
    Bytes given(expected);
    if (comm.error != ncclSuccess) return {};
    if (comm.rank == 0 ? lead(comm, std::move(own), given) : follow(comm, own, given)) return given;
    comm.lose();
    return {};
}

/// Rank 0's sockets to all others.
inline bool meet_all(ncclComm& comm, int listener) {
    comm.sockets.assign(static_cast<std::size_t>(comm.size), -1);
    for (int i = 1; i < comm.size; ++i) {
        if (!is_ready(listener, POLLIN)) return false;
        const int other = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        std::int32_t said[2] = {};
        if (other < 0 || !receive_all(other, said, sizeof said)) return false;
        require(said[1] == comm.size, "NCCL: ranks that differ in how many they are");
        require(said[0] > 0 && said[0] < comm.size && comm.sockets[static_cast<std::size_t>(said[0])] < 0,
                "NCCL: two processes of one rank");
        comm.sockets[static_cast<std::size_t>(said[0])] = other;
    }
    return true;
}

inline bool meet_first(ncclComm& comm, const std::string& where) {
    const sockaddr_in address = address_of(where);
    const auto end = Clock::now() + std::chrono::duration<double>(timeout_s());
    while (Clock::now() < end) {
        const int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(made, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
            const std::int32_t said[2] = {comm.rank, comm.size};
            comm.sockets = {made};
            return send_all(made, said, sizeof said);
        }
        close(made);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
}

}  // namespace nccl_on_host
