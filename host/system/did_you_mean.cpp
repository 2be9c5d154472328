#include "host/system/did_you_mean.hpp"

#include <algorithm>
#include <numeric>

namespace espalier {
namespace {

std::size_t edit_distance(const std::string& a, const std::string& b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row.back();
}

}  // namespace

std::string nearest_name(const std::string& wanted, const std::vector<std::string>& names) {
    std::string best;
    // Of three letters nearly every other word of three letters is near.
    constexpr std::size_t fewest_letters = 4;
    if (wanted.size() - std::min(wanted.size(), wanted.find_first_not_of('-')) < fewest_letters) return best;
    std::size_t least = std::max<std::size_t>(2, wanted.size() / 3) + 1;
    for (const std::string& name : names) {
        const std::size_t distance = edit_distance(wanted, name);
        if (distance < least) {
            least = distance;
            best = name;
        }
    }
    return best;
}

std::string did_you_mean(const std::string& wanted, const std::vector<std::string>& names) {
    const std::string name = nearest_name(wanted, names);
    return name.empty() ? "" : ", did you mean '" + name + "'?";
}

}  // namespace espalier
