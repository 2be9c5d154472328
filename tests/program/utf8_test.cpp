#include "host/system/utf8.hpp"

#include <gtest/gtest.h>


namespace espalier {
namespace {

TEST(Utf8, WhatIsValidStays) {
    for (const std::string text : {"", "plain", "caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8c\xb3", "back\\slash", "\\xzz"}) {
        EXPECT_EQ(valid_utf8(text), text);
    }
}

TEST(Utf8, EveryOtherByteIsEscaped) {
    EXPECT_EQ(valid_utf8("donn\xe9" "es.csv"), "donn\\xe9es.csv");
    const std::pair<std::string, std::string> cases[] = {
        {"\x80", "\\x80"},                       // a continuation without a beginning
        {"\xc3", "\\xc3"},                       // cut off
        {"\xc0\xaf", "\\xc0\\xaf"},              // overlong
        {"\xe0\x80\x80", "\\xe0\\x80\\x80"},     // overlong
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},     // a surrogate
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // beyond U+10FFFF
        {"\xff" "a\xc3\xa9", "\\xff" "a\xc3\xa9"}};
    for (const auto& [bytes, text] : cases) {
        EXPECT_EQ(valid_utf8(bytes), text);
    }
}

TEST(Utf8, JsonOfAnyBytesIsValid) {
    const std::string text = json_text(nlohmann::ordered_json{{"b\xe9", {"\xe9", 1}}, {"a", "\xc3\xa9"}});
    EXPECT_EQ(text, "{\"b\\\\xe9\":[\"\\\\xe9\",1],\"a\":\"\xc3\xa9\"}");
    EXPECT_TRUE(nlohmann::json::accept(text));
}

}  // namespace
}  // namespace espalier
