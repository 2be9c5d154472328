#include "host/system/process_name.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace espalier {
namespace {

TEST(ProcessName, OfThisProcessReadsBackAndIsNotGone) {
    const ProcessName own = this_process();
    const ProcessName read = process_in(text_of(own));
    EXPECT_EQ(read.process, std::to_string(getpid()));
    EXPECT_EQ(text_of(read), text_of(own));
    EXPECT_FALSE(is_gone(read));
}

TEST(ProcessName, OnlyAProcessOfThisMachineAndNamespaceCanBeSeenToBeGone) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, nullptr, 0);
    ProcessName ended = this_process();
    ended.process = std::to_string(child);
    EXPECT_TRUE(is_gone(ended));
    ProcessName before = ended;  // as older versions wrote it
    before.space.clear();
    EXPECT_TRUE(is_gone(before));
    ProcessName elsewhere = ended;
    elsewhere.host += "-2";
    EXPECT_FALSE(is_gone(elsewhere));
    ProcessName contained = ended;
    contained.space = "pid:[1]";
    EXPECT_FALSE(is_gone(contained));
    ProcessName earlier = this_process();  // of the same number
    earlier.start = "1";
    EXPECT_TRUE(is_gone(earlier));
}

TEST(ProcessName, OtherTextsNameNobody) {
    for (const char* text : {"", "node 4711 1", "left by hand\n"}) {
        EXPECT_EQ(process_in(text).process, "") << text;
        EXPECT_FALSE(is_gone(process_in(text)));
    }
}

}  // namespace
}  // namespace espalier
