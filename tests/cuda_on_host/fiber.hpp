// Fibers: one stack per CUDA thread of a block, switched by hand on one operating-system thread, so every run of a
// kernel is deterministic. Stack `number` lies in one arena, each with a guard page below it; address sanitizer is told
// of every switch. switch_x86_64.cpp or switch_ucontext.cpp does the switching; the build picks one.
#pragma once

#include <cstddef>

namespace cuda_on_host {

/// Where a fiber that does not run will continue: its stack pointer, or its ucontext_t.
struct Context {
    void* place = nullptr;
};

/// Makes `context` call start() on the given stack when first switched to; start never returns.
void prepare_context(Context& context, std::byte* stack, std::size_t bytes, void (*start)());
void switch_context(Context& from, Context& to);

class Fiber {
public:
    using Entry = void (*)(void* argument);
    static constexpr unsigned max_stacks = 1024;

    /// Will run entry(argument) on stack `number` when first switched to; entry ends in switch_to(..., last = true).
    void prepare(unsigned number, Entry entry, void* argument);
    /// Leaves `from`, which is running, for `to`; returns when somebody switches back. `last`: nobody will.
    static void switch_to(Fiber& from, Fiber& to, bool last = false);
    /// Whether `address` lies on this fiber's stack.
    [[nodiscard]] bool owns(const void* address) const;
    /// Whether `address` lies on any fiber's stack.
    [[nodiscard]] static bool any_owns(const void* address);

private:
    static void start();

    Context context_;
    Entry entry_ = nullptr;
    void* argument_ = nullptr;
    const std::byte* stack_ = nullptr;  // null: the host's own, whose bounds address sanitizer tells us
    std::size_t bytes_ = 0;
    void* fake_stack_ = nullptr;  // address sanitizer's
};

/// Whether address sanitizer is in this program.
bool has_address_sanitizer();

}  // namespace cuda_on_host
