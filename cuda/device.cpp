#include "cuda/device.hpp"

#include <cstdio>

#include "cuda/check.hpp"
#include "cuda/operations.hpp"
#include "cuda_calls.hpp"

namespace espalier::cuda {
namespace {

constexpr int first_device = 0;  // CUDA_VISIBLE_DEVICES says which that is

/// 13020 as "13.2".
std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string insufficient_driver() {
    int driver = 0;
    int runtime = 0;
    static_cast<void>(cudaDriverGetVersion(&driver));
    static_cast<void>(cudaRuntimeGetVersion(&runtime));
    if (driver == 0) {
        return "there is no NVIDIA driver on this machine (libcuda.so.1 is not found); install one, or use --backend "
               "cpu";
    }
    return "the NVIDIA driver is too old: it supports CUDA " + version_text(driver) +
           " and this module was built with CUDA " + version_text(runtime) +
           "; update the driver, or build Espalier with an older toolkit";
}

std::string capability(const cudaDeviceProp& properties) {
    return std::to_string(properties.major) + "." + std::to_string(properties.minor);
}

}  // namespace

std::string take_device() {
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    static_cast<void>(cudaGetLastError());
    if (error == cudaErrorInsufficientDriver) return insufficient_driver();
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0)) {
        return "the NVIDIA driver finds no GPU; nvidia-smi lists those there are, and CUDA_VISIBLE_DEVICES may hide "
               "them";
    }
    cudaDeviceProp properties{};
    if (error == cudaSuccess) error = cudaSetDevice(first_device);
    if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, first_device);
    if (error != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
        return "the GPU cannot be used: CUDA says " + error_text(error);
    }
    cudaFuncAttributes attributes{};
    error = cudaFuncGetAttributes(&attributes, some_kernel());
    static_cast<void>(cudaGetLastError());
    if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction ||
        error == cudaErrorUnsupportedPtxVersion) {
        return std::string("the GPU ") + properties.name + " has compute capability " + capability(properties) +
               ", for which this module holds no code (it holds " ESPALIER_CUDA_ARCHITECTURES
               "); build Espalier with -DESPALIER_CUDA_ARCHITECTURES=" +
               std::to_string(properties.major * 10 + properties.minor);
    }
    if (error != cudaSuccess) return "the GPU cannot be used: CUDA says " + error_text(error);
    return {};
}

SpmmDevice spmm_device() {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, first_device), "asking for the device's properties");
    return {static_cast<Index>(properties.multiProcessorCount), properties.sharedMemPerBlockOptin};
}

std::string describe_device() {
    cudaDeviceProp properties{};
    int driver = 0;
    check(cudaGetDeviceProperties(&properties, first_device), "asking for the device's properties");
    check(cudaDriverGetVersion(&driver), "asking for the driver's version");
    char memory[32];
    std::snprintf(memory, sizeof memory, "%.1f GiB",
                  static_cast<double>(properties.totalGlobalMem) / static_cast<double>(std::size_t{1} << 30));
    return std::string("cuda: ") + properties.name + ", compute capability " + capability(properties) + ", " + memory +
           ", driver for CUDA " + version_text(driver);
}

}  // namespace espalier::cuda
