#include "host/report/page.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "host/formats/heat_map.hpp"
#include "host/report/assets.hpp"
#include "host/report/tables.hpp"
#include "espalier/version.hpp"
#include "host/system/utf8.hpp"

namespace espalier {
namespace {

std::string base64(const std::string& bytes) {
    static constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t word = 0;
        for (std::size_t j = 0; j < 3; ++j) {
            word = word << 8 | (i + j < bytes.size() ? static_cast<std::uint8_t>(bytes[i + j]) : 0U);
        }
        for (std::size_t j = 0; j < 4; ++j) {
            text += i + j <= bytes.size() ? letters[word >> (18 - 6 * j) & 63U] : '=';
        }
    }
    return text;
}

std::vector<std::uint64_t> counts_of(const PixelMap& map) {
    return {map.values.begin(), map.values.end()};  // edges: whole numbers
}

/// The largest count of a pixel at any moment: the top of the run's colour scale.
std::uint64_t highest_count(const RunFolder& run) {
    double highest = 0;
    for (std::uint64_t moment = 0; moment < run.connections()->moments(); ++moment) {
        const PixelMap map = run.map_at(moment);
        highest = std::max(highest, *std::max_element(map.values.begin(), map.values.end()));
    }
    return static_cast<std::uint64_t>(highest);
}

std::string moment_file(const ReportedRun& run, std::uint64_t moment) {
    const std::string epoch = rounded(run.folder.epoch_of(moment), 9);
    return "heat-map-" + run.slug + "-epoch-" + std::string(epoch.size() < 5 ? 5 - epoch.size() : 0, '0') + epoch;
}

/// A line of names first: most readers take the first line for one.
std::string map_csv(const PixelMap& map) {
    std::string text;
    for (Index x = 0; x < map.width; ++x) text += (x == 0 ? "x" : ",x") + std::to_string(x);
    text += "\n";
    for (std::size_t i = 0; i < map.values.size(); ++i) {
        text += rounded(map.values[i], 15) + ((i + 1) % map.width == 0 ? "\n" : ",");
    }
    return text;
}

/// Puts a page together and gathers the files beside it.
class Builder {
public:
    Builder(const std::vector<ReportedRun>& runs, const std::vector<std::string>& left_out, std::string folder)
        : runs_(runs), left_out_(left_out), folder_(std::move(folder)), style_(report_asset("chart.css")) {
        for (const ReportedRun& run : runs_) with_maps_ += run.contrasts.empty() ? 0 : 1;
    }

    Report build() {
        header();
        charts_section("Learning", learning_charts(runs_));
        topology();
        degrees_section();
        charts_section("Lifetimes of edges", edge_charts(runs_));
        charts_section("Weights", weight_charts(runs_));
        overlaps();
        configuration();
        glossary();
        report_.page = filled();
        return std::move(report_);
    }

private:
    void add(const std::string& text) { body_ += text; }
    void add_file(const std::string& name, const std::string& title, std::string bytes) {
        report_.figures.push_back({name, title, std::move(bytes)});
    }
    [[nodiscard]] std::string link(const std::string& file, const std::string& text) const {
        return "<a href=\"" + escaped(folder_ + "/" + file) + "\">" + text + "</a>";
    }

    std::string figure(const Chart& chart) {
        add_file(chart.id + ".svg", chart.title, svg_file(chart, style_));
        add_file(chart.id + ".csv", chart.title, csv(chart));
        return "<figure>\n" + svg(chart) + "<div class=\"links\">" + link(chart.id + ".svg", "svg") +
               link(chart.id + ".csv", "csv") + "</div></figure>\n";
    }
    void charts(const std::vector<Chart>& all) {
        if (all.empty()) return;
        add("<div class=\"charts\">\n");
        for (const Chart& chart : all) add(figure(chart));
        add("</div>\n");
    }
    void charts_section(const std::string& title, const std::vector<Chart>& all) {
        if (all.empty()) return;
        add("<h2>" + title + "</h2>\n");
        charts(all);
    }
    void table(const Table& table) {
        if (table.html_rows.empty()) return;
        add_file(table.id + ".csv", table.title, csv(table));
        add(html(table) + "<div class=\"links\">" + link(table.id + ".csv", "csv") + "</div>\n");
    }

    [[nodiscard]] std::string title() const {
        return runs_.size() == 1 ? runs_.front().folder.name
                                 : "Comparison of " + std::to_string(runs_.size()) + " runs";
    }

    void header() {
        const Experiment& first = runs_.front().folder.experiment;
        std::string widths;
        for (const Index width : first.layers) widths += (widths.empty() ? "" : "-") + std::to_string(width);
        add("<header><h1>" + escaped(title()) + "</h1>\n<p class=\"soft\">" + escaped(first.dataset) + ", network " +
            widths + (runs_.size() > 1 ? " (first run)" : "") + ", written by " + version() + "</p></header>\n");
        std::vector<std::string> notes = left_out_;
        for (const ReportedRun& run : runs_) {
            for (const std::string& remark : run.folder.remarks) notes.push_back(run.folder.name + " " + remark + ".");
        }
        if (!notes.empty()) {
            add("<div class=\"notes\"><ul>\n");
            for (const std::string& note : notes) add("<li>" + escaped(note) + "</li>\n");
            add("</ul></div>\n");
        }
        table(summary_table(runs_));
        const Table seeds = seeds_table(runs_);
        if (seeds.rows.empty()) return;
        add("<h2>Over seeds</h2>\n<p class=\"soft\">Mean ± half the 95 % Student t interval over runs that differ in "
            "nothing but their seed.</p>\n");
        table(seeds);
    }

    void topology() {
        if (with_maps_ == 0) return;
        add("<h2>Topology</h2>\n<p>Edges leaving each input pixel. Positive learning is a centre denser than the "
            "margin, "
            "negative learning the inverse.</p>\n");
        charts(topology_charts(runs_));
        add("<div class=\"player\"><button id=\"play\" type=\"button\">Play</button>"
            "<input id=\"epoch\" type=\"range\" min=\"0\" max=\"0\" value=\"0\" aria-label=\"epoch\">"
            "<output id=\"shown\" for=\"epoch\"></output>");
        if (with_maps_ > 1) add("<label><input id=\"together\" type=\"checkbox\" checked> one colour scale</label>");
        add("</div>\n");
        if (with_maps_ > 1) {
            add("<div class=\"maps\">\n");
            for (std::size_t r = 0; r < runs_.size(); ++r) {
                if (!runs_[r].contrasts.empty()) add(map_figure(r, heading(r)));
            }
            add("</div>\n");
        }
        for (std::size_t r = 0; r < runs_.size(); ++r) {
            if (!runs_[r].contrasts.empty()) run_maps(r);
        }
        add("<p class=\"soft\">" + embedding_text() +
            " The curves follow the slider (heavy line); the others are at the moments of the film strip, dark to "
            "bright.</p>\n");
    }

    [[nodiscard]] std::string heading(std::size_t r) const {
        return "<h3><span class=\"swatch s" + std::to_string(r % num_colours) + "\"></span>" +
               escaped(runs_[r].folder.name) + "</h3>\n";
    }

    /// The canvas that follows the slider, with its scale and reading; `title` above it.
    [[nodiscard]] std::string map_figure(std::size_t r, const std::string& title) const {
        const ReportedRun& run = runs_[r];
        const ImageShape& image = run.folder.image;
        return "<figure class=\"map\">" + title + "<canvas id=\"map-" + run.slug + "\" width=\"" +
               std::to_string(image.width) + "\" height=\"" + std::to_string(image.height) +
               "\" role=\"img\" aria-label=\"edges per pixel\"></canvas><div class=\"bar\"><span>0</span>" +
               "<i style=\"background:linear-gradient(90deg" + gradient() + ")\"></i><span id=\"highest-" + run.slug +
               "\"></span></div><figcaption id=\"reading-" + run.slug + "\"></figcaption></figure>\n";
    }

    void run_maps(std::size_t r) {
        const ReportedRun& run = runs_[r];
        const std::uint64_t highest = highest_count(run.folder);
        embed(run, highest);
        add("<section class=\"run\">" + heading(r) + "<div class=\"charts\">\n");
        if (with_maps_ == 1) add(map_figure(r, {}));
        for (const Chart& chart : map_charts(run)) add(figure(chart));
        add("</div>\n<div class=\"film\">\n");
        for (const std::uint64_t moment : chosen_moments(run.folder)) {
            const bool end = moment == 0 || moment + 1 == run.folder.connections()->moments();
            if (end || runs_.size() < many_runs) film(run, moment, highest);
        }
        add("</div></section>\n");
    }

    /// How many of the recorded maps the page holds.
    [[nodiscard]] std::string embedding_text() const {
        std::string text;
        for (const auto& [counts, names] : embedded_) {
            const auto [held, recorded] = counts;
            text += (embedded_.size() == 1 ? "The page holds " : names + ": the page holds ") + std::to_string(held) +
                    " of " + std::to_string(recorded) + " recorded maps" + (with_maps_ > 1 ? " of each run" : "") +
                    (held < recorded ? ", evenly thinned; connections.npy has all. " : ". ");
        }
        return text;
    }

    /// One small map: works without script and in print, links to the large one.
    void film(const ReportedRun& run, std::uint64_t moment, std::uint64_t highest) {
        const PixelMap map = run.folder.map_at(moment);
        const auto counts = counts_of(map);
        const std::string file = moment_file(run, moment);
        const std::string name = moment_name(run.folder, moment);
        const Index zoom = fitting_zoom(map.height, map.width);
        add_file(file + ".png", "Edges per pixel, " + run.folder.name + ", " + name,
                 png_bytes(heat_map(counts, map.height, map.width, highest, zoom), viridis()));
        add_file(file + ".csv", "Edges per pixel, " + run.folder.name + ", " + name, map_csv(map));
        const std::string small = png_bytes(heat_map(counts, map.height, map.width, highest, 1), viridis());
        add("<a href=\"" + escaped(folder_ + "/" + file) + ".png\"><img alt=\"\" src=\"data:image/png;base64," +
            base64(small) + "\">" + name + "</a>\n");
    }

    void embed(const ReportedRun& run, std::uint64_t highest) {
        const RunFolder& folder = run.folder;
        const std::size_t bytes = highest < 256 ? 1 : highest < 65536 ? 2 : 4;
        const std::size_t pixels = std::size_t{folder.image.height} * folder.image.width;
        const std::uint64_t moments = folder.connections()->moments();
        const auto chosen = embedded_moments(moments, pixels * bytes, frames_of(with_maps_));
        std::string frames;
        std::vector<double> epochs;
        for (const std::uint64_t moment : chosen) {
            epochs.push_back(folder.epoch_of(moment));
            for (const std::uint64_t count : counts_of(folder.map_at(moment))) {
                for (std::size_t b = 0; b < bytes; ++b) frames += static_cast<char>(count >> (8 * b) & 0xFFU);
            }
        }
        std::string& names = embedded_[{chosen.size(), moments}];
        names += (names.empty() ? "" : ", ") + escaped(folder.name);
        data_["runs"].push_back({{"name", folder.name},
                                 {"slug", run.slug},
                                 {"height", folder.image.height},
                                 {"width", folder.image.width},
                                 {"highest", highest},
                                 {"bytes", bytes},
                                 {"epochs", epochs},
                                 {"frames", base64(frames)}});
    }

    static std::string gradient() {
        std::string stops;
        for (std::size_t i = 0; i < 256; i += 17) stops += ",#" + hex(viridis()[i]);
        return stops;
    }
    static std::string hex(const Colour& colour) {
        static constexpr char digits[] = "0123456789abcdef";
        std::string text;
        for (const std::uint8_t channel : {colour.red, colour.green, colour.blue}) {
            text += {digits[channel >> 4], digits[channel & 15]};
        }
        return text;
    }

    void degrees_section() {
        const std::vector<Chart> all = degree_charts(runs_);
        if (all.empty()) return;
        charts_section("Degree distributions", all);
        add("<p class=\"soft\">Dashed: the likeliest power law over its tail. It is ruled out where p is below 0.1 (" +
            std::to_string(report_bootstraps) + " synthetic samples); a short tail proves little either way.</p>\n");
        table(fits_table(runs_));
    }

    void overlaps() {
        if (runs_.size() >= many_runs) return;
        const Table all = overlaps_table(runs_);
        if (all.rows.empty()) return;
        add("<h2>Topology distance</h2>\n<p class=\"soft\">Edges two runs share, cell by cell, beside what two random "
            "topologies would share. Distance 1 is chance, 0 the same edges. Hidden neurons have no identity across "
            "seeds, so independent runs stay near 1; their maps can still be alike.</p>\n");
        table(all);
    }

    void configuration() {
        add("<h2>Configuration</h2>\n");
        if (runs_.size() > 1) table(differences_table(runs_));
        for (const ReportedRun& run : runs_) {
            add("<details" + std::string(runs_.size() == 1 ? " open" : "") + "><summary>" + escaped(run.folder.name) +
                "</summary><pre>" + escaped(run.folder.config) + "</pre></details>\n");
        }
    }

    void glossary() {
        add("<h2>What the numbers are</h2>\n<dl>\n");
        const Index side =
            with_maps_ > 0
                ? std::max<Index>(1, std::min(runs_.front().folder.image.height, runs_.front().folder.image.width) / 2)
                : 0;
        const auto entry = [&](const char* term, const std::string& text) {
            add("<dt>" + std::string(term) + "</dt><dd>" + text + "</dd>\n");
        };
        if (with_maps_ > 0) {
            entry("Contrast", "mean edges per pixel of the centred " + std::to_string(side) + " × " +
                                  std::to_string(side) + " square over that of all pixels, minus 1");
            entry("p, learning",
                  "two-sided permutation test (9,999) of the last map's contrast; null hypothesis: pixels "
                  "are exchangeable, as at birth. It excludes chance for this run; that other seeds agree "
                  "is for the intervals over seeds to show. Level 0.05");
            entry("Trend curve",
                  "means over centred squares growing to the whole image; dotted: the mean at birth. "
                  "Rings: means between one square and the next");
            entry("r",
                  "Pearson correlation of the last map with the variance and the mean of the training data's pixels");
        }
        entry("Loss gap", "last test loss minus last train loss, the latter taken while training");
        entry("Confidence",
              "mean probability the network gave its prediction; where wrong answers grow more confident, "
              "the test loss rises while accuracy holds");
        add("</dl>\n");
    }

    [[nodiscard]] std::string filled() {
        if (!data_.contains("runs")) data_["runs"] = nlohmann::ordered_json::array();
        std::string palette;
        for (const Colour& colour : viridis()) palette += hex(colour);
        data_["palette"] = palette;
        std::string island;
        // No "<" at all: neither "</script>" nor "<!--" can end the island early.
        for (const char letter : json_text(data_)) {
            island += letter == '<' ? std::string("\\u003c") : std::string(1, letter);
        }
        const std::map<std::string, std::string> parts{{"version", version()},
                                                       {"title", escaped(title())},
                                                       {"chart_style", style_},
                                                       {"style", report_asset("page.css")},
                                                       {"body", body_},
                                                       {"data", island},
                                                       {"script", report_asset("page.js")}};
        const std::string page = report_asset("page.html");
        std::string text;
        std::size_t at = 0;
        for (auto open = page.find("{{"); open != std::string::npos; open = page.find("{{", at)) {
            const auto close = page.find("}}", open);
            text += page.substr(at, open - at) + parts.at(page.substr(open + 2, close - open - 2));
            at = close + 2;
        }
        return text + page.substr(at);
    }

    const std::vector<ReportedRun>& runs_;
    const std::vector<std::string>& left_out_;
    std::string folder_, style_, body_;
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::string> embedded_;  // names by maps held and recorded
    std::size_t with_maps_ = 0;
    nlohmann::ordered_json data_;
    Report report_;
};

}  // namespace

std::size_t frames_of(std::size_t runs) {
    constexpr double few = 4;
    const auto all = static_cast<double>(runs);
    return static_cast<std::size_t>(frame_budget * std::min(1.0, std::sqrt(few / all)) / all);
}

std::vector<std::uint64_t> embedded_moments(std::uint64_t moments, std::size_t bytes_per_frame, std::size_t budget) {
    const std::uint64_t fit = std::max<std::uint64_t>(2, budget / std::max<std::size_t>(1, bytes_per_frame));
    std::vector<std::uint64_t> chosen;
    if (moments <= fit) {
        for (std::uint64_t moment = 0; moment < moments; ++moment) chosen.push_back(moment);
        return chosen;
    }
    for (std::uint64_t i = 0; i < fit; ++i) chosen.push_back(i * (moments - 1) / (fit - 1));
    return chosen;
}

Report make_report(const std::vector<ReportedRun>& runs, const std::vector<std::string>& left_out,
                   const std::string& folder) {
    expects(!runs.empty(), "a run to report");
    return Builder(runs, left_out, folder).build();
}

}  // namespace espalier
