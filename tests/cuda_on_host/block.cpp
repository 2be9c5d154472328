#include "block.hpp"

#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <utility>
#include <vector>

#include "arrival_barriers.hpp"
#include "fiber.hpp"
#include "launch_limits.hpp"
#include "order.hpp"
#include "shared_memory.hpp"
#include "watch.hpp"

uint3 threadIdx{};
uint3 blockIdx{};
dim3 blockDim{};
dim3 gridDim{};

namespace cuda_on_host {

namespace {

constexpr unsigned lanes_per_warp = 32;

Policy policy;

std::string hexadecimal(std::uint32_t word) {
    char buffer[11];
    std::snprintf(buffer, sizeof buffer, "0x%08x", word);
    return buffer;
}

uint3 index_of(std::uint64_t number, dim3 size) {
    return {static_cast<unsigned>(number % size.x), static_cast<unsigned>(number / size.x % size.y),
            static_cast<unsigned>(number / size.x / size.y)};
}

enum class State { ready, at_barrier, in_exchange, at_phase, returned };

struct Thread {
    Fiber fiber;
    unsigned number = 0;
    State state = State::ready;
    bool in_engine = false;  // its accesses are the engine's, not the kernel's
    // while it waits
    const char* what = nullptr;
    Site site{};
    std::uint32_t mask = 0;
    std::uint64_t word = 0;
    const ArrivalBarrier* arrivals = nullptr;
    // what the last exchange gave it
    std::uint64_t words[lanes_per_warp] = {};
    // its copies under way, each with the number of its group
    std::deque<std::pair<std::uint64_t, PendingCopy>> copies;
    std::uint64_t copy_group = 0;  // the open one
};

/// The threads of a launch; they serve one block after another.
class Engine {
public:
    Engine(dim3 block, std::size_t dynamic_bytes, std::size_t shared_limit, const std::function<void()>& body)
        : size_(block.x * block.y * block.z),
          body_(body),
          random_(policy.seed),
          threads_(size_),
          shared_(dynamic_bytes, shared_limit) {}

    void run_blocks(std::uint64_t count) {
        for (const std::uint64_t block : ordered(count, policy.order, random_)) run_block(block);
    }

    [[nodiscard]] std::string name_of(const Thread& thread) const {
        const uint3 at = index_of(thread.number, blockDim);
        return "block " + index_text(blockIdx.x, blockIdx.y, blockIdx.z) + " thread " + index_text(at.x, at.y, at.z);
    }
    [[nodiscard]] Thread* self() { return self_; }
    void barrier(Site site);
    const std::uint64_t* exchange(const char* what, std::uint32_t mask, std::uint64_t word, bool orders_memory,
                                  Site site);
    void init_arrivals(std::uint64_t* barrier, unsigned count, Site site);
    std::uint64_t arrive(const std::uint64_t* barrier, Site site);
    void wait_at(const std::uint64_t* barrier, std::uint64_t token, Site site);
    SharedMemory& shared() { return shared_; }
    void yield() {
        ready_.push_back(self_->number);
        suspend();
    }

private:
    void run_block(std::uint64_t block);
    static void thread_entry(void* argument);
    Thread& next_ready();
    void suspend() { Fiber::switch_to(self_->fiber, host_); }
    void wake(unsigned number) {
        threads_[number].state = State::ready;
        ready_.push_back(number);
    }
    void complete_exchange(unsigned first, std::uint32_t mask, bool orders_memory);
    [[noreturn]] void report_deadlock() const;

    unsigned size_;
    const std::function<void()>& body_;
    Random random_;
    std::vector<Thread> threads_;
    std::vector<unsigned> order_;  // of this block's threads
    std::deque<unsigned> ready_;
    Fiber host_;
    Thread* self_ = nullptr;
    unsigned arrived_ = 0;  // at the barrier
    unsigned returned_ = 0;
    Site barrier_site_{};
    SharedMemory shared_;
    ArrivalBarriers arrival_barriers_;
    std::exception_ptr thrown_;
};

Engine* engine = nullptr;  // of the launch that runs

/// A call from a kernel into the engine.
class Call {
public:
    explicit Call(const char* what) {
        if (engine == nullptr || engine->self() == nullptr) throw Fault(std::string(what) + " outside a kernel");
        caller_ = engine->self();
        caller_->in_engine = true;
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() { caller_->in_engine = false; }
    Engine* operator->() const { return engine; }

private:
    Thread* caller_;
};

void Engine::thread_entry(void* argument) {
    Engine& me = *static_cast<Engine*>(argument);
    Thread& thread = *me.self_;
    thread.in_engine = false;
    try {
        me.body_();
        thread.in_engine = true;
        if (me.arrived_ > 0) {
            fail("returns while other threads wait at the __syncthreads at " + text(me.barrier_site_));
        }
        if (!thread.copies.empty()) fail("returns without having waited for a copy into shared memory");
    } catch (...) {
        thread.in_engine = true;
        if (!me.thrown_) me.thrown_ = std::current_exception();
    }
    thread.state = State::returned;
    ++me.returned_;
    Fiber::switch_to(thread.fiber, me.host_, true);
}

Thread& Engine::next_ready() {
    const std::size_t chosen = policy.order == Order::shuffled ? random_.below(ready_.size()) : 0;
    Thread& thread = threads_[ready_[chosen]];
    if (chosen != 0) ready_[chosen] = ready_.front();
    ready_.pop_front();
    return thread;
}

void Engine::run_block(std::uint64_t block) {
    blockIdx = index_of(block, gridDim);
    watch::block_begins(block);
    arrival_barriers_.begin_block();
    arrived_ = returned_ = 0;
    ready_.clear();
    order_ = ordered(size_, policy.order, random_);
    for (const unsigned number : order_) {
        threads_[number].number = number;
        threads_[number].copies.clear();
        threads_[number].copy_group = 0;
        threads_[number].fiber.prepare(number, thread_entry, this);
        wake(number);
    }
    while (returned_ < size_) {
        if (ready_.empty()) report_deadlock();
        self_ = &next_ready();
        threadIdx = index_of(self_->number, blockDim);
        Fiber::switch_to(host_, self_->fiber);
        self_ = nullptr;
        if (thrown_) std::rethrow_exception(thrown_);  // the block's other fibers are dropped where they are
    }
    shared_.end_block();
    watch::block_ends();
}

void Engine::report_deadlock() const {
    constexpr int most = 40;
    std::string report = "block " + index_text(blockIdx.x, blockIdx.y, blockIdx.z) + ": no thread can go on";
    int listed = 0;
    for (const Thread& thread : threads_) {
        if (thread.state == State::returned || ++listed > most) continue;
        const uint3 at = index_of(thread.number, blockDim);
        report += "\n  thread " + index_text(at.x, at.y, at.z) + " waits at " + thread.what;
        if (thread.state == State::in_exchange) report += " with mask " + hexadecimal(thread.mask);
        if (thread.state == State::at_phase) {
            report += " with " + std::to_string(thread.arrivals->arrived) + " of " +
                      std::to_string(thread.arrivals->count) + " arrivals";
        }
        report += ", " + text(thread.site);
    }
    if (listed > most) report += "\n  and " + std::to_string(listed - most) + " more";
    throw Fault(report);
}

void Engine::barrier(Site site) {
    if (returned_ > 0) fail("waits at __syncthreads, " + text(site) + ", after a thread of its block has returned");
    const bool same =
        arrived_ == 0 || (site.line == barrier_site_.line && std::strcmp(site.file, barrier_site_.file) == 0);
    if (!same) {
        fail("waits at the __syncthreads at " + text(site) + " while other threads of its block wait at the one at " +
             text(barrier_site_));
    }
    barrier_site_ = site;
    self_->state = State::at_barrier;
    self_->what = "__syncthreads";
    self_->site = site;
    if (++arrived_ == size_) {
        arrived_ = 0;
        watch::block_barrier();
        for (const unsigned number : order_) wake(number);
    }
    suspend();
}

const std::uint64_t* Engine::exchange(const char* what, std::uint32_t mask, std::uint64_t word, bool orders_memory,
                                      Site site) {
    Thread& self = *self_;
    const unsigned own_lane = self.number % lanes_per_warp;
    const unsigned first = self.number - own_lane;
    const auto complain = [&](const std::string& wrong) {
        fail(std::string(what) + ", " + text(site) + ": mask " + hexadecimal(mask) + " " + wrong);
    };
    if ((mask >> own_lane & 1U) == 0) complain("omits the calling lane");
    bool complete = true;
    for (unsigned l = 0; l < lanes_per_warp; ++l) {
        if ((mask >> l & 1U) == 0 || l == own_lane) continue;
        if (first + l >= size_) complain("names lane " + std::to_string(l) + ", which the block does not have");
        const Thread& peer = threads_[first + l];
        if (peer.state == State::returned) complain("names lane " + std::to_string(l) + ", which has returned");
        if (peer.state != State::in_exchange) {
            complete = false;
        } else if (peer.mask != mask || (peer.what != what && std::strcmp(peer.what, what) != 0)) {
            complain("names lane " + std::to_string(l) + ", which waits at " + peer.what + " with mask " +
                     hexadecimal(peer.mask) + ", " + text(peer.site));
        }
    }
    self.state = State::in_exchange;
    self.what = what;
    self.site = site;
    self.mask = mask;
    self.word = word;
    if (complete) complete_exchange(first, mask, orders_memory);
    suspend();
    return self.words;
}

void Engine::complete_exchange(unsigned first, std::uint32_t mask, bool orders_memory) {
    std::uint64_t words[lanes_per_warp] = {};
    const auto in_mask = [&](unsigned l) { return (mask >> l & 1U) != 0; };
    for (unsigned l = 0; l < lanes_per_warp; ++l) {
        if (in_mask(l)) words[l] = threads_[first + l].word;
    }
    if (orders_memory) watch::warp_barrier(first, mask);
    for (unsigned i = 0; i < lanes_per_warp; ++i) {
        const unsigned l = policy.order == Order::reverse ? lanes_per_warp - 1 - i : i;
        if (!in_mask(l)) continue;
        std::memcpy(threads_[first + l].words, words, sizeof words);
        wake(first + l);
    }
}

void Engine::init_arrivals(std::uint64_t* barrier, unsigned count, Site site) {
    watch::arrivals_begin(arrival_barriers_.init(shared_, barrier, count, {"__mbarrier_init", site}).index);
}

std::uint64_t Engine::arrive(const std::uint64_t* barrier, Site site) {
    ArrivalBarrier& arrivals = arrival_barriers_.at(shared_, barrier, {"__mbarrier_arrive", site});
    watch::arrives(arrivals.index, self_->number);
    const std::uint64_t token = ArrivalBarriers::arrive(arrivals);
    if (arrivals.arrived == 0) {
        watch::phase_ends(arrivals.index);
        for (const unsigned number : arrivals.waiting) wake(number);
        arrivals.waiting.clear();
    }
    return token;
}

void Engine::wait_at(const std::uint64_t* barrier, std::uint64_t token, Site site) {
    const Where where{"wait_at", site};
    ArrivalBarrier& arrivals = arrival_barriers_.at(shared_, barrier, where);
    if (!ArrivalBarriers::has_ended(arrivals, token, where)) {
        self_->state = State::at_phase;
        self_->what = "wait_at";
        self_->site = site;
        self_->arrivals = &arrivals;
        arrivals.waiting.push_back(self_->number);
        suspend();
        ArrivalBarriers::has_ended(arrivals, token, where);  // and not the next one too, before this thread saw it
    }
    watch::passes(arrivals.index, self_->number);
}

}  // namespace

std::string text(const Site& site) { return std::string(site.file) + ":" + std::to_string(site.line); }

void set_policy(const Policy& chosen) { policy = chosen; }

void run_grid(dim3 grid, dim3 block, std::size_t dynamic_shared_bytes, std::size_t shared_limit,
              const std::function<void()>& body) {
    if (engine != nullptr) fail("a kernel launches a kernel");
    check_limits(grid, block, dynamic_shared_bytes, shared_limit);
    gridDim = grid;
    blockDim = block;
    Engine launched(block, dynamic_shared_bytes, shared_limit, body);
    struct Running {
        explicit Running(Engine& e) { engine = &e; }
        ~Running() { engine = nullptr; }
    };
    watch::launch_begins(block.x * block.y * block.z);
    {
        const Running running(launched);
        launched.run_blocks(std::uint64_t{grid.x} * grid.y * grid.z);
    }
    if (const std::string races = watch::launch_ends(); !races.empty()) throw Fault(races);
}

void fail(const std::string& what) {
    if (engine == nullptr || engine->self() == nullptr) throw Fault(what);
    engine->self()->in_engine = true;  // to its end, which this is
    throw Fault(engine->name_of(*engine->self()) + ": " + what);
}

void barrier(Site site) { Call("__syncthreads")->barrier(site); }

const std::uint64_t* exchange(const char* what, std::uint32_t mask, std::uint64_t word, bool orders_memory, Site site) {
    return Call(what)->exchange(what, mask, word, orders_memory, site);
}

void* shared(const void* key, std::size_t bytes, std::size_t alignment) {
    return Call("block_shared")->shared().at(key, bytes, alignment);
}

void* dynamic_shared() { return Call("dynamic_shared")->shared().dynamic(); }

unsigned lane() { return Call("a lane's number")->self()->number % lanes_per_warp; }

void begin_copy(PendingCopy copy) {
    const Call call("a copy into shared memory");
    Thread& self = *call->self();
    if (!call->shared().holds(copy.to, 1)) fail("copies to an address outside shared memory");
    self.copies.emplace_back(self.copy_group, copy);
}

void commit_copies() { ++Call("__pipeline_commit")->self()->copy_group; }

bool take_copy(std::size_t groups, PendingCopy& copy) {
    const Call call("__pipeline_wait_prior");
    Thread& self = *call->self();
    if (self.copies.empty() || self.copies.front().first + groups >= self.copy_group) return false;
    copy = self.copies.front().second;
    self.copies.pop_front();
    return true;
}

// The watch runtime sees accesses of the barrier itself: whoever uses it must be ordered after who made it.
void init_arrivals(std::uint64_t* barrier, unsigned count, Site site) {
    watch::access(barrier, sizeof *barrier, true, false, __builtin_return_address(0));
    Call("__mbarrier_init")->init_arrivals(barrier, count, site);
}

std::uint64_t arrive(const std::uint64_t* barrier, Site site) {
    watch::access(barrier, sizeof *barrier, true, true, __builtin_return_address(0));
    return Call("__mbarrier_arrive")->arrive(barrier, site);
}

void wait_at(const std::uint64_t* barrier, std::uint64_t token, Site site) {
    watch::access(barrier, sizeof *barrier, false, true, __builtin_return_address(0));
    Call("wait_at")->wait_at(barrier, token, site);
}

int running_thread() {
    if (engine == nullptr || engine->self() == nullptr || engine->self()->in_engine) return -1;
    return static_cast<int>(engine->self()->number);
}

bool on_running_stack(const void* address) { return engine->self()->fiber.owns(address); }

bool is_shared(const void* address) { return engine->shared().holds(address, 1); }

void yield() { engine->yield(); }

}  // namespace cuda_on_host
