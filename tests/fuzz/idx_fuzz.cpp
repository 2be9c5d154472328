// IDX files, raw or gzip: the reader of MNIST and its kin.
#include "fuzz_file.hpp"
#include "host/data/idx.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    using namespace espalier;
    const FuzzFile file(bytes, size);
    for (const int rank : {0, 1, 3}) {
        accepts([&] {
            const NpyArray array = read_idx(file.path(), rank, "");
            std::uint64_t items = 1;
            for (const auto extent : array.shape) items *= extent;
            if (items != array.count()) std::abort();
        });
    }
    return 0;
}
