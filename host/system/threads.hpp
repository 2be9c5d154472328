// The driver's own threads, besides those that OpenMP starts.
#pragma once

#include <functional>
#include <thread>

namespace espalier {

/// Runs `work` on a thread, which is waited for when the result ends. Throws UserError (device) if no thread can be had.
[[nodiscard]] std::jthread start_thread(std::function<void()> work);

}  // namespace espalier
