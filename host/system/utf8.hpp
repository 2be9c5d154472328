// Names of files are bytes; JSON, TOML and HTML are UTF-8. A byte that is no part of a UTF-8 character is written there
// as \x and two digits, "donn\xe9es.csv" for a name in Latin-1.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace espalier {

/// The text with every byte that is not UTF-8 escaped; a text that is valid stays as it is.
std::string valid_utf8(std::string_view bytes);

/// A JSON value as text that is valid whatever bytes its strings hold; indented by `indent` blanks if that is not -1.
std::string json_text(const nlohmann::json& value, int indent = -1);
std::string json_text(const nlohmann::ordered_json& value, int indent = -1);

}  // namespace espalier
