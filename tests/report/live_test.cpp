// The page that follows a run: it tells, it shows, it ends, and it is for this machine's readers only.
#include "host/report/live_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "host/report/page.hpp"
#include "host/report/report.hpp"
#include "program_fixture.hpp"
#include "recorded_run.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

int port_of(const LiveServer& server) {
    const std::string address = server.address();
    return std::stoi(address.substr(address.rfind(':') + 1));
}

std::string small_page(const std::string& text) { return page_of("test", "<p>" + text + "</p>", R"({"maps":[]})"); }

/// Reads /events on a thread of its own.
class Reader {
public:
    explicit Reader(int port) : client_("127.0.0.1", port), thread_([this] { read(); }) {}
    ~Reader() { thread_.join(); }
    [[nodiscard]] bool sees(const std::string& text, std::chrono::milliseconds within) {
        const auto end = std::chrono::steady_clock::now() + within;
        while (std::chrono::steady_clock::now() < end) {
            {
                const std::lock_guard lock(mutex_);
                if (seen_.find(text) != std::string::npos) return true;
            }
            std::this_thread::sleep_for(5ms);
        }
        return false;
    }
    [[nodiscard]] bool has_ended() const { return ended_; }

private:
    void read() {
        client_.set_read_timeout(20);
        client_.Get("/events", [this](const char* bytes, std::size_t count) {
            const std::lock_guard lock(mutex_);
            seen_.append(bytes, count);
            return true;
        });
        ended_ = true;
    }
    httplib::Client client_;
    std::mutex mutex_;
    std::string seen_;
    std::atomic<bool> ended_ = false;
    std::thread thread_;
};

TEST(LiveServer, ShowsThePageAsItStandsAndMakesItOnlyWhenItChanged) {
    std::atomic<int> made = 0;
    LiveServer server([&] { return small_page("made " + std::to_string(++made)); });
    httplib::Client client("127.0.0.1", port_of(server));
    for (int again = 0; again < 3; ++again) EXPECT_THAT(client.Get("/")->body, HasSubstr("made 1"));
    server.progress("epoch 1 of 5");
    server.progress("epoch 2 of 5");
    const auto answer = client.Get("/");
    EXPECT_THAT(answer->body, HasSubstr("made 2"));
    EXPECT_THAT(answer->body, HasSubstr("new EventSource('/events')"));
    EXPECT_THAT(answer->get_header_value("Content-Security-Policy"), HasSubstr("default-src 'none'"));
    EXPECT_EQ(made, 2);
}

TEST(LiveServer, BeforeTheFirstEpochAndWhileAFileGrowsThereIsAPage) {
    int turn = 0;
    LiveServer server([&]() -> std::string {
        switch (turn++) {
            case 0:
                return {};
            case 1:
                return small_page("an epoch");
            default:
                throw std::runtime_error("line 8 is cut off");
        }
    });
    httplib::Client client("127.0.0.1", port_of(server));
    EXPECT_THAT(client.Get("/")->body, HasSubstr("No epoch is finished yet"));
    server.progress("1");
    EXPECT_THAT(client.Get("/")->body, HasSubstr("an epoch"));
    server.progress("2");
    EXPECT_THAT(client.Get("/")->body, HasSubstr("an epoch"));
}

TEST(LiveServer, TellsWithinTwoSecondsAndEnds) {
    LiveServer server([] { return small_page("x"); });
    const int port = port_of(server);
    Reader first(port), second(port);
    server.progress("epoch 1 of 2");
    EXPECT_TRUE(first.sees("event: progress\ndata: epoch 1 of 2\n\n", 2000ms));
    EXPECT_TRUE(second.sees("epoch 1 of 2", 2000ms));
    std::thread pages([&] {
        httplib::Client client("127.0.0.1", port);
        for (Reader* reader : {&first, &second}) {
            if (reader->sees("event: end\ndata: done\n\n", 2000ms)) (void)client.Get("/");
        }
    });
    const auto before = std::chrono::steady_clock::now();
    server.end("done");
    EXPECT_LT(std::chrono::steady_clock::now() - before, 2500ms) << "both have the last page: no need to wait";
    pages.join();
    EXPECT_TRUE(first.sees("event: end", 1000ms));
}

TEST(LiveServer, EndsAtOnceIfNobodyWatchesAndClosesItsPort) {
    int port = 0;
    const auto before = std::chrono::steady_clock::now();
    {
        LiveServer server([] { return small_page("x"); });
        port = port_of(server);
        server.end("done");
    }
    EXPECT_LT(std::chrono::steady_clock::now() - before, 2s);
    httplib::Client client("127.0.0.1", port);
    EXPECT_FALSE(client.Get("/"));
}

TEST(LiveServer, RefusesOtherHostsNamesAndOtherMethods) {
    LiveServer server([] { return small_page("secret"); });
    httplib::Client client("127.0.0.1", port_of(server));
    for (const std::string host : {"evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example"}) {
        for (const char* path : {"/", "/events", "/nothing"}) {
            const auto answer = client.Get(path, httplib::Headers{{"Host", host}});
            ASSERT_TRUE(answer) << host;
            EXPECT_EQ(answer->status, 403) << host;
            EXPECT_EQ(answer->body.find("secret"), std::string::npos);
        }
    }
    EXPECT_EQ(client.Get("/", {{"Host", "localhost:" + std::to_string(port_of(server))}})->status, 200);
    EXPECT_EQ(client.Post("/", "x", "text/plain")->status, 405);
    EXPECT_EQ(client.Put("/", "x", "text/plain")->status, 405);
    EXPECT_EQ(client.Delete("/")->status, 405);
    EXPECT_EQ(client.Options("/")->status, 405);
    EXPECT_EQ(client.Head("/")->status, 405);
    EXPECT_EQ(client.Get("/../etc/passwd")->status, 404);
}

TEST(LiveServer, ThePageOfARunSoFarIsItsReport) {
    const TemporaryFolder temporary;
    const auto run = record_run(temporary.path() / "run", {.network = false});
    EXPECT_EQ(page_so_far({temporary.path() / "nothing yet"}, {}), "");
    const std::string page = page_so_far({run, temporary.path() / "nothing yet"}, {});
    EXPECT_THAT(page, HasSubstr("data-chart=\"loss\""));
    EXPECT_THAT(page, testing::Not(HasSubstr("href=\"/")));  // there are no files to link to
}

class LiveProgram : public ProgramTest {};

TEST_F(LiveProgram, SaysThatNoThreadCanBeHad) {
    const auto live = [this](int most) {
        return run_with_threads(most, {"train", "--dataset", "synthetic", "--train-samples", "90", "--layers", "784-10-10",
                                       "--epochs", "1", "--threads", "1", "--live", "--overwrite", "--out", path("run")});
    };
    for (const int most : {0, 1, 12}) {  // none, not all that answer, none to listen
        const Outcome outcome = live(most);
        EXPECT_EQ(outcome.code, 6) << outcome.err;
        EXPECT_THAT(outcome.err, HasSubstr("espalier: cannot start another thread: "));
    }
    EXPECT_EQ(live(13).code, 0);
}

}  // namespace
}  // namespace espalier
