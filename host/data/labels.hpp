// Labels as files have them, numbers or texts, and the classes they stand for. Classes are the labels of the training
// samples in order: of whole numbers by value, of texts by spelling; 1, 2, 5 or "cat", "dog" become classes 0, 1, 2.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace espalier {

/// The bound keeps a column of measurements from being taken for one of labels.
inline constexpr std::size_t max_classes = 65536;

struct LabelTable {
    std::vector<std::int32_t> codes;   // [samples], places in `names`
    std::vector<std::string> names;    // in order of their first appearance; whole numbers as std::to_string writes them
    std::vector<std::uint64_t> first;  // where each name first stood: a line, or a sample's index; empty names: none
};

/// Builds a LabelTable, label by label.
class LabelCollector {
public:
    /// False if there would be more than max_classes names; the label is then not added.
    bool add(std::string_view name, std::uint64_t place);
    void reserve(std::size_t samples) { table_.codes.reserve(samples); }
    [[nodiscard]] std::size_t size() const { return table_.codes.size(); }
    [[nodiscard]] LabelTable take() { return std::move(table_); }

private:
    LabelTable table_;
    std::unordered_map<std::string, std::int32_t> codes_;
    std::string key_;
};

/// The name of a class written as a number: "3" for 3.0; nothing for what is no whole number.
std::optional<std::string> label_name(double value);

/// Names in the order of their classes.
std::vector<std::string> classes_in_order(std::vector<std::string> names);

/// True for "0", "1", ... in this order: labels that are class numbers already.
bool are_class_numbers(const std::vector<std::string>& classes);

/// "0 = cat, 1 = dog, ..." with at most `most` of them.
std::string list_classes(const std::vector<std::string>& classes, std::size_t most = 8);

/// The classes' numbers of the samples. A name that no class has is returned in `unknown` (its place in table.names).
std::vector<std::int32_t> class_numbers(const LabelTable& table, const std::vector<std::string>& classes,
                                        std::optional<std::size_t>& unknown);

}  // namespace espalier
