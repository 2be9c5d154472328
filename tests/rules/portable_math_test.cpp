// The elementary functions that must give the same bits everywhere: how exact they are, measured against double.
// The scalar formulas of activations, losses and optimizers against the oracle's.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "alternatives.hpp"
#include "espalier/activation.hpp"
#include "espalier/initialization.hpp"
#include "espalier/loss.hpp"
#include "espalier/optimizer.hpp"
#include "espalier/portable_math.hpp"
#include "oracle.hpp"
#include "test_layers.hpp"

namespace espalier {
namespace {

float float_of(std::uint32_t word) {
    float value = 0;
    std::memcpy(&value, &word, sizeof value);
    return value;
}

std::uint32_t word_of(float value) {
    std::uint32_t word = 0;
    std::memcpy(&word, &value, sizeof word);
    return word;
}

/// |got - want| in units of the last place of a float of want's size.
double ulps(float got, double want) {
    const double unit = std::ldexp(1.0, std::ilogb(want) - 23);
    return std::abs(static_cast<double>(got) - want) / unit;
}

constexpr std::uint32_t stride = 1009;  // a prime: no mantissa pattern is favoured

TEST(PortableMath, ExponentialWithinTwoUlps) {
    double worst = 0;
    for (std::uint32_t word = word_of(1e-9F); word <= word_of(88.0F); word += stride) {
        for (const float x : {float_of(word), -float_of(word)}) {
            if (x < -87.0F) continue;
            worst = std::max(worst, ulps(portable_exp(x), std::exp(static_cast<double>(x))));
        }
    }
    EXPECT_LE(worst, 2.0);
    EXPECT_EQ(portable_exp(0.0F), 1.0F);
    // past the range it stays at the end's value: no infinity, no subnormal
    EXPECT_EQ(portable_exp(1e30F), portable_exp(88.0F));
    EXPECT_EQ(portable_exp(-INFINITY), portable_exp(-87.0F));
    EXPECT_TRUE(std::isfinite(portable_exp(INFINITY)));
    EXPECT_TRUE(std::isnormal(portable_exp(-INFINITY)));
    EXPECT_TRUE(std::isnan(portable_exp(NAN)));
}

TEST(PortableMath, LogarithmWithinTwoUlps) {
    double worst = 0;
    for (std::uint32_t word = 0x00800000U; word < 0x7f800000U; word += stride) {
        const float x = float_of(word);
        if (x != 1.0F) worst = std::max(worst, ulps(portable_log(x), std::log(static_cast<double>(x))));
    }
    EXPECT_LE(worst, 2.0);
    EXPECT_EQ(portable_log(1.0F), 0.0F);
}

TEST(PortableMath, SymmetricUniformIsExactAndOdd) {
    EXPECT_EQ(symmetric_uniform(0), -1.0F + 0x1p-24F);
    EXPECT_EQ(symmetric_uniform(0xffffffffU), 1.0F - 0x1p-24F);
    for (std::uint32_t bits = 0; bits < 0xfff00000U; bits += 0x000fedcbU) {
        EXPECT_EQ(symmetric_uniform(bits), -symmetric_uniform(~bits));
        const double exact = (static_cast<double>(bits >> 8) + 0.5) / 8388608 - 1;
        EXPECT_EQ(static_cast<double>(symmetric_uniform(bits)), exact);
    }
}

TEST(PortableMath, NormalInvertsTheDistributionFunction) {
    double worst = 0;
    for (std::uint64_t bits = 0; bits < 0x100000000U; bits += 100003) {
        const double x = symmetric_uniform(static_cast<std::uint32_t>(bits));
        const double n = normal(static_cast<std::uint32_t>(bits));
        // share of the distribution beyond n on its side, and what it should be
        const double tail = 0.5 * std::erfc(std::abs(n) / std::sqrt(2.0));
        const double density = std::exp(-0.5 * n * n) / std::sqrt(2 * 3.14159265358979323846);
        worst = std::max(worst, std::abs(tail - 0.5 * (1 - std::abs(x))) / density);  // error of n
        EXPECT_EQ(std::signbit(n), std::signbit(x));
    }
    EXPECT_LE(worst, 2e-6);
}

// ---- scalar rules against the oracle

std::vector<double> own_parameters(const Activation& activation) {
    const auto* rule = std::get_if<SRelu>(&activation);
    if (rule == nullptr) return {};
    return {rule->left_threshold, rule->left_slope, rule->right_threshold, rule->right_slope};
}

std::vector<Activation> activations_to_try() {
    auto all = alternatives<Activation>();
    all.emplace_back(LeakyRelu{0.25F});
    all.emplace_back(AllRelu{-0.6F});
    all.emplace_back(SRelu{-0.5F, 0.3F, 0.75F, 1.5F});
    return all;
}

TEST(Activations, ValuesAndDerivativesAgreeWithTheOracle) {
    for (const auto& activation : activations_to_try()) {
        SCOPED_TRACE(rule_text(activation));
        const auto p = own_parameters(activation);
        for (float z = -30.0F; z < 30.0F; z += 0.0078125F * 1.37F) {
            std::visit(
                [&](const auto& rule) {
                    const double want = oracle::value(activation, z, p);
                    EXPECT_NEAR(rule.value(z), want, 2e-7 + 2e-7 * std::abs(want)) << "z = " << z;
                    const float saved = rule.saves_input ? z : rule.value(z);
                    EXPECT_NEAR(rule.derivative(saved), oracle::derivative(activation, z, p), 5e-7) << "z = " << z;
                },
                activation);
        }
    }
}

TEST(Activations, OracleDerivativesAgreeWithCentralDifferences) {
    for (const auto& activation : activations_to_try()) {
        SCOPED_TRACE(rule_text(activation));
        auto p = own_parameters(activation);
        for (double z = -5.0; z < 5.0; z += 0.0637) {
            constexpr double h = 1e-6;
            const double slope = (oracle::value(activation, z + h, p) - oracle::value(activation, z - h, p)) / (2 * h);
            bool near_kink = false;
            for (const double kink : oracle::kinks(activation, p)) near_kink |= std::abs(z - kink) < 2 * h;
            if (near_kink) continue;
            EXPECT_NEAR(oracle::derivative(activation, z, p), slope, 1e-8) << "z = " << z;
            const auto by_parameter = oracle::parameter_derivatives(activation, z, p);
            for (std::size_t k = 0; k < by_parameter.size(); ++k) {
                auto above = p;
                auto below = p;
                above[k] += h;
                below[k] -= h;
                const double change =
                    (oracle::value(activation, z, above) - oracle::value(activation, z, below)) / (2 * h);
                EXPECT_NEAR(by_parameter[k], change, 1e-8) << "z = " << z << " parameter " << k;
            }
        }
    }
}

TEST(Activations, SReluParameterDerivativesAgreeWithTheOracle) {
    const SRelu rule{-0.5F, 0.3F, 0.75F, 1.5F};
    for (float z = -3.0F; z < 3.0F; z += 0.0371F) {
        float got[4] = {};
        rule.parameter_derivatives(z, got);
        const auto want = oracle::parameter_derivatives(rule, z, own_parameters(rule));
        for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(got[k], want[k], 1e-6) << "z = " << z << " parameter " << k;
    }
}

TEST(Activations, TanhKeepsItsDigitsNearZero) {
    for (float z = 1e-6F; z < 0.2F; z *= 1.01F) {
        const double want = std::tanh(static_cast<double>(z));
        EXPECT_LE(std::abs(Tanh{}.value(z) - want) / want, 2e-6) << z;
        EXPECT_NEAR(Tanh{}.value(-z), -Tanh{}.value(z), 1.2e-7) << z;
    }
}

TEST(Activations, SaturateWithoutInfinities) {
    EXPECT_EQ(Sigmoid{}.value(1e30F), 1.0F);
    EXPECT_NEAR(Sigmoid{}.value(-1e30F), 0.0F, 1e-37F);
    EXPECT_EQ(Tanh{}.value(1e18F), 1.0F);
    EXPECT_EQ(Tanh{}.value(-1e18F), -1.0F);
}

TEST(Activations, ANaNPasses) {
    for (const auto& activation : activations_to_try()) {
        std::visit([](const auto& rule) { EXPECT_TRUE(std::isnan(rule.value(NAN))) << rule.name; }, activation);
    }
}

TEST(Activations, AllReluAlternatesItsSlope) {
    // layers counted from 1: odd ones +slope, even ones -slope
    EXPECT_EQ(std::get<AllRelu>(in_layer(AllRelu{0.6F}, 0)).value(-1), -0.6F);
    EXPECT_EQ(std::get<AllRelu>(in_layer(AllRelu{0.6F}, 1)).value(-1), 0.6F);
    EXPECT_EQ(std::get<AllRelu>(in_layer(AllRelu{0.6F}, 2)).value(-1), -0.6F);
    EXPECT_EQ(std::get<LeakyRelu>(in_layer(LeakyRelu{0.1F}, 1)).slope, 0.1F) << "others do not alternate";
}

TEST(Losses, AgreeWithTheOracle) {
    TestRandom random(3);
    for (const auto& loss : alternatives<Loss>()) {
        for (const std::size_t classes : {1U, 2U, 10U, 47U}) {
            for (const double range : {0.1, 3.0, 60.0}) {
                SCOPED_TRACE(rule_text(loss) + " classes " + std::to_string(classes));
                const auto z = random_matrix(classes, 8, range, random);
                const auto labels = random_labels(8, static_cast<Index>(classes), random);
                const auto want = oracle::score(loss, z, labels);
                const std::vector<float> in(z.values.begin(), z.values.end());
                std::vector<float> gradient(in.size());
                std::vector<float> one_hot(classes * classes, 0);
                for (std::size_t c = 0; c < classes; ++c) one_hot[c * classes + c] = 1;
                for (std::size_t s = 0; s < 8; ++s) {
                    const auto got = std::visit(
                        [&](const auto& rule) {
                            return score_one(rule, in.data() + s, gradient.data() + s, static_cast<Index>(classes), 8,
                                             static_cast<Index>(labels[s]), 1.0F / 8, one_hot.data());
                        },
                        loss);
                    EXPECT_NEAR(got.loss, want.losses[s], 1e-6 + 1e-6 * want.losses[s]);
                    EXPECT_NEAR(got.confidence, want.confidences[s], 1e-6);
                    EXPECT_EQ(got.correct, want.correct[s]);
                }
                for (std::size_t i = 0; i < in.size(); ++i) {
                    // those of classes are below 1 / 8, those of real targets as large as their errors
                    const double size = is_regression(loss) ? std::abs(want.gradient.values[i]) : 0;
                    EXPECT_NEAR(gradient[i], want.gradient.values[i], 1e-7 + 2e-7 * size);
                }
            }
        }
    }
}

TEST(Losses, SoftmaxSurvivesExtremeOutputs) {
    const float z[] = {1e30F, -1e30F, 0.0F};
    float gradient[3] = {};
    const auto score = score_one(SoftmaxNll{}, z, gradient, 3, 1, 0, 1.0F);
    EXPECT_EQ(score.loss, 0.0F);
    EXPECT_TRUE(score.correct);
    for (const float g : gradient) EXPECT_NEAR(g, 0.0F, 1e-37F);
    EXPECT_NEAR(score_one(SoftmaxNll{}, z, nullptr, 3, 1, 2, 1.0F).loss, 1e30F, 1e24F) << "a far miss costs its distance";
    const float broken[] = {0.0F, NAN, 1.0F};
    EXPECT_TRUE(std::isnan(score_one(SoftmaxNll{}, broken, nullptr, 3, 1, 0, 1.0F).loss)) << "NaN must not be hidden";
}

TEST(Optimizers, EveryDecayFormAgreesWithTheOracle) {
    TestRandom random(5);
    for_each_alternative<Optimizer>([&](const auto& rule) {
        using Rule = std::decay_t<decltype(rule)>;
        for (const auto& form : alternatives<DecayForm>()) {
            SCOPED_TRACE(rule_text(rule) + " " + rule_text(form));
            for (int trial = 0; trial < 20; ++trial) {
                auto w = static_cast<float>(random_matrix(1, 1, 2, random)(0, 0));
                OptimizerState<Rule::num_states> state{};
                for (std::uint64_t t = 1; t <= 20; ++t) {
                    oracle::Parameters before{{w}, {}};
                    for (const float each : state) before.states.push_back({each});
                    const auto g = static_cast<float>(random_matrix(1, 1, trial < 2 ? 1e-6 : 1, random)(0, 0));
                    const double l1 = trial % 2 == 0 ? 0 : 0.03;
                    const oracle::Update update{rule, form, 0.0123, 0.045, t, l1};
                    update_parameter(rule, w, g, state, update_step(rule, form, 0.0123, 0.045, t, l1));
                    const auto want = oracle::updated(before, {g}, update);
                    // the sum of gradient and decay is rounded once
                    const auto slack = oracle::allowance(before, {g}, update, 1e-8, 1e-7);
                    EXPECT_NEAR(w, want.values[0], slack.values[0] + 3e-7 * std::max(1.0, std::abs(want.values[0])))
                        << "step " << t;
                    for (std::size_t k = 0; k < state.size(); ++k) {
                        const double size = std::abs(before.states[k][0]) + std::abs(want.states[k][0]);
                        EXPECT_NEAR(state[k], want.states[k][0], slack.states[k][0] + 3e-7 * size) << "step " << t;
                    }
                }
            }
        }
    });
}

TEST(Optimizers, HandComputedSteps) {
    // w = 1, g = 0.5, lr = 0.1, decay 0.2
    const auto one = [](const auto& rule, const DecayForm& form, int steps) {
        float w = 1;
        OptimizerState<std::decay_t<decltype(rule)>::num_states> state{};
        for (int t = 1; t <= steps; ++t) {
            update_parameter(rule, w, 0.5F, state, update_step(rule, form, 0.1, 0.2, static_cast<std::uint64_t>(t)));
        }
        return w;
    };
    EXPECT_NEAR(one(Sgd{}, Coupled{}, 1), 1 - 0.1 * (0.5 + 0.2), 1e-7);
    EXPECT_NEAR(one(Sgd{}, Decoupled{}, 1), 1 - 0.1 * 0.2 - 0.1 * 0.5, 1e-7);
    EXPECT_NEAR(one(Sgd{}, Shrink{}, 1), 1 - 0.2 - 0.1 * 0.5, 1e-7);
    // m: 0.7, then 0.35 + 0.5 + 0.2 * 0.93 = 1.036
    EXPECT_NEAR(one(Momentum{0.5F}, Coupled{}, 2), 1 - 0.07 - 0.1036, 1e-6);
    // v: -0.05, w = 0.75; v: -0.075, w = 0.75 - 0.15 - 0.075
    EXPECT_NEAR(one(SetMomentum{0.5F}, Shrink{}, 2), 0.525, 1e-6);
    // m = 0.7; w -= 0.1 (0.7 + 0.35)
    EXPECT_NEAR(one(Nesterov{0.5F}, Coupled{}, 1), 1 - 0.105, 1e-6);
    // first step of Adam: lr * sign(g); AdamW shrinks by lr * decay besides
    EXPECT_NEAR(one(Adam{}, Coupled{}, 1), 0.9, 1e-6);
    EXPECT_NEAR(one(AdamW{}, Decoupled{}, 1), 0.98 - 0.1, 1e-6);
    // v = 0.01 g^2: w -= lr * g / (0.1 g)
    EXPECT_NEAR(one(RmsProp{}, Coupled{}, 1), 0, 1e-5);
}

TEST(Optimizers, L1DecaysByTheSignAlone) {
    // g = 0.5, lr = 0.1, decay 0.2, l1 0.3
    const auto one = [](float w, const DecayForm& form) {
        OptimizerState<0> state{};
        update_parameter(Sgd{}, w, 0.5F, state, update_step(Sgd{}, form, 0.1, 0.2, 1, 0.3));
        return w;
    };
    EXPECT_NEAR(one(4, Coupled{}), 4 - 0.1 * (0.5 + 0.8 + 0.3), 1e-6);
    EXPECT_NEAR(one(-4, Coupled{}), -4 - 0.1 * (0.5 - 0.8 - 0.3), 1e-6);
    EXPECT_NEAR(one(-4, Decoupled{}), -4 + 0.1 * (0.8 + 0.3) - 0.05, 1e-6);
    EXPECT_NEAR(one(4, Shrink{}), 4 - 0.8 - 0.3 - 0.05, 1e-6);
    EXPECT_NEAR(one(0, Shrink{}), -0.05, 1e-7) << "zero has no sign";
}

TEST(Optimizers, DefaultDecayForms) {
    EXPECT_EQ(rule_text(default_decay_form(Sgd{})), "coupled");
    EXPECT_EQ(rule_text(default_decay_form(Momentum{})), "coupled");
    EXPECT_EQ(rule_text(default_decay_form(SetMomentum{})), "shrink");
    EXPECT_EQ(rule_text(default_decay_form(AdamW{})), "decoupled");
    EXPECT_EQ(num_states(Sgd{}), 0);
    EXPECT_EQ(num_states(AdamW{}), 2);
}

TEST(WeightLaws, HaveTheirDeviations) {
    constexpr int samples = 20000;
    const Stream stream{11, Purpose::new_weight, 0, 0};
    const auto moments = [&](const WeightLaw& law) {
        double sum = 0;
        double squares = 0;
        for (std::uint64_t n = 0; n < samples; ++n) {
            const double w = std::visit([&](const auto& rule) { return rule(stream.bits(n), 50U); }, law);
            sum += w;
            squares += w * w;
        }
        return std::pair{sum / samples, std::sqrt(squares / samples)};
    };
    // errors of mean and deviation over 20,000 draws: 0.7 % and 0.5 % of the deviation; 4 of them allowed
    const auto expect = [&](const WeightLaw& law, double deviation) {
        const auto [mean, found] = moments(law);
        EXPECT_NEAR(mean, 0, 0.03 * deviation) << rule_text(law);
        EXPECT_NEAR(found, deviation, 0.02 * deviation) << rule_text(law);
    };
    expect(HeNormal{}, std::sqrt(2.0 / 50));
    expect(NormalWeights{0.1F}, 0.1);
    expect(UniformWeights{}, 1 / std::sqrt(3.0 * 50));
    expect(ZeroWeights{}, 0);
    // 50 inputs, 150 outputs, 1,200 edges: 8 an output
    expect(in_layer(XavierUniform{}, 50, 150, 1200), std::sqrt(2.0 / 200));
    expect(in_layer(HeOfEdges{}, 50, 150, 1200), std::sqrt(2.0 / 8));
    static_assert(std::variant_size_v<WeightLaw> == 6, "add the new law above");
}

}  // namespace
}  // namespace espalier
