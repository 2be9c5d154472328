// Puts a page together piece by piece and gathers the files beside it.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "host/report/page.hpp"
#include "host/report/tables.hpp"

namespace espalier {

/// Maps that one slider moves: those of a run, or a row's runs summed.
struct MapFrames {
    std::string name;
    std::string slug;
    std::vector<const RunFolder*> runs;  // of one image shape
};

class PageBuilder {
public:
    /// `figures`: the folder beside the page; empty: there are no files and no links to them.
    explicit PageBuilder(std::string figures);

    void add(const std::string& text) { body_ += text; }
    /// A heading of the second level.
    void heading(const std::string& title);
    void charts(const std::vector<Chart>& all, const std::string& kind = {});
    void table(const Table& table);
    /// A part that opens on demand; what `inside` adds is in it. Deferred: the browser takes no note of it before.
    template <class Inside>
    void fold(const std::string& summary, bool deferred, const Inside& inside) {
        add("<details" + std::string(deferred ? " class=\"deferred\"" : "") + "><summary>" + summary + "</summary>\n");
        add(deferred ? "<template>\n" : "");
        inside();
        add(deferred ? "</template>\n" : "");
        add("</details>\n");
    }
    /// Button and slider for all maps.
    void player(bool several);
    /// The canvas that follows the slider, with its scale and reading, and its frames in the island.
    void map(const MapFrames& frames, const std::string& title);
    /// Small pictures of a run's maps, each with its large one beside the page.
    void film(const ReportedRun& run, const std::vector<std::uint64_t>& moments);
    /// How many of the recorded maps the page holds.
    [[nodiscard]] std::string embedding_text() const;
    /// Maps there will be in all: they share the budget.
    void expect_maps(std::size_t maps) { num_maps_ = maps; }

    Report finish(const std::string& title);

private:
    void add_file(const std::string& name, const std::string& title, std::string bytes);
    [[nodiscard]] std::string link(const std::string& file, const std::string& text, const std::string& of) const;
    void embed(const MapFrames& frames);

    std::string figures_, style_, body_;
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::size_t> embedded_;  // maps by frames held and recorded
    std::size_t num_maps_ = 0;
    nlohmann::ordered_json data_;
    Report report_;
};

/// Swatch and name of row `r`.
std::string row_heading(const ReportRows& rows, std::size_t r);

/// Head of a page: what it is about, the answer, when and where it was made.
void add_head(PageBuilder& page, Runs runs, const ReportRows& rows,
              const ReportHeading& heading, const PagePlace& place);

/// A card of where the runs' time went.
void add_time_card(PageBuilder& page, Runs runs);

/// What the numbers mean.
void add_glossary(PageBuilder& page, Runs runs);

void add_run_page(PageBuilder& page, const ReportedRun& run, const ReportRows& rows);
void add_rows_page(PageBuilder& page, Runs runs, const ReportRows& rows,
                   const PagePlace& place);

}  // namespace espalier
