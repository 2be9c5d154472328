// The driver's own threads, besides those that OpenMP starts.
#pragma once

#include <functional>
#include <thread>

namespace espalier {

/// Runs `work` on a thread, waited for when the result ends. Throws UserError (device) if no thread can be had.
[[nodiscard]] std::jthread start_thread(std::function<void()> work);

/// Throws UserError (device) if the calling thread cannot have so many besides itself, as OpenMP is about to start: that
/// would end the program instead.
void expect_threads(int count);

}  // namespace espalier
