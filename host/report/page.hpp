// The page of a report: numbers and charts put into the template, the frames of the maps as a JSON island.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "host/report/figures.hpp"

namespace espalier {

/// A file that goes beside the page.
struct FigureFile {
    std::string name;
    std::string title;
    std::string bytes;
};

struct Report {
    std::string page;
    std::vector<FigureFile> figures;
};

/// Bytes of frames a page embeds at most, before base64; more runs or larger images mean fewer frames each. So many
/// runs that their charts take most of the page leave less: see frames_of().
constexpr std::size_t frame_budget = 1'200'000;

/// Bytes of frames for each of `runs` runs.
std::size_t frames_of(std::size_t runs);

/// The moments whose maps are embedded: all that fit the run's share of the budget, first and last always, else evenly
/// thinned.
std::vector<std::uint64_t> embedded_moments(std::uint64_t moments, std::size_t bytes_per_frame, std::size_t budget);

/// `folder` is the name of the folder the figures will lie in, `left_out` the sentences about runs not shown.
Report make_report(const std::vector<ReportedRun>& runs, const std::vector<std::string>& left_out,
                   const std::string& folder);

}  // namespace espalier
