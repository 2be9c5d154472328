// The switch for any processor: ucontext, an order of magnitude slower because it saves the signal mask.
#include <ucontext.h>

#include <memory>
#include <new>

#include "fiber.hpp"

namespace cuda_on_host {

void prepare_context(Context& context, std::byte* stack, std::size_t bytes, void (*start)()) {
    // its own record lies at the top of the stack
    bytes = (bytes - sizeof(ucontext_t)) & ~std::size_t{63};
    auto* record = new (stack + bytes) ucontext_t;
    getcontext(record);
    record->uc_stack.ss_sp = stack;
    record->uc_stack.ss_size = bytes;
    record->uc_link = nullptr;
    makecontext(record, start, 0);
    context.place = record;
}

void switch_context(Context& from, Context& to) {
    static const auto host = std::make_unique<ucontext_t>();
    if (from.place == nullptr) from.place = host.get();  // never prepared: there is one host
    swapcontext(static_cast<ucontext_t*>(from.place), static_cast<const ucontext_t*>(to.place));
}

}  // namespace cuda_on_host
