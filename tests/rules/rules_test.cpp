// The text forms of all rules, walked over every alternative of every variant, and schedules at hand-computed points.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <clocale>
#include <cmath>
#include <locale>
#include <set>

#include "alternatives.hpp"
#include "espalier/activation.hpp"
#include "espalier/evolution_rules.hpp"
#include "espalier/initialization.hpp"
#include "espalier/loss.hpp"
#include "espalier/optimizer.hpp"
#include "espalier/rule.hpp"
#include "espalier/schedule.hpp"

namespace espalier {
namespace {

using ::testing::HasSubstr;

/// The message of the usage error that parsing `text` ends with; empty if it parses.
template <class Variant>
std::string usage_error(std::string_view text) {
    try {
        parse_rule<Variant>(text);
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::usage) << text;
        return error.what();
    }
    return {};
}

/// Calls `visit(entry)` with each field of a rule.
template <class Rule, class Visit>
void for_each_field(const Visit& visit) {
    std::apply([&](const auto&... each) { (visit(each), ...); }, Rule::fields());
}

/// A number as a field of this type prints it.
template <class Rule, class Value>
std::string field_text(const Field<Rule, Value>& /*entry*/, double value) {
    return number_text(static_cast<Value>(value));
}

template <class Variant>
class RuleText : public ::testing::Test {};
using Variants = ::testing::Types<Activation, Loss, Optimizer, DecayForm, Schedule, PruneRule, GrowRule, WeightLaw,
                                  BirthLaw, Cadence>;
TYPED_TEST_SUITE(RuleText, Variants);

TYPED_TEST(RuleText, DefaultsRoundTrip) {
    for_each_alternative<TypeParam>([](const auto& rule) {
        const std::string text = rule_text(rule);
        const auto parsed = parse_rule<TypeParam>(text);
        EXPECT_TRUE(std::holds_alternative<std::decay_t<decltype(rule)>>(parsed)) << text;
        EXPECT_EQ(rule_text(parsed), text);
        EXPECT_EQ(rule_text(parse_rule<TypeParam>(rule.name)), text) << "the bare name means the defaults";
    });
}

TYPED_TEST(RuleText, EveryFieldRoundTripsToTheLastBit) {
    for_each_alternative<TypeParam>([](auto rule) {
        using Rule = decltype(rule);
        for_each_field<Rule>([&](const auto& entry) {
            using Value = std::decay_t<decltype(rule.*entry.member)>;
            rule.*entry.member = static_cast<Value>(entry.low + (entry.high - entry.low) * 0.7390851332151607);
        });
        const auto parsed = std::get<Rule>(parse_rule<TypeParam>(rule_text(rule)));
        for_each_field<Rule>([&](const auto& entry) {
            EXPECT_EQ(parsed.*entry.member, rule.*entry.member) << rule.name << '.' << entry.name;
        });
    });
}

TYPED_TEST(RuleText, EndsOfTheRangeAreInsideAndBeyondIsRefused) {
    for_each_alternative<TypeParam>([](auto rule) {
        using Rule = decltype(rule);
        for_each_field<Rule>([&](const auto& entry) {
            const std::string start = std::string(rule.name) + "(" + std::string(entry.name) + "=";
            EXPECT_LT(entry.low, entry.high) << start;
            EXPECT_GE(static_cast<double>(rule.*entry.member), entry.low) << start << "default";
            EXPECT_LE(static_cast<double>(rule.*entry.member), entry.high) << start << "default";
            const std::string low = field_text(entry, entry.low);
            const std::string high = field_text(entry, entry.high);
            EXPECT_EQ(usage_error<TypeParam>(start + low + ")"), "");
            EXPECT_EQ(usage_error<TypeParam>(start + high + ")"), "");
            if constexpr (std::is_same_v<std::decay_t<decltype(rule.*entry.member)>, bool>) {
                for (const char* outside : {"-1", "2", "yes"}) {
                    const auto sentence = usage_error<TypeParam>(start + outside + ")");
                    EXPECT_THAT(sentence, HasSubstr(rule.name));
                    EXPECT_THAT(sentence, HasSubstr(std::string(entry.name) + "=" + outside));
                    EXPECT_THAT(sentence, HasSubstr("is not 0, 1, false or true"));
                }
                return;
            }
            const double step = std::max(1.0, std::abs(entry.high) * 0.5);
            for (const double outside : {entry.low - step, entry.high + step}) {
                const auto sentence = usage_error<TypeParam>(start + field_text(entry, outside) + ")");
                EXPECT_THAT(sentence, HasSubstr(rule.name));
                EXPECT_THAT(sentence, HasSubstr(entry.name));
                EXPECT_THAT(sentence, HasSubstr("[" + low + ", " + high + "]"));
            }
        });
    });
}

TYPED_TEST(RuleText, WrongTextIsRefusedWithWhatIsKnown) {
    std::string names;
    for_each_alternative<TypeParam>([&](const auto& rule) {
        const std::string name(rule.name);
        for (const char* wrong : {"nosuchrule", "", "()", " "}) {
            EXPECT_THAT(usage_error<TypeParam>(wrong), HasSubstr(name)) << "names the known rules";
        }
        const auto field_error = usage_error<TypeParam>(name + "(nosuchfield=1)");
        EXPECT_THAT(field_error, HasSubstr("nosuchfield"));
        EXPECT_THAT(field_error, HasSubstr(rule_text(rule))) << "shows the fields";
        EXPECT_THAT(usage_error<TypeParam>(name + "("), HasSubstr("parenthesis"));
        EXPECT_THAT(usage_error<TypeParam>(name + "()x"), HasSubstr("parenthesis"));
        for_each_field<std::decay_t<decltype(rule)>>([&](const auto& entry) {
            for (const char* wrong : {"", "x", "0.5x", "nan", "1e999", "0,5", "0x1"}) {
                const auto text = name + "(" + std::string(entry.name) + "=" + wrong + ")";
                EXPECT_NE(usage_error<TypeParam>(text), "") << text;
            }
            EXPECT_NE(usage_error<TypeParam>(name + "(" + std::string(entry.name) + ")"), "");
            const auto once = std::string(entry.name) + "=" + number_text(rule.*entry.member);
            EXPECT_THAT(usage_error<TypeParam>(name + "(" + once + "," + once + ")"), HasSubstr("twice"));
        });
    });
}

TYPED_TEST(RuleText, NamesAreDistinctAndPlain) {
    std::set<std::string> names;
    for_each_alternative<TypeParam>([&](const auto& rule) {
        EXPECT_TRUE(names.insert(std::string(rule.name)).second) << rule.name << " twice";
        EXPECT_EQ(rule.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"), std::string_view::npos);
        std::set<std::string> fields;
        for_each_field<std::decay_t<decltype(rule)>>([&](const auto& entry) {
            EXPECT_TRUE(fields.insert(std::string(entry.name)).second) << rule.name << '.' << entry.name << " twice";
        });
    });
    EXPECT_EQ(names.size(), std::variant_size_v<TypeParam>);
}

TYPED_TEST(RuleText, SpacesDoNotMatter) {
    for_each_alternative<TypeParam>([](const auto& rule) {
        std::string spaced = " ";
        for (const char c : rule_text(rule)) {
            const bool sign = c == '(' || c == ')' || c == ',' || c == '=';
            spaced += sign ? std::string(" ") + c + " " : std::string(1, c);
        }
        EXPECT_EQ(rule_text(parse_rule<TypeParam>(spaced)), rule_text(rule)) << spaced;
    });
}

TEST(Rules, TextForms) {
    EXPECT_EQ(rule_text(Optimizer{Momentum{0.5F}}), "momentum(momentum=0.5)");
    EXPECT_EQ(rule_text(Activation{Relu{}}), "relu");
    EXPECT_EQ(std::get<Adam>(parse_rule<Optimizer>("adam(beta2=0.99)")).beta2, 0.99F);
    EXPECT_EQ(std::get<Adam>(parse_rule<Optimizer>("adam(beta2=0.99)")).beta1, 0.9F) << "left out: the default";
    EXPECT_THAT(usage_error<Cadence>("steps(n=1.5)"), HasSubstr("whole number"));
    EXPECT_EQ(rule_names(static_cast<Loss*>(nullptr)), "nll, mse, squared-error or mse-twice");
    EXPECT_EQ(rule_names(static_cast<DecayForm*>(nullptr)), "coupled, decoupled or shrink");
}

/// Numbers with a decimal comma and grouping, as German writes them.
class CommaDecimals : public std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
};

TEST(Rules, NumbersDoNotDependOnTheLocale) {
    const std::locale before = std::locale::global(std::locale(std::locale::classic(), new CommaDecimals));
    const std::string c_before = std::setlocale(LC_ALL, nullptr);
    for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"}) {
        if (std::setlocale(LC_ALL, name) != nullptr) break;  // none need be installed
    }
    const std::string text = rule_text(Optimizer{SetMomentum{0.625F}});
    const auto parsed = std::get<Momentum>(parse_rule<Optimizer>("momentum(momentum=0.25)"));
    const std::string large = number_text(1234567.5);
    const Schedule schedule = parse_schedule("0.125");
    std::setlocale(LC_ALL, c_before.c_str());
    std::locale::global(before);
    EXPECT_EQ(text, "set-momentum(momentum=0.625)");
    EXPECT_EQ(parsed.momentum, 0.25F);
    EXPECT_EQ(large, "1234567.5");
    EXPECT_EQ(std::get<Constant>(schedule).value, 0.125);
}

TEST(Rules, NumbersPrintShortestAndReadBackExactly) {
    EXPECT_EQ(number_text(0.1), "0.1");
    EXPECT_EQ(number_text(0.1F), "0.1");
    EXPECT_EQ(number_text(2e-4F), "2e-04");
    EXPECT_EQ(number_text(7), "7");
    for (const double value : {1.0 / 3, 2.2250738585072014e-308, 1.7976931348623157e308, -0.0, 5e-324}) {
        const std::string text = number_text(value);
        EXPECT_EQ(number_from<double>(text), value) << text;
    }
}

TEST(Rules, ASwitchIsWritten0Or1AndReadAsAWordToo) {
    EXPECT_EQ(rule_text(GrowRandom{true}), "random(allow_removed=1,share=1)");
    EXPECT_EQ(rule_text(GrowRandom{}), "random(allow_removed=0,share=1)");
    const auto allows = [](const char* text) { return std::get<GrowRandom>(parse_rule<GrowRule>(text)).allow_removed; };
    EXPECT_TRUE(allows("random(allow_removed=1)"));
    EXPECT_TRUE(allows("random(allow_removed=true)"));
    EXPECT_FALSE(allows("random(allow_removed=0)"));
    EXPECT_FALSE(allows("random(allow_removed=false)"));
    for (const char* wrong : {"2", "-1", "yes", "", "01", "1.0"}) {
        EXPECT_THAT(usage_error<GrowRule>("random(allow_removed=" + std::string(wrong) + ")"),
                    HasSubstr("allow_removed=" + std::string(wrong) + " is not 0, 1, false or true"));
    }
}

TEST(Rules, NumbersAreReadWholeOrNotAtAll) {
    EXPECT_EQ(number_from<int>("-12"), -12);
    EXPECT_EQ(number_from<std::uint32_t>("4294967295"), 4294967295U);
    EXPECT_EQ(number_from<double>("1e3"), 1000.0);
    for (const char* text : {"", " 1", "1 ", "1x", "+1", "0x10", "4294967296", "-1"}) {
        EXPECT_FALSE(number_from<std::uint32_t>(text).has_value()) << "'" << text << "'";
    }
    EXPECT_FALSE(number_from<double>("1,5").has_value());
    EXPECT_FALSE(number_from<double>("1e999").has_value());
}

TEST(Rules, BytesAreNamedInTheLargestUnitThatFits) {
    EXPECT_EQ(bytes_text(0, 1), "0 bytes");
    EXPECT_EQ(bytes_text(1023, 2), "1023 bytes");
    EXPECT_EQ(bytes_text(1536, 1), "1.5 KiB");
    EXPECT_EQ(bytes_text(std::uint64_t{5} << 50, 2), "5120.00 TiB");
}

TEST(Rules, CadencesAreDueAsTheySay) {
    const auto before = [](std::uint32_t step) {
        return EvolutionMoment{false, step / 50, step, Stream{5, Purpose::evolve, 1, step}};
    };
    const EvolutionMoment after_epoch{true, 0, 50, Stream{5, Purpose::evolve, 0, 0}};
    EXPECT_TRUE(due(EveryEpoch{}, after_epoch));
    EXPECT_FALSE(due(EverySteps{50}, after_epoch));
    EXPECT_FALSE(due(ByChance{1}, after_epoch));
    EXPECT_FALSE(due(NeverEvolve{}, after_epoch));
    int by_chance = 0;
    for (std::uint32_t step = 0; step < 4000; ++step) {
        EXPECT_FALSE(due(EveryEpoch{}, before(step)));
        EXPECT_FALSE(due(NeverEvolve{}, before(step)));
        EXPECT_EQ(due(EverySteps{41}, before(step)), step == 0 ? false : step % 41 == 0) << step;
        by_chance += due(ByChance{0.25}, before(step)) ? 1 : 0;
    }
    EXPECT_NEAR(by_chance, 1000, 4.5 * std::sqrt(4000 * 0.25 * 0.75));
}

double at(const std::string& text, double epoch, double epochs) {
    return scheduled(parse_schedule(text), epoch, epochs);
}

TEST(Schedules, HandComputedPoints) {
    EXPECT_EQ(at("0.3", 17, 20), 0.3);
    EXPECT_EQ(at("constant(value=0.3)", 17, 20), 0.3);
    // 0.8 * 0.5^floor(epoch / 10)
    EXPECT_EQ(at("step(value=0.8,every=10,factor=0.5)", 0, 100), 0.8);
    EXPECT_EQ(at("step(value=0.8,every=10,factor=0.5)", 9.999, 100), 0.8);
    EXPECT_EQ(at("step(value=0.8,every=10,factor=0.5)", 10, 100), 0.4);
    EXPECT_EQ(at("step(value=0.8,every=10,factor=0.5)", 35, 100), 0.1);
    // 0.1 + 0.4 (1 + cos(pi e / 8)): 0.9, 0.5, 0.1; at a third of the way cos = 1/2
    EXPECT_DOUBLE_EQ(at("cosine(value=0.9,end=0.1)", 0, 8), 0.9);
    EXPECT_DOUBLE_EQ(at("cosine(value=0.9,end=0.1)", 4, 8), 0.5);
    EXPECT_DOUBLE_EQ(at("cosine(value=0.9,end=0.1)", 8, 8), 0.1);
    EXPECT_DOUBLE_EQ(at("cosine(value=0.9,end=0.1)", 3, 9), 0.7);
    EXPECT_DOUBLE_EQ(at("cosine(value=0.9,end=0.1)", 80, 8), 0.1) << "stays at its end";
    EXPECT_DOUBLE_EQ(at("linear(value=1,end=0.5)", 0, 10), 1);
    EXPECT_DOUBLE_EQ(at("linear(value=1,end=0.5)", 4, 10), 0.8);
    EXPECT_DOUBLE_EQ(at("linear(value=1,end=0.5)", 11, 10), 0.5);
    EXPECT_DOUBLE_EQ(at("exponential(value=2,factor=0.5)", 0, 10), 2);
    EXPECT_DOUBLE_EQ(at("exponential(value=2,factor=0.5)", 3, 10), 0.25);
    EXPECT_DOUBLE_EQ(at("exponential(value=2,factor=0.25)", 0.5, 10), 1);
}

TEST(Schedules, BeginAndFinishWhereTheyAreTold) {
    // a third of the way from epoch 2 to 8 at epoch 4
    EXPECT_DOUBLE_EQ(at("cosine(value=0.9,end=0.1,begin=2,finish=8)", 1, 10), 0.9);
    EXPECT_DOUBLE_EQ(at("cosine(value=0.9,end=0.1,begin=2,finish=8)", 4, 10), 0.7);
    EXPECT_DOUBLE_EQ(at("cosine(value=0.9,end=0.1,begin=2,finish=8)", 9, 10), 0.1);
    EXPECT_DOUBLE_EQ(at("linear(value=1,end=0.4,begin=2,finish=8)", 4, 10), 0.8);
    EXPECT_DOUBLE_EQ(at("linear(value=1,end=0.4,begin=2)", 6, 10), 0.7) << "finishes with the run";
    // 0.2 + 0.8 (1 - t)^3: t = 1/2 leaves an eighth
    EXPECT_DOUBLE_EQ(at("cubic(value=1,end=0.2,begin=2,finish=8)", 2, 10), 1);
    EXPECT_DOUBLE_EQ(at("cubic(value=1,end=0.2,begin=2,finish=8)", 5, 10), 0.3);
    EXPECT_DOUBLE_EQ(at("cubic(value=1,end=0.2,begin=2,finish=8)", 8.5, 10), 0.2);
    EXPECT_DOUBLE_EQ(at("cubic(value=1,end=0.2)", 10, 10), 0.2);
    // a logistic curve: ends exact, halfway exactly between, the rest mirrored
    EXPECT_DOUBLE_EQ(at("sigmoid(value=1,end=0.2,begin=2,finish=8)", 2, 10), 1);
    EXPECT_DOUBLE_EQ(at("sigmoid(value=1,end=0.2,begin=2,finish=8)", 5, 10), 0.6);
    EXPECT_DOUBLE_EQ(at("sigmoid(value=1,end=0.2,begin=2,finish=8)", 8, 10), 0.2);
    const double logistic = (1 / (1 + std::exp(-6.0 * 0.25)) - 1 / (1 + std::exp(3.0))) /
                            (1 / (1 + std::exp(-3.0)) - 1 / (1 + std::exp(3.0)));
    EXPECT_NEAR(at("sigmoid(value=1,end=0,steepness=6)", 2.5, 10), logistic, 1e-12);
    EXPECT_DOUBLE_EQ(at("stages(value=0.2,factor=0.5,first=3,second=7)", 2.9, 10), 0.2);
    EXPECT_DOUBLE_EQ(at("stages(value=0.2,factor=0.5,first=3,second=7)", 3, 10), 0.1);
    EXPECT_DOUBLE_EQ(at("stages(value=0.2,factor=0.5,first=3,second=7)", 9, 10), 0.05);
    EXPECT_DOUBLE_EQ(at("stages(value=0.2,factor=0.5,first=3,second=7,third=8)", 9, 10), 0.025);
}

TEST(Schedules, EveryOneWarmsUpLinearlyFromZero) {
    for_each_alternative<Schedule>([](auto rule) {
        rule.value = 0.5;
        const auto plain = [&](double epoch) { return scheduled(rule, epoch, 20); };
        auto warmed = rule;
        warmed.warmup = 4;
        EXPECT_EQ(scheduled(warmed, 0, 20), 0) << rule.name;
        EXPECT_DOUBLE_EQ(scheduled(warmed, 1, 20), plain(1) / 4) << rule.name;
        EXPECT_DOUBLE_EQ(scheduled(warmed, 3, 20), plain(3) * 3 / 4) << rule.name;
        EXPECT_EQ(scheduled(warmed, 4, 20), plain(4)) << rule.name;
        EXPECT_EQ(scheduled(warmed, 19, 20), plain(19)) << rule.name;
    });
}

TEST(Schedules, TextForms) {
    EXPECT_EQ(schedule_text(parse_schedule(" 0.01 ")), "0.01");
    EXPECT_EQ(schedule_text(Constant{0.01, 2}), "constant(value=0.01,warmup=2)");
    for_each_alternative<Schedule>(
        [](const auto& rule) { EXPECT_EQ(schedule_text(parse_schedule(schedule_text(rule))), schedule_text(rule)); });
    for (const char* wrong : {"nan", "inf", "-inf", "1e31", "1e999", "fast", "0.1x", ""}) {
        EXPECT_THROW(parse_schedule(wrong), UserError) << wrong;
    }
}

}  // namespace
}  // namespace espalier
