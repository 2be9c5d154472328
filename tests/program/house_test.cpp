// The house rules that a machine can check: who includes whom, headers that compile alone, where the preprocessor may
// decide, how long a file may be, no machine's own paths.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "temporary_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

const fs::path root = ESPALIER_SOURCE_DIR;

/// Files below rooms of the source tree with one of these extensions, in a fixed order, relative to the root.
std::vector<fs::path> sources(const std::vector<std::string>& rooms, const std::vector<std::string>& extensions) {
    std::vector<fs::path> found;
    for (const auto& room : rooms) {
        if (!fs::exists(root / room)) continue;
        for (const auto& entry : fs::recursive_directory_iterator(root / room)) {
            if (entry.is_regular_file() && std::count(extensions.begin(), extensions.end(), entry.path().extension())) {
                found.push_back(entry.path().lexically_relative(root));
            }
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

const std::vector<std::string> code_endings{".hpp", ".cpp", ".cuh", ".cu", ".h"};
const std::vector<std::string> rooms{"include", "host", "cuda", "bench", "tests"};

std::vector<std::string> source_lines(const fs::path& file) {
    std::ifstream stream(root / file);
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

/// What a file includes, as written.
std::vector<std::string> includes_of(const fs::path& file) {
    static const std::regex pattern(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
    std::vector<std::string> found;
    for (const auto& line : source_lines(file)) {
        std::smatch match;
        if (std::regex_search(line, match, pattern)) found.push_back(match[1]);
    }
    return found;
}

/// The room an include leads to: by its first folder, or, without one, the includer's own.
std::string room_of(const std::string& included) {
    const std::string first = included.substr(0, included.find('/'));
    if (first == "espalier") return "include";
    return std::count(rooms.begin(), rooms.end(), first) > 0 && first != included ? first : "";
}

TEST(House, SourcesAreFound) {
    EXPECT_GT(sources({"include"}, code_endings).size(), 10U);
    EXPECT_GT(sources({"host"}, code_endings).size(), 30U);
    EXPECT_THAT(includes_of("tests/program/house_test.cpp"), testing::Contains("temporary_folder.hpp"));
}

TEST(House, IncludesFollowTheArrows) {
    const std::pair<std::string, std::vector<std::string>> allowed[] = {
        {"include", {"include"}}, {"host", {"include", "host"}}, {"cuda", {"include", "cuda"}}};
    for (const auto& [room, targets] : allowed) {
        for (const auto& file : sources({room}, code_endings)) {
            for (const auto& included : includes_of(file)) {
                EXPECT_EQ(included.find(".."), std::string::npos) << file << " includes " << included;
                const std::string target = room_of(included);
                EXPECT_TRUE(target.empty() || std::count(targets.begin(), targets.end(), target) > 0)
                    << file << " includes " << included;
            }
        }
    }
}

TEST(House, VocabularyNeedsOnlyTheStandardLibrary) {
    for (const auto& file : sources({"include"}, code_endings)) {
        for (const auto& included : includes_of(file)) {
            const bool standard = included.find('/') == std::string::npos && included.find('.') == std::string::npos;
            const bool own = included.starts_with("espalier/");
            const bool thrust = included.starts_with("thrust/") &&
                                file.parent_path() == "include/espalier/common";
            EXPECT_TRUE(standard || own || thrust) << file << " includes " << included;
        }
    }
}

// host_device.hpp, and what it is for kernels that run on both sides.
TEST(House, OnlyHostDeviceHoldsPreprocessorConditionals) {
    static const std::regex conditional(R"(^\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b(.*))");
    // Highway compiles a file once per instruction set; these lines are its own recipe for that.
    static const std::regex highway(R"(HWY_ONCE|HWY_TARGET_TOGGLE|#undef HWY|#endif)");
    for (const auto& file : sources({"include", "host", "cuda"}, code_endings)) {
        if (file == "include/espalier/host_device.hpp" || file == "cuda/portable.cuh") continue;
        const auto lines = source_lines(file);
        const bool in_cpu = file.string().starts_with("host/cpu/") || file == "host/bench/ceiling.cpp";
        for (std::size_t i = 0; i < lines.size(); ++i) {
            if (!std::regex_search(lines[i], conditional)) continue;
            EXPECT_TRUE(in_cpu && std::regex_search(lines[i], highway)) << file << ":" << i + 1 << ": " << lines[i];
        }
    }
}

TEST(House, FilesAreShort) {
    for (const auto& file : sources(rooms, code_endings)) {
        const std::size_t most = file.string().starts_with("tests") ? 500 : 450;  // tests are lists of cases
        EXPECT_LE(source_lines(file).size(), most) << file;
    }
}

TEST(House, HeadersOpenWithTheirPurpose) {
    for (const auto& file : sources(rooms, {".hpp", ".cuh"})) {
        const auto lines = source_lines(file);
        ASSERT_FALSE(lines.empty()) << file;
        EXPECT_TRUE(lines.front().starts_with("// ")) << file << " opens with: " << lines.front();
    }
}

TEST(House, NothingNamesOneMachine) {
    // The second half of each word is apart, so that this file passes its own test.
    const std::vector<std::string> words{std::string("/wo") + "rk/", std::string("/ho") + "me/",
                                         std::string("/ro") + "ot/"};
    auto files = sources(rooms, {".hpp", ".cpp", ".cuh", ".cu", ".h", ".txt", ".py", ".sh", ".toml", ".html", ".js"});
    for (const auto& more :
         sources({"docs", "scripts", "datasets", ".ci", ".github"}, {".md", ".yml", ".sh", ".py", ""})) {
        files.push_back(more);
    }
    for (const char* top : {"README.md", "CHANGELOG.md", "CMakeLists.txt", "CMakePresets.json", "run", "test"}) {
        files.emplace_back(top);
    }
    for (const auto& file : files) {
        const auto lines = source_lines(file);
        for (std::size_t i = 0; i < lines.size(); ++i) {
            for (const auto& word : words) {
                EXPECT_EQ(lines[i].find(word), std::string::npos) << file << ":" << i + 1 << ": " << lines[i];
            }
        }
    }
}

/// What CMake recorded beside this program: the calls of the compiler by source.
const nlohmann::json& compiler_calls() {
    static const nlohmann::json calls = [] {
        std::ifstream stream(fs::read_symlink("/proc/self/exe").parent_path() / "compile_commands.json");
        return nlohmann::json::parse(stream);
    }();
    return calls;
}

/// The library's compiler with all its options; empty if it does not compile the source by itself.
std::string compiler_call(const fs::path& source) {
    for (const auto& entry : compiler_calls()) {
        if (fs::path(entry["file"].get<std::string>()) != root / source) continue;
        const std::string command = entry["command"];
        return command.substr(0, command.find(" -o "));
    }
    return "";
}

/// Whether a source of the same name includes `header` before anything else: compiling that source alone shows it.
bool leads_its_source(const fs::path& header) {
    const fs::path source = fs::path(header).replace_extension(".cpp");
    if (!fs::exists(root / source)) return false;
    const auto included = includes_of(source);
    return !included.empty() && included.front() == header.string();
}

/// Compiles every header below a room on its own, unless a build without ESPALIER_UNITY does (a job in
/// .github/workflows/ci.yml). The -inl files are parts of a source.
void expect_self_contained(const std::string& room) {
    const TemporaryFolder temporary;
    std::string command = compiler_call("host/topology/topology.cpp") + " -Werror -fsyntax-only";
    int number = 0;
    for (const auto& header : sources({room}, {".hpp"})) {
        if (header.string().ends_with("-inl.hpp") || leads_its_source(header)) continue;
        const fs::path unit = temporary.path() / (std::to_string(number++) + ".cpp");
        std::ofstream(unit) << "#include \"" << (room == "include" ? header.lexically_relative(room) : header).string()
                            << "\"\n";
        command += " '" + unit.string() + "'";
    }
    const fs::path log = temporary.path() / "log";
    const int status = std::system((command + " >'" + log.string() + "' 2>&1").c_str());
    std::ostringstream said;
    said << std::ifstream(log).rdbuf();
    EXPECT_EQ(status, 0) << "headers that do not compile alone:\n" << said.str().substr(0, 4000);
}

TEST(House, VocabularyHeadersCompileAlone) { expect_self_contained("include"); }
TEST(House, DriverHeadersCompileAlone) { expect_self_contained("host"); }

}  // namespace
}  // namespace espalier
