#include "host/run/provenance.hpp"

#include <algorithm>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "espalier/version.hpp"
#include "host/formats/output_file.hpp"
#include "host/run/run_layout.hpp"

namespace espalier {
namespace {

std::string quoted_word(const std::string& word) {
    const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char letter) {
        return std::isalnum(static_cast<unsigned char>(letter)) != 0 ||
               std::string_view("-_./,=:+@%").find(letter) != std::string_view::npos;
    });
    if (plain) return word;
    std::string text = "'";
    for (const char letter : word) text += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
    return text + "'";
}

/// Of the source, "8c8648e", or "8c8648e-dirty" with changes to it; empty outside of a checkout.
std::string commit() {
    return
#include "commit.inc"
        ;
}

std::string utc_now() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[40];
    std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts);
    return text;
}

}  // namespace

std::string command_line() {
    std::ifstream file("/proc/self/cmdline", std::ios::binary);
    std::string text;
    for (std::string word; std::getline(file, word, '\0');) text += (text.empty() ? "" : " ") + quoted_word(word);
    return text;
}

std::string processor_name() {
    std::ifstream stream("/proc/cpuinfo");
    for (std::string line; std::getline(stream, line);) {
        const auto colon = line.find(": ");
        if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
    }
    return "unknown processor";
}

Provenance provenance_now(const std::string& backend) {
    return {version(), commit(), command_line(), processor_name() + "; " + backend, utc_now(), 0};
}

void write_provenance(const std::filesystem::path& folder, const Provenance& provenance) {
    const nlohmann::ordered_json json{{"program", provenance.program}, {"commit", provenance.commit},
                                      {"command", provenance.command}, {"machine", provenance.machine},
                                      {"started", provenance.started}, {"seconds", provenance.seconds}};
    const std::string text = json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    write_atomically(folder / run_layout::provenance, [&](OutputFile& file) { file.append(text); });
}

std::optional<Provenance> read_provenance(const std::filesystem::path& folder) {
    try {
        std::ifstream stream(folder / run_layout::provenance);
        if (!stream) return std::nullopt;
        const auto json = nlohmann::json::parse(stream);
        return Provenance{json.at("program"), json.at("commit"),  json.at("command"),
                          json.at("machine"), json.at("started"), json.at("seconds")};
    } catch (const nlohmann::json::exception&) {
        return std::nullopt;
    }
}

}  // namespace espalier
