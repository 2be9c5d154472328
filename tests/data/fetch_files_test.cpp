// The list of known data sets, and the fetching and verifying of their files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "data_files.hpp"
#include "espalier/dataset.hpp"
#include "host/data/catalog.hpp"
#include "host/data/download.hpp"
#include "host/data/fetch.hpp"
#include "host/formats/sha256.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(CatalogTest, EverySetIsDescribedFully) {
    std::set<std::string> names;
    for (const KnownSet& set : catalog()) {
        EXPECT_TRUE(names.insert(set.name).second) << set.name;
        EXPECT_EQ(find_known(set.name), &set);
        EXPECT_THAT(set.summary, HasSubstr(std::to_string(set.classes) + " classes"));
        EXPECT_EQ(set.files.empty(), set.format == DataFormat::synthetic);
        EXPECT_EQ(set.mirrors.empty(), set.files.empty());
        EXPECT_EQ(set.class_names.size(), set.classes);
        EXPECT_EQ(std::set<std::string>(set.class_names.begin(), set.class_names.end()).size(), set.classes);
        for (const DataFile& file : set.files)
            EXPECT_TRUE(file.digest.empty() || file.digest.size() == 64) << file.name;
        for (const std::string& mirror : set.mirrors) EXPECT_TRUE(mirror.ends_with("/")) << mirror;
    }
    EXPECT_EQ(known_datasets().size(), catalog().size());
}

/// A set of one small file whose mirrors are folders of this machine (curl reads file://).
class FetchTest : public testing::Test {
protected:
    void SetUp() override {
        set_.name = "tiny";
        const std::string content = idx({2}, "\1\2");
        set_.files = {{"tiny-labels-idx1-ubyte", sha256(content)}};
        set_.mirrors = {"file://" + (dir_ / "broken").string() + "/", "file://" + (dir_ / "good").string() + "/"};
        write_file(dir_ / "good" / "tiny-labels-idx1-ubyte.gz", gzipped(content));
        if (run_program({"curl", "--version"}).status != 0) GTEST_SKIP() << "needs curl";
    }
    std::vector<std::string> fetched() const {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(to_)) names.push_back(entry.path().filename().string());
        return names;
    }

    TemporaryFolder folder_;
    fs::path dir_ = folder_.path();
    KnownSet set_;
    fs::path to_ = dir_ / "to";
};

TEST_F(FetchTest, TriesMirrorsInTurnAndVerifies) {
    write_file(dir_ / "broken" / "tiny-labels-idx1-ubyte.gz", "<!DOCTYPE html>");
    fetch_dataset(set_, to_);
    EXPECT_THAT(fetched(), ElementsAre("tiny-labels-idx1-ubyte.gz"));
    const auto verified = verify_files(set_, {to_, {to_ / "tiny-labels-idx1-ubyte.gz"}, {}});
    EXPECT_EQ(verified[0].fault, "");
    EXPECT_EQ(verified[0].digest, set_.files[0].digest);
    fs::remove_all(dir_ / "good");
    fetch_dataset(set_, to_);  // already there
}

TEST_F(FetchTest, FailureSaysWhatEachMirrorAnsweredAndLeavesNothing) {
    write_file(dir_ / "good" / "tiny-labels-idx1-ubyte.gz", gzipped(idx({2}, "\1\3")));
    write_file(dir_ / "broken" / "tiny-labels-idx1-ubyte.gz", "<!DOCTYPE html>");
    const std::string sentence = refusal(ExitCode::data, [&] { fetch_dataset(set_, to_); });
    EXPECT_THAT(sentence, AllOf(HasSubstr("an HTML or XML page instead"), HasSubstr("expected SHA-256"),
                                HasSubstr(set_.mirrors[0]), HasSubstr(set_.mirrors[1]), HasSubstr(to_.string())));
    EXPECT_FALSE(fs::exists(to_));
    fs::remove_all(dir_ / "good");
    EXPECT_THAT(refusal(ExitCode::data, [&] { fetch_dataset(set_, to_); }), HasSubstr("curl: "));
}

TEST_F(FetchTest, ReplacesADamagedFile) {
    write_file(to_ / "tiny-labels-idx1-ubyte", "damaged");
    EXPECT_THAT(verify_files(set_, {to_, {to_ / "tiny-labels-idx1-ubyte"}, {}})[0].fault, HasSubstr("expected SHA-256"));
    fetch_dataset(set_, to_);
    EXPECT_THAT(fetched(), ElementsAre("tiny-labels-idx1-ubyte.gz"));
}

TEST_F(FetchTest, UnpacksAnArchive) {
    fs::create_directories(dir_ / "pack" / "inside");
    fs::copy(dir_ / "good" / "tiny-labels-idx1-ubyte.gz", dir_ / "pack" / "inside");
    const fs::path archive = dir_ / "good" / "tiny.tar.gz";
    ASSERT_EQ(run_program({"tar", "-czf", archive.string(), "-C", (dir_ / "pack").string(), "inside"}).status, 0);
    std::ifstream file(archive, std::ios::binary);
    set_.archive = {"tiny.tar.gz", sha256({std::istreambuf_iterator<char>(file), {}}), "inside"};
    fetch_dataset(set_, to_);
    EXPECT_THAT(fetched(), ElementsAre("tiny-labels-idx1-ubyte.gz"));
}

TEST_F(FetchTest, AFolderThatCannotBeMadeIsAnIoError) {
    write_file(dir_ / "to", "a file");
    EXPECT_THAT(refusal(ExitCode::io, [&] { fetch_dataset(set_, to_); }), HasSubstr(to_.string()));
}

TEST(ProgramTest, ReportsStatusAndLastComplaint) {
    EXPECT_EQ(run_program({"true"}).status, 0);
    EXPECT_EQ(run_program({"no-such-program-anywhere"}).status, 127);
    const ProgramResult result = run_program({"sh", "-c", "echo first >&2; echo last >&2; exit 5"});
    EXPECT_EQ(result.status, 5);
    EXPECT_EQ(result.complaint, "last");
}

}  // namespace
}  // namespace espalier
