#include "host/report/page_builder.hpp"

#include <algorithm>
#include <cmath>

#include "espalier/error.hpp"
#include "host/formats/heat_map.hpp"
#include "host/report/assets.hpp"
#include "host/system/utf8.hpp"
#include "espalier/version.hpp"

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

std::string hex(const Colour& colour) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const std::uint8_t channel : {colour.red, colour.green, colour.blue}) {
        text += {digits[channel >> 4], digits[channel & 15]};
    }
    return text;
}

std::string gradient() {
    std::string stops;
    for (std::size_t i = 0; i < 256; i += 17) stops += ",#" + hex(viridis()[i]);
    return stops;
}

/// The square that the contrast is about, drawn over a map that fills its parent.
std::string centre_square(const ImageShape& image) {
    const Index side = std::max<Index>(1, std::min(image.height, image.width) / 2);
    const auto part = [](Index length, Index whole) { return rounded(100.0 * length / whole, 6) + "%"; };
    return "<i class=\"centre\" style=\"left:" + part((image.width - side) / 2, image.width) +
           ";top:" + part((image.height - side) / 2, image.height) + ";width:" + part(side, image.width) +
           ";height:" + part(side, image.height) + "\"></i>";
}

/// Edges per pixel summed over runs at a moment all of them have.
std::vector<std::uint64_t> summed_counts(const std::vector<const RunFolder*>& runs, std::uint64_t moment) {
    std::vector<std::uint64_t> sums;
    for (const RunFolder* run : runs) {
        const PixelMap map = run->map_at(moment);
        sums.resize(map.values.size(), 0);
        for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<std::uint64_t>(map.values[i]);
    }
    return sums;
}

std::string without_tags(const std::string& json) {
    std::string text;
    // No "<" at all: neither "</script>" nor "<!--" can end the island early.
    for (const char letter : json) text += letter == '<' ? std::string("\\u003c") : std::string(1, letter);
    return text;
}

}  // namespace

std::size_t frames_of(std::size_t maps) {
    constexpr double few = 4;
    const auto all = static_cast<double>(maps);
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

PageBuilder::PageBuilder(std::string figures) : figures_(std::move(figures)), style_(report_asset("chart.css")) {
    data_["maps"] = nlohmann::ordered_json::array();
}

void PageBuilder::heading(const std::string& title) { add("<h2>" + title + "</h2>\n"); }

void PageBuilder::charts(const std::vector<Chart>& all, const std::string& kind) {
    if (all.empty()) return;
    add("<div class=\"charts" + (kind.empty() ? "" : " " + kind) + "\">\n");
    for (const Chart& chart : all) {
        add("<figure class=\"plot\">\n" + svg(chart));
        if (!figures_.empty()) {
            add_file(chart.id + ".svg", chart.title, svg_file(chart, style_));
            add_file(chart.id + ".csv", chart.title, csv(chart));
            add("<div class=\"links\">" + link(chart.id + ".svg", "svg", chart.title) +
                link(chart.id + ".csv", "csv", chart.title) + "</div>");
        }
        add("</figure>\n");
    }
    add("</div>\n");
}

void PageBuilder::table(const Table& table) {
    if (table.html_rows.empty()) return;
    add(html(table));
    if (figures_.empty()) return;
    add_file(table.id + ".csv", table.title, csv(table));
    add("<div class=\"links\">" + link(table.id + ".csv", "csv", table.title) + "</div>\n");
}

void PageBuilder::player(bool several) {
    add("<div class=\"player\"><button id=\"play\" type=\"button\">Play</button>"
        "<input id=\"epoch\" type=\"range\" min=\"0\" max=\"0\" value=\"0\" aria-label=\"epoch\">"
        "<output id=\"shown\" for=\"epoch\"></output>");
    if (several) add("<label><input id=\"together\" type=\"checkbox\" checked> one colour scale</label>");
    add("</div>\n");
}

void PageBuilder::map(const MapFrames& frames, const std::string& title) {
    const ImageShape& image = frames.runs.front()->image;
    embed(frames);
    const std::string unit =
        frames.runs.size() == 1 ? "edges per pixel" : "edges per pixel, mean of " + std::to_string(frames.runs.size()) + " runs";
    add("<figure class=\"map\">" + title + "<div class=\"picture\"><canvas id=\"map-" + frames.slug + "\" width=\"" +
        std::to_string(image.width) + "\" height=\"" + std::to_string(image.height) +
        "\" role=\"img\" aria-label=\"edges per pixel\"></canvas>" + centre_square(image) +
        "</div><div class=\"bar\"><span>0</span><i style=\"background:linear-gradient(90deg" + gradient() +
        ")\"></i><span id=\"highest-" + frames.slug + "\"></span></div><figcaption><span>" + unit +
        "</span><span id=\"reading-" + frames.slug + "\"></span></figcaption></figure>\n");
}

void PageBuilder::embed(const MapFrames& frames) {
    const RunFolder& first = *frames.runs.front();
    std::uint64_t moments = first.connections()->moments();
    for (const RunFolder* run : frames.runs) moments = std::min(moments, run->connections()->moments());
    std::vector<std::uint64_t> last = summed_counts(frames.runs, moments - 1);
    std::uint64_t highest = 0;
    for (std::uint64_t moment = 0; moment < moments; ++moment) {
        const auto counts = summed_counts(frames.runs, moment);
        highest = std::max(highest, *std::max_element(counts.begin(), counts.end()));
    }
    const std::size_t bytes = highest < 256 ? 1 : highest < 65536 ? 2 : 4;
    const std::size_t pixels = std::size_t{first.image.height} * first.image.width;
    const auto chosen = embedded_moments(moments, pixels * bytes, frames_of(std::max<std::size_t>(1, num_maps_)));
    std::string packed;
    std::vector<double> epochs;
    for (const std::uint64_t moment : chosen) {
        epochs.push_back(first.epoch_of(moment));
        for (const std::uint64_t count : summed_counts(frames.runs, moment)) {
            for (std::size_t b = 0; b < bytes; ++b) packed += static_cast<char>(count >> (8 * b) & 0xFFU);
        }
    }
    ++embedded_[{chosen.size(), moments}];
    data_["maps"].push_back({{"name", frames.name},
                             {"slug", frames.slug},
                             {"height", first.image.height},
                             {"width", first.image.width},
                             {"runs", frames.runs.size()},
                             {"highest", highest},
                             {"bytes", bytes},
                             {"epochs", epochs},
                             {"frames", base64(packed)}});
}

void PageBuilder::film(const ReportedRun& run, const std::vector<std::uint64_t>& moments) {
    const std::uint64_t highest = highest_count(run.folder);
    add("<div class=\"film\">\n");
    for (const std::uint64_t moment : moments) {
        const PixelMap map = run.folder.map_at(moment);
        const auto counts = counts_of(map);
        const std::string name = moment_name(run.folder, moment);
        const std::string small = png_bytes(heat_map(counts, map.height, map.width, highest, 1), viridis());
        const std::string picture = "<img alt=\"Edges per pixel, " + name + ", contrast " +
                                    rounded(run.contrasts[moment], 3) + "\" src=\"data:image/png;base64," +
                                    base64(small) + "\">" + name;
        if (figures_.empty()) {
            add("<span>" + picture + "</span>\n");
            continue;
        }
        const std::string file = moment_file(run, moment), title = "Edges per pixel, " + run.folder.name + ", " + name;
        add_file(file + ".png", title, framed_heat_map(counts, map.height, map.width, highest));
        add_file(file + ".csv", title, map_csv(map));
        add("<a href=\"" + link_address(figures_ + "/" + file) + ".png\">" + picture + "</a>\n");
    }
    add("</div>\n");
}

std::string PageBuilder::embedding_text() const {
    std::string text;
    for (const auto& [counts, maps] : embedded_) {
        const auto [held, recorded] = counts;
        text += (embedded_.size() == 1 ? "The page holds " : std::to_string(maps) + " of the maps: the page holds ") +
                std::to_string(held) + " of " + std::to_string(recorded) + " recorded moments" +
                (held < recorded ? ", evenly thinned; connections.npy has all. " : ". ");
    }
    return text;
}

Report PageBuilder::finish(const std::string& title) {
    std::string palette;
    for (const Colour& colour : viridis()) palette += hex(colour);
    data_["palette"] = palette;
    report_.page =
        page_of(title, body_, without_tags(json_text(data_)));
    return std::move(report_);
}

void PageBuilder::add_file(const std::string& name, const std::string& title, std::string bytes) {
    report_.figures.push_back({name, title, std::move(bytes)});
}

std::string PageBuilder::link(const std::string& file, const std::string& text, const std::string& of) const {
    return "<a href=\"" + link_address(figures_ + "/" + file) + "\" aria-label=\"" + escaped(of) + " as " + text + "\">" +
           text + "</a>";
}

std::string page_of(const std::string& title, const std::string& body, const std::string& data) {
    const std::map<std::string, std::string> parts{{"version", version()},
                                                   {"title", escaped(title)},
                                                   {"chart_style", report_asset("chart.css")},
                                                   {"style", report_asset("page.css")},
                                                   {"body", body},
                                                   {"data", data},
                                                   {"script", report_asset("chart.js") + report_asset("page.js")}};
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

std::string row_heading(const ReportRows& rows, std::size_t r) {
    const Series look = rows.series(r);
    return "<h3><span class=\"swatch " + colour_class(look) + "\"" + shade_style(look, "color") + "></span>" +
           escaped(rows.rows[r].name) + "</h3>\n";
}

Report make_report(Runs runs, const ReportHeading& heading, const PagePlace& place) {
    expects(!runs.empty(), "a run to report");
    const ReportRows rows = rows_of(runs);
    PageBuilder page(place.figures);
    add_head(page, runs, rows, heading, place);
    if (runs.size() == 1) {
        add_run_page(page, runs.front(), rows);
    } else {
        add_rows_page(page, runs, rows, place);
    }
    add_glossary(page, runs);
    return page.finish(!heading.title.empty() ? heading.title
                       : runs.size() == 1     ? runs.front().folder.name
                                              : "Comparison of " + std::to_string(runs.size()) + " runs");
}

}  // namespace espalier
