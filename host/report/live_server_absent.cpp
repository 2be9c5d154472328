// What a build without cpp-httplib (-DESPALIER_LIVE=OFF) has in place of live_server.cpp.
#include "espalier/error.hpp"
#include "host/report/live_server.hpp"

namespace espalier {

class LiveServer::Server {};

LiveServer::LiveServer(MakePage) {
    throw UserError(ExitCode::usage, "--live: this build serves no page of a run at work; build with -DESPALIER_LIVE=ON");
}
LiveServer::~LiveServer() = default;
std::string LiveServer::address() const { return {}; }
void LiveServer::progress(const std::string&) {}
void LiveServer::end(const std::string&) {}

}  // namespace espalier
