// Backends by name.
#pragma once

#include <memory>
#include <string>

#include "espalier/experiment.hpp"
#include "espalier/module.hpp"
#include "espalier/ranks.hpp"

namespace espalier {

/// A backend ready for use: "cpu", "cuda" or "auto" (CUDA if it can be used, else the CPU). `threads` is the CPU's,
/// 0 for one per allowed core, `cuda` CUDA's. `remark`, if given, receives why "auto" fell back, else an empty string.
/// Throws UserError: usage for an unknown name, device with the reason when "cuda" cannot be used.
std::unique_ptr<Backend> make_backend(const std::string& name, int threads = 0, std::string* remark = nullptr,
                                      const CudaOptions& cuda = {});
/// The backend that an experiment asks for. With `ranks`, which must outlive it, several processes train one network, and
/// "auto" is the CPU unless NCCL brought them together. Throws UserError (usage) for what several GPUs do not train.
std::unique_ptr<Backend> make_backend(const Experiment& experiment, std::string* remark = nullptr,
                                      Ranks* ranks = nullptr);

}  // namespace espalier
