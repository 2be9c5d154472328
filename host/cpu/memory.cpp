#include "host/cpu/memory.hpp"

#include <sys/mman.h>

#include <cstdlib>
#include <string>

#include "espalier/error.hpp"

namespace espalier {

namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;

}  // namespace

void* allocate_aligned(std::size_t bytes) {
    const std::size_t alignment = bytes >= huge_page ? huge_page : cache_line;
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* memory = rounded < bytes ? nullptr : std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    if (memory == nullptr) {
        throw UserError(ExitCode::device, "out of memory: the cpu backend needs " + std::to_string(bytes) +
                                              " bytes more; use fewer edges, narrower layers or a smaller batch");
    }
    // only advice: without huge pages everything works, a little slower
    if (alignment == huge_page) static_cast<void>(madvise(memory, rounded, MADV_HUGEPAGE));
    return memory;
}

void release_aligned(void* memory) noexcept { std::free(memory); }

}  // namespace espalier
