#include "host/formats/safetensors_header.hpp"

#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace espalier {

namespace {

/// Walks over the text and lets others see how far the parser has read.
class WatchedIterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    WatchedIterator(const char* at, const char** seen) : at_(at), seen_(seen) {}
    reference operator*() const { return *at_; }
    WatchedIterator& operator++() {
        *seen_ = ++at_;
        return *this;
    }
    bool operator==(const WatchedIterator& other) const { return at_ == other.at_; }
    bool operator!=(const WatchedIterator& other) const { return at_ != other.at_; }

private:
    const char* at_;
    const char** seen_;
};

/// {"__metadata__": {text: text, ...}, tensor name: {"dtype": text, "shape": [...], "data_offsets": [begin, end]}, ...}
class HeaderReader {
public:
    explicit HeaderReader(SafetensorsHeader& header) : header_(header) {}

    bool key(std::string& text) {
        key_ = text;
        if (place_ == Place::header) {
            if (key_ != metadata_key) name_ = key_;
            return names_.insert(key_).second || refuse("'" + key_ + "' appears twice");
        }
        if (place_ == Place::tensor && key_ != "dtype" && key_ != "shape" && key_ != "data_offsets") {
            return refuse("tensor '" + name_ + "' has an unknown field '" + key_ + "'");
        }
        return fields_.insert(key_).second || refuse("'" + key_ + "' appears twice in '" + owner() + "'");
    }

    bool start_object(std::size_t /*size*/) {
        if (place_ == Place::outside) return enter(Place::header);
        if (place_ != Place::header) return refuse("an object is nested in '" + owner() + "', where none belongs");
        fields_.clear();
        if (key_ == metadata_key) return enter(Place::metadata);
        tensor_ = {};
        offsets_.clear();
        return enter(Place::tensor);
    }

    bool end_object() {
        if (place_ == Place::header) return enter(Place::outside);
        if (place_ == Place::tensor) {
            if (fields_.size() != 3) return refuse("tensor '" + name_ + "' lacks one of dtype, shape, data_offsets");
            tensor_.begin = offsets_.at(0);
            tensor_.end = offsets_.at(1);
            header_.tensors[name_] = tensor_;
        }
        return enter(Place::header);
    }

    bool start_array(std::size_t /*size*/) {
        if (place_ == Place::tensor && key_ == "shape") return enter(Place::shape);
        if (place_ == Place::tensor && key_ == "data_offsets") return enter(Place::offsets);
        return refuse("a list stands where none belongs, in '" + owner() + "'");
    }

    bool end_array() {
        if (place_ == Place::offsets && offsets_.size() != 2) {
            return refuse("tensor '" + name_ + "': expected 2 data_offsets, found " + std::to_string(offsets_.size()));
        }
        return enter(Place::tensor);
    }

    bool number_unsigned(std::uint64_t number) {
        if (place_ == Place::shape) {
            if (tensor_.shape.size() == largest_rank) return refuse("tensor '" + name_ + "' has too many dimensions");
            tensor_.shape.push_back(number);
            return true;
        }
        if (place_ == Place::offsets) {
            if (offsets_.size() == 2) return refuse("tensor '" + name_ + "' has more than 2 data_offsets");
            offsets_.push_back(number);
            return true;
        }
        return misplaced("a number");
    }

    bool string(std::string& text) {
        if (place_ == Place::metadata) {
            header_.metadata[key_] = text;
            return true;
        }
        if (place_ == Place::tensor && key_ == "dtype") {
            tensor_.type = text;
            return true;
        }
        return misplaced("a text");
    }

    bool null() { return misplaced("null"); }
    bool boolean(bool /*value*/) { return misplaced("true or false"); }
    bool number_integer(std::int64_t /*number*/) { return misplaced("a negative number"); }
    bool number_float(double /*number*/, const std::string& /*text*/) {
        return misplaced("a fraction or a number beyond 64 bits");
    }
    bool binary(std::vector<std::uint8_t>& /*bytes*/) { return misplaced("a binary value"); }
    bool parse_error(std::size_t /*position*/, const std::string& token, const nlohmann::detail::exception& /*why*/) {
        return refuse("expected valid JSON, found '" + token.substr(0, 40) + "'");
    }

private:
    enum class Place { outside, header, metadata, tensor, shape, offsets };
    static constexpr std::string_view metadata_key = "__metadata__";
    static constexpr std::size_t largest_rank = 16;

    bool enter(Place place) {
        place_ = place;
        return true;
    }
    bool refuse(const std::string& fault) {
        header_.fault = "safetensors header: " + fault;
        return false;
    }
    bool misplaced(const std::string& found) {
        return refuse(found + " stands where it does not belong, in '" + owner() + "'");
    }
    [[nodiscard]] std::string owner() const {
        return place_ == Place::metadata ? std::string(metadata_key) : place_ == Place::header ? key_ : name_;
    }

    SafetensorsHeader& header_;
    Place place_ = Place::outside;
    std::string key_;               // the last one read
    std::string name_;              // of the tensor being read
    std::set<std::string> names_;   // keys of the header so far
    std::set<std::string> fields_;  // keys of the inner object so far
    TensorEntry tensor_;
    std::vector<std::uint64_t> offsets_;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(const std::string& text) {
    SafetensorsHeader header;
    const char* seen = text.data();
    if (text.front() != '{') {
        header.fault = "safetensors header: expected '{', found byte " +
                       std::to_string(static_cast<unsigned>(static_cast<unsigned char>(text.front())));
        return header;
    }
    HeaderReader reader(header);
    const WatchedIterator begin(text.data(), &seen);
    const WatchedIterator end(text.data() + text.size(), &seen);
    nlohmann::json::sax_parse(begin, end, &reader);
    header.fault_offset = static_cast<std::uint64_t>(seen - text.data());
    return header;
}

}  // namespace espalier
