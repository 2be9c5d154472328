// The page of a report: numbers and charts put into the template, the frames of the maps as a JSON island. One run has a
// page about itself; several have one about their rows, with the single runs folded away.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "host/report/rows.hpp"

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

/// What a report says of itself; whatever is empty it makes from the runs.
struct ReportHeading {
    std::string title;     // "study regularization"
    std::string question;  // what the runs were made to answer
    std::string command;   // that made them
};

/// Where a page will lie, and what it leaves out.
struct PagePlace {
    std::string figures;                // folder of the figures, beside the page
    std::vector<std::string> run_pages;  // address of every run's own page; empty where there is none
    std::vector<std::string> left_out;  // sentences about runs not shown
};

/// Bytes of frames a page embeds at most, before base64; more maps or larger images mean fewer frames each.
constexpr std::size_t frame_budget = 400'000;

/// Bytes of frames for each of `maps` maps.
std::size_t frames_of(std::size_t maps);

/// The moments whose maps are embedded: all that fit the map's share of the budget, first and last always, else evenly
/// thinned.
std::vector<std::uint64_t> embedded_moments(std::uint64_t moments, std::size_t bytes_per_frame, std::size_t budget);

Report make_report(Runs runs, const ReportHeading& heading, const PagePlace& place);

/// The template around the inner text of a page; `data` is the JSON island.
std::string page_of(const std::string& title, const std::string& body, const std::string& data);

}  // namespace espalier
