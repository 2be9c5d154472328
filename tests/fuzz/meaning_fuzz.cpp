// What a network file says of its data: whatever is accepted prints as a text that reads back to itself.
#include "fuzz_file.hpp"
#include "espalier/data_meaning.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    using namespace espalier;
    const std::string text(reinterpret_cast<const char*>(bytes), size);
    DataMeaning meaning;
    if (!accepts([&] { meaning = parse_meaning(text, "fuzz"); })) return 0;
    const std::string printed = meaning_json(meaning);
    DataMeaning again;
    if (!accepts([&] { again = parse_meaning(printed, "printed"); })) std::abort();
    if (meaning_json(again) != printed) std::abort();
    return 0;
}
