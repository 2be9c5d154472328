// The switch for x86-64 (System V): what a called function must preserve goes onto the stack, the stacks change places.
// Floating-point control words are left alone: no kernel changes them.
#include "fiber.hpp"

asm(R"(
    .text
    .p2align 4
    .type cuda_on_host_switch, @function
cuda_on_host_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size cuda_on_host_switch, .-cuda_on_host_switch
)");

extern "C" void cuda_on_host_switch(void** save, void* load) asm("cuda_on_host_switch");

namespace cuda_on_host {

void prepare_context(Context& context, std::byte* stack, std::size_t bytes, void (*start)()) {
    constexpr int saved_registers = 6;
    auto** top = reinterpret_cast<void**>(stack + bytes);
    *--top = nullptr;  // a return address of 0 ends every backtrace, and start() finds the stack aligned as by a call
    *--top = reinterpret_cast<void*>(start);
    for (int i = 0; i < saved_registers; ++i) *--top = nullptr;
    context.place = static_cast<void*>(top);
}

void switch_context(Context& from, Context& to) { cuda_on_host_switch(&from.place, to.place); }

}  // namespace cuda_on_host
