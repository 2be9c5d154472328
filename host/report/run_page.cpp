// The page of one run, and that of several by rows.
#include <algorithm>
#include <cmath>

#include "host/report/page_builder.hpp"

namespace espalier {
namespace {

void add_maps_of_run(PageBuilder& page, const ReportedRun& run) {
    if (run.contrasts.empty()) return;
    page.heading("Where the edges are");
    page.expect_maps(1);
    page.player(false);
    page.add("<section class=\"run\"><div class=\"charts\">\n");
    page.map({run.folder.name, run.slug, {&run.folder}}, {});
    page.add("</div>\n");
    page.charts(map_charts(run));
    page.film(run, chosen_moments(run.folder));
    page.add("</section>\n<p class=\"soft\">" + page.embedding_text() +
             "The curves follow the slider (heavy line); the others are at the moments of the film strip, dark to "
             "bright. The square is the centre that the contrast is about.</p>\n");
}

/// Rows whose runs have maps of one shape.
std::vector<MapFrames> row_frames(const ReportRows& rows) {
    std::vector<MapFrames> all;
    for (std::size_t r = 0; r < rows.rows.size(); ++r) {
        MapFrames frames{rows.rows[r].name, "row-" + std::to_string(r + 1), {}};
        for (const ReportedRun* run : rows.rows[r].runs) {
            if (!run->contrasts.empty()) frames.runs.push_back(&run->folder);
        }
        all.push_back(std::move(frames));
    }
    return all;
}

void add_maps_of_rows(PageBuilder& page, const ReportRows& rows) {
    constexpr std::size_t most_shown = 24;
    const std::vector<MapFrames> all = row_frames(rows);
    const auto with_maps = static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [](const MapFrames& frames) { return !frames.runs.empty(); }));
    if (with_maps == 0) return;
    page.heading("Where the edges are");
    page.expect_maps(std::min(with_maps, most_shown));
    page.player(with_maps > 1);
    page.add("<div class=\"maps\">\n");
    std::size_t shown = 0;
    for (std::size_t r = 0; r < all.size(); ++r) {
        if (all[r].runs.empty() || shown == most_shown) continue;
        page.map(all[r], row_heading(rows, r));
        ++shown;
    }
    page.add("</div>\n<p class=\"soft\">Edges leaving every input pixel, pooled over the runs of a row. " +
             page.embedding_text() + "The square is the centre that the contrast is about." +
             (shown < with_maps ? " The first " + std::to_string(shown) + " of " + std::to_string(with_maps) +
                                      " rows; the others' maps are in their runs' own reports."
                                : "") +
             "</p>\n");
}

void add_legend(PageBuilder& page, const ReportRows& rows) {
    const bool coloured = rows.rows.size() <= num_colours || !rows.axis.empty();
    if (!coloured) {
        page.add("<p class=\"soft\">" + std::to_string(rows.rows.size()) +
                 " rows: their names are under the pointer.</p>\n");
        return;
    }
    std::vector<Series> looks;
    for (std::size_t r = 0; r < rows.rows.size(); ++r) looks.push_back(rows.series(r));
    page.add(html_legend(looks));
}

void add_single_run(PageBuilder& page, const ReportedRun& run, std::size_t runs, const std::string& address) {
    const bool regression = run.folder.is_regression();
    const double figure = run.folder.last(regression ? "test_r2" : "test_accuracy");
    const std::string told = regression ? "test R² " + rounded(figure, 4) + " "
                                        : "test accuracy " + rounded(100 * figure, 4) + " % ";
    std::string summary = escaped(run.folder.name) + "<span class=\"soft\">" +
                          (std::isfinite(figure) ? told : "") +
                          (run.sign ? "contrast " + rounded(run.sign->contrast, 3) : "") + "</span>";
    page.fold(summary, true, [&] {
        if (!address.empty()) page.add("<p><a href=\"" + link_address(address) + "\">This run's own report</a></p>\n");
        std::vector<Chart> all = learning_charts(run);
        all.resize(std::min<std::size_t>(all.size(), 2));
        for (Chart& chart : topology_charts(run)) all.push_back(std::move(chart));
        if (runs < many_runs) {
            for (Chart& chart : map_charts(run)) all.push_back(std::move(chart));
        } else {
            // Their own reports have the rest.
            std::erase_if(all, [](const Chart& chart) { return chart.id != "loss" && chart.id != "contrast"; });
            for (Chart& chart : all) chart.most_points = std::max<std::size_t>(10, 1000 / runs);
        }
        for (Chart& chart : all) {
            if (!chart.id.ends_with(run.slug)) chart.id += "-" + run.slug;
        }
        page.charts(all);
        if (!run.contrasts.empty()) {
            const std::vector<std::uint64_t> moments = chosen_moments(run.folder);
            page.film(run, runs < many_runs ? moments : std::vector{moments.back()});
        }
        page.fold("Configuration", false, [&] { page.add("<pre>" + escaped(run.folder.config) + "</pre>\n"); });
    });
}

}  // namespace

void add_run_page(PageBuilder& page, const ReportedRun& run, const ReportRows& rows) {
    page.table(summary_table(Runs(&run, 1), rows));
    add_maps_of_run(page, run);
    page.heading("Over the epochs");
    std::vector<Chart> all = topology_charts(run);
    for (Chart& chart : learning_charts(run)) all.push_back(std::move(chart));
    page.charts(all);
    if (const auto edges = edge_charts(run); !edges.empty()) {
        page.heading("Lifetimes of edges");
        page.charts(edges);
    }
    if (const auto degrees = degree_charts(run); !degrees.empty()) {
        page.heading("Degrees");
        page.charts(degrees);
        page.table(fits_table(run));
    }
    if (const auto weights = weight_charts(run); !weights.empty()) {
        page.heading("Weights");
        page.charts(weights);
    }
    page.heading("How it ran");
    add_time_card(page, Runs(&run, 1));
    page.fold("Configuration", false, [&] { page.add("<pre>" + escaped(run.folder.config) + "</pre>\n"); });
}

void add_rows_page(PageBuilder& page, Runs runs, const ReportRows& rows,
                   const PagePlace& place) {
    page.charts(answer_charts(rows), "answer");
    add_maps_of_rows(page, rows);
    page.heading("Over the epochs");
    add_legend(page, rows);
    page.charts(row_curves(rows));
    page.heading("In numbers");
    page.table(rows_table(rows));
    page.add("<div class=\"cards\">\n");
    add_time_card(page, runs);
    page.add("</div>\n");
    if (const Table differences = differences_table(runs, rows); !differences.rows.empty()) {
        page.fold("All options that differ", false, [&] { page.table(differences); });
    }
    page.fold("More curves: confidence, replaced edges, correlation, trend, rings, lifetimes, degrees, weights", true, [&] {
        add_legend(page, rows);
        page.charts(more_row_curves(rows));
    });
    page.fold("Single runs (" + std::to_string(runs.size()) + ")", true, [&] {
        page.table(summary_table(runs, rows));
        for (std::size_t r = 0; r < runs.size(); ++r) {
            add_single_run(page, runs[r], runs.size(), r < place.run_pages.size() ? place.run_pages[r] : "");
        }
    });
    if (runs.size() >= many_runs) return;
    if (const Table all = overlaps_table(runs); !all.rows.empty()) {
        page.fold("Topology distance", false, [&] {
            page.add("<p class=\"soft\">Edges two runs share, cell by cell, beside what two random topologies would "
                     "share. Distance 1 is chance, 0 the same edges. Hidden neurons have no identity across seeds, so "
                     "independent runs stay near 1; their maps can still be alike.</p>\n");
            page.table(all);
        });
    }
}

}  // namespace espalier
