#include "host/bench/crossover_report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "espalier/rule.hpp"
#include "host/report/page.hpp"
#include "host/report/svg_chart.hpp"
#include "espalier/version.hpp"

namespace espalier {
namespace {

std::string formatted(const char* format, double value) {
    char text[64];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

std::string percent(double part) { return rounded(100 * part, 4) + " %"; }

std::string time_text(double seconds) {
    if (seconds < 1e-3) return rounded(1e6 * seconds, 3) + " us";
    return rounded(1e3 * seconds, 3) + " ms";
}

std::string bytes_text(double bytes) {
    if (bytes < 1 << 20) return rounded(bytes / (1 << 10), 3) + " KiB";
    return rounded(bytes / (1 << 20), 3) + " MiB";
}

std::string sparsity_text(const std::optional<double>& sparsity) {
    if (!sparsity) return "never";
    return *sparsity == 0 ? "everywhere" : percent(*sparsity);
}

std::string crossover_text(const BenchResults& results, Index width, Index batch) {
    if (!results.rival_fault.empty()) return "not given: the dense rival is not at its best";
    const std::vector<BenchPoint>& points = results.points;
    const std::optional<double> crossover = crossover_sparsity(points, width, batch);
    if (!crossover) return "not measured to win";
    if (*crossover == 0) return "everywhere measured";
    const CrossoverRange range = crossover_range(points, width, batch);
    return "from " + percent(*crossover) + " (by the quartiles " + sparsity_text(range.low) + " to " +
           sparsity_text(range.high) + ")";
}

using Rows = std::vector<std::vector<std::string>>;

template <class Value, class Of>
std::vector<Value> distinct(const std::vector<BenchPoint>& points, const Of& of) {
    std::set<Value> values;
    for (const BenchPoint& point : points) values.insert(of(point));
    return {values.begin(), values.end()};
}
std::vector<Index> widths_of(const std::vector<BenchPoint>& points) {
    return distinct<Index>(points, [](const BenchPoint& point) { return point.width; });
}
std::vector<Index> batches_of(const std::vector<BenchPoint>& points) {
    return distinct<Index>(points, [](const BenchPoint& point) { return point.batch; });
}

const std::vector<std::string> crossover_header{"width", "batch", "a sparse training step is faster"};

Rows crossover_rows(const BenchResults& results) {
    Rows rows;
    for (const Index width : widths_of(results.points)) {
        for (const Index batch : batches_of(results.points)) {
            rows.push_back(
                {std::to_string(width), std::to_string(batch), crossover_text(results, width, batch)});
        }
    }
    return rows;
}

const std::vector<std::string> point_header{
    "width",       "batch",         "sparsity",         "edges",   "sparse step", "quartiles",
    "dense step",  "step speed-up", "forward speed-up", "GFLOP/s", "of F",        "sparse memory",
    "dense memory"};

Rows point_rows(const BenchResults& results) {
    Rows rows;
    for (const BenchPoint& point : results.points) {
        rows.push_back({std::to_string(point.width), std::to_string(point.batch), percent(point.sparsity),
                        std::to_string(point.edges), time_text(point.sparse.step.median),
                        time_text(point.sparse.step.low) + " - " + time_text(point.sparse.step.high),
                        time_text(point.dense.step.median), formatted("%.2fx", point.speedup()),
                        formatted("%.2fx", point.forward_speedup()), formatted("%.1f", 1e-9 * point.flops()),
                        formatted("%.2f", point.flops() / point.fma_rate), bytes_text(point.sparse_bytes),
                        bytes_text(point.dense_bytes)});
    }
    return rows;
}

const std::vector<std::string> gpu_point_header{"width",         "batch",         "sparsity",         "edges",
                                                "sparse step",   "quartiles",     "dense step",       "step speed-up",
                                                "over TF32",     "over cuSPARSE", "forward speed-up", "evolution",
                                                "sparse memory", "dense memory"};

Rows gpu_point_rows(const BenchResults& results) {
    Rows rows;
    for (const BenchPoint& point : results.points) {
        const double step = point.sparse.step.median;
        const auto over = [&](const std::optional<LayerTiming>& rival) {
            return rival ? formatted("%.2fx", rival->step.median / step) : "";
        };
        rows.push_back({std::to_string(point.width), std::to_string(point.batch), percent(point.sparsity),
                        std::to_string(point.edges), time_text(step),
                        time_text(point.sparse.step.low) + " - " + time_text(point.sparse.step.high),
                        time_text(point.dense.step.median), formatted("%.2fx", point.speedup()), over(point.tf32),
                        over(point.library), formatted("%.2fx", point.forward_speedup()),
                        point.evolution ? time_text(point.evolution->median) : "", bytes_text(point.sparse_bytes),
                        bytes_text(point.dense_bytes)});
    }
    return rows;
}

std::vector<std::string> gpu_remarks(const BenchResults& results) {
    return {
        results.date + ", " + version() + "; sparse: " + results.backend + "; dense: " + results.rival +
            " in fp32 unless TF32 is named; host: " + results.processor + ".",
        "A step is one layer's forward and backward pass: y = Wx + b, both gradients and the momentum update. All "
        "rivals "
        "took turns in one run on the same random numbers, each as many calls in one replayed graph, by the wall clock "
        "around them; times are medians, each result was checked before it was timed. TF32 rounds factors to 10 bits.",
        "The libraries take more than 128 samples both in tiles of 128, the layout that activations have here, and in a "
        "row, [neuron][samples], then without biases and activations; the faster counts (\"layout\" in bench.json). An "
        "evolution prunes and regrows 0.3 of the edges. Memory is what the backend allocates for the layer. Dense layers of up to 16,384 "
        "weights ride the sparse kernels.",
    };
}

/// What the figures mean and where they were taken; one sentence an item.
std::vector<std::string> remarks(const BenchResults& results) {
    if (results.on_gpu) return gpu_remarks(results);
    std::string reads;
    for (const Ceilings::Read& read : results.ceilings.reads) {
        if (!reads.empty()) reads += ", ";
        reads += rounded(1e-9 * read.rate, 3) + " GB/s from " + bytes_text(static_cast<double>(read.bytes));
    }
    return {
        results.date + ", " + version() + "; " + results.processor + "; sparse: " + results.backend +
            "; dense: " + results.rival + "; " + std::to_string(results.threads) +
            (results.threads == 1 ? " thread" : " threads") + " for both.",
        "Ceilings of one thread: F = " + rounded(1e-9 * results.ceilings.fma, 4) +
            " GFLOP/s of fp32 multiply-adds; reads " + reads + ".",
        "A step is one layer's forward and backward pass: y = Wx + b, both gradients and the momentum update, in fp32. "
        "Sparse and dense took turns in one run; times are medians, each result was checked before it was timed. "
        "GFLOP/s counts useful work only, 6 operations an edge and sample, beside F of all threads measured next to "
        "it.",
        "Cache-warm: every round reads the same activations again, as a training step does. Memory is weights, "
        "momentum "
        "and the sparse layer's indices for both passes; the dense step also holds a gradient of the weights' size.",
    };
}

std::string markdown_table(const std::vector<std::string>& header, const Rows& rows) {
    const auto line = [](const std::vector<std::string>& cells) {
        std::string text = "|";
        for (const std::string& cell : cells) text += " " + cell + " |";
        return text + "\n";
    };
    std::string text = line(header) + line(std::vector<std::string>(header.size(), "---"));
    for (const auto& row : rows) text += line(row);
    return text;
}

std::string html_table(const std::vector<std::string>& header, const Rows& rows) {
    std::string text = "<div class=\"scroll\"><table><thead><tr>";
    for (const std::string& cell : header) text += "<th>" + escaped(cell) + "</th>";
    text += "</tr></thead><tbody>\n";
    for (const auto& row : rows) {
        text += "<tr>";
        for (const std::string& cell : row) text += "<td>" + escaped(cell) + "</td>";
        text += "</tr>\n";
    }
    return text + "</tbody></table></div>\n";
}

using Value = double (*)(const BenchPoint&);

/// A curve over density per width with its quartiles, for one batch.
Chart curves(const BenchResults& results, Index batch, Chart chart, Value value, Value low, Value high) {
    chart.id += "-batch-" + std::to_string(batch);
    chart.title += ", batch " + std::to_string(batch);
    chart.x = {"density (edges / cells)", true, false};
    std::size_t colour = 0;
    for (const Index width : widths_of(results.points)) {
        Series series{std::to_string(width) + " x " + std::to_string(width)};
        for (const BenchPoint& point : results.points) {
            if (point.width != width || point.batch != batch) continue;
            series.x.push_back(1 - point.sparsity);
            series.y.push_back(value(point));
            series.low.push_back(low(point));
            series.high.push_back(high(point));
        }
        series.colour = colour++;
        chart.series.push_back(series);
    }
    return chart;
}

/// Where each width's curve crosses 1, with the interval that its quartiles leave.
void mark_crossings(const BenchResults& results, Index batch, Chart& chart) {
    std::size_t colour = 0;
    for (const Index width : widths_of(results.points)) {
        Series series{"crossing of " + std::to_string(width), {}, {}, colour++, Mark::diamonds};
        series.in_legend = false;
        const auto at = crossover_sparsity(results.points, width, batch);
        if (!at || *at == 0 || !results.rival_fault.empty()) continue;
        const CrossoverRange range = crossover_range(results.points, width, batch);
        const double nowhere = std::nan("");
        series.x = {1 - *at};
        series.y = {1};
        series.along_x = true;
        series.low = {range.high ? 1 - *range.high : nowhere};
        series.high = {range.low && *range.low > 0 ? 1 - *range.low : nowhere};
        chart.series.push_back(std::move(series));
    }
}

/// F of all threads: the median of what was measured beside the points.
double roof(const BenchResults& results) {
    std::vector<double> rates;
    for (const BenchPoint& point : results.points) rates.push_back(1e-9 * point.fma_rate);
    if (rates.empty()) return 0;
    std::nth_element(rates.begin(), rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2), rates.end());
    return rates[rates.size() / 2];
}

std::vector<Chart> charts(const BenchResults& results) {
    std::vector<Chart> all;
    for (const Index batch : batches_of(results.points)) {
        Chart step = curves(
            results, batch, {"speed-up", "Training step, dense time over sparse time", {}, {"times faster", true, false}},
            [](const BenchPoint& point) { return point.speedup(); },
            [](const BenchPoint& point) { return point.least_speedup(); },
            [](const BenchPoint& point) { return point.most_speedup(); });
        step.reference = 1;
        step.note = "Bands: quartiles. Diamonds: as fast as dense, with the interval that the quartiles leave.";
        mark_crossings(results, batch, step);
        all.push_back(std::move(step));
        Chart forward = curves(
            results, batch, {"forward-speed-up", "Forward pass, dense time over sparse time", {}, {"times faster", true, false}},
            [](const BenchPoint& point) { return point.forward_speedup(); },
            [](const BenchPoint& point) { return point.dense.forward.low / point.sparse.forward.high; },
            [](const BenchPoint& point) { return point.dense.forward.high / point.sparse.forward.low; });
        forward.reference = 1;
        all.push_back(std::move(forward));
        Chart rate = curves(
            results, batch, {"rate", "Useful work of a sparse step", {}, {"GFLOP/s", true, false}},
            [](const BenchPoint& point) { return 1e-9 * point.flops(); },
            [](const BenchPoint& point) { return 1e-9 * point.flops() * point.sparse.step.median / point.sparse.step.high; },
            [](const BenchPoint& point) { return 1e-9 * point.flops() * point.sparse.step.median / point.sparse.step.low; });
        rate.reference = roof(results);
        rate.note = "Dotted: F, the multiply-adds of all threads, " + rounded(roof(results), 4) + " GFLOP/s.";
        all.push_back(std::move(rate));
    }
    return all;
}

std::vector<std::string> warnings(const BenchResults& results) {
    std::vector<std::string> all;
    if (!results.rival_fault.empty()) {
        all.push_back("No crossover is given, and no speed-up here is worth quoting: " + results.rival_fault + ".");
    }
    if (results.others >= many_others) {
        all.push_back("Warning: other processes kept " + rounded(results.others, 2) +
                      " cores of this machine busy meanwhile; repeat this on a quiet machine before believing it.");
    }
    if (results.stopped) all.emplace_back("Stopped before the end: some points are missing.");
    return all;
}

nlohmann::ordered_json json_of(const Timing& timing) {
    return {{"median", timing.median}, {"low_quartile", timing.low}, {"high_quartile", timing.high}};
}
nlohmann::ordered_json json_of(const LayerTiming& timing) {
    nlohmann::ordered_json json{
        {"forward", json_of(timing.forward)}, {"backward", json_of(timing.backward)}, {"step", json_of(timing.step)}};
    if (!timing.layout.empty()) json["layout"] = timing.layout;
    return json;
}

}  // namespace

std::string crossover_markdown(const BenchResults& results) {
    std::string text = "# Sparse beside dense\n\n";
    for (const std::string& remark : remarks(results)) text += remark + "\n\n";
    for (const std::string& warning : warnings(results)) text += warning + "\n\n";
    return text + markdown_table(crossover_header, crossover_rows(results)) + "\n" +
           (results.on_gpu ? markdown_table(gpu_point_header, gpu_point_rows(results))
                           : markdown_table(point_header, point_rows(results)));
}

std::string crossover_json(const BenchResults& results) {
    nlohmann::ordered_json json{{"program", version()},           {"date", results.date},
                                {"processor", results.processor}, {"backend", results.backend},
                                {"rival", results.rival},         {"threads", results.threads},
                                {"stopped", results.stopped},
                                {"cores_of_others", results.others}};
    if (!results.on_gpu) json["rival_share_of_fma"] = results.rival_share;
    if (!results.rival_fault.empty()) json["rival_fault"] = results.rival_fault;
    json["ceilings"]["fma_flops_per_s"] = results.ceilings.fma;
    for (const Ceilings::Read& read : results.ceilings.reads) {
        json["ceilings"]["reads"].push_back({{"bytes", read.bytes}, {"bytes_per_s", read.rate}});
    }
    json["crossovers"] = nlohmann::ordered_json::array();
    for (const Index width : widths_of(results.points)) {
        if (!results.rival_fault.empty()) break;
        for (const Index batch : batches_of(results.points)) {
            const std::optional<double> at = crossover_sparsity(results.points, width, batch);
            const CrossoverRange range = crossover_range(results.points, width, batch);
            const auto known = [](const std::optional<double>& value) {
                return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
            };
            json["crossovers"].push_back({{"width", width},
                                          {"batch", batch},
                                          {"sparsity", known(at)},
                                          {"low_quartile", known(range.low)},
                                          {"high_quartile", known(range.high)}});
        }
    }
    json["points"] = nlohmann::ordered_json::array();
    for (const BenchPoint& point : results.points) {
        json["points"].push_back({{"width", point.width},
                                  {"batch", point.batch},
                                  {"sparsity", point.sparsity},
                                  {"edges", point.edges},
                                  {"sparse_seconds", json_of(point.sparse)},
                                  {"dense_seconds", json_of(point.dense)},
                                  {"step_speedup", point.speedup()},
                                  {"flops_per_s", point.flops()},
                                  {"fma_flops_per_s", point.fma_rate},
                                  {"sparse_bytes", point.sparse_bytes},
                                  {"dense_bytes", point.dense_bytes}});
        if (point.tf32) json["points"].back()["tf32_seconds"] = json_of(*point.tf32);
        if (point.library) json["points"].back()["cusparse_seconds"] = json_of(*point.library);
        if (point.evolution) json["points"].back()["evolution_seconds"] = json_of(*point.evolution);
    }
    return json.dump(2) + "\n";
}

std::string crossover_csv(const BenchResults& results) {
    std::string text = "width,batch,sparsity,edges";
    for (const char* side : {"sparse", "dense"}) {
        for (const char* part : {"forward", "backward", "step"}) {
            for (const char* what : {"median", "low_quartile", "high_quartile"}) {
                text += std::string(",") + side + "_" + part + "_seconds_" + what;
            }
        }
    }
    text += ",step_speedup,flops_per_s,fma_flops_per_s,sparse_bytes,dense_bytes\n";
    for (const BenchPoint& point : results.points) {
        text += std::to_string(point.width) + "," + std::to_string(point.batch) + "," + number_text(point.sparsity) + "," +
                std::to_string(point.edges);
        for (const LayerTiming* side : {&point.sparse, &point.dense}) {
            for (const Timing* part : {&side->forward, &side->backward, &side->step}) {
                for (const double value : {part->median, part->low, part->high}) text += "," + number_text(value);
            }
        }
        for (const double value :
             {point.speedup(), point.flops(), point.fma_rate, point.sparse_bytes, point.dense_bytes}) {
            text += "," + number_text(value);
        }
        text += "\n";
    }
    return text;
}

std::string crossover_page(const BenchResults& results) {
    std::string text = "<header class=\"head\"><h1>Sparse beside dense: from which sparsity does it pay?</h1>\n";
    for (const std::string& remark : remarks(results)) text += "<p class=\"soft\">" + escaped(remark) + "</p>\n";
    text += "</header>\n";
    for (const std::string& warning : warnings(results)) {
        text += "<div class=\"notes\"><p><strong>" + escaped(warning) + "</strong></p></div>\n";
    }
    text += "<h2>From which sparsity sparse wins</h2>\n" + html_table(crossover_header, crossover_rows(results));
    text += "<h2>Curves</h2>\n<div class=\"charts\">\n";
    for (const Chart& chart : charts(results)) text += "<figure class=\"plot\">" + svg(chart) + "</figure>\n";
    text += "</div>\n<h2>Every point</h2>\n" + (results.on_gpu ? html_table(gpu_point_header, gpu_point_rows(results))
                                                               : html_table(point_header, point_rows(results)));
    text += "<div class=\"links\"><a href=\"bench.csv\">csv</a><a href=\"bench.json\">json</a></div>\n";
    return page_of("Sparse beside dense", text, R"({"maps":[],"palette":"000000"})");
}

}  // namespace espalier
