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

namespace detail {

/// How much of the way from `begin` to `finish` is done, in [0, 1]; finish 0: the run's end.
inline double way_done(double begin, double finish, double epoch, double epochs) {
    const double end = finish > 0 ? finish : epochs;
    return end > begin ? std::clamp((epoch - begin) / (end - begin), 0.0, 1.0) : epoch < begin ? 0.0 : 1.0;
}

}  // namespace detail

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

/// From value to end along half a cosine, over the run or from epoch `begin` to `finish` (0: the run's end).
struct Cosine {
    double value = 0.01;
    double end = 0;
    double warmup = 0;
    double begin = 0;
    double finish = 0;
    static constexpr std::string_view name = "cosine";
    static constexpr auto fields() {
        return std::tuple{field("value", &Cosine::value, -1e30, 1e30), field("end", &Cosine::end, -1e30, 1e30),
                          field("warmup", &Cosine::warmup, 0, 1e9), field("begin", &Cosine::begin, 0, 1e9),
                          field("finish", &Cosine::finish, 0, 1e9)};
    }
    [[nodiscard]] double at(double epoch, double epochs) const {
        const double part = detail::way_done(begin, finish, epoch, epochs);
        return end + 0.5 * (value - end) * (1.0 + std::cos(std::numbers::pi * part));
    }
};

/// From value to end in a straight line, over the run or from epoch `begin` to `finish` (0: the run's end).
struct Linear {
    double value = 0.01;
    double end = 0;
    double warmup = 0;
    double begin = 0;
    double finish = 0;
    static constexpr std::string_view name = "linear";
    static constexpr auto fields() {
        return std::tuple{field("value", &Linear::value, -1e30, 1e30), field("end", &Linear::end, -1e30, 1e30),
                          field("warmup", &Linear::warmup, 0, 1e9), field("begin", &Linear::begin, 0, 1e9),
                          field("finish", &Linear::finish, 0, 1e9)};
    }
    [[nodiscard]] double at(double epoch, double epochs) const {
        return value + (end - value) * detail::way_done(begin, finish, epoch, epochs);
    }
};

/// From value to end, fast at first: end + (value - end) (1 - t)^3, t being the way done from epoch `begin` to `finish`.
/// As `edges-kept` it is gradual magnitude pruning. Source: Zhu & Gupta, "To prune, or not to prune", 2017, eq. 1.
struct Cubic {
    double value = 1;
    double end = 0;
    double begin = 0;
    double finish = 0;
    double warmup = 0;
    static constexpr std::string_view name = "cubic";
    static constexpr auto fields() {
        return std::tuple{field("value", &Cubic::value, -1e30, 1e30), field("end", &Cubic::end, -1e30, 1e30),
                          field("begin", &Cubic::begin, 0, 1e9), field("finish", &Cubic::finish, 0, 1e9),
                          field("warmup", &Cubic::warmup, 0, 1e9)};
    }
    [[nodiscard]] double at(double epoch, double epochs) const {
        const double left = 1.0 - detail::way_done(begin, finish, epoch, epochs);
        return end + (value - end) * left * left * left;
    }
};

/// From value to end along a logistic curve, steepest halfway and scaled so that it begins and ends exactly there.
/// Source: Zhang et al., "Brain network science modelling of sparse neural networks", NeurIPS 2025 (CHTs).
struct SigmoidSchedule {
    double value = 1;
    double end = 0;
    double begin = 0;
    double finish = 0;
    double steepness = 6;
    double warmup = 0;
    static constexpr std::string_view name = "sigmoid";
    static constexpr auto fields() {
        using S = SigmoidSchedule;
        return std::tuple{field("value", &S::value, -1e30, 1e30),   field("end", &S::end, -1e30, 1e30),
                          field("begin", &S::begin, 0, 1e9),        field("finish", &S::finish, 0, 1e9),
                          field("steepness", &S::steepness, 1e-3, 100), field("warmup", &S::warmup, 0, 1e9)};
    }
    [[nodiscard]] double at(double epoch, double epochs) const {
        const double part = detail::way_done(begin, finish, epoch, epochs);
        const double scale = std::tanh(0.25 * steepness);  // of the logistic curve's ends about its middle
        return end + (value - end) * 0.5 * (1.0 - std::tanh(0.5 * steepness * (part - 0.5)) / scale);
    }
};

/// value, multiplied by `factor` at each of up to three epochs; 0: no such stage.
struct Stages {
    double value = 0.1;
    double factor = 0.1;
    double first = 0;
    double second = 0;
    double third = 0;
    double warmup = 0;
    static constexpr std::string_view name = "stages";
    static constexpr auto fields() {
        return std::tuple{field("value", &Stages::value, -1e30, 1e30), field("factor", &Stages::factor, 0, 1e9),
                          field("first", &Stages::first, 0, 1e9),      field("second", &Stages::second, 0, 1e9),
                          field("third", &Stages::third, 0, 1e9),      field("warmup", &Stages::warmup, 0, 1e9)};
    }
    [[nodiscard]] double at(double epoch, double /*epochs*/) const {
        double result = value;
        for (const double stage : {first, second, third}) result *= stage > 0 && epoch >= stage ? factor : 1.0;
        return result;
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

using Schedule = std::variant<Constant, Step, Cosine, Linear, Exponential, Cubic, SigmoidSchedule, Stages>;

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
