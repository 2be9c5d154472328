#include "host/data/cifar.hpp"

#include "host/formats/input_file.hpp"

namespace espalier {

std::string append_cifar(const std::filesystem::path& path, Split& split, const std::string& remedy) {
    InputFile file(path, remedy, InputFile::unpromised_expansion);
    return append_cifar(file, split);
}

std::string append_cifar(InputFile& file, Split& split) {
    constexpr std::size_t pixels = 3 * 32 * 32;
    constexpr std::size_t record = 1 + pixels;
    constexpr int classes = 10;
    const std::vector<std::uint8_t> data = file.read_all();
    file.expect_end();
    if (data.empty() || data.size() % record != 0) {
        file.refuse(data.size() - data.size() % record,
                    "a whole number of " + std::to_string(record) + "-byte records (1 label, 3072 pixels)",
                    data.empty()
                        ? "an empty file"
                        : std::to_string(data.size() % record) + " bytes before the end (" + file.looks_like() + ")");
    }
    split.bytes.reserve(split.bytes.size() + data.size());
    for (std::size_t start = 0; start < data.size(); start += record) {
        if (data[start] >= classes) file.refuse(start, "a label from 0 to 9", std::to_string(data[start]));
        split.labels.push_back(data[start]);
        const auto first = data.begin() + static_cast<std::ptrdiff_t>(start) + 1;
        split.bytes.insert(split.bytes.end(), first, first + pixels);
    }
    return file.digest();
}

}  // namespace espalier
