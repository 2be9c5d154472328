// NPY arrays, raw or gzip.
#include "fuzz_file.hpp"
#include "host/formats/npy.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    using namespace espalier;
    const FuzzFile file(bytes, size);
    accepts([&] {
        const NpyArray array = read_npy(file.path());
        std::uint64_t items = 1;
        for (const auto extent : array.shape) items *= extent;
        if (items != array.count()) std::abort();
    });
    return 0;
}
