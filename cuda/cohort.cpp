#include "cuda/cohort.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "cuda/check.hpp"
#include "cuda/device.hpp"

namespace espalier::cuda {
namespace {

constexpr std::size_t table_alignment = 256;

void run_joint_program(cudaStream_t stream, const JointProgram& joint) {
    for (const auto& launch : joint.launches) launch(stream);
}

/// Whether two networks' launches, one for one, can be one.
bool go_together(const Launches& one, const Launches& other) {
    return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                      [](const ListedLaunch& a, const ListedLaunch& b) {
                          return a.kernel == b.kernel && a.threads == b.threads && a.grid.y == b.grid.y;
                      });
}

std::vector<std::vector<Launches>> groups_of(std::vector<Launches> networks) {
    std::vector<std::vector<Launches>> groups;
    for (Launches& each : networks) {
        const auto same = [&](const std::vector<Launches>& group) { return go_together(group.front(), each); };
        const auto found = std::find_if(groups.begin(), groups.end(), same);
        if (found == groups.end()) {
            groups.emplace_back().push_back(std::move(each));
        } else {
            found->push_back(std::move(each));
        }
    }
    return groups;
}

/// Launch number `number` of all networks of a group, whose rows of the table begin at `rows`.
std::function<void(cudaStream_t)> launch_of_group(const std::vector<Launches>& group, std::size_t number,
                                                  const std::byte* rows) {
    const ListedLaunch& first = group.front()[number];
    dim3 grid(0, first.grid.y, static_cast<unsigned>(group.size()));
    std::size_t shared_bytes = 0;
    for (const Launches& network : group) {
        grid.x = std::max(grid.x, network[number].grid.x);
        shared_bytes = std::max(shared_bytes, network[number].shared_bytes);
    }
    return [=, together = first.together, threads = first.threads](cudaStream_t stream) {
        together(stream, grid, threads, shared_bytes, rows);
    };
}

}  // namespace

Cohort::Cohort(int device, std::size_t members, bool graphs)
    : members_(members), device_(device), memory_(stream_), graphs_(stream_, graphs) {}

Cohort::~Cohort() { static_cast<void>(cudaSetDevice(device_)); }

void Cohort::run(std::size_t member, std::uint64_t number, const List& list) {
    std::unique_lock<std::mutex> lock(mutex_);
    Member& own = members_[member];
    own.list = &list;
    own.number = number;
    if (all_have_come()) run_all();
    done_.wait(lock, [&] { return own.list == nullptr; });
    if (const std::exception_ptr fault = std::exchange(own.fault, nullptr)) std::rethrow_exception(fault);
}

void Cohort::leave(std::size_t member) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    members_[member].is_here = false;
    if (all_have_come()) run_all();
}

bool Cohort::all_have_come() const {
    return std::all_of(members_.begin(), members_.end(),
                       [](const Member& each) { return !each.is_here || each.list != nullptr; });
}

void Cohort::run_all() noexcept {
    try {
        make_current(device_);
        while (!try_to_run()) {
        }
    } catch (...) {
        for (Member& each : members_) {
            if (each.list != nullptr) each.fault = std::current_exception();
        }
    }
    for (Member& each : members_) each.list = nullptr;
    done_.notify_all();
}

bool Cohort::try_to_run() {
    std::vector<Member*> waiting;
    Key key;
    for (std::size_t m = 0; m < members_.size(); ++m) {
        if (members_[m].list == nullptr) continue;
        waiting.push_back(&members_[m]);
        key.insert(key.end(), {m, members_[m].number});
    }
    if (waiting.empty()) return true;
    const JointProgram* const joint = joint_program(waiting, key);
    if (joint == nullptr) return false;
    graphs_.run([&] { graphs_.enqueue(run_joint_program, *joint); });
    check(cudaStreamSynchronize(stream_), "work on the device");
    return true;
}

const JointProgram* Cohort::joint_program(const std::vector<Member*>& waiting, const Key& key) {
    if (const auto known = joint_.find(key); known != joint_.end()) return &known->second;
    std::vector<Launches> networks;
    for (Member* member : waiting) {
        try {
            (*member->list)(networks.emplace_back(), static_cast<Index>(waiting.size()));
        } catch (...) {
            member->fault = std::current_exception();
            member->list = nullptr;
            return nullptr;
        }
    }
    if (table_bytes_ > most_table_bytes) {
        graphs_.clear();
        joint_.clear();
        table_bytes_ = 0;
    }
    JointProgram joint = join(std::move(networks));
    joint.number = ++last_number_;
    table_bytes_ += joint.table.size() + joint.launches.size() * launch_bytes;
    return &joint_.emplace(key, std::move(joint)).first->second;
}

JointProgram Cohort::join(std::vector<Launches> networks) {
    const std::vector<std::vector<Launches>> groups = groups_of(std::move(networks));
    std::vector<std::byte> rows;
    std::vector<std::size_t> begins;  // of the launches that are one for their group
    for (const std::vector<Launches>& group : groups) {
        for (std::size_t l = 0; group.size() > 1 && l < group.front().size(); ++l) {
            if (group.front()[l].together == nullptr) continue;
            rows.resize((rows.size() + table_alignment - 1) / table_alignment * table_alignment);
            begins.push_back(rows.size());
            for (const Launches& network : group) {
                rows.insert(rows.end(), network[l].row.begin(), network[l].row.end());
            }
        }
    }
    JointProgram joint;
    upload_table(joint, rows);
    auto begin = begins.begin();
    for (const std::vector<Launches>& group : groups) {
        for (std::size_t l = 0; l < group.front().size(); ++l) {
            if (group.size() > 1 && group.front()[l].together != nullptr) {
                joint.launches.push_back(launch_of_group(group, l, joint.table.data() + *begin++));
                continue;
            }
            for (const Launches& network : group) joint.launches.push_back(network[l].alone);
        }
    }
    return joint;
}

void Cohort::upload_table(JointProgram& joint, const std::vector<std::byte>& rows) {
    joint.table = Array<std::byte>(memory_, rows.size());
    if (rows.empty()) return;
    check(cudaMemcpyAsync(joint.table.data(), rows.data(), rows.size(), cudaMemcpyHostToDevice, stream_), "a copy");
    check(cudaStreamSynchronize(stream_), "a copy");
}

void* Cohort::keep(const void* from, std::size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    make_current(device_);
    const auto* const first = static_cast<const std::byte*>(from);
    const std::size_t hash = std::hash<std::string_view>{}({static_cast<const char*>(from), bytes});
    for (Kept& each : kept_) {
        if (each.hash != hash || each.memory.size() != bytes || !holds(each, first)) continue;
        ++each.users;
        return each.memory.data();
    }
    Kept fresh{Array<std::byte>(memory_, bytes), hash, 1};
    check(cudaMemcpyAsync(fresh.memory.data(), from, bytes, cudaMemcpyHostToDevice, stream_), "a copy");
    check(cudaStreamSynchronize(stream_), "a copy");
    kept_.push_back(std::move(fresh));
    return kept_.back().memory.data();
}

/// Piece by piece, so that the host needs little memory for it.
bool Cohort::holds(const Kept& kept, const std::byte* bytes) {
    std::vector<std::byte> piece(std::min<std::size_t>(kept.memory.size(), std::size_t{1} << 24));
    for (std::size_t done = 0; done < kept.memory.size(); done += piece.size()) {
        const std::size_t size = std::min(piece.size(), kept.memory.size() - done);
        check(cudaMemcpyAsync(piece.data(), kept.memory.data() + done, size, cudaMemcpyDeviceToHost, stream_), "a copy");
        check(cudaStreamSynchronize(stream_), "a copy");
        if (std::memcmp(piece.data(), bytes + done, size) != 0) return false;
    }
    return true;
}

bool Cohort::release(void* memory) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found =
        std::find_if(kept_.begin(), kept_.end(), [&](const Kept& each) { return each.memory.data() == memory; });
    if (found == kept_.end()) return false;
    static_cast<void>(cudaSetDevice(device_));
    if (--found->users == 0) kept_.erase(found);
    return true;
}

bool Companion::run(GraphCache& graphs, const std::function<void()>& program) {
    if (has_left_) return false;
    try {
        const std::uint64_t number = number_of(graphs.noted(program));
        cohort_->run(member_, number,
                     [&](Launches& launches, Index networks) { graphs.list(program, launches, networks); });
        return true;
    } catch (const Unlistable&) {
        part();
        return false;
    }
}

void Companion::part() noexcept {
    if (!std::exchange(has_left_, true)) cohort_->leave(member_);
}

std::uint64_t Companion::number_of(const GraphCache::Note& note) {
    if (const auto known = numbers_.find(note); known != numbers_.end()) return known->second;
    if (numbers_.size() >= most_notes) numbers_.clear();
    return numbers_.emplace(note, ++last_number_).first->second;
}

}  // namespace espalier::cuda
