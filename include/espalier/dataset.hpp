// Data sets: where they are looked for, how they are read, what a network sees of them. Samples stay as they are
// stored (bytes where the source has bytes); normalisation happens while a batch is gathered.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/index.hpp"

namespace espalier {

/// Labelled samples, row-major [sample][feature]; exactly one of bytes and floats is filled.
struct Split {
    std::vector<std::uint8_t> bytes;
    std::vector<float> floats;
    std::vector<std::int32_t> labels;
    [[nodiscard]] std::uint32_t count() const { return static_cast<std::uint32_t>(labels.size()); }
};

struct DataSet {
    std::string name;
    std::string source;  // the folder or file it was read from, for the log
    std::string digest;  // SHA-256 over the decompressed files' digests; of the generator's parameters for "synthetic"
    Index height = 0, width = 0, channels = 1;  // image shape; height 1 for plain features
    Index classes = 0;
    double scale = 1;               // x = (value * scale - mean) / deviation, per channel
    std::vector<double> mean;       // [channels]
    std::vector<double> deviation;  // [channels]
    Split train, test;

    [[nodiscard]] Index features() const { return height * width * channels; }
};

/// A known data set, for `espalier data list` and the help text.
struct DataSetInfo {
    std::string name;
    std::string summary;  // "handwritten digits, 28x28, 10 classes, 60,000 + 10,000"
};
std::vector<DataSetInfo> known_datasets();

/// Reads a data set by name ("mnist", "fashion-mnist", "emnist-letters", "cifar-10", "synthetic") or by description
/// ("csv:TRAIN,TEST[,label=first|last|COLUMN]", "npy:TRAIN_X,TRAIN_Y,TEST_X,TEST_Y"). Searched: data_dir alone if it is
/// given, else $ESPALIER_DATA, datasets/, the cache `espalier data fetch` fills, system and torchvision folders. Keeps
/// the first train_samples / test_samples of each split (0: all); "synthetic" makes as many as asked for.
/// Mean and deviation are those of the whole training split, per channel; MNIST has its published constants.
/// Throws UserError: data with path, expected and found, and the command that fetches it; usage for an unknown name or
/// more samples than there are.
DataSet load_dataset(const std::string& name, const std::string& data_dir, std::uint32_t train_samples = 0,
                     std::uint32_t test_samples = 0);

/// True if all files of a known data set are found on the search path (contents not verified).
bool is_present(const std::string& name, const std::string& data_dir);

/// A split uploaded to a backend, with the normalisation folded into one multiply-add per channel.
class UploadedSplit {
public:
    UploadedSplit(Backend& backend, const DataSet& data, const Split& split);
    [[nodiscard]] const Samples& samples() const { return samples_; }

private:
    Buffer<std::uint8_t> bytes_;
    Buffer<float> floats_;
    Buffer<std::int32_t> labels_;
    Samples samples_;
};

}  // namespace espalier
