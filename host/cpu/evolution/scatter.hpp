// Scattering to places far apart.
#pragma once

#include <cstddef>

#include "espalier/index.hpp"
#include "hwy/cache_control.h"

namespace espalier {

/// Places ahead whose cache lines are asked for.
constexpr EdgeIndex scatter_ahead = 32;

/// Calls put(i) for i in [begin, end), having asked for the line of at(i) a while before. Without that, scattered
/// accesses wait for their lines one after another.
template <class At, class Put>
void for_scattered(EdgeIndex begin, EdgeIndex end, const At& at, const Put& put) {
    EdgeIndex i = begin;
    for (; end - i > scatter_ahead; ++i) {
        hwy::Prefetch(at(i + scatter_ahead));
        put(i);
    }
    for (; i < end; ++i) put(i);
}

/// to[place[i]] = from[i] for i in [begin, end).
inline void scatter(const float* from, const EdgeIndex* place, EdgeIndex begin, EdgeIndex end, float* to) {
    for_scattered(
        begin, end, [=](EdgeIndex i) { return to + place[i]; }, [=](EdgeIndex i) { to[place[i]] = from[i]; });
}

}  // namespace espalier
