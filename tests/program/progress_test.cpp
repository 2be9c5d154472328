#include "host/system/progress.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace espalier {
namespace {

TEST(Progress, Durations) {
    EXPECT_EQ(duration_text(0), "00:00");
    EXPECT_EQ(duration_text(429.4), "07:09");
    EXPECT_EQ(duration_text(3 * 3600 + 7 * 60 + 9), "3:07:09");
    EXPECT_EQ(duration_text(-1), "?");
    EXPECT_EQ(duration_text(1.0 / 0.0), "?");
}

TEST(Progress, TheLineFitsItsWidth) {
    EXPECT_EQ(progress_line("mnist", 0.25, 90, {}, 80), "mnist [#######.......................]  25%  01:30 left");
    EXPECT_EQ(progress_line("mnist", 0, seconds_left(0, 0, 30), {}, 80),
              "mnist [..............................]   0%  ? left");
    EXPECT_EQ(progress_line("mnist", 1, 0, {"done"}, 80),
              "mnist [##############################] 100%  00:00 left  done");
    EXPECT_EQ(progress_line("mnist", 0.5, 60, {}, 16), " 50%  01:00 left");
    for (std::size_t width = 0; width < 100; ++width) {
        EXPECT_LE(progress_line("mnist", 0.5, 60, {"epoch 1/2  train 0.1"}, width).size(), width);
    }
}

TEST(Progress, LongNamesHideNeitherPercentageNorFiguresNorTimeLeft) {
    const std::vector<std::string> figures{"epoch 101/250  test 0.0912  97.35 %", "test 0.0912  97.35 %",
                                           "0.0912 97.35%"};
    const std::string name(200, 'n');
    for (const std::size_t width : {39U, 79U}) {
        const std::string line = progress_line(name, 0.41, 12 * 3600 + 61, figures, width);
        EXPECT_LE(line.size(), width);
        for (const char* part : {" 41%", "12:01:01 left", "0.0912", "97.35"}) {
            EXPECT_NE(line.find(part), std::string::npos) << line;
        }
    }
    EXPECT_EQ(progress_line(name, 0.41, 90, figures, 39), " 41%  01:30 left  test 0.0912  97.35 %");
}

TEST(Progress, ACutNameStaysWholeCharacters) {
    const std::string line = progress_line("\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9", 0.5, 60, {},
                                           34);
    EXPECT_EQ(line, "\u00e9\u00e9\u00e9\u00e9.. [####....]  50%  01:00 left");
}

TEST(Progress, TheTimeLeftCountsFromThisStart) {
    EXPECT_DOUBLE_EQ(seconds_left(0, 0.25, 30), 90);
    EXPECT_DOUBLE_EQ(seconds_left(0.5, 0.75, 10), 10);  // resumed half way: a quarter took 10 s
    EXPECT_EQ(duration_text(seconds_left(0.5, 0.5, 10)), "?");
}

/// What lands on stderr, a pseudo terminal or a pipe, while it lives.
class CapturedStderr {
public:
    explicit CapturedStderr(bool terminal) : saved_(dup(STDERR_FILENO)) {
        winsize size{};
        size.ws_col = 60;
        if (terminal) {
            EXPECT_EQ(openpty(&ours_, &theirs_, nullptr, nullptr, &size), 0);
        } else {
            int ends[2] = {-1, -1};
            EXPECT_EQ(pipe(ends), 0);
            ours_ = ends[0];
            theirs_ = ends[1];
        }
        dup2(theirs_, STDERR_FILENO);
    }
    CapturedStderr(const CapturedStderr&) = delete;
    CapturedStderr& operator=(const CapturedStderr&) = delete;
    ~CapturedStderr() {
        dup2(saved_, STDERR_FILENO);
        for (const int file : {saved_, ours_, theirs_}) close(file);
    }
    std::string text() const {
        fcntl(ours_, F_SETFL, O_NONBLOCK);
        std::string all;
        char part[4096];
        for (ssize_t size = 0; (size = read(ours_, part, sizeof part)) > 0;)
            all.append(part, static_cast<std::size_t>(size));
        return all;
    }

private:
    int saved_, ours_ = -1, theirs_ = -1;
};

void two_epochs(ProgressForm form = ProgressForm::automatic) {
    Progress progress("mnist", 2, form);
    progress.within(1, 0.5);
    progress.epoch_done(1, "loss 0.5", {"0.5"});
    progress.say("a remark");
    progress.epoch_done(2, "loss 0.25", {"0.25"});
}

TEST(Progress, OneLinePerEpochWithoutATerminal) {
    const CapturedStderr captured(false);
    two_epochs();
    EXPECT_EQ(captured.text(), "epoch 1/2  loss 0.5\na remark\nepoch 2/2  loss 0.25\n");
}

TEST(Progress, ADumbTerminalGetsLinesToo) {
    setenv("TERM", "dumb", 1);
    const CapturedStderr captured(true);
    two_epochs();
    EXPECT_EQ(captured.text(), "epoch 1/2  loss 0.5\r\na remark\r\nepoch 2/2  loss 0.25\r\n");
}

TEST(Progress, ATerminalGetsABarThatIsTakenAwayAndLinesThatStay) {
    setenv("TERM", "xterm", 1);
    setenv("NO_COLOR", "1", 1);
    const CapturedStderr captured(true);
    two_epochs();
    const std::string text = captured.text();
    EXPECT_EQ(text.find("\r\x1b[Kmnist ["), 0U) << text;
    EXPECT_NE(text.find(" 25% "), std::string::npos) << text;
    EXPECT_NE(text.find("\r\x1b[Kepoch 1/2  loss 0.5\r\n\r\x1b[Kmnist ["), std::string::npos) << text;
    EXPECT_NE(text.find("left  epoch 1/2  0.5"), std::string::npos) << text;
    EXPECT_NE(text.find("\r\x1b[Ka remark\r\n\r\x1b[Kmnist ["), std::string::npos) << text;
    EXPECT_EQ(text.find("\x1b[32m"), std::string::npos);
    EXPECT_EQ(text.substr(text.size() - 4), "\r\x1b[K") << text;
    unsetenv("NO_COLOR");
    two_epochs();
    EXPECT_NE(captured.text().find("\x1b[32mmnist ["), std::string::npos);
}

TEST(Progress, TheFormThatWasAskedForOnATerminal) {
    setenv("TERM", "xterm", 1);
    const CapturedStderr captured(true);
    two_epochs(ProgressForm::none);
    EXPECT_EQ(captured.text(), "a remark\r\n");
    two_epochs(ProgressForm::lines);
    EXPECT_EQ(captured.text(), "epoch 1/2  loss 0.5\r\na remark\r\nepoch 2/2  loss 0.25\r\n");
    two_epochs(ProgressForm::bar);
    const std::string text = captured.text();
    EXPECT_EQ(text.find("loss 0.5"), std::string::npos) << text;
    EXPECT_NE(text.find("mnist ["), std::string::npos) << text;
}

TEST(Progress, ABarThatWasAskedForIsDrawnWithoutATerminal) {
    const CapturedStderr captured(false);
    two_epochs(ProgressForm::bar);
    EXPECT_NE(captured.text().find("mnist ["), std::string::npos);
}

}  // namespace
}  // namespace espalier
