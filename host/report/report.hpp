// Reports: one self-contained page about one or several runs, and next to it, in a folder named after it
// (report.html: report-figures/), every figure as .svg or .png with its data as .csv, all listed in index.csv.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "host/report/page.hpp"

namespace espalier {

/// Writes the report of all runs that read well, replacing an older one of the same name. Returns a sentence for every
/// run left out: unreadable, or of another image shape than the first good one. Throws UserError: data with those
/// sentences if no run is left, io if something cannot be written.
std::vector<std::string> write_report(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& out,
                                      const ReportHeading& heading = {});

/// The page of runs at work, as far as they are: without what takes long and without files beside it. Empty while none
/// of them has finished an epoch.
std::string page_so_far(const std::vector<std::filesystem::path>& runs, const ReportHeading& heading);

}  // namespace espalier
