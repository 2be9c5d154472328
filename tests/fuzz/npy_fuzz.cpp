// NPY arrays, raw or gzip, as samples and as labels.
#include "fuzz_file.hpp"
#include "host/data/arrays.hpp"
#include "host/data/targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    using namespace espalier;
    const FuzzFile file(bytes, size);
    NpyArray array;
    const bool read = accepts([&] {
        array = read_npy(file.path());
        std::uint64_t items = 1;
        for (const auto extent : array.shape) items *= extent;
        if (items != array.count()) std::abort();
    });
    if (!read) return 0;
    const std::uint64_t samples = array.shape.empty() ? 0 : array.shape[0];
    accepts([&] {
        const LabelTable table = labels_of(array, samples, "fuzz");
        if (table.codes.size() != samples) std::abort();
    });
    for (const char* asked : {"all", "last", "2,1"}) {
        accepts([&] {
            const ArrayTargets targets = targets_of(array, samples, asked, "fuzz");
            if (targets.count == 0 || targets.values.size() != samples * targets.count) std::abort();
        });
    }
    accepts([&] {
        const ArraySamples each = samples_of(array, "fuzz");
        if (each.bytes.size() + each.floats.size() != array.count() || each.count != samples) std::abort();
    });
    return 0;
}
