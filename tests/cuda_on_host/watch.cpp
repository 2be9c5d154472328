// Our own runtime behind -fsanitize=thread: kernels are compiled with that flag and linked to this instead of libtsan,
// so every access calls in here and the running CUDA thread is known.
// Two accesses of different threads are ordered when a __syncthreads of their block, a __syncwarp of their warp or a
// phase of an mbarrier (arrived at after the one, waited for before the other) lies between them; blocks of one launch
// are never ordered; launches always are. Unordered accesses of one byte, one of them a write, not both atomic, are a
// race. This file itself must be compiled without the flag.
#include "watch.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "block.hpp"
#include "fiber.hpp"

namespace cuda_on_host::watch {

namespace {

constexpr unsigned lanes_per_warp = 32;

struct Access {
    const void* place = nullptr;  // the return address; null: no access
    std::uint64_t block = 0;
    std::uint32_t barriers = 0;  // the block's count before it
    std::uint32_t clock = 0;     // the thread's count of __syncwarps and arrivals before it
    std::uint16_t thread = 0;
    std::uint8_t bytes = 0;  // of the word, a bit each
    bool write = false;
    bool atomic = false;
};

/// What is remembered of four bytes.
struct Word {
    Access write;         // the last plain one
    Access atomic_write;  // the last atomic one since
    std::array<Access, 3> reads;
    unsigned next_read = 0;
};

constexpr std::uintptr_t words_per_page = 1024;
struct Page {
    std::uint64_t launch = 0;  // in which it was last cleared
    std::array<Word, words_per_page> words;
};

/// One lane's access, for the traffic of its warp.
struct Request {
    const void* place;
    std::uint32_t warp;
    std::uint32_t execution;  // the thread's how manieth of this instruction
    std::uintptr_t sector;
    std::uint32_t bytes;
    bool write;
    auto operator<=>(const Request&) const = default;
};

struct Race {
    Access past;
    Access now;
    std::uintptr_t address = 0;
};

using Clocks = std::vector<std::uint32_t>;  // of each thread

/// What was done before the arrivals in the running phase of an mbarrier, and in the one before.
struct Phases {
    Clocks running;
    Clocks ended;
};

struct Watch {
    std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages;
    Page* last_page = nullptr;
    std::uintptr_t last_number = 0;
    std::uint64_t launch = 0;
    bool in_launch = false;
    std::uint64_t block = 0;
    std::uint32_t barriers = 0;
    Clocks clocks;                 // per thread
    std::vector<Clocks> seen;      // per thread: the clocks that it is ordered after
    std::vector<Phases> phases;    // per mbarrier of the block; without one, no thread sees another warp's clocks
    bool saw_other_warps = false;  // whether, since `seen` was last cleared, there was one
    Clocks joined;                 // of the threads that meet
    std::vector<Race> races;
    unsigned one_in = 0;
    std::uint64_t random = 1;
    bool counting = false;
    std::vector<Request> requests;  // of this block
    std::map<std::pair<const void*, int>, std::uint32_t> executions;
    std::map<std::pair<unsigned, bool>, Traffic> traffic;
};

Watch& state() {
    static Watch watch;
    return watch;
}

Word& word_at(Watch& w, std::uintptr_t number) {
    const std::uintptr_t page_number = number / words_per_page;
    if (w.last_page == nullptr || w.last_number != page_number) {
        auto& page = w.pages[page_number];
        if (!page) page = std::make_unique<Page>();
        w.last_page = page.get();
        w.last_number = page_number;
    }
    if (w.last_page->launch != w.launch) {
        w.last_page->words.fill({});
        w.last_page->launch = w.launch;
    }
    return w.last_page->words[number % words_per_page];
}

/// The threads whose clocks those of the warp with lane 0 `first` can have seen.
std::pair<std::size_t, std::size_t> visible(const Watch& w, std::size_t first) {
    const std::size_t threads = w.clocks.size();
    if (w.saw_other_warps) return {0, threads};
    return {first, std::min(first + lanes_per_warp, threads)};
}

void join(Clocks& into, const Clocks& from, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) into[i] = std::max(into[i], from[i]);
}

bool ordered(const Watch& w, const Access& past, const Access& now) {
    if (past.block != now.block) return false;
    if (past.thread == now.thread || past.barriers < now.barriers) return true;
    return past.clock <= w.seen[now.thread][past.thread];
}

void compare(Watch& w, const Access& past, const Access& now, std::uintptr_t address) {
    constexpr std::size_t most = 5;
    if (past.place == nullptr || (past.bytes & now.bytes) == 0 || (past.atomic && now.atomic) ||
        ordered(w, past, now)) {
        return;
    }
    const bool known = std::any_of(w.races.begin(), w.races.end(), [&](const Race& race) {
        return race.past.place == past.place && race.now.place == now.place;
    });
    if (!known && w.races.size() < most) w.races.push_back({past, now, address});
}

void remember_read(Word& word, const Access& now) {
    for (Access& read : word.reads) {
        if (read.place == nullptr || (read.thread == now.thread && read.block == now.block)) {
            read = now;
            return;
        }
    }
    word.reads[word.next_read++ % word.reads.size()] = now;
}

bool preempted(Watch& w) {
    if (w.one_in == 0) return false;
    w.random = w.random * 6364136223846793005U + 1442695040888963407U;
    return (w.random >> 33) % w.one_in == 0;
}

bool is_vocabulary(const void* address) {
    const auto within = [&](const auto& variable) {
        const auto* begin = reinterpret_cast<const std::byte*>(&variable);
        return address >= begin && address < begin + sizeof variable;
    };
    return within(threadIdx) || within(blockIdx) || within(blockDim) || within(gridDim);
}

/// "file:line" of each return address where addr2line and debug information exist, else the address in the program.
std::vector<std::string> place_names(const std::vector<const void*>& places) {
    std::vector<std::string> names;
    std::string command = "addr2line -e /proc/" + std::to_string(getpid()) + "/exe";
    for (const void* place : places) {
        Dl_info info{};
        auto address = reinterpret_cast<std::uintptr_t>(place) - 1;  // within the call
        if (dladdr(place, &info) != 0) address -= reinterpret_cast<std::uintptr_t>(info.dli_fbase);
        char bare[32];
        std::snprintf(bare, sizeof bare, "0x%zx", static_cast<std::size_t>(address));
        names.emplace_back(bare);
        command += " " + names.back();
    }
    if (FILE* pipe = popen((command + " 2>/dev/null").c_str(), "r"); pipe != nullptr) {
        char line[1024];
        for (std::string& name : names) {
            if (std::fgets(line, sizeof line, pipe) == nullptr) break;
            if (line[0] != '?') name = std::string(line, std::strcspn(line, "\n"));
        }
        pclose(pipe);
    }
    return names;
}

std::string text(const Access& access, const std::string& place) {
    return "block " + std::to_string(access.block) + " thread " + std::to_string(access.thread) +
           (access.write ? " writes" : " reads") + (access.atomic ? " atomically" : "") + " at " + place;
}

}  // namespace

void access(const void* address, std::size_t bytes, bool write, bool atomic, const void* place) {
    const int thread = running_thread();
    if (thread < 0 || bytes == 0 || on_running_stack(address) || is_vocabulary(address)) return;
    Watch& w = state();
    const auto begin = reinterpret_cast<std::uintptr_t>(address);
    const auto number = static_cast<std::size_t>(thread);
    Access now{place, w.block, w.barriers, w.clocks[number], static_cast<std::uint16_t>(thread), 0, write, atomic};
    for (std::uintptr_t i = begin / 4; i <= (begin + bytes - 1) / 4; ++i) {
        const std::uintptr_t low = std::max(begin, i * 4) - i * 4;
        const std::uintptr_t high = std::min(begin + bytes, i * 4 + 4) - i * 4;
        now.bytes = static_cast<std::uint8_t>((1U << high) - (1U << low));
        Word& word = word_at(w, i);
        compare(w, word.write, now, i * 4 + low);
        compare(w, word.atomic_write, now, i * 4 + low);
        if (write) {
            for (const Access& read : word.reads) compare(w, read, now, i * 4 + low);
            word.reads = {};
            (atomic ? word.atomic_write : word.write) = now;
            if (!atomic) word.atomic_write = {};
        } else {
            remember_read(word, now);
        }
    }
    if (w.counting && !is_shared(address)) {
        const std::uint32_t execution = w.executions[{place, thread}]++;
        for (std::uintptr_t sector = begin / 32; sector <= (begin + bytes - 1) / 32; ++sector) {
            w.requests.push_back({place, static_cast<std::uint32_t>(number / lanes_per_warp), execution, sector,
                                  static_cast<std::uint32_t>(bytes), write});
        }
    }
    if (preempted(w)) yield();
}

bool enabled() { return true; }

void preempt(unsigned one_in, std::uint64_t seed) {
    state().one_in = one_in;
    state().random = seed;
}

void count_traffic(bool on) {
    state().counting = on;
    state().traffic.clear();
}

Traffic traffic(unsigned bytes, bool write) { return state().traffic[{bytes, write}]; }

void launch_begins(unsigned threads_per_block) {
    Watch& w = state();
    ++w.launch;
    w.in_launch = true;
    if (w.clocks.size() != threads_per_block) {
        w.clocks.assign(threads_per_block, 0);
        w.seen.assign(threads_per_block, Clocks(threads_per_block, 0));
        w.joined.assign(threads_per_block, 0);
    }
    w.races.clear();
}

std::string launch_ends() {
    Watch& w = state();
    w.in_launch = false;
    if (w.races.empty()) return {};
    std::vector<const void*> places;
    for (const Race& race : w.races) {
        places.push_back(race.past.place);
        places.push_back(race.now.place);
    }
    const auto names = place_names(places);
    std::string report;
    for (std::size_t i = 0; i < w.races.size(); ++i) {
        char address[32];
        std::snprintf(address, sizeof address, "0x%zx", static_cast<std::size_t>(w.races[i].address));
        report += (i == 0 ? "race on " : "\nrace on ") + std::string(address) + ": " +
                  text(w.races[i].past, names[2 * i]) + ", and unordered with it " +
                  text(w.races[i].now, names[2 * i + 1]);
    }
    return report;
}

void block_begins(std::uint64_t block) {
    Watch& w = state();
    w.block = block;
    w.barriers = 0;
    // clocks start at 1, so that nothing of another lane is ordered before the first __syncwarp
    std::fill(w.clocks.begin(), w.clocks.end(), 1U);
    for (std::size_t i = 0; i < w.seen.size(); ++i) {
        const auto [begin, end] = visible(w, i / lanes_per_warp * lanes_per_warp);
        std::fill(w.seen[i].data() + begin, w.seen[i].data() + end, 0U);
    }
    w.saw_other_warps = false;
    w.phases.clear();
    w.requests.clear();
    w.executions.clear();
}

void block_ends() {
    Watch& w = state();
    std::sort(w.requests.begin(), w.requests.end());
    const Request* past = nullptr;
    for (const Request& request : w.requests) {
        if (past != nullptr && *past == request) continue;
        Traffic& traffic = w.traffic[{request.bytes, request.write}];
        ++traffic.sectors;
        const bool same = past != nullptr && past->place == request.place && past->warp == request.warp &&
                          past->execution == request.execution;
        if (!same) ++traffic.requests;
        past = &request;
    }
    w.requests.clear();
}

void fresh(const void* memory, std::size_t bytes) {
    Watch& w = state();
    if (!w.in_launch || bytes == 0) return;  // a launch begins with nothing known
    const auto begin = reinterpret_cast<std::uintptr_t>(memory);
    for (std::uintptr_t i = begin / 4; i <= (begin + bytes - 1) / 4; ++i) word_at(w, i) = {};
}

void block_barrier() { ++state().barriers; }

void warp_barrier(unsigned first, std::uint32_t mask) {
    Watch& w = state();
    const auto [begin, end] = visible(w, first);
    const auto in_mask = [&](unsigned l) { return (mask >> l & 1U) != 0; };
    std::fill(w.joined.data() + begin, w.joined.data() + end, 0U);
    for (unsigned l = 0; l < lanes_per_warp; ++l) {
        if (!in_mask(l)) continue;
        join(w.joined, w.seen[first + l], begin, end);
        w.joined[first + l] = std::max(w.joined[first + l], w.clocks[first + l]);
    }
    for (unsigned l = 0; l < lanes_per_warp; ++l) {
        if (!in_mask(l)) continue;
        std::copy(w.joined.data() + begin, w.joined.data() + end, w.seen[first + l].data() + begin);
        ++w.clocks[first + l];
    }
}

void arrivals_begin(std::size_t barrier) {
    Watch& w = state();
    w.saw_other_warps = true;
    w.phases.resize(std::max(w.phases.size(), barrier + 1));
    w.phases[barrier] = {Clocks(w.clocks.size(), 0), Clocks(w.clocks.size(), 0)};
}

void arrives(std::size_t barrier, unsigned thread) {
    Watch& w = state();
    Clocks& running = w.phases[barrier].running;
    join(running, w.seen[thread], 0, running.size());
    running[thread] = std::max(running[thread], w.clocks[thread]++);
}

void phase_ends(std::size_t barrier) {
    Phases& phases = state().phases[barrier];
    std::swap(phases.running, phases.ended);
    std::fill(phases.running.begin(), phases.running.end(), 0U);
}

void passes(std::size_t barrier, unsigned thread) {
    Watch& w = state();
    join(w.seen[thread], w.phases[barrier].ended, 0, w.clocks.size());
}

}  // namespace cuda_on_host::watch
