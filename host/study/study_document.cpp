// Results as text: the Markdown of tables, and documents whose tables are made from committed results.
#include <algorithm>
#include <regex>
#include <sstream>

#include "espalier/error.hpp"
#include "host/study/study_results.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

std::size_t width_of(const std::string& text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
        return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;  // bytes that begin a character
    }));
}

/// A bar would end the cell.
std::string without_bars(std::string text) {
    std::replace(text.begin(), text.end(), '|', '/');
    return text;
}

std::string figures_text(const StudyResults& results) {
    const std::string trend = trend_sentence(results);
    return markdown(study_table(results)) + (trend.empty() ? "" : "\n" + trend + "\n");
}

/// The text of one kind of table.
std::string made_text(const std::string& kind, const StudyResults& results) {
    if (kind == "figures") return figures_text(results);
    if (kind == "confidence") return markdown(confidence_table(results));
    if (kind == "topology") return markdown(topology_table(results));
    if (kind == "evolution") return markdown(evolution_table(results));
    if (kind == "changes") return markdown(changes_table(results));
    throw UserError(ExitCode::usage,
                    "'" + kind + "' is no table; there are figures, confidence, topology, evolution and changes");
}

}  // namespace

std::string markdown(const Table& table) {
    std::vector<std::vector<std::string>> lines{table.html_header};
    lines.insert(lines.end(), table.html_rows.begin(), table.html_rows.end());
    std::vector<std::size_t> widths(table.html_header.size(), 3);
    for (auto& line : lines) {
        for (std::size_t c = 0; c < line.size(); ++c) {
            line[c] = without_bars(line[c]);
            widths[c] = std::max(widths[c], width_of(line[c]));
        }
    }
    std::string text;
    for (std::size_t l = 0; l < lines.size(); ++l) {
        for (std::size_t c = 0; c < widths.size(); ++c) {
            const std::string& cell = lines[l][c];
            text += (c == 0 ? "| " : " | ") + cell + std::string(widths[c] - width_of(cell), ' ');
        }
        text += " |\n";
        if (l > 0) continue;
        for (const std::size_t width : widths) text += "|" + std::string(width + 2, '-');
        text += "|\n";
    }
    return text;
}

std::string study_text(const StudyResults& results) {
    return results.summary + "\n\n" + figures_text(results) + "\n" + markdown(confidence_table(results)) + "\n" +
           markdown(evolution_table(results));
}

std::string with_tables(const std::string& text, const fs::path& folder) {
    static const std::regex begins(R"(^<!-- study (\S+) (\S+) -->$)");
    const std::string ends = "<!-- end -->";
    std::istringstream stream(text);
    std::string made;
    std::string line;
    std::size_t number = 0;
    std::size_t opened = 0;  // the line a table began with
    bool quoted = false;     // within a block of code
    while (std::getline(stream, line)) {
        ++number;
        std::smatch match;
        if (opened != 0 && line == ends) opened = 0;
        if (opened != 0) continue;
        made += line + "\n";
        if (line.starts_with("```")) quoted = !quoted;
        if (quoted || !std::regex_match(line, match, begins)) continue;
        opened = number;
        try {
            made += "\n" + made_text(match[1], read_study_json(folder / match[2].str())) + "\n";
        } catch (const UserError& error) {
            throw UserError(error.code(), "line " + std::to_string(number) + ": " + error.what());
        }
    }
    if (opened != 0) {
        throw UserError(ExitCode::usage,
                        "line " + std::to_string(opened) + ": the table begun here has no " + ends + " below it");
    }
    return made;
}

}  // namespace espalier
