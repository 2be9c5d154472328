// CSV tables and the history files of a run.
#include "fuzz_file.hpp"
#include "host/data/csv.hpp"
#include "host/run/epoch_record.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    using namespace espalier;
    const FuzzFile file(bytes, size);
    accepts([&] { (void)read_csv(file.path(), 1); });
    accepts([&] { (void)read_history(file.path(), size); });
    return 0;
}
