// The rules of topology evolution: which edges to prune, where to grow new ones, and how often.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>

#include "espalier/host_device.hpp"
#include "espalier/index.hpp"
#include "espalier/portable_math.hpp"
#include "espalier/random.hpp"
#include "espalier/rule.hpp"

namespace espalier {

/// Edges in the order in which a prune rule takes them, by ascending 32-bit keys. Of each group, the keys first..last,
/// the share zeta goes; edges of equal keys fall in canonical order. A key is a weight's bits under a mask: as integers
/// the bits of a float ascend with its magnitude, positive numbers first.
struct PruneOrder {
    static constexpr int max_groups = 2;
    std::uint32_t mask = 0xffffffffU;  // key = bits & mask
    int num_groups = 0;
    std::uint32_t first[max_groups] = {};
    std::uint32_t last[max_groups] = {};

    [[nodiscard]] ESPALIER_HOST_DEVICE std::uint32_t operator()(float weight) const {
        std::uint32_t bits = 0;
        std::memcpy(&bits, &weight, sizeof bits);
        return bits & mask;
    }
};

/// What a prune rule may look at of an edge.
struct PruneCandidate {
    float weight;
    Index input;
    Index output;
    Index num_inputs;
    Index num_outputs;
    Stream draws;          // of this pruning
    float input_sum = 0;   // abs(w) over all edges of the input; of rules that say needs_sums
    float output_sum = 0;  // likewise of the output

    /// Random bits of the edge's own.
    [[nodiscard]] ESPALIER_HOST_DEVICE std::uint32_t random_bits() const {
        return draws.bits(Cell{output} * num_inputs + input);
    }
};

/// How much an edge weighs among those of its two neurons: abs(w) / sum over the output's edges + abs(w) / sum over the
/// input's. 0 for a weight of 0.
/// Source: Zhang et al., "Brain network science modelling of sparse neural networks", NeurIPS 2025 (relative importance).
ESPALIER_HOST_DEVICE inline float relative_magnitude(const PruneCandidate& edge) {
    const float magnitude = fabsf(edge.weight);
    return magnitude == 0 ? 0.0F : magnitude / edge.output_sum + magnitude / edge.input_sum;
}

// A prune rule has either an order() of the weights' bits or a key() of whatever it looks at: the int(zeta * edges)
// edges of the least keys then go. One that says needs_sums finds in its candidates what their neurons' edges add up to.

/// The int(zeta * count) smallest positive weights go and as large a share of the negative ones nearest zero.
/// Weights of exactly 0 stay. Ties fall in canonical order. Source: the SparseNet notebooks.
struct PruneBySign {
    static constexpr std::string_view name = "sign";
    static constexpr auto fields() { return std::tuple{}; }
    /// Zeros (0x00000000 and 0x80000000) belong to neither group.
    [[nodiscard]] static constexpr PruneOrder order() {
        return {0xffffffffU, 2, {0x00000001U, 0x80000001U}, {0x7fffffffU, 0xffffffffU}};
    }
};

/// The int(zeta * edges) weights of least magnitude go, zeros first, ties in canonical order.
struct PruneByMagnitude {
    static constexpr std::string_view name = "magnitude";
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] static constexpr PruneOrder order() { return {0x7fffffffU, 1, {0, 0}, {0x7fffffffU, 0}}; }
};

/// int(zeta * edges) edges go, whatever their weights, each set of so many as likely as any other: the control that
/// tells what choosing by weight is worth.
struct PruneRandom {
    static constexpr std::string_view name = "random";
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE std::uint32_t key(const PruneCandidate& edge) const {
        return edge.random_bits();
    }
};

/// The edges that stay are sampled without replacement, in proportion to abs(w)^p, p going from `start` to `end` in a
/// straight line over the run: at 1 small weights have a fair chance, later fewer of them. Weights of 0 go first.
/// Sampled as the largest of p log(abs(w)) + Gumbel noise of the edge's own, which is the same.
/// Sources: Zhang et al., "Brain network science modelling of sparse neural networks", NeurIPS 2025 (CHTs); Kool et al.,
/// "Stochastic beams and where to find them", ICML 2019.
struct PruneSoftly {
    double start = 1;
    double end = 3;
    float power = 1;  // p now, set by at()
    static constexpr std::string_view name = "magnitude-soft";
    static constexpr auto fields() {
        return std::tuple{field("start", &PruneSoftly::start, 0, 100), field("end", &PruneSoftly::end, 0, 100)};
    }
    [[nodiscard]] PruneSoftly at(double part_of_run) const {
        return {start, end, static_cast<float>(start + (end - start) * part_of_run)};
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE std::uint32_t key(const PruneCandidate& edge) const {
        return sampled_key(power, fabsf(edge.weight), edge.random_bits());
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE static std::uint32_t sampled_key(float power, float score, std::uint32_t bits) {
        if (score < 1.17549435e-38F) return 0;  // of a subnormal portable_log says nothing
        if (!(score <= 3.4e38F)) return ~0U;    // no number: the loss will tell
        return gumbel_key(power * portable_log(score), bits);
    }
};

/// The int(zeta * edges) edges of least relative_magnitude() go, zeros first, ties in canonical order: an edge that is
/// weak but its neuron's only one stays.
struct PruneRelative {
    static constexpr std::string_view name = "relative";
    static constexpr bool needs_sums = true;
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE std::uint32_t key(const PruneCandidate& edge) const {
        const float score = relative_magnitude(edge);
        if (!(score <= 3.4e38F)) return ~0U;
        std::uint32_t bits = 0;
        std::memcpy(&bits, &score, sizeof bits);
        return bits;
    }
};

/// `magnitude-soft` by relative_magnitude().
struct PruneRelativeSoftly {
    double start = 1;
    double end = 3;
    float power = 1;  // now, set by at()
    static constexpr std::string_view name = "relative-soft";
    static constexpr bool needs_sums = true;
    static constexpr auto fields() {
        return std::tuple{field("start", &PruneRelativeSoftly::start, 0, 100),
                          field("end", &PruneRelativeSoftly::end, 0, 100)};
    }
    [[nodiscard]] PruneRelativeSoftly at(double part_of_run) const {
        return {start, end, static_cast<float>(start + (end - start) * part_of_run)};
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE std::uint32_t key(const PruneCandidate& edge) const {
        return PruneSoftly::sampled_key(power, relative_magnitude(edge), edge.random_bits());
    }
};

using PruneRule =
    std::variant<PruneBySign, PruneByMagnitude, PruneRandom, PruneSoftly, PruneRelative, PruneRelativeSoftly>;

/// The rule when so much of the run is done, in [0, 1]: its own at(), if it has one.
inline PruneRule rule_at(const PruneRule& rule, double part_of_run) {
    return std::visit(
        [&](const auto& each) -> PruneRule {
            if constexpr (requires { each.at(part_of_run); }) {
                return each.at(part_of_run);
            } else {
                return each;
            }
        },
        rule);
}

/// New edges in the place of those that went, uniformly at random among the missing cells.
struct GrowRandom {
    bool allow_removed = false;  // cells whose edge was just removed may be drawn too
    double share = 1;            // of the pruned edges that are replaced; below 1 the layer thins out
    static constexpr std::string_view name = "random";
    static constexpr auto fields() {
        return std::tuple{field("allow_removed", &GrowRandom::allow_removed), field("share", &GrowRandom::share, 0, 1)};
    }
};

/// New edges near strong ones, their parents: each joins the input of one parent with the output of another, where a
/// parent is the strongest of `contest` edges drawn at random, just removed ones being the weakest (1: any edge, so
/// that neurons gain in proportion to what they have). Cells that have an edge, or were chosen before, are passed over;
/// after 16 candidates for each new edge any missing cells are taken.
struct GrowNearParents {
    int contest = 4;
    bool allow_removed = false;  // as for GrowRandom
    double share = 1;            // likewise
    static constexpr std::string_view name = "parents";
    static constexpr auto fields() {
        return std::tuple{field("contest", &GrowNearParents::contest, 1, 64),
                          field("allow_removed", &GrowNearParents::allow_removed),
                          field("share", &GrowNearParents::share, 0, 1)};
    }
};

/// As SparseNet's program grows, whose random cells are not all cells. For n new edges it puts 1.5 n random cells into
/// a Python set (before 3.8) and takes the first n missing ones that come out, which is by the low bits of their hash:
/// so cells whose bits are high, about a third of all, are never taken. Here: random cells below the cut that is
/// expected; after 16 candidates for each new edge any missing cells.
struct GrowHashOrder {
    bool allow_removed = false;  // as for GrowRandom
    double share = 1;            // likewise
    static constexpr std::string_view name = "hash-order";
    static constexpr auto fields() {
        return std::tuple{field("allow_removed", &GrowHashOrder::allow_removed),
                          field("share", &GrowHashOrder::share, 0, 1)};
    }
};

/// New edges where the loss falls fastest: the missing cells of largest abs(dL/dw), L being the mean loss of a probe
/// of training samples at the weights from before pruning; of equal ones the first. Where fewer cells than are wanted
/// have a gradient that is neither 0 nor NaN, the others are drawn among the rest.
/// Sources: Evci et al., "Rigging the lottery: making all tickets winners", ICML 2020; output by output: Lasby et al.,
/// "Dynamic sparse training with structured sparsity", ICLR 2024 (SRigL).
struct GrowGradient {
    int samples = 0;            // of the probe; 0: as many as a batch has
    double candidates = 0;      // above 0: only among so many times the layer's edges, drawn at random
    bool allow_removed = true;  // as for GrowRandom
    double share = 1;           // likewise
    bool per_output = false;    // every output regrows as many as it lost, its own best cells
    static constexpr std::string_view name = "gradient";
    static constexpr bool needs_gradients = true;
    static constexpr auto fields() {
        return std::tuple{field("samples", &GrowGradient::samples, 0, 1e9),
                          field("candidates", &GrowGradient::candidates, 0, 1e6),
                          field("per_output", &GrowGradient::per_output),
                          field("allow_removed", &GrowGradient::allow_removed),
                          field("share", &GrowGradient::share, 0, 1)};
    }
};

/// New edges where most paths of length three lead already, as a community would close itself (CH-L3): with A the edges
/// after pruning and D(o, p) the inputs that outputs o and p have in common, a missing cell scores
///     sum over p of f(o, p) A(p, i) + the same with outputs and inputs exchanged,
///     f(o, p) = (form 2: D(o, p) + 1, form 3: 1) / max(edges of p - D(o, p), 1).
/// `soft`: cells are sampled without replacement in proportion to their scores; else the highest are taken, of equal ones
/// the first. Where too few cells have a path the others are drawn among the rest. Not yet on CUDA.
/// Source: Zhang et al., "Brain network science modelling of sparse neural networks enables transformers and LLMs to
/// perform as fully connected", NeurIPS 2025 (CHTs).
struct GrowByPaths {
    int form = 2;
    bool soft = true;
    bool allow_removed = true;  // as for GrowRandom
    double share = 1;           // likewise
    static constexpr std::string_view name = "ch-l3";
    static constexpr bool cpu_only = true;
    static constexpr auto fields() {
        return std::tuple{field("form", &GrowByPaths::form, 2, 3), field("soft", &GrowByPaths::soft),
                          field("allow_removed", &GrowByPaths::allow_removed),
                          field("share", &GrowByPaths::share, 0, 1)};
    }
};

using GrowRule = std::variant<GrowRandom, GrowNearParents, GrowHashOrder, GrowGradient, GrowByPaths>;

/// What a user is told where a rule that only the CPU backend has is asked of another.
inline std::string cpu_only_text(const GrowRule& rule) {
    return "grow: " + rule_text(rule) + " is not yet there on CUDA; use --backend cpu";
}

/// Whether only the CPU backend grows by a rule.
inline bool is_cpu_only(const GrowRule& rule) {
    return std::visit([](const auto& each) { return requires { each.cpu_only; }; }, rule);
}

/// Samples of the probe that a rule wants, 0 being a batch's worth; nothing for a rule that looks at no gradients.
inline std::optional<int> probe_samples(const GrowRule& rule) {
    return std::visit(
        [](const auto& each) -> std::optional<int> {
            if constexpr (requires { each.needs_gradients; }) {
                return each.samples;
            } else {
                return std::nullopt;
            }
        },
        rule);
}

/// A moment at which a cadence is asked whether evolution is due: before a training step, for each sparse layer, or
/// after an epoch, once for all of them.
struct EvolutionMoment {
    bool epoch_ended = false;
    std::uint32_t epoch = 0;  // from 0: the one that the step belongs to or that ended
    std::uint32_t step = 0;   // from 0 over the whole run: the one that comes
    Stream draws = {};        // of this layer and moment
};

/// When the sparse layers evolve.
struct NeverEvolve {  // fixed random topology
    static constexpr std::string_view name = "never";
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] bool due(const EvolutionMoment& /*moment*/) const { return false; }
};
struct EveryEpoch {
    static constexpr std::string_view name = "epoch";
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] bool due(const EvolutionMoment& moment) const { return moment.epoch_ended; }
};
struct EverySteps {
    int n = 100;
    static constexpr std::string_view name = "steps";
    static constexpr auto fields() { return std::tuple{field("n", &EverySteps::n, 1, 1e9)}; }
    [[nodiscard]] bool due(const EvolutionMoment& moment) const {
        return !moment.epoch_ended && moment.step > 0 && moment.step % static_cast<std::uint32_t>(n) == 0;
    }
};
/// Before every training step each layer evolves with this probability (EvolNet).
struct ByChance {
    double probability = 0.025;
    static constexpr std::string_view name = "chance";
    static constexpr auto fields() { return std::tuple{field("probability", &ByChance::probability, 0, 1)}; }
    [[nodiscard]] bool due(const EvolutionMoment& moment) const {
        return !moment.epoch_ended && bernoulli(moment.draws.bits(0), probability);
    }
};

using Cadence = std::variant<NeverEvolve, EveryEpoch, EverySteps, ByChance>;

inline bool due(const Cadence& cadence, const EvolutionMoment& moment) {
    return std::visit([&](const auto& rule) { return rule.due(moment); }, cadence);
}

}  // namespace espalier
