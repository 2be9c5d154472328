// Safetensors files as networks and as checkpoints; the checksum is made right, so that what stands behind it is tried.
#include <algorithm>
#include <vector>

#include "fuzz_file.hpp"
#include "host/run/checkpoint.hpp"
#include "host/formats/sha256.hpp"
#include "espalier/network_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    using namespace espalier;
    std::vector<std::uint8_t> sealed(bytes, bytes + size);
    if (size >= 32) {
        Sha256 digest;
        digest.update(sealed.data(), size - 32);
        const auto checksum = digest.bytes();
        std::copy(checksum.begin(), checksum.end(), sealed.end() - 32);
    }
    const FuzzFile file(sealed.data(), size);
    const auto check = [](const Network& network) {
        for (const Layer& layer : network.layers) {
            if (layer.is_sparse() && !fault(*layer.topology).empty()) std::abort();
        }
    };
    const bool network = accepts([&] { check(load_network(file.path())); });
    const bool checkpoint = accepts([&] { check(load_checkpoint(file.path()).network); });
    if (checkpoint && !network) std::abort();
    return 0;
}
