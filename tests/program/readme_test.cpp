// What the README shows is real: its C++ is compiled, registered as a rule and used, its tour runs as printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "temporary_folder.hpp"

using espalier::TemporaryFolder;

namespace {

std::string text_of_file(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

std::string readme() { return text_of_file(std::string(ESPALIER_SOURCE_DIR) + "/README.md"); }

/// The first block of code in `language` after `heading`.
std::string first_block(const std::string& text, const std::string& language, const std::string& heading) {
    std::string fence = "```";
    fence.append(language).append("\n");
    const auto start = text.find(fence, text.find(heading));
    if (start == std::string::npos) return {};
    const auto body = start + fence.size();
    return text.substr(body, text.find("```", body) - body);
}

TEST(Readme, ItsRuleCompilesAndReadsAsText) {
    const std::string code = first_block(readme(), "cpp", "## Adding a rule");
    ASSERT_FALSE(code.empty());

    const TemporaryFolder temporary;
    const std::filesystem::path& folder = temporary.path();
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
}

TEST(Readme, ItsTourRunsAsPrinted) {
    const std::string tour = first_block(readme(), "sh", "## A tour");
    EXPECT_EQ(std::count(tour.begin(), tour.end(), '\n'), 5) << tour;
    const TemporaryFolder folder;
    // `./run` hands its arguments to the program.
    std::ofstream(folder.path() / "run") << "#!/bin/sh\nexec '" ESPALIER_PROGRAM "' \"$@\"\n";
    std::filesystem::permissions(folder.path() / "run", std::filesystem::perms::owner_all);
    std::ofstream(folder.path() / "tour.sh") << "set -e\n" << tour;
    const std::string command = "cd '" + folder.path().string() + "' && sh tour.sh >log 2>&1";
    const int status = std::system(command.c_str());
    EXPECT_EQ(status, 0) << text_of_file(folder.path() / "log");
}

TEST(Docs, LinksLeadSomewhere) {
    static const std::regex link(R"(\]\(([^)#]+)(#[^)]*)?\))");
    const std::filesystem::path root = ESPALIER_SOURCE_DIR;
    std::vector<std::filesystem::path> pages{root / "README.md", root / "CHANGELOG.md", root / "datasets/README.md"};
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / "docs")) {
        if (entry.path().extension() == ".md") pages.push_back(entry.path());
    }
    std::size_t checked = 0;
    for (const auto& page : pages) {
        const std::string text = text_of_file(page);
        for (std::sregex_iterator match(text.begin(), text.end(), link), end; match != end; ++match) {
            const std::string target = (*match)[1];
            if (target.find("://") != std::string::npos) continue;
            ++checked;
            EXPECT_TRUE(std::filesystem::exists(page.parent_path() / target)) << page << " links to " << target;
        }
    }
    EXPECT_GT(checked, 20U);
}

}  // namespace
