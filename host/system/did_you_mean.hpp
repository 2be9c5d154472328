// "Did you mean": the known name nearest to a mistyped one.
#pragma once

#include <string>
#include <vector>

namespace espalier {

/// The name with the least edit distance to `wanted`, or empty if none is near (more than a third of the letters off).
std::string nearest_name(const std::string& wanted, const std::vector<std::string>& names);

/// ", did you mean 'x'?" or empty.
std::string did_you_mean(const std::string& wanted, const std::vector<std::string>& names);

}  // namespace espalier
