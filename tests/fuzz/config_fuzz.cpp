// Config and recipe files: whatever is accepted prints as a text that reads back to itself.
#include "fuzz_file.hpp"
#include "host/options/config_text.hpp"
#include "host/options/option_table.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    using namespace espalier;
    const std::string text(reinterpret_cast<const char*>(bytes), size);
    Experiment experiment;
    const bool accepted = accepts([&] {
        apply(parse_config(text, "fuzz"), "fuzz", experiment);
        validate(experiment);
    });
    if (!accepted) return 0;
    const std::string printed = config_text(experiment);
    Experiment again;
    if (!accepts([&] { apply(parse_config(printed, "printed"), "printed", again); })) std::abort();
    if (config_text(again) != printed) std::abort();
    return 0;
}
