#include "host/cpu/memory.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "espalier/error.hpp"
#include "host/system/available_memory.hpp"

namespace espalier {

namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;

}  // namespace

void* allocate_aligned(std::size_t bytes) {
    const std::size_t alignment = bytes >= huge_page ? huge_page : cache_line;
    void* memory = nullptr;
    const bool possible = bytes <= std::size_t{PTRDIFF_MAX} - huge_page;
    if (!possible || posix_memalign(&memory, alignment, bytes == 0 ? alignment : bytes) != 0) {
        throw UserError(ExitCode::device, "out of memory: the cpu backend needs " + std::to_string(bytes) +
                                              " bytes more, " + available_memory_text() +
                                              "; use fewer edges, narrower layers or a smaller batch");
    }
    // only advice: without huge pages everything works, a little slower
    if (alignment == huge_page) static_cast<void>(madvise(memory, bytes, MADV_HUGEPAGE));
    return memory;
}

void release_aligned(void* memory) noexcept { std::free(memory); }

}  // namespace espalier
