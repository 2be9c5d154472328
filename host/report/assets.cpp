#include "host/report/assets.hpp"

#include <algorithm>
#include <iterator>

#include "espalier/error.hpp"

namespace espalier {
namespace {

constexpr struct {
    const char* name;
    const char* text;
} assets[] = {
#include "report_assets.inc"
};

}  // namespace

std::string report_asset(const std::string& name) {
    const auto* found =
        std::find_if(std::begin(assets), std::end(assets), [&](const auto& each) { return each.name == name; });
    expects(found != std::end(assets), "a known part of the page");
    return found->text;
}

}  // namespace espalier
