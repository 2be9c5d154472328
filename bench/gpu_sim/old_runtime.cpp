// What the host code that nvcc 13 writes calls and the simulator's runtime, CUDA 11's, does not have.
#include <cstddef>

extern "C" {

struct Extent {
    unsigned x, y, z;
};

int cudaLaunchKernel(const void* kernel, Extent grid, Extent block, void** arguments, std::size_t shared, void* stream);

int __cudaGetKernel(const void** kernel, const void* host_function) {
    *kernel = host_function;
    return 0;
}

int __cudaLaunchKernel(const void* kernel, Extent grid, Extent block, void** arguments, std::size_t shared, void* stream) {
    return cudaLaunchKernel(kernel, grid, block, arguments, shared, stream);
}
}
