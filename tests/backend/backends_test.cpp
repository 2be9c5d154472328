#include "host/backends.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

TEST(Backends, ByName) {
    EXPECT_EQ(make_backend("cpu", 1)->name(), "cpu");
    try {
        (void)make_backend("gpu", 1);
        ADD_FAILURE() << "made";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        EXPECT_NE(std::string(error.what()).find("'gpu'"), std::string::npos);
        EXPECT_NE(std::string(error.what()).find("auto, cpu or cuda"), std::string::npos);
    }
}

TEST(Backends, AutoFallsBackAloudAndCudaSaysWhy) {
    std::string reason;
    if (try_cuda_backend(reason) != nullptr) {
        EXPECT_EQ(make_backend("auto", 1)->name(), "cuda");
        EXPECT_EQ(make_backend("cuda", 1)->name(), "cuda");
        return;
    }
    EXPECT_FALSE(reason.empty());
    std::string remark = "stale";
    EXPECT_EQ(make_backend("auto", 1, &remark)->name(), "cpu");
    EXPECT_NE(remark.find(reason), std::string::npos);
    (void)make_backend("cpu", 1, &remark);
    EXPECT_EQ(remark, "");
    try {
        (void)make_backend("cuda", 1);
        ADD_FAILURE() << "made";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::device);
        EXPECT_NE(std::string(error.what()).find(reason), std::string::npos);
    }
}

TEST(Backends, ModulePathComesFirst) {
    setenv("ESPALIER_MODULE_PATH", "/a::/b/c", 1);
    const auto folders = module_folders();
    unsetenv("ESPALIER_MODULE_PATH");
    ASSERT_GE(folders.size(), 3U);
    EXPECT_EQ(folders[0], "/a");
    EXPECT_EQ(folders[1], "/b/c");
    EXPECT_EQ(folders[2], fs::read_symlink("/proc/self/exe").parent_path());
}

TEST(Backends, WhatIsWrongWithAModule) {
    const TemporaryFolder temporary;
    const fs::path file = temporary.path() / cuda_module_name;
    const CudaModule absent = find_cuda_module({temporary.path()});
    EXPECT_TRUE(absent.path.empty());
    EXPECT_NE(absent.fault.find(temporary.path().string()), std::string::npos) << absent.fault;

    std::ofstream(file) << "no shared object\n";
    const CudaModule broken = find_cuda_module({temporary.path() / "none", temporary.path()});
    EXPECT_EQ(broken.path, file);
    EXPECT_NE(broken.fault.find("does not open"), std::string::npos) << broken.fault;
    fs::remove(file);

    // Some other library under the module's name.
    Dl_info library{};
    ASSERT_NE(dladdr(reinterpret_cast<void*>(&zlibVersion), &library), 0);
    fs::copy_file(fs::canonical(library.dli_fname), file);
    const CudaModule foreign = find_cuda_module({temporary.path()});
    EXPECT_EQ(foreign.entry, nullptr);
    EXPECT_NE(foreign.fault.find("does not export make_cuda_backend"), std::string::npos) << foreign.fault;
}

TEST(Doctor, ReportsInJson) {
    const std::string command = std::string("'") + ESPALIER_PROGRAM + "' doctor --json";
    FILE* pipe = popen(command.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::string text;
    std::array<char, 4096> part{};
    while (fgets(part.data(), static_cast<int>(part.size()), pipe) != nullptr) text += part.data();
    EXPECT_EQ(pclose(pipe), 0);
    const auto report = nlohmann::json::parse(text);
    EXPECT_GE(report["cpu"]["cores"], 1);
    EXPECT_GT(report["memory"]["total_gib"], 0.0);
    EXPECT_TRUE(report["cuda"]["usable"] == true || report["cuda"]["reason"].get<std::string>().size() > 10);
    bool synthetic = false;
    for (const auto& set : report["datasets"]) synthetic = synthetic || (set["name"] == "synthetic" && set["present"]);
    EXPECT_TRUE(synthetic);
}

}  // namespace
}  // namespace espalier
