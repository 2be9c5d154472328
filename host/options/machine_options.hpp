// The options that say what computes: the backend and which of its GPUs.
#pragma once

#include <string>

#include "host/options/option_table.hpp"

namespace espalier {

ExperimentOption backend_option();
/// A number, or what other programs call a device, which names the backend too: cpu, cuda, cuda:1.
ExperimentOption device_option();
/// Refuses (UserError, usage) a device that names another backend than the texts' own.
void expect_one_backend(const OptionTexts& texts, const std::string& source);

}  // namespace espalier
