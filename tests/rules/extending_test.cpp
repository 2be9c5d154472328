// The rules of docs/extending.md are real code: each is written into its header as the page says, and what computes
// with rules compiles with all of them, on the CPU and on CUDA, without another file being touched; then they are used.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <vector>

#include "files.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

const fs::path source_folder = ESPALIER_SOURCE_DIR;

/// The page's blocks of C++, in order.
std::vector<std::string> blocks_of(const std::string& page) {
    const std::string fence = "```cpp\n";
    std::vector<std::string> blocks;
    for (std::size_t at = page.find(fence); at != std::string::npos; at = page.find(fence, at)) {
        at += fence.size();
        blocks.push_back(page.substr(at, page.find("```", at) - at));
    }
    return blocks;
}

/// Writes the struct before the list of its kind and its name into the list.
void add_rule(const fs::path& header, const std::string& kind, const std::string& code) {
    std::smatch name;
    ASSERT_TRUE(std::regex_search(code, name, std::regex("struct (\\w+) \\{")));
    std::string text = text_of(header);
    std::smatch found;  // a long list begins on a line of its own
    ASSERT_TRUE(std::regex_search(text, found, std::regex("using " + kind + " =\\s+std::variant<"))) << kind;
    const auto list = static_cast<std::size_t>(found.position());
    const std::size_t end = text.find(">;", list);
    text.insert(end, ", " + name[1].str());
    text.insert(list, code + "\n");
    write_file(header, text);
}

/// How the build compiles the first source of a target that `mark` is found in: the folder, and the command up to its
/// output.
struct Compiler {
    std::string folder;
    std::string command;
};
Compiler compiler_of(const std::string& mark) {
    const fs::path build = fs::path(ESPALIER_PROGRAM).parent_path();
    for (const auto& entry : nlohmann::json::parse(text_of(build / "compile_commands.json"))) {
        const std::string command = entry.at("command");
        if (command.find(mark) == std::string::npos) continue;
        return {entry.at("directory"), command.substr(0, command.find(" -o "))};
    }
    return {};
}

/// The exit status of checking `source` with the headers in `include` before all others.
int check(const Compiler& compiler, const fs::path& include, const std::string& source) {
    const std::size_t program = compiler.command.find(" -");
    const std::string command = "cd '" + compiler.folder + "' && " + compiler.command.substr(0, program) + " -I'" +
                                include.string() + "'" + compiler.command.substr(program) +
                                " -DHWY_COMPILE_ONLY_STATIC -fsyntax-only -x c++ '" +
                                (source_folder / source).string() + "'";
    return std::system(command.c_str());
}

class Extending : public testing::Test {
protected:
    void SetUp() override {
        fs::copy(source_folder / "include", folder_.path() / "include", fs::copy_options::recursive);
        const auto blocks = blocks_of(text_of(source_folder / "docs/extending.md"));
        ASSERT_EQ(blocks.size(), 4U);
        const fs::path headers = include() / "espalier";
        add_rule(headers / "activation.hpp", "Activation", blocks[0]);
        add_rule(headers / "optimizer.hpp", "Optimizer", blocks[1]);
        add_rule(headers / "evolution_rules.hpp", "PruneRule", blocks[2]);
        add_rule(headers / "evolution_rules.hpp", "Cadence", blocks[3]);
    }
    [[nodiscard]] fs::path include() const { return folder_.path() / "include"; }

    TemporaryFolder folder_;
};

TEST_F(Extending, OneFileIsAllThatARuleTouches) {
    const Compiler cpu = compiler_of("CMakeFiles/espalier.dir/host/cpu/evolution/evolve.cpp.o");
    ASSERT_FALSE(cpu.command.empty());
    for (const char* source :
         {"host/cpu/kernels/forward.cpp", "host/cpu/kernels/backward.cpp", "host/cpu/kernels/update.cpp",
          "host/cpu/backward_by_blocks.cpp", "host/cpu/dense.cpp", "host/cpu/evolution/evolve.cpp", "host/backend.cpp",
          "host/models/initialize_network.cpp", "host/training/trainer.cpp", "host/options/option_table.cpp"}) {
        EXPECT_EQ(check(cpu, include(), source), 0) << source;
    }
    if (ESPALIER_CUDA_ON_HOST == 0) return;
    const Compiler cuda = compiler_of("CMakeFiles/espalier_cuda_on_host.dir/");
    ASSERT_FALSE(cuda.command.empty());
    for (const char* source :
         {"cuda/forward.cu", "cuda/backward.cu", "cuda/update.cu", "cuda/evolution.cu", "cuda/evolve.cu"}) {
        EXPECT_EQ(check(cuda, include(), source), 0) << source;
    }
}

constexpr const char* uses_them = R"code(
#include <cmath>
#include <cstdio>
#include "espalier/common/evolution_steps.hpp"
#include "espalier/experiment.hpp"
using namespace espalier;
int failures = 0;
void expect(bool holds, const char* what) {
    if (!holds) std::fprintf(stderr, "not so: %s\n", what), ++failures;
}
bool near(float a, double b) { return std::fabs(a - b) < 1e-5 * (1 + std::fabs(b)); }
int main() {
    const auto activation = parse_rule<Activation>("prelu(slope=0.5)");
    expect(rule_text(activation) == "prelu(slope=0.5)", "an activation reads as text");
    expect(num_parameters(activation) == 1, "one trained parameter");
    expect(initial_parameters(activation, 3) == std::vector<float>{0.5F, 0.5F, 0.5F}, "its initial values");
    const float trained[] = {0.1F, 0.2F, 0.3F};
    const PRelu own = for_neuron(std::get<PRelu>(activation), trained, 1, 3);
    float by_slope[1];
    own.parameter_derivatives(-2, by_slope);
    expect(own.value(-2) == -0.4F && own.derivative(-2) == 0.2F && by_slope[0] == -2, "the second neuron's");

    // three steps of gradients 1, -2, 0.5 against the formula in double
    const auto rule = std::get<AmsGrad>(parse_rule<Optimizer>("amsgrad(beta2=0.9)"));
    expect(max_states == 3, "three states");
    OptimizerState<3> state{};
    float w = 1;
    double v = 1, m = 0, s = 0, most = 0;
    int t = 0;
    for (const float g : {1.0F, -2.0F, 0.5F}) {
        update_parameter(rule, w, g, state, update_step(Optimizer(rule), Coupled{}, 0.1, 0, ++t));
        m = 0.9 * m + 0.1 * g;
        s = 0.9 * s + 0.1 * g * g;
        most = std::fmax(most, s);
        v -= 0.1 * (m / (1 - std::pow(0.9, t))) / (std::sqrt(most / (1 - std::pow(0.9, t))) + 1e-8);
        expect(near(w, v), "a step of AMSGrad");
    }

    // one edge a row, ever farther from the diagonal: the last is the first to go
    const EdgeIndex row_start[] = {0, 1, 2, 3, 4};
    const Index column[] = {0, 2, 0, 0};
    const float weights[] = {1, 2, 3, 4};
    const detail::PruneKey<PruneDistant> key{{}, {4, 4, 4, row_start, column}, weights, {}};
    const PruneOrder order;
    expect(order(key(3)) < order(key(2)) && order(key(2)) < order(key(1)) && order(key(1)) < order(key(0)),
           "edges far from the diagonal go first");

    const auto cadence = parse_rule<Cadence>("doubling");
    int due_at = 0;
    for (std::uint32_t epoch = 0; epoch < 8; ++epoch) {
        if (due(cadence, {true, epoch, 0, {}})) due_at = 10 * due_at + static_cast<int>(epoch) + 1;
        expect(!due(cadence, {false, epoch, 0, {}}), "nothing before a step");
    }
    expect(due_at == 1248, "epochs 1, 2, 4 and 8");
    return failures == 0 ? 0 : 1;
}
)code";

TEST_F(Extending, TheRulesDoAsThePageSays) {
    write_file(folder_.path() / "main.cpp", uses_them);
    const std::string program = (folder_.path() / "main").string();
    const std::string compile = "c++ -std=c++20 -Wall -Wextra -Werror -I'" + include().string() + "' '" + program +
                                ".cpp' -o '" + program + "'";
    ASSERT_EQ(std::system(compile.c_str()), 0);
    EXPECT_EQ(std::system(program.c_str()), 0);
}

}  // namespace
}  // namespace espalier
