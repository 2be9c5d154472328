// Backends by name. The CPU backend is linked in; the CUDA backend is a module, a shared object opened at run time that
// exports one C function, so the same program runs where there is no CUDA and can say why it is not used.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "espalier/backend.hpp"

namespace espalier {

/// A backend ready for use: "cpu", "cuda" or "auto" (CUDA if it can be used, else the CPU). `threads` is the CPU's,
/// 0 for one per allowed core. `remark`, if given, receives why "auto" fell back, else an empty string.
/// Throws UserError: usage for an unknown name, device with the reason when "cuda" cannot be used.
std::unique_ptr<Backend> make_backend(const std::string& name, int threads, std::string* remark = nullptr);

/// What became of looking for the CUDA module.
struct CudaModule {
    std::filesystem::path path;  // empty if no file was found
    std::string fault;           // why it cannot be used, one sentence; empty if it opened
    void* entry = nullptr;       // make_cuda_backend, null with a fault
};

/// Where the module is looked for, in this order: $ESPALIER_MODULE_PATH (folders, ':' between), the program's own
/// folder, ../lib/espalier and ../lib beside it.
std::vector<std::filesystem::path> module_folders();

/// Finds and opens the module, which stays loaded until the program ends. Opening it touches no device.
CudaModule find_cuda_module(const std::vector<std::filesystem::path>& folders = module_folders());

/// The module's entry point: a backend, or null with the reason in `reason` (cut to `capacity` bytes, zero at the end).
/// Nothing is thrown across it, since the module carries its own runtime.
using MakeCudaBackend = Backend* (*)(char* reason, std::size_t capacity);

}  // namespace espalier
