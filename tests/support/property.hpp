// rc::check with a number of cases of the caller's choice.
#pragma once

#include <rapidcheck.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>

namespace espalier {

/// True if the property holds in `cases` random cases, or in ESPALIER_CASES where that is set (sanitizers take fewer, a
/// long night more).
template <class Property>
bool holds(const std::string& description, int cases, Property&& property) {
    rc::detail::TestParams params = rc::detail::configuration().testParams;
    const char* const asked = std::getenv("ESPALIER_CASES");
    params.maxSuccess = asked != nullptr ? std::atoi(asked) : cases;
    rc::detail::TestMetadata metadata;
    metadata.id = metadata.description = description;
    const auto result = rc::detail::checkTestable(std::forward<Property>(property), metadata, params);
    std::cerr << "\n- " << description << '\n';
    rc::detail::printResultMessage(result, std::cerr);
    std::cerr << '\n';
    return result.template is<rc::detail::SuccessResult>();
}

}  // namespace espalier
