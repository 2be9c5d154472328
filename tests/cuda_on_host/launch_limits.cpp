#include "launch_limits.hpp"

#include <cstdint>

#include "block.hpp"

namespace cuda_on_host {

std::string index_text(unsigned x, unsigned y, unsigned z) {
    return "(" + std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(z) + ")";
}

void check_limits(dim3 grid, dim3 block, std::size_t dynamic_bytes, std::size_t shared_limit) {
    const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
    const auto require = [](bool good, const std::string& what) {
        if (!good) throw Fault("launch: " + what);
    };
    require(threads > 0 && std::uint64_t{grid.x} * grid.y * grid.z > 0,
            "grid " + index_text(grid.x, grid.y, grid.z) + " of blocks " + index_text(block.x, block.y, block.z) +
                " is empty");
    require(threads <= 1024, std::to_string(threads) + " threads a block; the limit is 1024");
    require(block.z <= 64, "block depth " + std::to_string(block.z) + "; the limit is 64");
    require(grid.x <= 0x7fffffffU, "grid width " + std::to_string(grid.x) + "; the limit is 2147483647");
    require(grid.y <= 65535, "grid height " + std::to_string(grid.y) + "; the limit is 65535");
    require(grid.z <= 65535, "grid depth " + std::to_string(grid.z) + "; the limit is 65535");
    require(shared_limit <= largest_shared_limit, "shared memory limit raised to " + std::to_string(shared_limit) +
                                                      " bytes; the most is " + std::to_string(largest_shared_limit));
    require(dynamic_bytes <= shared_limit, "dynamic shared memory of " + std::to_string(dynamic_bytes) +
                                               " bytes; the kernel's limit is " + std::to_string(shared_limit));
}

}  // namespace cuda_on_host
