#include "host/options/config_lines.hpp"

#include <gtest/gtest.h>

#include "espalier/error.hpp"
#include "host/options/config_text.hpp"
#include "host/system/utf8.hpp"

namespace espalier {
namespace {

using Values = std::vector<std::string>;

Values values_of(const std::string& text) {
    const std::vector<ConfigLine> lines = read_config_lines("key = " + text + "\n", "test");
    return lines.size() == 1 && lines[0].name == "key" ? lines[0].values : Values{"not one line"};
}

std::string refusal(const std::string& text) {
    try {
        read_config_lines(text, "test");
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        return error.what();
    }
    return "";
}

TEST(ConfigLines, WordsStringsAndLists) {
    EXPECT_EQ(values_of("0.1"), Values{"0.1"});
    EXPECT_EQ(values_of("a#b  # a comment"), Values{"a#b"});
    EXPECT_EQ(values_of("784 100"), (Values{"784", "100"}));
    EXPECT_EQ(values_of("a b, c"), (Values{"a b", "c"}));
    EXPECT_EQ(values_of("\"a # b, [c]\" # d"), Values{"a # b, [c]"});
    EXPECT_EQ(values_of(R"('C:\new "x"')"), Values{R"(C:\new "x")"});
    EXPECT_EQ(values_of(R"("say \"\\\" \t\x41\u00e9\u20ac C:\q")"), Values{"say \"\\\" \tA\xc3\xa9\xe2\x82\xac C:\\q"});
    EXPECT_EQ(values_of("[1, \"b ]\",\n  # within\n  'c',\n]"), (Values{"1", "b ]", "c"}));
    EXPECT_EQ(values_of("[]"), Values{});
    EXPECT_EQ(values_of(""), Values{""});
}

TEST(ConfigLines, SectionsNamesAndSwitches) {
    const auto lines = read_config_lines("# head\n; old\n a = 1\r\nswitch\n[ row 1.5, b ] # c\n\n\"quoted\"=2", "test");
    ASSERT_EQ(lines.size(), 4U);
    EXPECT_EQ(lines[0].name, "a");
    EXPECT_EQ(lines[0].values, Values{"1"});
    EXPECT_EQ(lines[1].values, Values{"true"});
    EXPECT_EQ(lines[2].section, "row 1.5, b");
    EXPECT_EQ(lines[2].name, "");
    EXPECT_EQ(lines[3].name, "quoted");
    EXPECT_EQ(lines[3].section, "row 1.5, b");
    EXPECT_EQ(lines[3].line, 7U);
}

TEST(ConfigLines, WhatIsWrongIsSaidWithItsLine) {
    EXPECT_EQ(refusal("a = 1\nb = \"x"), "test: line 2: a string lacks its closing \"");
    EXPECT_EQ(refusal("b = 'x"), "test: line 1: a string lacks its closing '");
    EXPECT_EQ(refusal("b = \"x\"y"), "test: line 1: something follows the closing quotation mark of 'x'");
    EXPECT_EQ(refusal("\nb = [1,\n2"), "test: line 3: the list that begins in line 2 lacks its ]");
    EXPECT_EQ(refusal("b = [1] 2"), "test: line 1: something follows the ] of a list");
    EXPECT_EQ(refusal("[a"), "test: line 1: '[a' is no section; expected [name]");
    EXPECT_EQ(refusal(" = 2"), "test: line 1: an equals sign without a name before it; expected name = value");
}

TEST(ConfigLines, AConfigIsUtf8AndReadsBackToTheSameBytes) {
    for (const std::string name : {"donn\xe9" "es #1.csv", "a\"b\\c\\xe9", "two\nlines\x7f", "\xc3\xa9 [x], y", "'"}) {
        Experiment experiment;
        experiment.dataset = "csv:" + name + ",b.csv";
        const std::string text = config_text(experiment);
        EXPECT_EQ(valid_utf8(text), text);
        Experiment read;
        apply(parse_config(text, "test"), "test", read);
        EXPECT_EQ(read.dataset, experiment.dataset);
    }
}

}  // namespace
}  // namespace espalier
