// Archives: ZIP with its members, NPZ with its arrays, TAR.
#include "fuzz_file.hpp"
#include "host/formats/npz.hpp"
#include "host/formats/tar.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    using namespace espalier;
    const FuzzFile file(bytes, size);
    accepts([&] {
        const ZipFile zip(file.path());
        for (const std::string& name : zip.names()) accepts([&] { (void)zip.read(name); });
    });
    accepts([&] {
        const NpzFile npz(file.path());
        for (const std::string& name : npz.names()) accepts([&] { (void)npz.read(name); });
    });
    accepts([&] { (void)read_tar(file.path(), {"a", "folder/b"}); });
    return 0;
}
