// The README's C++ is real code: compiled, registered as a rule and used.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace {

std::string first_block(const std::string& text, const std::string& language) {
    std::string fence = "```";
    fence.append(language).append("\n");
    const auto start = text.find(fence);
    if (start == std::string::npos) return {};
    const auto body = start + fence.size();
    return text.substr(body, text.find("```", body) - body);
}

TEST(Readme, ItsRuleCompilesAndReadsAsText) {
    std::ifstream file(std::string(ESPALIER_SOURCE_DIR) + "/README.md");
    std::ostringstream readme;
    readme << file.rdbuf();
    const std::string code = first_block(readme.str(), "cpp");
    ASSERT_FALSE(code.empty());

    std::ostringstream name;
    name << "espalier-readme-" << ::getpid();
    const auto folder = std::filesystem::temp_directory_path() / name.str();
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "rule.cpp") << code << R"code(
#include <cmath>
int main() {
    using List = std::variant<espalier::Relu, Softsign>;
    const auto rule = std::get<Softsign>(espalier::parse_rule<List>("softsign(width=2)"));
    const float step = 1e-3F;
    const float slope = (rule.value(0.5F + step) - rule.value(0.5F - step)) / (2 * step);
    return rule.width == 2.0F && std::fabs(slope - rule.derivative(0.5F)) < 1e-3F ? 0 : 1;
}
)code";
    const std::string program = (folder / "rule").string();
    std::ostringstream compile;
    compile << "c++ -std=c++20 -Wall -Wextra -Werror -I" << ESPALIER_SOURCE_DIR << "/include " << folder / "rule.cpp"
            << " -o " << program;
    EXPECT_EQ(std::system(compile.str().c_str()), 0);
    EXPECT_EQ(std::system(program.c_str()), 0);
    std::filesystem::remove_all(folder);
}

}  // namespace
