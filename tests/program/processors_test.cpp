// How many threads a run takes by itself: what control groups grant and OpenMP's variable asks for. A folder plays the
// file system.
#include "host/system/processors.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>

#include "temporary_folder.hpp"

namespace espalier {
namespace {

class Processors : public testing::Test {
protected:
    void write(const std::string& path, const std::string& text) const {
        const auto file = folder_.path() / path;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << text;
    }
    [[nodiscard]] double granted() const { return granted_processors(folder_.path()); }
    [[nodiscard]] int usable() const { return usable_processors(folder_.path()); }
    [[nodiscard]] int threads() const { return default_threads(folder_.path()); }

    TemporaryFolder folder_;
};

TEST_F(Processors, NothingLimitsWhereThereAreNoGroups) {
    EXPECT_TRUE(std::isinf(granted()));
    write("proc/self/cgroup", "0::/a\nnonsense\n3:cpuset:/b\n");
    write("sys/fs/cgroup/a/cpu.max", "max 100000\n");
    write("sys/fs/cgroup/cpuset/b/cpu.cfs_quota_us", "50000\n");
    EXPECT_TRUE(std::isinf(granted()));
    ASSERT_FALSE(allowed_cpus().empty());
    EXPECT_EQ(usable(), static_cast<int>(allowed_cpus().size()));
}

TEST_F(Processors, TheLeastOfAllLevelsCounts) {
    write("proc/self/cgroup", "0::/pod/job\n");
    write("sys/fs/cgroup/pod/job/cpu.max", "800000 100000\n");
    EXPECT_DOUBLE_EQ(granted(), 8);
    write("sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
    EXPECT_DOUBLE_EQ(granted(), 1.5);
    EXPECT_EQ(usable(), 1) << "rounded down";
    write("sys/fs/cgroup/cpu.max", "25000 100000\n");  // a container sees its own group as the root
    EXPECT_DOUBLE_EQ(granted(), 0.25);
    EXPECT_EQ(usable(), 1) << "at least one";
}

TEST_F(Processors, VersionOneIsRead) {
    write("proc/self/cgroup", "7:memory:/x\n4:cpu,cpuacct:/x\n");
    write("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
    write("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
    EXPECT_TRUE(std::isinf(granted()));
    write("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "120000\n");
    EXPECT_DOUBLE_EQ(granted(), 1.2);
    write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
    write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    EXPECT_DOUBLE_EQ(granted(), 0.5);
}

TEST_F(Processors, OpenMpsVariableIsABound) {
    const char* before = std::getenv("OMP_NUM_THREADS");
    const std::optional<std::string> kept = before != nullptr ? std::optional<std::string>(before) : std::nullopt;
    setenv("OMP_NUM_THREADS", "1", 1);
    EXPECT_EQ(threads(), 1);
    setenv("OMP_NUM_THREADS", "1,2", 1);
    EXPECT_EQ(threads(), 1);
    setenv("OMP_NUM_THREADS", "5000", 1);
    EXPECT_EQ(threads(), usable()) << "a bound, no wish";
    for (const char* nothing : {"", "0", "-2", "many", "4x"}) {
        setenv("OMP_NUM_THREADS", nothing, 1);
        EXPECT_EQ(threads(), usable()) << nothing;
    }
    unsetenv("OMP_NUM_THREADS");
    EXPECT_EQ(threads(), usable());
    if (kept) setenv("OMP_NUM_THREADS", kept->c_str(), 1);
}

}  // namespace
}  // namespace espalier
