// The dense library: which kernels it runs, that everybody is told, and that nothing is claimed beside a bad one.
#include "host/cpu/dense_library.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "host/bench/dense_rival.hpp"
#include "host/cpu/operations.hpp"
#include "program_fixture.hpp"

namespace espalier {
namespace {

using testing::HasSubstr;
using testing::Not;

/// An environment variable set while this lives.
class Variable {
public:
    Variable(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
    ~Variable() { unsetenv(name_); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    const char* name_;
};

class DenseLibraryProgram : public ProgramTest {
protected:
    Outcome train_dense(const std::vector<std::string>& more) {
        std::vector<std::string> words{"--topology", "dense", "--layers", "784-60-10"};  // 47,040 weights: no small layer
        words.insert(words.end(), more.begin(), more.end());
        return train(words);
    }
    [[nodiscard]] nlohmann::json read(const std::string& name) const {
        return nlohmann::json::parse(text_of(path(name)));
    }
};

/// OpenBLAS's oldest kernels, with 128-bit vectors, are bad on these processors alone.
bool has_wide_vectors() { return instruction_set() == "AVX2" || instruction_set() == "AVX3"; }

TEST(DenseLibrary, OldKernelsAreReplacedAndNoOthers) {
    EXPECT_EQ(better_dense_kernels("Prescott", true, true), "SkylakeX");
    EXPECT_EQ(better_dense_kernels("Prescott", true, false), "Haswell");
    EXPECT_EQ(better_dense_kernels("Nehalem", true, false), "Haswell");
    EXPECT_EQ(better_dense_kernels("Sandybridge", true, false), "Haswell");
    EXPECT_EQ(better_dense_kernels("Haswell", true, true), "SkylakeX");
    for (const char* fits : {"Haswell", "Zen"}) EXPECT_EQ(better_dense_kernels(fits, true, false), "") << fits;
    for (const char* fits : {"SkylakeX", "Cooperlake", "SapphireRapids"}) {
        EXPECT_EQ(better_dense_kernels(fits, true, true), "") << fits;
    }
    EXPECT_EQ(better_dense_kernels("Prescott", false, false), "");
    EXPECT_EQ(better_dense_kernels("neoversen1", false, false), "") << "another architecture's";
    EXPECT_EQ(better_dense_kernels("Later", true, true), "") << "kernels newer than this list";
}

TEST(DenseLibrary, ARivalBelowItsShareIsNone) {
    EXPECT_EQ(rival_fault({41e9, 100e9}, 1), "");
    EXPECT_THAT(rival_fault({39e9, 100e9}, 1), HasSubstr("at 39 % of F, not at 40 %"));
    EXPECT_THAT(rival_fault({}, 1), HasSubstr("at 0 % of F"));
}

TEST_F(DenseLibraryProgram, BenchBesideOldKernelsGivesNoCrossover) {
    if (!has_wide_vectors()) GTEST_SKIP() << "no processor on which these kernels are bad";
    const Variable crippled("OPENBLAS_CORETYPE", "Prescott");
    const Outcome bench = run({"bench", "--widths", "256", "--batches", "32", "--sparsities", "0.5,0.99", "--seconds",
                               "0.01", "--out", path("bench"), "--json"});
    ASSERT_EQ(bench.code, 0) << bench.err;
    const auto json = nlohmann::json::parse(bench.out);
    EXPECT_TRUE(json.at("crossovers").empty()) << "a crossover against SSE3 kernels";
    EXPECT_EQ(json.at("points").size(), 2U);
    EXPECT_LT(json.at("rival_share_of_fma").get<double>(), 0.4);
    EXPECT_THAT(json.at("rival_fault").get<std::string>(), HasSubstr("kernels for Prescott (by $OPENBLAS_CORETYPE)"));
    EXPECT_THAT(json.at("rival").get<std::string>(), HasSubstr("kernels for Prescott (by $OPENBLAS_CORETYPE)"));
    for (const char* page : {"bench/bench.md", "bench/bench.html"}) {
        EXPECT_THAT(text_of(path(page)), HasSubstr("No crossover is given")) << page;
        EXPECT_THAT(text_of(path(page)), Not(HasSubstr("everywhere measured"))) << page;
    }
}

TEST_F(DenseLibraryProgram, ARunSaysWhatMultipliedItsDenseLayersAndWarnsOfOtherKernels) {
    if (!has_wide_vectors()) GTEST_SKIP() << "no two sets of kernels that this processor surely has";
    const std::string out = path("run");
    {
        const Variable chosen("OPENBLAS_CORETYPE", "Haswell");
        const Outcome first = train_dense({"--out", out, "--checkpoint-every", "1"});
        ASSERT_EQ(first.code, 0) << first.err;
    }
    const std::string said = "dense: OpenBLAS";
    EXPECT_THAT(read("run/results.json").at("machine").get<std::string>(), HasSubstr(said));
    EXPECT_THAT(read("run/provenance.json").at("machine").get<std::string>(), HasSubstr("kernels for Haswell"));
    {
        const Variable same("OPENBLAS_CORETYPE", "Haswell");
        const Outcome more = run({"train", "--resume", out, "--epochs", "3"});
        ASSERT_EQ(more.code, 0) << more.err;
        EXPECT_THAT(more.err, Not(HasSubstr("its bits differ")));
    }
    const Variable other("OPENBLAS_CORETYPE", "Prescott");
    const Outcome more = run({"train", "--resume", out, "--epochs", "4"});
    ASSERT_EQ(more.code, 0) << more.err;
    EXPECT_THAT(more.err, HasSubstr("kernels for Prescott"));
    EXPECT_THAT(more.err, HasSubstr("its bits differ"));
}

TEST_F(DenseLibraryProgram, IsWantedByLargeDenseLayersAlone) {
    const Variable missing("ESPALIER_OPENBLAS", path("libnone.so"));
    const Outcome sparse = train({"--out", path("sparse")});
    EXPECT_EQ(sparse.code, 0) << sparse.err;
    EXPECT_THAT(nlohmann::json::parse(text_of(path("sparse/results.json"))).at("machine").get<std::string>(),
                Not(HasSubstr("dense")));
    const Outcome dense = train_dense({"--out", path("dense")});
    EXPECT_EQ(dense.code, 6);
    EXPECT_THAT(dense.err, HasSubstr("libnone.so"));
    EXPECT_THAT(dense.err, HasSubstr("ESPALIER_OPENBLAS"));
    const Outcome doctor = run({"doctor", "--json"});
    EXPECT_EQ(doctor.code, 0) << doctor.err;
    EXPECT_FALSE(nlohmann::json::parse(doctor.out).at("dense").at("opens").get<bool>());
}

}  // namespace
}  // namespace espalier
