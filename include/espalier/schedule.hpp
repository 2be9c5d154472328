// Schedules: a hyper-parameter as a function of time, read at every step. Time runs in epochs, fractions included.
// A bare number is a constant schedule. Every schedule can warm up linearly from 0 over its first epochs.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "espalier/rule.hpp"

namespace espalier {

struct Constant {
    double value = 0;
    double warmup = 0;  // epochs
    static constexpr std::string_view name = "constant";
    static constexpr auto fields() {
        return std::tuple{field("value", &Constant::value, -1e30, 1e30), field("warmup", &Constant::warmup, 0, 1e9)};
    }
    [[nodiscard]] double at(double /*epoch*/, double /*epochs*/) const { return value; }
};

/// value * factor^floor(epoch / every)
struct Step {
    double value = 0.01;
    double every = 30;
    double factor = 0.1;
    double warmup = 0;
    static constexpr std::string_view name = "step";
    static constexpr auto fields() {
        return std::tuple{field("value", &Step::value, -1e30, 1e30), field("every", &Step::every, 1e-9, 1e9),
                          field("factor", &Step::factor, 0, 1e9), field("warmup", &Step::warmup, 0, 1e9)};
    }
    [[nodiscard]] double at(double epoch, double /*epochs*/) const {
        return value * std::pow(factor, std::floor(epoch / every));
    }
};

/// From value to end along half a cosine over the run.
struct Cosine {
    double value = 0.01;
    double end = 0;
    double warmup = 0;
    static constexpr std::string_view name = "cosine";
    static constexpr auto fields() {
        return std::tuple{field("value", &Cosine::value, -1e30, 1e30), field("end", &Cosine::end, -1e30, 1e30),
                          field("warmup", &Cosine::warmup, 0, 1e9)};
    }
    [[nodiscard]] double at(double epoch, double epochs) const {
        const double part = epochs > 0 ? std::min(1.0, epoch / epochs) : 1.0;
        return end + 0.5 * (value - end) * (1.0 + std::cos(std::numbers::pi * part));
    }
};

/// From value to end in a straight line over the run.
struct Linear {
    double value = 0.01;
    double end = 0;
    double warmup = 0;
    static constexpr std::string_view name = "linear";
    static constexpr auto fields() {
        return std::tuple{field("value", &Linear::value, -1e30, 1e30), field("end", &Linear::end, -1e30, 1e30),
                          field("warmup", &Linear::warmup, 0, 1e9)};
    }
    [[nodiscard]] double at(double epoch, double epochs) const {
        return value + (end - value) * (epochs > 0 ? std::min(1.0, epoch / epochs) : 1.0);
    }
};

/// value * factor^epoch
struct Exponential {
    double value = 0.01;
    double factor = 0.99;
    double warmup = 0;
    static constexpr std::string_view name = "exponential";
    static constexpr auto fields() {
        return std::tuple{field("value", &Exponential::value, -1e30, 1e30),
                          field("factor", &Exponential::factor, 0, 1e9), field("warmup", &Exponential::warmup, 0, 1e9)};
    }
    [[nodiscard]] double at(double epoch, double /*epochs*/) const { return value * std::pow(factor, epoch); }
};

using Schedule = std::variant<Constant, Step, Cosine, Linear, Exponential>;

/// The scheduled value at `epoch` (0 is the start, fractions allowed) of a run of `epochs`.
inline double scheduled(const Schedule& schedule, double epoch, double epochs) {
    return std::visit(
        [&](const auto& rule) {
            const double ramp = rule.warmup > 0 ? std::min(1.0, epoch / rule.warmup) : 1.0;
            return ramp * rule.at(epoch, epochs);
        },
        schedule);
}

/// Reads a number or a rule's text.
inline Schedule parse_schedule(std::string_view text) {
    const auto bare = detail::trimmed(text);
    return parse_rule<Schedule>(number_from<double>(bare) ? "constant(value=" + std::string(bare) + ")"
                                                          : std::string(bare));
}

/// A constant without warm-up prints as a bare number.
inline std::string schedule_text(const Schedule& schedule) {
    const auto* constant = std::get_if<Constant>(&schedule);
    return constant != nullptr && constant->warmup == 0 ? number_text(constant->value) : rule_text(schedule);
}

}  // namespace espalier
