// Data sets as a network sees them: search path, shapes, labels, normalisation, digests, error sentences, the
// synthetic set, upload.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "data_files.hpp"
#include "host/cpu/cpu_backend.hpp"
#include "host/data/catalog.hpp"
#include "host/data/csv.hpp"
#include "espalier/dataset.hpp"
#include "host/data/download.hpp"
#include "host/data/fetch.hpp"
#include "host/formats/sha256.hpp"
#include "host/data/synthetic.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

/// Four files of the MNIST family: 4 training and 2 test images of 2 x 3.
void write_idx_set(const fs::path& folder, const std::string& prefix = "", const std::string& test = "t10k",
                   int first_label = 0, bool pack = false) {
    const auto put = [&](const std::string& name, const std::string& bytes) {
        write_file(folder / (prefix + name + (pack ? ".gz" : "")), pack ? gzipped(bytes) : bytes);
    };
    const auto labels = [&](std::initializer_list<int> values) {
        std::string bytes;
        for (const int value : values) bytes += static_cast<char>(value + first_label);
        return bytes;
    };
    put("train-images-idx3-ubyte", idx({4, 2, 3}, ramp(24)));
    put("train-labels-idx1-ubyte", idx({4}, labels({0, 1, 2, 9})));
    put(test + "-images-idx3-ubyte", idx({2, 2, 3}, ramp(12)));
    put(test + "-labels-idx1-ubyte", idx({2}, labels({3, 4})));
}

class DataTest : public testing::Test {
protected:
    std::string refused(const std::string& name, ExitCode code = ExitCode::data) {
        return refusal(code, [&] { load_dataset(name, dir_.string()); });
    }
    fs::path put(const std::string& name, const std::string& text) {
        write_file(dir_ / name, text);
        return dir_ / name;
    }

    TemporaryFolder folder_;
    fs::path dir_ = folder_.path();
};

TEST_F(DataTest, MnistFromEveryUsualPlaceAndName) {
    for (const char* place : {"", "mnist", "MNIST/raw", "MNIST"}) {
        for (const bool pack : {false, true}) {
            TemporaryFolder root;
            write_idx_set(root.path() / place, "", "t10k", 0, pack);
            EXPECT_TRUE(is_present("mnist", root.path().string()));
            const DataSet data = load_dataset("mnist", root.path().string());
            EXPECT_EQ(fs::weakly_canonical(data.source), fs::weakly_canonical(root.path() / place));
            EXPECT_EQ(data.height, 2U);
            EXPECT_EQ(data.width, 3U);
            EXPECT_EQ(data.features(), 6U);
            EXPECT_EQ(data.classes, 10U);
            EXPECT_THAT(data.train.labels, ElementsAre(0, 1, 2, 9));
            EXPECT_EQ(data.test.count(), 2U);
            EXPECT_EQ(data.test.bytes[11], 11);
            EXPECT_THAT(data.mean, ElementsAre(0.1307));
            EXPECT_THAT(data.deviation, ElementsAre(0.3081));
            EXPECT_EQ(data.class_names[9], "9");
            EXPECT_THAT(data.remarks, ElementsAre(AllOf(HasSubstr("warning: train-images-idx3-ubyte"),
                                                        HasSubstr("differ from the published mnist"))));
        }
    }
}

TEST_F(DataTest, DotInFileNames) {
    write_idx_set(dir_);
    for (const char* name : {"train-images", "t10k-images"}) {
        fs::rename(dir_ / (std::string(name) + "-idx3-ubyte"), dir_ / (std::string(name) + ".idx3-ubyte"));
    }
    EXPECT_EQ(load_dataset("mnist", dir_.string()).train.count(), 4U);
}

TEST_F(DataTest, EnvironmentNamesAFolderButDataDirIsObeyedStrictly) {
    write_idx_set(dir_ / "there" / "mnist");
    const ScopedVariable variable("ESPALIER_DATA", (dir_ / "there").string());
    EXPECT_EQ(load_dataset("mnist", "").source, (dir_ / "there" / "mnist").string());
    EXPECT_FALSE(is_present("mnist", (dir_ / "elsewhere").string()));
    EXPECT_THAT(refusal(ExitCode::data, [&] { load_dataset("mnist", (dir_ / "elsewhere").string()); }),
                AllOf(HasSubstr((dir_ / "elsewhere").string()), HasSubstr("leave --data-dir out"),
                      HasSubstr("espalier data fetch mnist --data-dir")));
}

TEST_F(DataTest, AFolderNamedAfterAnotherSetIsNotTaken) {
    write_idx_set(dir_ / "mnist");
    const ScopedVariable variable("ESPALIER_DATA", (dir_ / "mnist").string());
    EXPECT_EQ(load_dataset("mnist", "").source, (dir_ / "mnist").string());
    EXPECT_FALSE(is_present("fashion-mnist", (dir_ / "mnist").string()));
}

TEST_F(DataTest, DigestIsOverTheDecompressedFiles) {
    write_idx_set(dir_ / "raw" / "mnist");
    write_idx_set(dir_ / "packed" / "mnist", "", "t10k", 0, true);
    const std::string digest = load_dataset("mnist", (dir_ / "raw").string()).digest;
    EXPECT_EQ(digest.size(), 64U);
    EXPECT_EQ(digest, load_dataset("mnist", (dir_ / "packed").string()).digest);
    EXPECT_EQ(digest, sha256(sha256(idx({4, 2, 3}, ramp(24))) + sha256(idx({4}, std::string("\0\1\2\x09", 4))) +
                             sha256(idx({2, 2, 3}, ramp(12))) + sha256(idx({2}, "\3\4"))));
}

TEST_F(DataTest, EmnistIsTransposedAndLettersStartAtZero) {
    write_idx_set(dir_ / "emnist", "emnist-letters-", "test", 1);
    const DataSet data = load_dataset("emnist-letters", dir_.string());
    EXPECT_EQ(data.height, 3U);
    EXPECT_EQ(data.width, 2U);
    EXPECT_EQ(data.classes, 26U);
    EXPECT_THAT(std::vector<int>(data.train.bytes.begin(), data.train.bytes.begin() + 6),
                ElementsAre(0, 3, 1, 4, 2, 5));
    EXPECT_THAT(data.train.labels, ElementsAre(0, 1, 2, 9));
    put("emnist/emnist-letters-test-labels-idx1-ubyte", idx({2}, std::string("\0\1", 2)));
    EXPECT_THAT(refused("emnist-letters"), HasSubstr("at byte 8 expected a label from 1 to 26, found 0"));
}

TEST_F(DataTest, OtherSetsAreNormalisedByTheirOwnMeanAndDeviation) {
    write_idx_set(dir_);
    const DataSet data = load_dataset("fashion-mnist", dir_.string());
    ASSERT_EQ(data.mean.size(), 1U);
    EXPECT_NEAR(data.mean[0], 11.5 / 255, 1e-12);
    EXPECT_NEAR(data.deviation[0], std::sqrt((24.0 * 24 - 1) / 12) / 255, 1e-12);
    EXPECT_EQ(load_dataset("fashion-mnist", dir_.string(), 2, 1).mean, data.mean) << "of the whole split";
}

TEST_F(DataTest, CifarHasThreeChannels) {
    for (int i = 1; i <= 5; ++i) {
        put("cifar-10-batches-bin/data_batch_" + std::to_string(i) + ".bin",
            std::string(1, '\1') + std::string(1024, '\x0a') + std::string(1024, static_cast<char>(i)) +
                std::string(1024, '\x1e'));
    }
    put("cifar-10-batches-bin/test_batch.bin", '\2' + ramp(3072));
    const DataSet data = load_dataset("cifar-10", dir_.string());
    EXPECT_EQ(data.features(), 3072U);
    EXPECT_EQ(data.train.count(), 5U);
    EXPECT_THAT(data.test.labels, ElementsAre(2));
    EXPECT_NEAR(data.mean[0], 10.0 / 255, 1e-12);
    EXPECT_NEAR(data.mean[1], 3.0 / 255, 1e-12);
    EXPECT_NEAR(data.deviation[1], std::sqrt(2.0) / 255, 1e-12);
    EXPECT_EQ(data.deviation[0], 1) << "a constant channel";
}

TEST_F(DataTest, ADownloadedArchiveIsReadWhereItLies) {
    const fs::path inside = dir_ / "inside" / "cifar-10-batches-bin";
    for (int i = 1; i <= 5; ++i) {
        write_file(inside / ("data_batch_" + std::to_string(i) + ".bin"), std::string(1, '\1') + ramp(3072));
    }
    write_file(inside / "test_batch.bin", '\2' + ramp(3072));
    const fs::path there = dir_ / "there";
    fs::create_directory(there);
    const std::string archive = (there / "cifar-10-binary.tar.gz").string();
    ASSERT_EQ(run_program({"tar", "-czf", archive, "-C", (dir_ / "inside").string(), "cifar-10-batches-bin"}).status, 0);
    const DataSet unpacked = load_dataset("cifar-10", (dir_ / "inside").string());
    const DataSet packed = load_dataset("cifar-10", there.string());
    EXPECT_EQ(packed.digest, unpacked.digest);
    EXPECT_EQ(packed.train.bytes, unpacked.train.bytes);
    EXPECT_EQ(packed.test.labels, unpacked.test.labels);
    EXPECT_EQ(packed.source, archive);
    const auto verified = verify_files(*find_known("cifar-10"), *locate(*find_known("cifar-10"), there.string()));
    ASSERT_EQ(verified.size(), 1U);
    EXPECT_THAT(verified[0].fault, HasSubstr("expected SHA-256"));
    const std::string bytes = text_of(archive);
    for (const std::size_t size : {std::size_t{0}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
        write_file(archive, bytes.substr(0, size));
        EXPECT_THAT(refusal(ExitCode::data, [&] { load_dataset("cifar-10", there.string()); }), HasSubstr(archive)) << size;
    }
    write_file(archive, "<html>");
    EXPECT_THAT(refusal(ExitCode::data, [&] { load_dataset("cifar-10", there.string()); }), HasSubstr("expected 512 bytes of a TAR header"));
}

TEST_F(DataTest, DamageIsReportedWithPathAndRemedy) {
    write_idx_set(dir_);
    put("t10k-labels-idx1-ubyte", idx({3}, "\1\2\3"));
    EXPECT_THAT(refused("mnist"),
                AllOf(HasSubstr((dir_ / "t10k-labels-idx1-ubyte").string()), HasSubstr("expected 2 labels"),
                      HasSubstr("found 3"), HasSubstr("espalier data fetch mnist")));
    put("t10k-labels-idx1-ubyte", idx({2}, "\1\x0a"));
    EXPECT_THAT(refused("mnist"), HasSubstr("at byte 9 expected a label from 0 to 9, found 10"));
    put("t10k-labels-idx1-ubyte", "<html>");
    EXPECT_THAT(refused("mnist"), AllOf(HasSubstr("an HTML or XML page"), HasSubstr("espalier data fetch mnist")));
    put("t10k-labels-idx1-ubyte", idx({2}, "\1\1"));
    put("t10k-images-idx3-ubyte", idx({2, 3, 2}, ramp(12)));
    EXPECT_THAT(refused("mnist"), HasSubstr("expected images of 2 x 3 as for training, found 3 x 2"));
    fs::remove(dir_ / "t10k-images-idx3-ubyte");
    EXPECT_THAT(refused("mnist"), HasSubstr("lacks t10k-images-idx3-ubyte"));
    EXPECT_THAT(refused("fashion-mnist"), HasSubstr("apt install dataset-fashion-mnist"));
}

TEST_F(DataTest, KeepsTheFirstSamplesAndRefusesMoreThanThereAre) {
    write_idx_set(dir_);
    const DataSet data = load_dataset("mnist", dir_.string(), 3, 1);
    EXPECT_EQ(data.train.count(), 3U);
    EXPECT_EQ(data.train.bytes.size(), 18U);
    EXPECT_EQ(data.test.count(), 1U);
    EXPECT_THAT(refusal(ExitCode::usage, [&] { load_dataset("mnist", dir_.string(), 5); }), HasSubstr("has only 4"));
}

TEST_F(DataTest, UnknownNamesAreUsageErrorsWithTheNearest) {
    EXPECT_THAT(refused("fashion-mnits", ExitCode::usage), HasSubstr("did you mean 'fashion-mnist'?"));
    EXPECT_THAT(refused("csv:a", ExitCode::usage), HasSubstr("csv:TRAIN,TEST"));
    EXPECT_THAT(refused("npy:a,b,c", ExitCode::usage), HasSubstr("found 3"));
    put("a", "1,2\n");
    EXPECT_THAT(refused("csv:a,a,label=nowhere", ExitCode::data), HasSubstr("a column 'nowhere'"));  // a name, of a column
}

TEST_F(DataTest, CsvWithHeaderAndLabelFirstOrLast) {
    put("train.csv", "\xef\xbb\xbflabel,a,b\r\n1, 0.5,-2\r\n0,1e2,+3\r\n\r\n");
    put("test.csv", "0,4,5");
    const DataSet data = load_dataset("csv:train.csv,test.csv", dir_.string());
    EXPECT_THAT(data.train.floats, ElementsAre(0.5F, -2, 100, 3));
    EXPECT_THAT(data.train.labels, ElementsAre(1, 0));
    EXPECT_THAT(data.test.floats, ElementsAre(4, 5));
    EXPECT_EQ(data.classes, 2U);
    EXPECT_EQ(data.features(), 2U);
    EXPECT_THAT(data.mean, ElementsAre(50.25, 0.5)) << "of each column";
    EXPECT_THAT(data.deviation, ElementsAre(49.75, 2.5));
    EXPECT_THAT(data.column_names, ElementsAre("a", "b"));
    put("last.csv", gzipped("7,8,1\n9,10,0\n"));
    const DataSet last = load_dataset("csv:last.csv,last.csv,label=last", dir_.string());
    EXPECT_THAT(last.train.labels, ElementsAre(1, 0));
    EXPECT_THAT(last.train.floats, ElementsAre(7, 8, 9, 10));
    EXPECT_EQ(load_dataset("csv:last.csv,last.csv,label=3", dir_.string()).train.labels, last.train.labels);
}

TEST_F(DataTest, CsvFaultsNameLineAndColumn) {
    const auto says = [&](const std::string& text) {
        const fs::path path = put("bad.csv", text);
        const std::string sentence = refusal(ExitCode::data, [&] { read_csv(path); });
        EXPECT_THAT(sentence, HasSubstr(path.string()));
        return sentence;
    };
    EXPECT_THAT(says("1,2\n1,x\n"), HasSubstr("line 2, column 2: expected a finite number, found 'x'"));
    EXPECT_THAT(says("1,2\n1,nan\n"), HasSubstr("line 2, column 2"));
    EXPECT_THAT(says("1,2\n1,1e300\n"), HasSubstr("line 2, column 2: expected a number a float can hold"));
    EXPECT_THAT(says("1,2\n1.5,2\n"), HasSubstr("line 2, column 1: expected a label"));
    EXPECT_THAT(says("1,2\n1e99,2\n"), HasSubstr("line 2, column 1: expected a label"));
    EXPECT_THAT(says("1,2\n1,2,3\n"), HasSubstr("line 2: expected 2 columns as in the lines above, found 3"));
    EXPECT_THAT(says("1,2\n1,\n"), HasSubstr("line 2, column 2: expected a finite number, found a missing value"));
    EXPECT_THAT(says("12\n"), HasSubstr("with commas, semicolons, tabs or blanks between, found one column"));
    EXPECT_THAT(says("label,x\n"), HasSubstr("expected samples, found none"));
    EXPECT_THAT(says(""), HasSubstr("expected samples, found none"));
    EXPECT_THAT(says("<html>"), HasSubstr("an HTML or XML page"));
    EXPECT_THAT(says(std::string("1,2\n\0\0", 6)), HasSubstr("expected CSV text"));
}

TEST_F(DataTest, CsvSplitsMustAgree) {
    put("train.csv", "0,1\n1,2\n");
    put("wide.csv", "0,1,2\n");
    put("more.csv", "2,1\n");
    EXPECT_THAT(refused("csv:train.csv,wide.csv"), HasSubstr("expected samples of 1 features as in"));
    EXPECT_THAT(refused("csv:train.csv,more.csv"),
                HasSubstr("more.csv: line 1: expected a label the training split knows (2 classes: 0 = 0, 1 = 1), "
                          "found '2'"));
}

TEST_F(DataTest, SyntheticIsDeterministicBalancedAndEmptyAtTheMargin) {
    const DataSet data = load_dataset("synthetic", "");
    EXPECT_EQ(data.train.count(), 6000U);
    EXPECT_EQ(data.test.count(), 1000U);
    EXPECT_EQ(data.digest, synthetic_digest());
    std::vector<int> occurrences(data.classes);
    for (const std::int32_t label : data.train.labels) ++occurrences[static_cast<std::size_t>(label)];
    EXPECT_EQ(occurrences, std::vector<int>(10, 600));
    std::vector<int> largest(784);
    for (std::size_t i = 0; i < data.train.bytes.size(); ++i) {
        largest[i % 784] = std::max<int>(largest[i % 784], data.train.bytes[i]);
    }
    for (std::size_t y = 0; y < 28; ++y) {
        for (std::size_t x = 0; x < 28; ++x) {
            const bool centre = y >= 6 && y < 22 && x >= 6 && x < 22;
            EXPECT_EQ(largest[28 * y + x] > 0, centre) << y << " " << x;
        }
    }
    const std::string pixels(data.train.bytes.begin(), data.train.bytes.end());
    EXPECT_EQ(sha256(pixels), "121a14bba527f3ec1b264a0356e8e80382b30d5f69fbd95f2a7dcd27bcfb62d5")
        << "another machine, the same pixels";
    EXPECT_NE(synthetic_split(true, 10).bytes, synthetic_split(false, 10).bytes);
}

TEST_F(DataTest, SyntheticMakesAsManyAsAskedForAndTheFirstStayTheSame) {
    const DataSet few = load_dataset("synthetic", "", 30, 7);
    EXPECT_EQ(few.train.count(), 30U);
    EXPECT_EQ(few.test.count(), 7U);
    const Split more = synthetic_split(false, 7000);
    EXPECT_TRUE(std::equal(few.train.bytes.begin(), few.train.bytes.end(), more.bytes.begin()));
}

TEST_F(DataTest, UploadedSplitFoldsNormalisationIntoOneMultiplyAdd) {
    const auto backend = make_cpu_backend(1);
    DataSet data = load_dataset("synthetic", "", 20, 10);
    data.mean = {0.2};
    data.deviation = {0.5};
    const UploadedSplit uploaded(*backend, data, data.test);
    const Samples& samples = uploaded.samples();
    EXPECT_EQ(samples.count, 10U);
    EXPECT_EQ(samples.features, 784U);
    EXPECT_FLOAT_EQ(samples.factor[0], static_cast<float>(1.0 / 255 / 0.5));
    EXPECT_FLOAT_EQ(samples.offset[0], -0.4F);
    std::vector<std::uint8_t> bytes(data.test.bytes.size());
    backend->download(bytes.data(), samples.bytes, bytes.size());
    EXPECT_EQ(bytes, data.test.bytes);
    EXPECT_EQ(samples.floats, nullptr);
}

TEST_F(DataTest, ColumnsAreNormalisedOnTheWayToTheBackend) {
    const auto backend = make_cpu_backend(1);
    put("a.csv", "0,1000,0.1,7\n1,3000,0.3,7\n");
    DataSet data = load_dataset("csv:a.csv,a.csv", dir_.string());
    EXPECT_THAT(data.deviation, ElementsAre(1000, testing::DoubleNear(0.1, 1e-8), 1)) << "a constant column keeps 1";
    const UploadedSplit uploaded(*backend, data, data.test);
    std::vector<float> values(6);
    backend->download(values.data(), uploaded.samples().floats, values.size() * sizeof(float));
    EXPECT_THAT(values, testing::Pointwise(testing::FloatNear(1e-6F), std::vector<float>{-1, -1, 0, 1, 1, 0}));
    EXPECT_EQ(uploaded.samples().factor[0], 1);
    EXPECT_EQ(uploaded.samples().offset[0], 0);
}

TEST_F(DataTest, StandardizeSaysWhatIsMadeAlike) {
    put("a.csv", "0,1,10\n1,3,30\n");
    DataRequest request;
    request.name = "csv:a.csv,a.csv";
    request.data_dir = dir_.string();
    request.standardize = Standardize::channels;
    EXPECT_THAT(load_dataset(request).mean, ElementsAre(11));
    request.standardize = Standardize::none;
    DataSet data = load_dataset(request);
    EXPECT_THAT(data.mean, ElementsAre(0));
    EXPECT_THAT(data.deviation, ElementsAre(1));
    write_idx_set(dir_);
    request.name = "mnist";
    request.standardize = Standardize::columns;
    data = load_dataset(request);
    EXPECT_EQ(data.mean.size(), 6U);
    EXPECT_NEAR(data.mean[1], (1 + 7 + 13 + 19) / 4.0 / 255, 1e-12);
}

}  // namespace
}  // namespace espalier
