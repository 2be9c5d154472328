// Every __global__ function of cuda/kernels is launched by a kernel test and compiled by nvcc with all its rules.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
    std::ifstream file(path);
    EXPECT_TRUE(file) << path << " cannot be read";
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

/// Names of the functions declared __global__ in `text`: what stands before the first parenthesis of the declaration.
std::set<std::string> kernels_in(std::string text) {
    text = std::regex_replace(text, std::regex("//[^\n]*"), "");
    text = std::regex_replace(text, std::regex("__launch_bounds__\\s*\\([^)]*\\)"), "");
    std::set<std::string> names;
    const std::regex declaration("__global__[^(]*?(\\w+)\\s*\\(");
    for (std::sregex_iterator match(text.begin(), text.end(), declaration), end; match != end; ++match) {
        names.insert((*match)[1]);
    }
    return names;
}

TEST(KernelList, FindsKernels) {
    EXPECT_EQ(kernels_in("// __global__ void no(int)\ntemplate <int n>\n__global__ void __launch_bounds__(n)\n"
                         "    first(int x) {}\n__global__ inline void second() {}"),
              (std::set<std::string>{"first", "second"}));
}

TEST(KernelList, EveryKernelHasATestAndIsCompiled) {
    const fs::path root(ESPALIER_SOURCE_DIR);
    std::string tests;
    for (const auto& entry : fs::directory_iterator(root / "tests/kernels")) {
        if (const auto extension = entry.path().extension(); extension == ".cpp" || extension == ".hpp")
            tests += text_of(entry.path());
    }
    const std::string compiled = text_of(root / "tests/kernels/compiled_kernels.cu");
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(root / "cuda/kernels")) {
        for (const std::string& kernel : kernels_in(text_of(entry.path()))) {
            ++count;
            EXPECT_TRUE(std::regex_search(tests, std::regex("launch\\(\\s*" + kernel + "\\b")))
                << kernel << " of " << entry.path().filename() << " has no test that launches it";
            EXPECT_TRUE(std::regex_search(compiled, std::regex("\\b" + kernel + "<")))
                << kernel << " of " << entry.path().filename() << " is missing in compiled_kernels.cu";
        }
    }
    EXPECT_GE(count, 8U);
}

}  // namespace
