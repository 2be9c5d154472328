#include "cuda/device.hpp"

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "cuda/check.hpp"
#include "cuda/nccl/communicator.hpp"
#include "cuda/operations.hpp"
#include "cuda/products/blas.hpp"
#include "cuda/products/cusparse.hpp"
#include "cuda_calls.hpp"

namespace espalier::cuda {
namespace {

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

/// Why there is no device at all; empty if there is one. `count` receives how many.
std::string no_device(int& count) {
    const cudaError_t error = cudaGetDeviceCount(&count);
    static_cast<void>(cudaGetLastError());
    if (error == cudaErrorInsufficientDriver) return insufficient_driver();
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0)) {
        return "the NVIDIA driver finds no GPU; nvidia-smi lists those there are, and CUDA_VISIBLE_DEVICES may hide "
               "them";
    }
    return error == cudaSuccess ? "" : "the GPU cannot be used: CUDA says " + error_text(error);
}

/// No older device than this runs what the module holds.
int oldest_architecture() {
    std::istringstream words(ESPALIER_CUDA_ARCHITECTURES);
    int oldest = 0;
    for (std::string word; words >> word;) {
        const int number = std::atoi(word.c_str());  // "90-real" is 90
        if (number > 0 && (oldest == 0 || number < oldest)) oldest = number;
    }
    return oldest;
}

std::string no_code(const cudaDeviceProp& properties) {
    return std::string("the GPU ") + properties.name + " has compute capability " + capability(properties) +
           ", for which this module holds no code (it holds " ESPALIER_CUDA_ARCHITECTURES
           "); build Espalier with -DESPALIER_CUDA_ARCHITECTURES=" +
           std::to_string(properties.major * 10 + properties.minor);
}

/// Of the code that the current device runs, as "9.0".
std::string code_in_use() {
    cudaFuncAttributes attributes{};
    check(cudaFuncGetAttributes(&attributes, some_kernel()), "asking for a kernel's attributes");
    return std::to_string(attributes.binaryVersion / 10) + "." + std::to_string(attributes.binaryVersion % 10);
}

int current_device() {
    int number = 0;
    check(cudaGetDevice(&number), "asking for the current device");
    return number;
}

std::string quoted(const std::string& text) {
    std::string json = "\"";
    for (const char each : text) {
        if (each == '"' || each == '\\') json += '\\';
        json += static_cast<unsigned char>(each) < ' ' ? ' ' : each;
    }
    return json + '"';
}

}  // namespace

std::string take_device(int number) {
    int count = 0;
    if (std::string fault = no_device(count); !fault.empty()) return fault;
    if (number < 0 || number >= count) {
        return "device: " + std::to_string(number) + " is outside [0, " + std::to_string(count - 1) +
               "], the numbers of this machine's GPUs; espalier doctor lists them";
    }
    cudaDeviceProp properties{};
    cudaError_t error = cudaSetDevice(number);
    if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, number);
    if (error != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
        return "the GPU cannot be used: CUDA says " + error_text(error);
    }
    cudaFuncAttributes attributes{};
    error = cudaFuncGetAttributes(&attributes, some_kernel());
    static_cast<void>(cudaGetLastError());
    if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction ||
        error == cudaErrorUnsupportedPtxVersion) {
        return no_code(properties);
    }
    if (error != cudaSuccess) return "the GPU cannot be used: CUDA says " + error_text(error);
    return {};
}

int device_of_rank(const RankPlace& place) {
    int count = 0;
    if (!no_device(count).empty()) return 0;  // take_device() says it
    return place.local_rank % count;
}

void make_current(int number) { check(cudaSetDevice(number), "choosing the device"); }

SpmmDevice spmm_device() {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, current_device()), "asking for the device's properties");
    return {static_cast<Index>(properties.multiProcessorCount), properties.sharedMemPerBlockOptin};
}

std::string describe_device() {
    cudaDeviceProp properties{};
    int driver = 0;
    const int number = current_device();
    check(cudaGetDeviceProperties(&properties, number), "asking for the device's properties");
    check(cudaDriverGetVersion(&driver), "asking for the driver's version");
    char memory[32];
    std::snprintf(memory, sizeof memory, "%.1f GiB",
                  static_cast<double>(properties.totalGlobalMem) / static_cast<double>(std::size_t{1} << 30));
    return std::string("cuda: ") + properties.name + (number > 0 ? " (device " + std::to_string(number) + ")" : "") +
           ", compute capability " + capability(properties) + ", " + memory + ", driver for CUDA " +
           version_text(driver);
}

std::string describe_module(bool try_devices) {
    int driver = 0;
    int runtime = 0;
    static_cast<void>(cudaDriverGetVersion(&driver));
    static_cast<void>(cudaRuntimeGetVersion(&runtime));
    int count = 0;
    const std::string fault = no_device(count);
    std::string json = "{\"architectures\": " + quoted(ESPALIER_CUDA_ARCHITECTURES) +
                       ", \"toolkit\": " + quoted(version_text(runtime)) +
                       ", \"driver\": " + (driver == 0 ? "null" : quoted(version_text(driver))) +
                       ", \"fault\": " + quoted(fault);
    if (try_devices) {
        json += ", \"libraries\": {\"cublas\": " + quoted(blas_fault()) +
                ", \"cusparse\": " + quoted(sparse_library_fault()) + ", \"nccl\": " + quoted(nccl_fault()) + "}";
    }
    json += ", \"devices\": [";
    for (int number = 0; fault.empty() && number < count; ++number) {
        cudaDeviceProp properties{};
        check(cudaGetDeviceProperties(&properties, number), "asking for the device's properties");
        json += std::string(number > 0 ? ", " : "") + "{\"device\": " + std::to_string(number) +
                ", \"name\": " + quoted(properties.name) +
                ", \"compute_capability\": " + quoted(capability(properties)) +
                ", \"memory_bytes\": " + std::to_string(properties.totalGlobalMem);
        const bool is_older = properties.major * 10 + properties.minor < oldest_architecture();
        const std::string its_fault = try_devices ? take_device(number) : is_older ? no_code(properties) : "";
        if (try_devices && its_fault.empty()) json += ", \"code\": " + quoted(code_in_use());
        json += ", \"fault\": " + quoted(its_fault) + "}";
    }
    return json + "]}";
}

}  // namespace espalier::cuda
