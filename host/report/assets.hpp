// The parts of a report's page that ship inside the program: page.html, page.css, page.js, chart.css.
#pragma once

#include <string>

namespace espalier {

std::string report_asset(const std::string& name);

}  // namespace espalier
