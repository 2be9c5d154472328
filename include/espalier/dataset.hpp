// Data sets: where they are looked for, how they are read, what a network sees of them. Samples stay as they are
// stored (bytes where the source has bytes); normalisation happens while a batch is gathered.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/experiment.hpp"
#include "espalier/index.hpp"
#include "espalier/data_meaning.hpp"

namespace espalier {

/// Samples with their labels or targets, row-major [sample][feature]; exactly one of bytes and floats is filled.
struct Split {
    std::vector<std::uint8_t> bytes;
    std::vector<float> floats;
    std::vector<std::int32_t> labels;  // [sample]; all 0 where there are targets
    std::vector<double> targets;       // [sample][target], in their own units; empty for classes
    [[nodiscard]] std::uint32_t count() const { return static_cast<std::uint32_t>(labels.size()); }
};

struct DataSet : DataMeaning {
    std::string source;                // the folder or file it was read from, for the log
    std::vector<std::string> remarks;  // what a reader of the log should know, sentences; "warning: ..." some
    bool table = false;                // columns of measurements, not pixels
    bool labelled = true;              // false: there are neither labels nor targets; the labels, all 0, mean nothing
    Split train, test;
    Split validation;  // may be empty
};

/// A known data set, for `espalier data list` and the help text.
struct DataSetInfo {
    std::string name;
    std::string summary;  // "handwritten digits, 28x28, 10 classes, 60,000 + 10,000"
};
std::vector<DataSetInfo> known_datasets();

struct DataRequest {
    std::string name;      // see load_dataset()
    std::string data_dir;  // look here only; empty: on the search path
    std::uint32_t train_samples = 0, test_samples = 0;  // keep the first of each split; 0: all
    SampleChoice sample_choice = SampleChoice::first;  // or others than the first
    Standardize standardize = Standardize::automatic;
    double split = 0;  // share of the samples of a data set without test samples that becomes them
    /// What the network that will see the data knows: classes, columns and normalisation are taken from it where it
    /// says them, and a data set of one file is all test samples.
    const DataMeaning* network = nullptr;
    bool needs_labels = true;  // false: one file may hold features only
    std::string targets;       // which columns are real-valued targets (docs/data-forms.md); empty: labels are classes
};

/// What an experiment asks for.
DataRequest request_of(const Experiment& experiment);

/// Reads a data set by name ("mnist", "fashion-mnist", "emnist-letters", "cifar-10", "synthetic") or by description
/// (docs/data-forms.md): "csv:TRAIN,TEST", "npy:TRAIN_X,TRAIN_Y,TEST_X,TEST_Y", "idx:" alike, "npz:FILE", and with
/// `split` or a network "csv:FILE", "npy:X,Y"; csv takes ",label=first|last|COLUMN|NAME,header=yes|no" behind.
/// Searched: data_dir alone if it is given, else $ESPALIER_DATA, datasets/, the cache `espalier data fetch` fills,
/// system and torchvision folders. "synthetic" makes as many samples as asked for.
/// Mean and deviation are those of the whole training split, per channel, of tables per column; MNIST has its published
/// constants. Throws UserError: data with path, expected and found, and the command that fetches it; usage for an
/// unknown name or more samples than there are.
DataSet load_dataset(const DataRequest& request);
DataSet load_dataset(const std::string& name, const std::string& data_dir, std::uint32_t train_samples = 0,
                     std::uint32_t test_samples = 0);

/// The shape of samples in memory; height 1 and one channel for plain features.
struct SampleShape {
    Index height = 1, width = 0, channels = 1;
};

/// A data set from memory: `samples` [samples][channels][height][width], `labels` one class from 0 for each; the test
/// samples alike, possibly none. Copies both. Bytes are scaled to [0, 1]. Mean and deviation are measured on the training
/// samples as `standardize` says; the digest is that of the samples and labels.
/// Throws UserError (data) saying which sample is wrong.
DataSet make_dataset(std::span<const float> samples, std::span<const std::int64_t> labels, SampleShape shape,
                     std::span<const float> test_samples = {}, std::span<const std::int64_t> test_labels = {},
                     Standardize standardize = Standardize::automatic);
DataSet make_dataset(std::span<const std::uint8_t> samples, std::span<const std::int64_t> labels, SampleShape shape,
                     std::span<const std::uint8_t> test_samples = {}, std::span<const std::int64_t> test_labels = {},
                     Standardize standardize = Standardize::automatic);

/// A data set of a regression from memory: as above, with `targets` [samples][target_names.size()], real numbers in their
/// own units, instead of labels. They get mean 0 and deviation 1 while training; predictions are in their units again.
/// Throws UserError (data) saying which sample is wrong.
DataSet make_dataset(std::span<const float> samples, std::span<const double> targets, SampleShape shape,
                     std::span<const float> test_samples = {}, std::span<const double> test_targets = {},
                     Standardize standardize = Standardize::automatic,
                     const std::vector<std::string>& target_names = {"target"});
DataSet make_dataset(std::span<const std::uint8_t> samples, std::span<const double> targets, SampleShape shape,
                     std::span<const std::uint8_t> test_samples = {}, std::span<const double> test_targets = {},
                     Standardize standardize = Standardize::automatic,
                     const std::vector<std::string>& target_names = {"target"});

/// True if all files of a known data set are found on the search path (contents not verified).
bool is_present(const std::string& name, const std::string& data_dir);

/// Measures the mean and deviation a network will subtract and divide by, on the training split, by `how`, and those of
/// the targets; what is set already stays. A constant channel, column or target keeps deviation 1.
void measure(DataSet& data, Standardize how);

/// Moves a share of the samples, of every class alike and chosen by a fixed permutation, out of `from`; those left and
/// those moved keep their order. The same samples for the same labels and share, whatever the seed of a run.
Split hold_out(Split& from, std::size_t features, double share);

/// A split uploaded to a backend, with the normalisation folded into one multiply-add per channel; columns are
/// normalised on the way.
class UploadedSplit {
public:
    UploadedSplit(Backend& backend, const DataSet& data, const Split& split);
    [[nodiscard]] const Samples& samples() const { return samples_; }

private:
    void upload_labels(Backend& backend, const DataMeaning& data, const Split& split);

    Buffer<std::uint8_t> bytes_;
    Buffer<float> floats_;
    Buffer<std::int32_t> labels_;
    Buffer<float> targets_;  // normalised
    Samples samples_;
};

}  // namespace espalier
