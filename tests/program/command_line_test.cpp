// What the command line understands and what it says of itself: synonyms, names in any case, help, completion, manual.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "host/options/option_table.hpp"
#include "host/options/recipes.hpp"
#include "program_fixture.hpp"

namespace {

namespace fs = std::filesystem;
using espalier::Outcome;
using espalier::text_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class CommandLine : public espalier::ProgramTest {
protected:
    std::string config_of(std::vector<std::string> words) {
        words.insert(words.begin(), {"train", "--print-config"});
        const Outcome outcome = run(words);
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        return outcome.out;
    }
    int shell(const std::string& line) const {
        const int status = std::system(("cd '" + folder_.string() + "' && " + line).c_str());
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
};

TEST_F(CommandLine, SynonymsStandForTheOption) {
    EXPECT_EQ(config_of({"--lr", "0.5", "--batch-size", "7", "--wd", "0.25", "--device", "cpu"}),
              config_of({"--learning-rate", "0.5", "--batch", "7", "--weight-decay", "0.25", "--backend", "cpu"}));
    EXPECT_EQ(config_of({"--gpu"}), config_of({"--backend", "cuda"}));
    EXPECT_EQ(config_of({"--cpu"}), config_of({"--backend", "cpu"}));
    EXPECT_EQ(config_of({"--Learning_Rate", "0.5"}), config_of({"--learning-rate", "0.5"}));
    std::ofstream(path("config")) << "lr = 0.5\nbatch_size = 7\n";
    EXPECT_EQ(config_of({"--config", path("config")}), config_of({"--lr", "0.5", "--batch", "7"}));
    std::ofstream(path("twice")) << "lr = 0.5\nlearning-rate = 0.5\n";
    const Outcome twice = run({"train", "--print-config", "--config", path("twice")});
    EXPECT_EQ(twice.code, 2);
    EXPECT_THAT(twice.err, HasSubstr("learning-rate is given twice"));
}

TEST_F(CommandLine, ADeviceIsANumberOrNamesTheBackendToo) {
    EXPECT_THAT(config_of({"--device", "2"}), AllOf(HasSubstr("device = 2\n"), HasSubstr("backend = \"auto\"")));
    EXPECT_EQ(config_of({"--device", "CUDA:1"}), config_of({"--backend", "cuda", "--device", "1"}));
    EXPECT_EQ(config_of({"--device", "cuda", "--backend", "cuda"}), config_of({"--gpu"}));
    EXPECT_EQ(config_of({"--gpu", "--device", "auto"}), config_of({"--gpu"}));
    const auto refusal = [&](std::vector<std::string> words) {
        words.insert(words.begin(), {"train", "--print-config"});
        const Outcome outcome = run(words);
        EXPECT_EQ(outcome.code, 2);
        return outcome.err;
    };
    EXPECT_THAT(refusal({"--device", "gpu"}), HasSubstr("device: unknown value 'gpu'; expected auto, cpu, cuda"));
    EXPECT_THAT(refusal({"--device", "5000"}), HasSubstr("device: 5000 is outside [0, 1023]"));
    EXPECT_THAT(refusal({"--device", "-1"}), HasSubstr("device: -1 is outside [0, 1023]"));
    EXPECT_THAT(refusal({"--device", "cuda:x"}), HasSubstr("device: unknown value 'cuda:x'"));
    EXPECT_THAT(refusal({"--device", "cuda", "--backend", "cpu"}), HasSubstr("device = cuda is none of backend = cpu"));
}

TEST_F(CommandLine, NamesOfRulesAndChoicesInAnyCase) {
    EXPECT_EQ(config_of({"--activation", "Leaky_ReLU(Slope=0.2)", "--optimizer", "ADAM", "--loss", "NLL", "--topology",
                         "Fixed", "--dense-output", "True", "--new-weights", "Zero", "--lr", "Cosine(value=0.1)"}),
              config_of({"--activation", "leaky-relu(slope=0.2)", "--optimizer", "adam", "--loss", "nll", "--topology",
                         "fixed", "--dense-output", "true", "--new-weights", "zero", "--lr", "cosine(value=0.1)"}));
    EXPECT_EQ(config_of({"--recipe", "Baseline-1-FIXED"}).find("unknown"), std::string::npos);
    EXPECT_EQ(config_of({"--recipe", "Baseline-1"}), config_of({"--recipe", "baseline-1"}));
}

TEST_F(CommandLine, ShortWordsAreNotGuessedAt) {
    for (const std::string word : {"--foo", "--o", "ls"}) {
        const Outcome outcome = run({"train", word});
        EXPECT_EQ(outcome.code, 2);
        EXPECT_THAT(outcome.err, Not(HasSubstr("did you mean"))) << word;
    }
    EXPECT_THAT(run({"lst"}).err, Not(HasSubstr("did you mean")));
    EXPECT_THAT(run({"trian"}).err, HasSubstr("did you mean 'train'"));
}

TEST_F(CommandLine, UnknownValuesAreAnsweredWithTheRightOnes) {
    const Outcome outcome = run({"train", "--topology", "ring"});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("topology: unknown value 'ring'; expected set, fixed or dense"));
    EXPECT_THAT(run({"train", "--zeta", "2"}).err, HasSubstr("zeta: 2 is outside [0, 1]"));
    EXPECT_THAT(run({"train", "--epochs", "-1"}).err, HasSubstr("epochs: -1 is outside [1, 1e+09]"));
    EXPECT_THAT(run({"train", "--epochs", "99999999999999999999"}).err, HasSubstr("99999999999999999999 is outside [1, 1e+09]"));
    EXPECT_THAT(run({"train", "--epochs", "1e3"}).err, HasSubstr("epochs: '1e3' is not a whole number"));
    EXPECT_THAT(run({"train", "--epochs", "many"}).err, HasSubstr("epochs: 'many' is not a number"));
    EXPECT_THAT(run({"train", "--validation", "held.csv"}).err,
                HasSubstr("unknown value 'held.csv'; expected a share such as 0.1, csv:FILE or npy:X,Y"));
}

TEST_F(CommandLine, ArgumentsOfCommandsAreRefusedInTheSameWords) {
    const auto said = [&](const std::vector<std::string>& words) {
        const Outcome outcome = run(words);
        EXPECT_EQ(outcome.code, 2);
        return outcome.err;
    };
    EXPECT_THAT(said({"export", "net", "--format", "onnx"}),
                HasSubstr("--format: unknown value 'onnx'; expected safetensors, scipy or npy"));
    EXPECT_THAT(said({"train", "--progress", "dots"}), HasSubstr("unknown value 'dots'; expected auto, bar, lines or none"));
    EXPECT_THAT(said({"train", "--keep", "-1"}), HasSubstr("--keep: -1 is outside [0, 1e+06]"));
    EXPECT_THAT(said({"evaluate", "net", "--ais-chains", "1"}), HasSubstr("--ais-chains: 1 is outside [2, 1e+06]"));
    EXPECT_THAT(said({"study", "controls", "--jobs", "two"}), HasSubstr("--jobs: 'two' is not a number"));
    EXPECT_THAT(said({"completion", "tcsh"}), HasSubstr("unknown value 'tcsh'; expected bash, zsh or fish"));
}

TEST_F(CommandLine, HelpTellsEveryRuleWithItsFieldsDefaultsAndRanges) {
    const Outcome help = run({"train", "--help"});
    ASSERT_EQ(help.code, 0);
    EXPECT_THAT(help.out, AllOf(HasSubstr("momentum(momentum=0.9)  momentum in [0, 1]"), HasSubstr("identity, relu"),
                                HasSubstr("steps(n=100)  n in [1, 1e+09]"),
                                HasSubstr("cosine(value=0.01,end=0,warmup=0,begin=0,finish=0)  warmup in [0, 1e+09]")));
    for (const auto& option : espalier::experiment_options()) {
        EXPECT_THAT(help.out, HasSubstr("--" + option.name));
        for (const std::string& value : option.values) EXPECT_THAT(help.out, HasSubstr(value)) << option.name;
        for (const std::string& other : option.synonyms) EXPECT_THAT(help.out, HasSubstr("--" + other));
    }
}

TEST_F(CommandLine, HelpIsACommandToo) {
    EXPECT_EQ(run({"help"}).out, run({"--help"}).out);
    EXPECT_EQ(run({"help", "train"}).out, run({"train", "--help"}).out);
    EXPECT_EQ(run({"help", "data", "fetch"}).out, run({"data", "fetch", "--help"}).out);
    const Outcome unknown = run({"help", "trian"});
    EXPECT_EQ(unknown.code, 2);
    EXPECT_THAT(unknown.err, HasSubstr("did you mean 'train'"));
}

TEST_F(CommandLine, CompletionKnowsEveryOptionAndValue) {
    for (const std::string name : {"bash", "zsh", "fish"}) {
        const Outcome outcome = run({"completion", name});
        ASSERT_EQ(outcome.code, 0);
        for (const auto& option : espalier::experiment_options()) {
            EXPECT_THAT(outcome.out, HasSubstr(option.name)) << name;
            for (const std::string& value : option.values) EXPECT_THAT(outcome.out, HasSubstr(value)) << name;
        }
        for (const auto& recipe : espalier::recipes()) EXPECT_THAT(outcome.out, HasSubstr(recipe.name)) << name;
    }
    EXPECT_EQ(run({"completion", "tcsh"}).code, 2);
}

TEST_F(CommandLine, BashCompletes) {
    std::ofstream(path("espalier.bash")) << run({"completion", "bash"}).out;
    const auto completed = [&](const std::string& words, int count) {
        const std::string line = "bash -c 'source ./espalier.bash; COMP_WORDS=(" + words + "); COMP_CWORD=" +
                                 std::to_string(count) + "; _espalier; echo \"${COMPREPLY[@]}\"' >words";
        EXPECT_EQ(shell(line), 0);
        return text_of(path("words"));
    };
    EXPECT_EQ(completed("espalier tra", 1), "train\n");
    EXPECT_EQ(completed("espalier data f", 2), "fetch\n");
    EXPECT_EQ(completed("espalier train --learning-r", 2), "--learning-rate\n");
    EXPECT_EQ(completed("espalier train --topology f", 3), "fixed\n");
    EXPECT_EQ(completed("espalier train --seed 3 --topol", 4), "--topology\n");
}

TEST_F(CommandLine, TheManualPageFormats) {
    std::ofstream(path("espalier.1")) << run({"man"}).out;
    if (shell("command -v man >/dev/null && command -v groff >/dev/null") != 0) GTEST_SKIP() << "needs man and groff";
    // In the plainest locale, which lacks most letters.
    EXPECT_EQ(shell("LC_ALL=C MANWIDTH=100 man --warnings -l espalier.1 >page 2>warnings"), 0);
    EXPECT_EQ(text_of(path("warnings")), "");
    EXPECT_THAT(text_of(path("page")), AllOf(HasSubstr("--learning-rate"), HasSubstr("EXIT STATUS")));
}

TEST_F(CommandLine, AReportOfAMissingRunIsAnError) {
    ASSERT_EQ(train({"--out", path("run")}).code, 0);
    const Outcome outcome = run({"report", path("run"), path("rnu"), "-o", path("page.html")});
    EXPECT_EQ(outcome.code, 3);
    EXPECT_THAT(outcome.err, HasSubstr("there is no run folder at " + path("rnu")));
    EXPECT_FALSE(fs::exists(path("page.html")));
}

}  // namespace
