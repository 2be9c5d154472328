#include "fiber.hpp"

#include <sys/mman.h>

#include <system_error>

// Defined where address sanitizer is linked in, null elsewhere.
extern "C" {
__attribute__((weak)) void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, std::size_t size);
__attribute__((weak)) void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, std::size_t* size);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void* address, std::size_t size);
}

namespace cuda_on_host {

namespace {

constexpr std::size_t guard_bytes = std::size_t{4} << 10;
constexpr std::size_t stack_bytes = std::size_t{128} << 10;  // lies untouched, so costs nothing, until used
constexpr std::size_t slot_bytes = guard_bytes + stack_bytes;
constexpr std::size_t arena_bytes = Fiber::max_stacks * slot_bytes;

std::byte* make_arena() {
    void* memory =
        mmap(nullptr, arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "stacks of the CUDA threads");
    auto* arena = static_cast<std::byte*>(memory);
    for (unsigned i = 0; i < Fiber::max_stacks; ++i) {
        if (mprotect(arena + i * slot_bytes, guard_bytes, PROT_NONE) != 0) {
            throw std::system_error(errno, std::generic_category(), "guard page of a CUDA thread's stack");
        }
    }
    return arena;
}

std::byte* arena() {
    static std::byte* const memory = make_arena();  // for the life of the program
    return memory;
}

Fiber* running = nullptr;    // whoever was switched to last
Fiber* came_from = nullptr;  // and from whom

}  // namespace

bool has_address_sanitizer() { return __sanitizer_start_switch_fiber != nullptr; }

void Fiber::prepare(unsigned number, Entry entry, void* argument) {
    entry_ = entry;
    argument_ = argument;
    std::byte* stack = arena() + number * slot_bytes + guard_bytes;
    stack_ = stack;
    bytes_ = stack_bytes;
    fake_stack_ = nullptr;
    // what an earlier fiber, perhaps abandoned, left poisoned
    if (has_address_sanitizer()) __asan_unpoison_memory_region(stack, stack_bytes);
    prepare_context(context_, stack, stack_bytes, start);
}

void Fiber::switch_to(Fiber& from, Fiber& to, bool last) {
    if (has_address_sanitizer()) {
        __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack_, to.stack_, to.bytes_);
    }
    running = &to;
    came_from = &from;
    switch_context(from.context_, to.context_);
    if (has_address_sanitizer()) __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
}

void Fiber::start() {
    Fiber& self = *running;
    if (has_address_sanitizer()) {
        const void* bottom = nullptr;
        std::size_t size = 0;
        __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
        if (!any_owns(bottom)) {
            came_from->stack_ = static_cast<const std::byte*>(bottom);
            came_from->bytes_ = size;
        }
    }
    self.entry_(self.argument_);
    __builtin_trap();  // entry never returns
}

bool Fiber::owns(const void* address) const {
    const auto* byte = static_cast<const std::byte*>(address);
    return byte >= stack_ && byte < stack_ + bytes_;
}

bool Fiber::any_owns(const void* address) {
    const auto* byte = static_cast<const std::byte*>(address);
    return byte >= arena() && byte < arena() + arena_bytes;
}

}  // namespace cuda_on_host
