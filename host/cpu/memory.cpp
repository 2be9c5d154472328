#include "host/cpu/memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "espalier/error.hpp"
#include "host/cpu/cpu_backend.hpp"

namespace espalier {

namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;
// From here on a whole page is worth its memory: kernels jump about in arrays of activations.
constexpr std::size_t least_huge = huge_page / 2;

}  // namespace

std::uint64_t cpu_array_bytes(std::uint64_t bytes) {
    return bytes < least_huge ? bytes : (bytes + huge_page - 1) / huge_page * huge_page;
}

void* allocate_aligned(std::size_t bytes) {
    const std::size_t alignment = bytes >= least_huge ? huge_page : cache_line;
    void* memory = nullptr;
    const bool possible = bytes <= std::size_t{PTRDIFF_MAX} - huge_page;
    const std::size_t taken = possible ? std::max<std::size_t>(cpu_array_bytes(bytes), cache_line) : 0;
    if (!possible || posix_memalign(&memory, alignment, taken) != 0) {
        throw UserError(ExitCode::device, "out of memory: the cpu backend needs " + std::to_string(bytes) +
                                              " bytes more; use fewer edges, narrower layers or a smaller batch");
    }
    // only advice: without huge pages everything works, a little slower
    if (alignment == huge_page) static_cast<void>(madvise(memory, taken, MADV_HUGEPAGE));
    return memory;
}

void release_aligned(void* memory) noexcept { std::free(memory); }

}  // namespace espalier
