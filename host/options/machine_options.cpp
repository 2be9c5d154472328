#include "host/options/machine_options.hpp"

#include <vector>

#include "host/options/option_kinds.hpp"

namespace espalier {
namespace {

const std::vector<std::string>& backend_names() {
    static const std::vector<std::string> names{"auto", "cpu", "cuda"};
    return names;
}

constexpr const char* number_after = "cuda:";

bool has_number_after(const std::string& device) { return option_kinds::folded(device).starts_with(number_after); }

void set_device(Experiment& experiment, const std::string& text) {
    using option_kinds::folded;
    using option_kinds::read_number;
    using option_kinds::refuse;
    using option_kinds::same_name;
    if (same_name(text, "auto")) {
        experiment.device = any_device;
    } else if (same_name(text, "cpu") || same_name(text, "cuda")) {
        experiment.backend = folded(text);
        experiment.device = any_device;
    } else {
        const std::string number = has_number_after(text) ? text.substr(std::string(number_after).size()) : text;
        if (!number_from<int>(number))
            refuse("unknown value '" + text + "'; expected auto, cpu, cuda or a GPU's number");
        experiment.device = read_number<int>(number, 0, 1023);
        if (has_number_after(text)) experiment.backend = "cuda";
    }
}

/// The backend that a device's text names; empty if it names none.
std::string backend_named(const std::string& device) {
    if (option_kinds::same_name(device, "cpu")) return "cpu";
    return option_kinds::same_name(device, "cuda") || has_number_after(device) ? "cuda" : "";
}

}  // namespace

ExperimentOption backend_option() {
    return {"backend", "Machine", "auto, cpu or cuda",
            [](Experiment& e, const std::string& text) {
                e.backend = backend_names()[option_kinds::place_of(text, backend_names())];
            },
            [](const Experiment& e) { return e.backend; }};
}

ExperimentOption device_option() {
    return {"device", "Machine",
            "which GPU: its number in espalier doctor, or auto: the first, and of a study's runs each the one that is "
            "free; cpu, cuda and cuda:1 say the backend too",
            set_device, [](const Experiment& e) { return e.device == any_device ? "auto" : std::to_string(e.device); }};
}

void expect_one_backend(const OptionTexts& texts, const std::string& source) {
    const auto device = texts.find("device");
    const auto backend = texts.find("backend");
    if (device == texts.end() || backend == texts.end()) return;
    const std::string named = backend_named(device->second);
    if (named.empty() || option_kinds::same_name(named, backend->second)) return;
    option_kinds::refuse(source + ": device = " + device->second + " is none of backend = " + backend->second);
}

}  // namespace espalier
