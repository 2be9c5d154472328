#include "host/report/live_server.hpp"

#include <httplib.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "espalier/error.hpp"
#include "host/report/assets.hpp"
#include "host/report/page.hpp"
#include "host/system/threads.hpp"

namespace espalier {
namespace {

constexpr std::size_t threads = 12, most_streams = 8;  // a stream keeps a thread
constexpr auto time_to_fetch = std::chrono::seconds(3);
constexpr auto heartbeat = std::chrono::seconds(10);

/// Nothing but the page itself runs or is fetched.
constexpr const char* policy =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string waiting_page() {
    return page_of("Running", "<header class=\"head\"><h1>Running</h1><p>No epoch is finished yet; this page updates "
                              "itself.</p></header>",
                   R"({"maps":[],"palette":"000000"})");
}

/// The threads that answer. The library's own pool would end the program where it cannot start one of its.
class Workers : public httplib::TaskQueue {
public:
    Workers() {
        try {
            for (std::size_t t = 0; t < threads; ++t) threads_.push_back(start_thread([this] { work(); }));
        } catch (...) {
            Workers::shutdown();
            throw;
        }
    }
    ~Workers() override { Workers::shutdown(); }

    using Enqueued = decltype(std::declval<TaskQueue&>().enqueue({}));  // void, in later versions bool
    Enqueued enqueue(std::function<void()> job) override {
        {
            const std::lock_guard lock(mutex_);
            jobs_.push_back(std::move(job));
        }
        changed_.notify_one();
        return static_cast<Enqueued>(true);
    }
    /// Waits until all that was enqueued is done.
    void shutdown() override {
        {
            const std::lock_guard lock(mutex_);
            ended_ = true;
        }
        changed_.notify_all();
        threads_.clear();
    }

private:
    void work() {
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return ended_ || !jobs_.empty(); });
            if (jobs_.empty()) return;
            const std::function<void()> job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job();
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> jobs_;
    bool ended_ = false;
    std::vector<std::jthread> threads_;
};

}  // namespace

class LiveServer::Server {
public:
    explicit Server(MakePage make) : make_page_(std::move(make)) {
        http_.new_task_queue = [this] { return workers_.release(); };
        http_.set_keep_alive_timeout(1);
        http_.set_default_headers({{"Content-Security-Policy", policy},
                                   {"Cache-Control", "no-store"},
                                   {"Cross-Origin-Resource-Policy", "same-origin"},
                                   {"X-Content-Type-Options", "nosniff"}});
        http_.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
            return refused(request, response) ? httplib::Server::HandlerResponse::Handled
                                              : httplib::Server::HandlerResponse::Unhandled;
        });
        http_.Get("/", [this](const httplib::Request&, httplib::Response& response) {
            response.set_content(page(), "text/html; charset=utf-8");
        });
        http_.Get("/events", [this](const httplib::Request&, httplib::Response& response) { stream(response); });
        port_ = http_.bind_to_any_port("127.0.0.1");
        if (port_ <= 0) throw UserError(ExitCode::device, "--live: no port on 127.0.0.1 can be had");
        listener_ = start_thread([this] { http_.listen_after_bind(); });
        while (!http_.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ~Server() {
        http_.stop();
        listener_.join();
    }

    [[nodiscard]] int port() const { return port_; }

    void progress(const std::string& text) {
        const std::lock_guard lock(mutex_);
        ++version_;
        text_ = text;
        changed_.notify_all();
    }

    void end(const std::string& text) {
        std::unique_lock lock(mutex_);
        if (ended_) return;
        ++version_;
        text_ = text;
        ended_ = true;
        awaited_ = streams_;
        changed_.notify_all();
        changed_.wait_for(lock, time_to_fetch, [this] { return streams_ == 0 && awaited_ == 0; });
    }

private:
    bool refused(const httplib::Request& request, httplib::Response& response) const {
        const std::string host = request.get_header_value("Host"), port = ":" + std::to_string(port_);
        if (host != "127.0.0.1" + port && host != "localhost" + port) {
            response.status = 403;
            response.set_content("This server answers to 127.0.0.1" + port + " only.\n", "text/plain");
            return true;
        }
        if (request.method == "GET") return false;
        response.status = 405;
        response.set_header("Allow", "GET");
        response.set_content("This server is for reading: GET only.\n", "text/plain");
        return true;
    }

    std::string page() {
        std::uint64_t version = 0;
        {
            const std::lock_guard lock(mutex_);
            version = version_;
        }
        const std::lock_guard making(making_);
        if (made_ != version + 1) {
            try {
                std::string fresh = make_page_();
                if (!fresh.empty()) page_ = live_page(fresh);
            } catch (const std::exception&) {
                // A file was read while it grew: what was shown before stays until the next event.
            }
            if (page_.empty()) page_ = live_page(waiting_page());
            made_ = version + 1;
        }
        const std::lock_guard lock(mutex_);
        if (ended_ && awaited_ > 0 && version == version_) {
            --awaited_;
            changed_.notify_all();
        }
        return page_;
    }

    void stream(httplib::Response& response) {
        {
            const std::lock_guard lock(mutex_);
            if (streams_ >= most_streams) {
                response.status = 503;
                response.set_content("Enough pages follow this run already.\n", "text/plain");
                return;
            }
            ++streams_;
        }
        response.set_chunked_content_provider(
            "text/event-stream",
            [this, seen = std::uint64_t{0}](std::size_t, httplib::DataSink& sink) mutable { return tell(seen, sink); },
            [this](bool) {
                const std::lock_guard lock(mutex_);
                --streams_;
                changed_.notify_all();
            });
    }

    /// Waits for news and writes them; false when the reader has gone.
    bool tell(std::uint64_t& seen, httplib::DataSink& sink) {
        std::string event;
        bool last = false;
        {
            std::unique_lock lock(mutex_);
            changed_.wait_for(lock, heartbeat, [&] { return version_ != seen || ended_; });
            if (version_ == seen && !ended_) {
                event = ":\n\n";  // shows whether the reader is still there
            } else {
                seen = version_;
                last = ended_;
                event = std::string("event: ") + (last ? "end" : "progress") + "\ndata: " + text_ + "\n\n";
            }
        }
        if (!sink.write(event.data(), event.size())) return false;
        if (last) sink.done();
        return true;
    }

    MakePage make_page_;
    httplib::Server http_;
    int port_ = 0;
    std::unique_ptr<Workers> workers_ = std::make_unique<Workers>();  // until http_ takes them
    std::jthread listener_;

    std::mutex mutex_;  // of what follows
    std::condition_variable changed_;
    std::uint64_t version_ = 0;
    std::string text_ = "no epoch yet";
    bool ended_ = false;
    std::size_t streams_ = 0, awaited_ = 0;  // readers; those that have not fetched the last page

    std::mutex making_;  // of the page
    std::string page_;
    std::uint64_t made_ = 0;  // the version it shows, plus 1
};

LiveServer::LiveServer(MakePage page) : server_(std::make_unique<Server>(std::move(page))) {}
LiveServer::~LiveServer() { server_->end("stopped"); }
std::string LiveServer::address() const { return "http://127.0.0.1:" + std::to_string(server_->port()) + "/"; }
void LiveServer::progress(const std::string& text) { server_->progress(text); }
void LiveServer::end(const std::string& text) { server_->end(text); }

std::string live_page(const std::string& page) {
    std::string text = page;
    const auto body = text.find("<body>");
    expects(body != std::string::npos, "a page");
    text.insert(body + 6, "\n<p id=\"live\" role=\"status\">Running</p>");
    text.insert(text.rfind("</body>"), "<script>\n" + report_asset("live.js") + "</script>\n");
    return text;
}

}  // namespace espalier
