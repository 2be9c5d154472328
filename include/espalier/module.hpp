// Where the program and the CUDA module meet: two C functions in a shared object, found with dlopen. Neither room
// includes the other's headers; both include this.
#pragma once

#include <cstddef>

#include "espalier/backend.hpp"
#include "espalier/version.hpp"

namespace espalier {

class DeviceProduct;
class Ranks;
struct Topology;

/// File name of the module and names of its exported functions.
inline constexpr const char* cuda_module_name = "libespalier_cuda.so";
inline constexpr const char* cuda_module_entry = "make_cuda_backend";
inline constexpr const char* cuda_module_product = "make_cuda_product";
inline constexpr const char* cuda_module_report = "describe_cuda_module";

/// How the CUDA backend does its work; results differ by rounding at most.
struct CudaOptions {
    int graph = 1;   // programs of verbs are captured and replayed as graphs; 0: every kernel is launched by itself
    int device = 0;  // number of the GPU, as CUDA counts them
    int tf32 = 0;    // large dense layers are multiplied in TF32, 10 bits of mantissa: for comparisons of speed
    // For comparisons of speed too: so many samples lie side by side, [neuron][samples], which libraries like best. Such a
    // backend takes only layers that a library multiplies, and leaves biases and activations out. 0: tiles
    int samples_in_a_row = 0;
    // The processes that train one network with this one, all of which make their backends at once; null: none. It outlives
    // the backend. `device` below 0 then is the rank's among those of its machine, modulo the GPUs there are.
    Ranks* ranks = nullptr;
};

/// The entry: `extern "C" espalier::Backend* make_cuda_backend(int interface, const espalier::CudaOptions* options,
/// char* reason, std::size_t capacity)`. Returns a backend that the caller deletes, or null with why not in `reason`,
/// one sentence of at most `capacity` bytes, the closing zero included. Throws nothing.
using MakeCudaBackend = Backend* (*)(int interface, const CudaOptions* options, char* reason, std::size_t capacity);

/// `extern "C" espalier::DeviceProduct* make_cuda_product(int interface, const espalier::Topology* topology, int device,
/// char* reason, std::size_t capacity)`: likewise, for make_device_product().
using MakeCudaProduct = DeviceProduct* (*)(int interface, const Topology* topology, int device, char* reason,
                                           std::size_t capacity);

/// What the module is and what it finds, as one JSON object (README, espalier doctor --json): architectures, toolkit,
/// driver, fault (why there is no GPU, empty if there is), libraries and devices. With `try_devices` each device is
/// made ready, to say whether it can be used, and the libraries are opened; without, nothing touches a device. Returns
/// the bytes of the text; it is cut at `capacity`, the closing zero included. Throws nothing.
using DescribeCudaModule = std::size_t (*)(int interface, int try_devices, char* json, std::size_t capacity);

}  // namespace espalier
