// C++ read as far as the house rules need it: where functions begin and end. No parser: comments, literals and
// preprocessor lines are taken out, and braces are followed.
#pragma once

#include <algorithm>
#include <cctype>
#include <regex>
#include <string>
#include <vector>

namespace espalier {

/// The code alone: literals become "", comments and preprocessor lines empty; line breaks stay where they are.
inline std::string bare_code(const std::string& text) {
    static const std::regex raw_begin(R"re(^R"([^()\\ ]*)\()re");
    std::string bare;
    const auto skip_to = [&](std::size_t from, std::size_t end) {
        end = std::min(end, text.size());
        for (std::size_t i = from; i < end; ++i) {
            if (text[i] == '\n') bare += '\n';
        }
        return end;
    };
    bool line_is_empty = true;
    for (std::size_t i = 0; i < text.size();) {
        const char c = text[i];
        std::smatch raw;
        const std::string ahead = text.substr(i, 20);
        if (ahead.starts_with("//") || (c == '#' && line_is_empty)) {
            std::size_t end = text.find('\n', i);
            while (c == '#' && end != std::string::npos && text[end - 1] == '\\') end = text.find('\n', end + 1);
            i = skip_to(i, end);
        } else if (ahead.starts_with("/*")) {
            i = skip_to(i, text.find("*/", i) + 2);
        } else if (c == 'R' && std::regex_search(ahead, raw, raw_begin)) {
            const std::string end = ")" + raw[1].str() + "\"";
            bare += "\"\"";
            i = skip_to(i, text.find(end, i) + end.size());
        } else if (c == '"' || (c == '\'' && (i == 0 || std::isalnum(static_cast<unsigned char>(text[i - 1])) == 0))) {
            std::size_t end = i + 1;
            while (end < text.size() && text[end] != c) end += text[end] == '\\' ? 2 : 1;
            bare += "\"\"";
            i = end + 1;
            line_is_empty = false;
        } else {
            bare += c;
            line_is_empty = c == '\n' || (line_is_empty && std::isspace(static_cast<unsigned char>(c)) != 0);
            ++i;
        }
    }
    return bare;
}

struct FunctionSpan {
    std::string name;
    std::size_t first_line = 0, lines = 0;  // from its signature to its last brace
};

/// The functions of a source in its namespaces and classes; what they hold themselves (lambdas) is part of them.
inline std::vector<FunctionSpan> functions_in(const std::string& text) {
    static const std::regex scope(R"(\b(namespace|class|struct|union|enum|extern)\b)");
    static const std::regex signature(R"(\)\s*(const|noexcept|override|final|\s)*$)");
    static const std::regex name(R"(([\w:~]+|operator[^\s\w]+)\s*\()");
    struct Open {
        bool scope, function;
        FunctionSpan span;
    };
    std::vector<Open> open;
    std::vector<FunctionSpan> found;
    std::string statement;
    std::size_t line = 1, first_line = 1;
    for (const char c : bare_code(text)) {
        if (c == '{') {
            const bool is_scope = std::regex_search(statement, scope) && !std::regex_search(statement, signature);
            const bool outside = std::all_of(open.begin(), open.end(), [](const Open& each) { return each.scope; });
            std::smatch called;
            const bool is_function = !is_scope && outside && std::regex_search(statement, called, name);
            open.push_back({is_scope, is_function, {is_function ? called[1].str() : "", first_line, 0}});
        } else if (c == '}' && !open.empty()) {
            if (open.back().function) {
                found.push_back(open.back().span);
                found.back().lines = line - found.back().first_line + 1;
            }
            open.pop_back();
        }
        if (c == '\n') ++line;
        if (c == '{' || c == '}' || c == ';') {
            statement.clear();
        } else {
            if (statement.empty() && std::isspace(static_cast<unsigned char>(c)) == 0) first_line = line;
            if (!statement.empty() || std::isspace(static_cast<unsigned char>(c)) == 0) statement += c;
            if (statement == "public:" || statement == "private:" || statement == "protected:") statement.clear();
        }
    }
    return found;
}

}  // namespace espalier
