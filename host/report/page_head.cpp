// What stands at the head and the foot of every page: question, answer, where it came from, what the numbers mean.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "host/report/page_builder.hpp"
#include "host/run/provenance.hpp"
#include "espalier/version.hpp"

namespace espalier {
namespace {

std::string joined(const std::vector<std::string>& parts, const std::string& between) {
    std::string text;
    for (const std::string& part : parts) text += (text.empty() || part.empty() ? "" : between) + part;
    return text;
}

/// The texts that differ, in order of appearance, at most so many.
std::string distinct_texts(const std::vector<std::string>& all) {
    constexpr std::size_t most = 3;
    std::vector<std::string> kept;
    for (const std::string& text : all) {
        if (!text.empty() && std::find(kept.begin(), kept.end(), text) == kept.end()) kept.push_back(text);
    }
    const std::size_t more = kept.size() > most ? kept.size() - most : 0;
    kept.resize(kept.size() - more);
    return joined(kept, ", ") + (more > 0 ? " and " + std::to_string(more) + " more" : "");
}

/// "12.3 s", "12 min 5 s", "1 h 12 min".
std::string time_words(double seconds) {
    if (seconds < 100) return rounded(seconds, 3) + " s";
    const auto whole = static_cast<std::uint64_t>(seconds + 0.5);
    if (whole < 3600) return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
    return std::to_string(whole / 3600) + " h " + std::to_string(whole % 3600 / 60) + " min";
}

std::string widths_of(const Experiment& experiment) {
    std::string widths;
    for (const Index width : experiment.layers) widths += (widths.empty() ? "" : "-") + std::to_string(width);
    return widths;
}

std::string count_text(std::size_t count, const std::string& what) {
    return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

double history_sum(const RunFolder& run, const std::string& column) {
    const auto found = run.history.find(column);
    if (found == run.history.end()) return 0;
    return std::accumulate(found->second.begin(), found->second.end(), 0.0);
}

/// What the runs are and where they were made: term and text.
std::vector<std::pair<std::string, std::string>> facts(Runs runs, const ReportRows& rows,
                                                       const ReportHeading& heading) {
    std::vector<std::string> data, networks, started, machines, programs, commands;
    double seconds = 0;
    for (const ReportedRun& run : runs) {
        data.push_back(run.folder.experiment.dataset);
        networks.push_back(widths_of(run.folder.experiment));
        const auto provenance = read_provenance(run.folder.path);
        if (!provenance) continue;
        started.push_back(provenance->started);
        machines.push_back(provenance->machine);
        programs.push_back(provenance->program +
                           (provenance->commit.empty() ? "" : ", commit " + provenance->commit));
        commands.push_back(provenance->command);
        seconds += provenance->seconds;
    }
    std::sort(started.begin(), started.end());
    std::vector<std::pair<std::string, std::string>> all;
    if (runs.size() > 1) {
        const std::size_t most = rows.most_runs();
        all.emplace_back("Runs", count_text(runs.size(), "run") + " in " + count_text(rows.rows.size(), "row") +
                                     (most > 1 ? " of up to " + count_text(most, "seed") : ""));
    }
    all.emplace_back("Data", distinct_texts(data));
    all.emplace_back("Network", distinct_texts(networks) + ", " + epochs_text(rows) + " epochs");
    if (!started.empty()) {
        all.emplace_back("When", started.front() + (started.back() == started.front() ? "" : " to " + started.back()));
    }
    if (seconds > 0) all.emplace_back("Time", time_words(seconds) + (runs.size() > 1 ? " in all" : ""));
    if (!machines.empty()) all.emplace_back("Machine", distinct_texts(machines));
    all.emplace_back("Program", programs.empty() ? "report by " + version() : distinct_texts(programs));
    const std::string command = !heading.command.empty() ? heading.command : runs.size() == 1 ? distinct_texts(commands) : "";
    if (!command.empty()) all.emplace_back("Command", command);
    return all;
}

}  // namespace

void add_head(PageBuilder& page, Runs runs, const ReportRows& rows,
              const ReportHeading& heading, const PagePlace& place) {
    const std::string title = !heading.title.empty() ? heading.title
                              : runs.size() == 1     ? "Run " + runs.front().folder.name
                                                     : "Comparison of " + std::to_string(runs.size()) + " runs";
    page.add("<header class=\"head\"><p class=\"kicker\">" + escaped(title) + "</p>\n<h1>" +
             escaped(heading.question.empty() ? question_of(rows) : heading.question) + "</h1>\n");
    if (const std::string verdict = verdict_sentence(rows); !verdict.empty()) {
        page.add("<p class=\"verdict\" id=\"verdict\">" + escaped(verdict) + "</p>\n");
    }
    if (const std::string accuracy = accuracy_sentence(rows); !accuracy.empty()) {
        page.add("<p class=\"verdict second\">" + escaped(accuracy) + "</p>\n");
    }
    page.add("<dl class=\"facts\">\n");
    for (const auto& [term, text] : facts(runs, rows, heading)) {
        page.add("<div><dt>" + term + "</dt><dd>" + escaped(text) + "</dd></div>\n");
    }
    page.add("</dl></header>\n");
    std::vector<std::string> notes = place.left_out;
    for (const ReportedRun& run : runs) {
        for (const std::string& remark : run.folder.remarks) notes.push_back(run.folder.name + " " + remark + ".");
    }
    if (notes.empty()) return;
    constexpr std::size_t most = 8;
    page.add("<div class=\"notes\"><ul>\n");
    for (std::size_t n = 0; n < notes.size() && n < most; ++n) page.add("<li>" + escaped(notes[n]) + "</li>\n");
    if (notes.size() > most) page.add("<li>and " + std::to_string(notes.size() - most) + " more</li>\n");
    page.add("</ul></div>\n");
}

void add_time_card(PageBuilder& page, Runs runs) {
    double training = 0, testing = 0, evolving = 0, whole = 0;
    bool measured = true;
    for (const ReportedRun& run : runs) {
        training += history_sum(run.folder, "train_seconds");
        testing += history_sum(run.folder, "test_seconds");
        evolving += history_sum(run.folder, "evolution_seconds");
        const auto provenance = read_provenance(run.folder.path);
        measured = measured && provenance && provenance->seconds > 0;
        if (measured) whole += provenance->seconds;
    }
    std::vector<std::pair<std::string, double>> parts{{"training", training}, {"testing", testing}, {"evolution", evolving}};
    const double known = training + testing + evolving;
    if (known <= 0) return;
    if (measured && whole > known) parts.emplace_back("loading, recording, saving", whole - known);
    const double all = measured && whole > known ? whole : known;
    page.add("<section class=\"card time\"><h3>Where the time went</h3><div class=\"share\" aria-hidden=\"true\">");
    for (std::size_t p = 0; p < parts.size(); ++p) {
        page.add("<i class=\"s" + std::to_string(p) + "\" style=\"flex-grow:" + rounded(parts[p].second / all, 6) + "\"></i>");
    }
    page.add("</div>\n<ul class=\"legend\">\n");
    for (std::size_t p = 0; p < parts.size(); ++p) {
        page.add("<li class=\"s" + std::to_string(p) + "\"><i class=\"dots\"></i><span>" + parts[p].first + " " +
                 rounded(100 * parts[p].second / all, 3) + " %, " + time_words(parts[p].second) + "</span></li>\n");
    }
    page.add("</ul>" + std::string(measured ? "" : "<p class=\"soft\">Loading and recording were not measured.</p>") +
             "</section>\n");
}

void add_glossary(PageBuilder& page, Runs runs) {
    const auto with_map = std::find_if(runs.begin(), runs.end(), [](const ReportedRun& run) { return !run.contrasts.empty(); });
    page.add("<details class=\"glossary\"><summary>What the numbers are</summary>\n<dl>\n");
    const auto entry = [&](const char* term, const std::string& text) {
        page.add("<dt>" + std::string(term) + "</dt><dd>" + text + "</dd>\n");
    };
    if (with_map != runs.end()) {
        const ImageShape& image = with_map->folder.image;
        const std::string side = std::to_string(std::max<Index>(1, std::min(image.height, image.width) / 2));
        entry("Contrast", "mean edges per pixel of the centred " + side + " × " + side +
                              " square over that of all pixels, minus 1");
        entry("Learning",
              "positive: the centre is denser than the margin; negative: the inverse. Of several seeds: the 95 % "
              "Student t interval of their contrasts leaves out 0. Of one run: a two-sided permutation test (9,999) of "
              "its last map at level 0.05; null hypothesis: pixels are exchangeable, as at birth. It excludes chance "
              "for this run only");
        entry("Trend curve",
              "means over centred squares growing to the whole image; dotted: the mean at birth. Rings: means between "
              "one square and the next");
        entry("r", "Pearson correlation of the last map with the variance and the mean of the training data's pixels");
    }
    entry("±, bands", "95 % Student t interval over the seeds; without one, a single run");
    entry("Loss gap", "last test loss minus last train loss, the latter taken while training");
    if (std::any_of(runs.begin(), runs.end(), [](const ReportedRun& run) { return run.folder.is_regression(); })) {
        entry("R², RMSE",
              "of test samples, means over the targets: 1 - squared errors over squares around the targets' mean, and the "
              "root of the mean squared error in the target's units; the loss is the squared error with the targets at "
              "mean 0 and deviation 1. R² of training is taken while training");
    }
    entry("Confidence",
          "mean probability the network gave its prediction; where wrong answers grow more confident, the test loss "
          "rises while accuracy holds");
    entry("Power law",
          "fitted to tails of " + std::to_string(least_tail) + " neurons or more, ruled out where p is below 0.1 (" +
              std::to_string(report_bootstraps) +
              " synthetic samples). Over Poisson, over log-normal: log-likelihood ratio over the same tail with "
              "Vuong's p; above 0 speaks for the power law, p above 0.1 for neither");
    page.add("</dl></details>\n");
}

}  // namespace espalier
