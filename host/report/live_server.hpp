// A report that follows a run at work: a page on 127.0.0.1 that updates itself by server-sent events. Reading only, and
// only from this machine: other hosts' names in a request are refused (a page elsewhere cannot read it by binding its
// own name to 127.0.0.1), and so is every method but GET.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace espalier {

class LiveServer {
public:
    /// Makes the page as the run stands, empty as long as there is nothing to show; called by the server's threads, one
    /// at a time, and only if someone watches.
    using MakePage = std::function<std::string()>;

    /// Listens on a port that the system picks. Throws UserError (device) if it gives none, or no threads.
    explicit LiveServer(MakePage page);
    LiveServer(const LiveServer&) = delete;
    LiveServer& operator=(const LiveServer&) = delete;
    /// As end() if it was not called.
    ~LiveServer();

    /// "http://127.0.0.1:40123/".
    [[nodiscard]] std::string address() const;

    /// There is more to show; `text` says how far the run is.
    void progress(const std::string& text);

    /// The run has ended: the pages fetch what is last, then the server closes. Takes up to a few seconds if someone
    /// watches.
    void end(const std::string& text);

private:
    class Server;
    std::unique_ptr<Server> server_;
};

/// The page with the script that follows the run.
std::string live_page(const std::string& page);

}  // namespace espalier
