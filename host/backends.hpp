// How backends are found. The CPU backend is linked in; the CUDA backend is a module, a shared object opened at run time, so
// the same program runs where there is no CUDA and can say why it is not used.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "espalier/backends.hpp"

namespace espalier {

/// What became of looking for the CUDA module.
struct CudaModule {
    std::filesystem::path path;       // empty if no file was found
    std::string fault;                // why it cannot be used, one sentence; empty if it opened
    MakeCudaBackend entry = nullptr;  // null with a fault
    MakeCudaProduct product = nullptr;
    DescribeCudaModule describe = nullptr;
    MakeRanks join = nullptr;  // of ranks, by NCCL
};

/// Where the module is looked for, in this order: $ESPALIER_MODULE_PATH (folders, ':' between), the program's own
/// folder, ../lib/espalier and ../lib beside it; the folder of the shared library that this is part of.
std::vector<std::filesystem::path> module_folders();

/// Opens the first module found in `folders`; it stays loaded until the program ends. Touches no device.
CudaModule find_cuda_module(const std::vector<std::filesystem::path>& folders);

/// What the module says of itself and the machine's GPUs (espalier/module.hpp), a JSON text; empty if none opens.
std::string describe_cuda(bool try_devices);
/// The numbers of the GPUs that the module may have code for, all but those older than any it was built for. Touches
/// none of them.
const std::vector<int>& cuda_devices();

/// A CUDA backend, or null with why not in `reason`.
std::unique_ptr<Backend> try_cuda_backend(std::string& reason, const CudaOptions& options = {});

}  // namespace espalier
