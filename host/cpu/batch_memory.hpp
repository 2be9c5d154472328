// Memory of batches that come and go with every step: what was released is handed out again, as the system's pages would have
// to be cleared each time.
#pragma once

#include <cstddef>

namespace espalier {

/// Uninitialised, for whoever gives it back by release_batch(). Any thread. Throws as allocate_aligned().
float* allocate_batch(std::size_t bytes);
void release_batch(float* memory, std::size_t bytes) noexcept;

}  // namespace espalier
