// The house rules that a machine can check: who includes whom, headers that compile alone, where the preprocessor may
// decide, how long a file may be, no machine's own paths.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "code_scan.hpp"
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
const std::vector<std::string> rooms{"include", "host", "cuda", "mpi", "bench", "tests"};

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
        {"include", {"include"}}, {"host", {"include", "host"}}, {"cuda", {"include", "cuda"}}, {"mpi", {"include", "mpi"}}};
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

/// Who may enter whom below host/. All may enter system/ and include/; `backends` and `main` are the files of those
/// names that lie in host/ itself. No row may lead back to its own room by way of others.
using RoomTable = std::map<std::string, std::set<std::string>>;
const RoomTable host_rooms{
    {"main", {"commands"}},
    {"commands",
     {"training", "study", "report", "bench", "models", "rbm", "run", "data", "options", "topology", "formats",
      "backends", "ranks"}},
    {"training", {"report", "models", "rbm", "run", "data", "options", "formats", "backends"}},
    {"study", {"report", "run", "options", "topology", "formats", "backends"}},
    {"report", {"run", "topology", "options", "formats"}},
    {"bench", {"report", "cpu"}},
    {"rbm", {"models", "data", "formats"}},
    {"models", {"data"}},
    {"run", {"data", "options", "topology", "formats"}},
    {"backends", {"cpu"}},
    {"data", {"formats"}},
    {"options", {}},
    {"topology", {}},
    {"formats", {}},
    {"cpu", {}},
    {"ranks", {"backends"}},
    {"system", {}},
};

/// Public headers whose sources lie below host/ belong to the rooms of those; all may include the others.
const std::map<std::string, std::string> public_rooms{
    {"espalier/trainer.hpp", "training"},   {"espalier/dataset.hpp", "data"},
    {"espalier/model.hpp", "models"},       {"espalier/initialize_network.hpp", "models"},
    {"espalier/backends.hpp", "backends"},  {"espalier/options.hpp", "options"},
    {"espalier/network_file.hpp", "formats"}, {"espalier/predictions.hpp", "models"},
    {"espalier/saved_network.hpp", "training"}, {"espalier/train_network.hpp", "training"},
    {"espalier/sparse_product.hpp", "cpu"}, {"espalier/machine_report.hpp", "commands"}};

/// "host/run/recorder.cpp" lies in run, "host/backends.hpp" is a room of its own; empty outside host/.
std::string host_room(const fs::path& path) {
    if (const auto found = public_rooms.find(path.string()); found != public_rooms.end()) return found->second;
    auto part = path.begin();
    if (part == path.end() || *part++ != "host" || part == path.end()) return "";
    return part->stem().string();
}

struct Arrow {
    std::string file, included;
};

/// The arrows that the table does not hold, in words.
std::vector<std::string> wrong_arrows(const RoomTable& table, const std::vector<Arrow>& arrows) {
    std::vector<std::string> wrong;
    for (const auto& [file, included] : arrows) {
        const std::string from = host_room(file), to = host_room(included);
        if (from.empty() || to.empty() || from == to || to == "system") continue;
        const auto row = table.find(from);
        if (row != table.end() && row->second.contains(to)) continue;
        wrong.push_back(file + " includes " + included + ": " +
                        (row == table.end() ? "no room " + from + " in the table" : from + " may not enter " + to));
    }
    return wrong;
}

/// A way from a room back to itself, "a b a"; empty if there is none.
std::string circle(const RoomTable& table) {
    std::string found;
    std::set<std::string> done;
    const std::function<void(const std::string&, std::vector<std::string>)> walk = [&](const std::string& room,
                                                                                       std::vector<std::string> way) {
        const bool closed = std::count(way.begin(), way.end(), room) > 0;
        way.push_back(room);
        if (closed && found.empty()) {
            for (const auto& each : way) found += (found.empty() ? "" : " ") + each;
        }
        if (closed || done.contains(room) || !table.contains(room)) return;
        for (const auto& next : table.at(room)) walk(next, way);
        done.insert(room);
    };
    for (const auto& [room, targets] : table) walk(room, {});
    return found;
}

TEST(House, RoomsAreEnteredAsTheTableSays) {
    std::vector<Arrow> arrows;
    std::set<std::string> seen;
    for (const auto& file : sources({"host"}, code_endings)) {
        seen.insert(host_room(file));
        for (const auto& included : includes_of(file)) arrows.push_back({file.string(), included});
    }
    EXPECT_THAT(wrong_arrows(host_rooms, arrows), testing::IsEmpty());
    for (const auto& [header, room] : public_rooms) EXPECT_TRUE(fs::exists(root / "include" / header)) << header;
    for (const auto& [room, targets] : host_rooms)
        EXPECT_TRUE(seen.contains(room)) << "no room " << room << " any more";
    EXPECT_EQ(circle(host_rooms), "");
}

TEST(House, AnArrowThatRunsUpIsNamed) {
    EXPECT_THAT(
        wrong_arrows(host_rooms, {{"host/run/checkpoint.hpp", "espalier/trainer.hpp"},
                                  {"host/options/option_table.cpp", "host/models/rbm.hpp"},
                                  {"host/formats/npy.cpp", "espalier/backends.hpp"},
                                  {"host/attic/old.cpp", "host/run/recorder.hpp"},
                                  // and these are right:
                                  {"host/main.cpp", "host/commands/command.hpp"},
                                  {"host/run/recorder.cpp", "host/formats/npy.hpp"},
                                  {"host/run/recorder.cpp", "host/run/recorder.hpp"},
                                  {"host/cpu/team.cpp", "espalier/version.hpp"},
                                  {"host/cpu/team.cpp", "espalier/backend.hpp"}}),
        testing::ElementsAre("host/run/checkpoint.hpp includes espalier/trainer.hpp: run may not enter training",
                             "host/options/option_table.cpp includes host/models/rbm.hpp: options may not enter models",
                             "host/formats/npy.cpp includes espalier/backends.hpp: formats may not enter backends",
                             "host/attic/old.cpp includes host/run/recorder.hpp: no room attic in the table"));
    RoomTable round = host_rooms;
    round["formats"].insert("report");
    EXPECT_THAT(circle(round), testing::MatchesRegex("(.* )?formats.* report.*"));
}

TEST(House, VocabularyNeedsOnlyTheStandardLibrary) {
    for (const auto& file : sources({"include"}, code_endings)) {
        for (const auto& included : includes_of(file)) {
            const bool standard = included.find('/') == std::string::npos && included.find('.') == std::string::npos;
            const bool own = included.starts_with("espalier/");
            const bool thrust = included.starts_with("thrust/") && file.parent_path() == "include/espalier/common";
            EXPECT_TRUE(standard || own || thrust) << file << " includes " << included;
        }
    }
}

// host_device.hpp, and what it is for kernels that run on both sides.
TEST(House, OnlyHostDeviceHoldsPreprocessorConditionals) {
    static const std::regex conditional(R"(^\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b(.*))");
    // Highway compiles a file once per instruction set; these lines are its own recipe for that.
    static const std::regex highway(R"(HWY_ONCE|HWY_TARGET_TOGGLE|#undef HWY|#endif)");
    for (const auto& file : sources({"include", "host", "cuda", "mpi"}, code_endings)) {
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
        const std::size_t most = file.string().starts_with("tests") ? 500 : 400;  // tests are lists of cases
        EXPECT_LE(source_lines(file).size(), most) << file;
    }
    auto scripts = sources({"bench", "cmake", "datasets", "docs", "host", "python", "scripts", "tests"},
                           {".cmake", ".css", ".js", ".py", ".sh"});
    scripts.insert(scripts.end(), {"CMakeLists.txt", "python/CMakeLists.txt"});
    EXPECT_THAT(scripts, testing::Contains("tests/python/conftest.py"));
    for (const auto& file : scripts) EXPECT_LE(source_lines(file).size(), 400U) << file;
}

std::string source_text(const fs::path& file) {
    std::ostringstream text;
    text << std::ifstream(root / file).rdbuf();
    return text.str();
}

TEST(House, FunctionsAreShort) {
    const std::vector<std::string> excepted{
        "make_table",     // a list of options
    };
    std::size_t seen = 0;
    for (const auto& file : sources({"include", "host", "cuda", "mpi", "bench"}, code_endings)) {
        for (const FunctionSpan& function : functions_in(source_text(file))) {
            ++seen;
            if (std::count(excepted.begin(), excepted.end(), function.name) > 0) continue;
            EXPECT_LE(function.lines, 60U) << file << ":" << function.first_line << ": " << function.name;
        }
    }
    EXPECT_GT(seen, 1000U);
}

TEST(House, FunctionsAreFoundWhateverSurroundsThem) {
    const std::string source = R"code(
#define MACRO(x) \
    {
namespace a {
struct Point { int x = 0; };
/* { */ const std::vector<int> list{1, 2};
template <class T>
int sum(const Point& p,  // a brace {
        char c = '{') {
    const auto inner = [&](int i) {
        return i + p.x;
    };
    return inner(1'000) + std::string("{\"").size() + (c == '\'');
}
class Holder final : public Base {
public:
    explicit Holder(int n) : n_{n} {}
    [[nodiscard]] int n() const override { return n_; }
};
std::string raw() {
    return R"(
{)";
}
}
)code";
    std::vector<std::string> found;
    for (const FunctionSpan& each : functions_in(source)) {
        found.push_back(each.name + " " + std::to_string(each.first_line) + " " + std::to_string(each.lines));
    }
    EXPECT_THAT(found, testing::ElementsAre("sum 7 8", "Holder 17 1", "n 18 1", "raw 20 4"));
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
