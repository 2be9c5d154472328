// Walks over every alternative of a variant, so that a rule added to a variant is tested without being listed again.
#pragma once

#include <cstddef>
#include <utility>
#include <variant>
#include <vector>

namespace espalier {

/// Calls `visit` with a default-constructed value of each alternative, in order.
template <class Variant, class Visit>
void for_each_alternative(const Visit& visit) {
    [&]<std::size_t... I>(std::index_sequence<I...>) { (visit(std::variant_alternative_t<I, Variant>{}), ...); }
    (std::make_index_sequence<std::variant_size_v<Variant>>{});
}

/// All alternatives with their defaults.
template <class Variant>
std::vector<Variant> alternatives() {
    std::vector<Variant> all;
    for_each_alternative<Variant>([&](const auto& rule) { all.emplace_back(rule); });
    return all;
}

}  // namespace espalier
