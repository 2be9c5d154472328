#include "host/formats/network_file.hpp"
#include "files.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "espalier/error.hpp"
#include "file_size_limit.hpp"
#include "host/formats/sha256.hpp"
#include "host/formats/safetensors.hpp"
#include "same_network.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;

/// Overwrites one byte in place, which is far quicker than writing the file anew.
void patch(const fs::path& path, std::size_t at, char byte) {
    std::fstream stream(path, std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(static_cast<std::streamoff>(at));
    stream.put(byte);
    ASSERT_TRUE(stream.flush().good());
}

std::string with_header(const std::string& header, const std::string& data = "") {
    const std::uint64_t length = header.size();
    return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

/// The error of loading `path`; must be one of a network file.
std::string network_refusal(const fs::path& path) {
    try {
        (void)load_network(path);
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::checkpoint) << error.what();
        EXPECT_NE(std::string(error.what()).find(path.string()), std::string::npos) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "loaded";
    return {};
}

/// The bytes with the checksum in their last 32 made right.
std::string sealed(std::string bytes) {
    Sha256 digest;
    digest.update(bytes.data(), bytes.size() - 32);
    const auto checksum = digest.bytes();
    std::memcpy(bytes.data() + bytes.size() - 32, checksum.data(), checksum.size());
    return bytes;
}

std::size_t files_in(const fs::path& folder) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

class NetworkFile : public testing::Test {
protected:
    TemporaryFolder temporary_;
    fs::path path_ = temporary_.path() / "network.safetensors";

    /// Saves the example with its header changed by `change`.
    void save_changed(const std::function<void(nlohmann::ordered_json&)>& change) {
        save_network(path_, example_network(), {});
        const std::string bytes = text_of(path_);
        std::uint64_t length = 0;
        std::memcpy(&length, bytes.data(), sizeof length);
        auto header = nlohmann::ordered_json::parse(bytes.substr(8, length));
        change(header);
        write_file(path_, sealed(with_header(header.dump(), bytes.substr(8 + length))));
    }
};

TEST_F(NetworkFile, RoundTrip) {
    const NetworkMetadata metadata{{"experiment", "seed = 1\nrecipe = \"x\"\n"}, {"epochs", "20"}, {"empty", ""}};
    save_network(path_, example_network(), metadata);
    NetworkMetadata read;
    const Network network = load_network(path_, &read);
    EXPECT_TRUE(same_arrays(network, example_network()));
    EXPECT_EQ(read, metadata);
    ASSERT_EQ(network.layers.size(), 3U);
    for (std::size_t l = 0; l < 3; ++l) {
        EXPECT_EQ(network.layers[l].num_inputs, example_network().layers[l].num_inputs);
        EXPECT_EQ(network.layers[l].num_outputs, example_network().layers[l].num_outputs);
        EXPECT_EQ(rule_text(network.layers[l].activation), rule_text(example_network().layers[l].activation));
    }
    EXPECT_EQ(files_in(temporary_.path()), 1U);
}

TEST_F(NetworkFile, EqualNetworksGiveEqualBytes) {
    save_network(path_, example_network(), {{"b", "2"}, {"a", "1"}});
    const std::string first = text_of(path_);
    save_network(path_, load_network(path_), {{"a", "1"}, {"b", "2"}});
    EXPECT_EQ(text_of(path_), first);
}

TEST_F(NetworkFile, EveryTruncationIsRefused) {
    save_network(path_, example_network(), {{"key", "value"}});
    const std::string bytes = text_of(path_);
    for (std::size_t size = bytes.size(); size-- > 0;) {
        fs::resize_file(path_, size);
        EXPECT_FALSE(network_refusal(path_).empty()) << size;
    }
    write_file(path_, bytes + '\0');
    EXPECT_NE(network_refusal(path_).find("appended"), std::string::npos);
}

TEST_F(NetworkFile, EveryFlippedByteIsRefused) {
    save_network(path_, example_network(), {{"key", "value"}});
    const std::string bytes = text_of(path_);
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        for (const int mask : {0x01, 0x20, 0xFF}) {
            patch(path_, at, static_cast<char>(bytes[at] ^ mask));
            EXPECT_FALSE(network_refusal(path_).empty()) << at << " mask " << mask;
        }
        patch(path_, at, bytes[at]);
    }
    EXPECT_TRUE(same_arrays(load_network(path_), example_network()));
}

// Whoever makes a wrong file also makes its checksum right: the checks behind it still hold.
TEST_F(NetworkFile, EveryFlippedByteOfTheDataUnderARightChecksumIsReadOrRefused) {
    save_network(path_, example_network(), {});
    const std::string bytes = text_of(path_);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    for (std::size_t at = 8 + length; at < bytes.size() - 32; ++at) {
        std::string changed = bytes;
        changed[at] = static_cast<char>(~changed[at]);
        write_file(path_, sealed(changed));
        try {
            for (const Layer& layer : load_network(path_).layers) {
                EXPECT_EQ(layer.is_sparse() ? fault(*layer.topology) : "", "");
            }
        } catch (const UserError& error) {
            EXPECT_EQ(error.code(), ExitCode::checkpoint) << error.what();
            EXPECT_EQ(std::string(error.what()).find("checksum"), std::string::npos) << error.what();
        }
    }
}

TEST_F(NetworkFile, HostileHeaders) {
    const std::string tensor = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
    const std::pair<std::string, std::string> cases[] = {
        {with_header("{" + tensor + "," + tensor + "}", "x"), "'a' appears twice"},
        {with_header(R"({"__metadata__":{},"__metadata__":{}})"), "'__metadata__' appears twice"},
        {with_header(R"({"__metadata__":{"k":"1","k":"2"}})"), "'k' appears twice"},
        {with_header(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"), "appears twice"},
        {with_header(R"({"a":{"dtype":"U8","shape":[1]}})", "x"), "lacks one of"},
        {with_header(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"extra":1}})", "x"), "unknown field"},
        {with_header(R"({"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})", "x"), "a list stands"},
        {with_header(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", "x"), "a negative number"},
        {with_header(R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})", "x"), "a fraction"},
        {with_header(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", "x"), "expected 2 data_offsets"},
        {with_header(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", "x"), "more than 2"},
        {with_header(R"({"a":{"dtype":"Q8","shape":[1],"data_offsets":[0,1]}})", "x"), "impossible size"},
        {with_header(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}})", "x"), "take 2 bytes"},
        {with_header(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", "x"), "do not fit"},
        {with_header(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})"), "impossible"},
        {with_header(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}})"),
         "cut short"},
        {with_header("{" + tensor + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})", "xxx"), "offset 1 of"},
        {with_header("{" + tensor + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"), "offset 1 of"},
        {with_header("{" + tensor + "}", "xy"), "appended"},
        {with_header("{" + tensor + "}"), "cut short"},
        {with_header("[" + tensor + "]", "x"), "expected '{'"},
        {with_header("{" + tensor + "} {}", "x"), "valid JSON"},
        {with_header(R"({"__metadata__":{"k":{"deep":"er"}}})"), "nested"},
        {with_header("{\"a\":" + std::string(100'000, '[')), "a list stands"},
        {with_header("{" + tensor + "}", "x"), "expected the format"},
        {std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), "found 18446744073709551615"},
        {std::string(8, '\0'), "expected the length"},
        {"", "found a file of 0 bytes"},
    };
    for (const auto& [bytes, expected] : cases) {
        write_file(path_, bytes);
        EXPECT_NE(network_refusal(path_).find(expected), std::string::npos) << bytes.substr(0, 120) << "\n"
                                                                            << network_refusal(path_);
    }
}

TEST_F(NetworkFile, HeadersThatContradictTheNetwork) {
    using Header = nlohmann::ordered_json;
    const std::pair<std::function<void(Header&)>, std::string> cases[] = {
        {[](Header& h) { h["__metadata__"]["format"] = "espalier-network-3"; }, "expected the format"},
        {[](Header& h) { h["__metadata__"]["format"] = "espalier-network-2"; }, "expected 'model'"},
        {[](Header& h) { h["__metadata__"]["model"] = "rbm"; }, "belongs to no layer"},
        {[](Header& h) { h["__metadata__"]["layers.2.beside"] = "true"; }, "restricted Boltzmann machine"},
        {[](Header& h) { h["__metadata__"]["layers"] = "0"; }, "a number of layers"},
        {[](Header& h) { h["__metadata__"]["layers"] = "4294967295"; }, "layers.4.inputs"},
        {[](Header& h) { h["__metadata__"]["layers"] = "2"; }, "belongs to no layer"},
        {[](Header& h) { h["__metadata__"].erase("layers.2.activation"); }, "layers.2.activation"},
        {[](Header& h) { h["__metadata__"]["layers.2.activation"] = "gelu"; }, "unknown value 'gelu'; expected identity"},
        {[](Header& h) { h["__metadata__"]["layers.2.activation"] = "all-relu(slope=7)"; }, "outside"},
        {[](Header& h) { h["__metadata__"]["layers.1.activation"] = "relu"; }, "belongs to no layer"},
        {[](Header& h) { h["__metadata__"]["layers.1.outputs"] = "3x"; }, "a number of neurons"},
        {[](Header& h) { h["__metadata__"]["layers.1.outputs"] = "4"; }, "expected shape [5], found [4]"},
        {[](Header& h) { h["__metadata__"]["layers.1.inputs"] = "2"; }, "must be below 2"},
        {[](Header& h) { h["__metadata__"]["layers.2.inputs"] = "4"; }, "3 outputs, layer 2 has 4 inputs"},
        {[](Header& h) { h["layers.1.bias"]["dtype"] = "I32"; }, "expected F32, found I32"},
        {[](Header& h) { h["layers.1.column"]["dtype"] = "U32"; }, "expected I32 or I64"},
        {[](Header& h) { h["layers.3.weight"]["shape"] = {4}; }, "expected shape [2, 2], found [4]"},
    };
    for (const auto& [change, expected] : cases) {
        save_changed(change);
        EXPECT_NE(network_refusal(path_).find(expected), std::string::npos) << expected << "\n"
                                                                            << network_refusal(path_);
    }
}

TEST_F(NetworkFile, WideIndicesAndForeignTensorsAreAccepted) {
    const std::vector<std::int64_t> row_start{0, 1, 2};
    const std::vector<std::int64_t> column{1, 0};
    const std::vector<float> values{1, 2};
    const auto raw = [](const auto& items) {
        return [&items](OutputFile& file) { file.write(items.data(), items.size() * sizeof items[0]); };
    };
    const std::vector<TensorSource> tensors{{"layers.1.row_start", "I64", {3}, raw(row_start)},
                                            {"layers.1.column", "I64", {2}, raw(column)},
                                            {"layers.1.weight", "F32", {2}, raw(values)},
                                            {"layers.1.bias", "F32", {2}, raw(values)},
                                            {"foreign", "U8", {8}, raw(values)}};
    std::map<std::string, std::string> metadata{{"format", "espalier-network-1"},
                                                {"layers", "1"},
                                                {"layers.1.inputs", "2"},
                                                {"layers.1.outputs", "2"},
                                                {"layers.1.activation", "relu"}};
    write_safetensors(path_, metadata, tensors);
    EXPECT_EQ(load_network(path_).layers.at(0).topology->column, (std::vector<Index>{1, 0}));

    const std::vector<std::int64_t> negative{-1, 0};
    auto broken = tensors;
    broken[1].write = raw(negative);
    write_safetensors(path_, metadata, broken);
    EXPECT_NE(network_refusal(path_).find("found -1"), std::string::npos);
}

TEST_F(NetworkFile, HoldsWhatAModelHasBesidesItsLayers) {
    Network network = example_network();
    network.model = "rbm";
    network.arrays = {{"visible_bias", {4}, numbers(4, 1), {numbers(4, 9), numbers(4, 19)}},
                      {"chains", {2, 3}, numbers(6, 2), {}}};
    save_network(path_, network, {{"mine", "x"}});
    NetworkMetadata metadata;
    EXPECT_TRUE(same_arrays(load_network(path_, &metadata), network));
    EXPECT_EQ(metadata, (NetworkMetadata{{"mine", "x"}})) << "the format's own keys are not the caller's";
    const SafetensorsFile file(path_);
    EXPECT_EQ(file.metadata().at("format"), "espalier-network-2");
    EXPECT_EQ(file.metadata().at("model"), "rbm");
    EXPECT_EQ(file.tensors().at("arrays.chains").shape, (std::vector<std::uint64_t>{2, 3}));
    EXPECT_TRUE(file.tensors().contains("arrays.visible_bias_state.1"));

    network.arrays[1].values[5] = std::nanf("");
    try {
        save_network(path_, network, {});
        ADD_FAILURE() << "saved";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::nonfinite);
        EXPECT_NE(std::string(error.what()).find("chains[5] is nan"), std::string::npos) << error.what();
    }
}

TEST_F(NetworkFile, NonfiniteWeightsAreNeitherReadNorWritten) {
    save_network(path_, example_network(), {});
    std::string bytes = text_of(path_);
    const float infinity = INFINITY;
    std::memcpy(bytes.data() + bytes.size() - 32 - sizeof infinity, &infinity, sizeof infinity);  // last bias
    bytes = sealed(bytes);
    write_file(path_, bytes);
    const std::string message = network_refusal(path_);
    EXPECT_NE(message.find("offset " + std::to_string(bytes.size() - 36)), std::string::npos) << message;
    EXPECT_NE(message.find("layers.3.bias"), std::string::npos) << message;

    Network network = example_network();
    network.layers[1].weights[1] = std::nanf("");
    try {
        save_network(path_, network, {});
        ADD_FAILURE() << "saved";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::nonfinite);
        EXPECT_NE(std::string(error.what()).find("layer 2: weight[1] is nan"), std::string::npos) << error.what();
    }
    EXPECT_EQ(text_of(path_), bytes);  // the file that was there stays
}

TEST_F(NetworkFile, AFailedSaveLeavesTheOldFileAndNoOther) {
    save_network(path_, example_network(), {});
    const std::string before = text_of(path_);
    Network changed = example_network();
    changed.layers[0].weights[0] = 99;
    for (std::size_t limit = 0; limit < before.size(); limit += 97) {
        ExitCode code = ExitCode::ok;
        std::string message;
        {
            const FileSizeLimit full(limit);
            try {
                save_network(path_, changed, {});
            } catch (const UserError& error) {
                code = error.code();
                message = error.what();
            }
        }
        EXPECT_EQ(code, ExitCode::io) << limit;
        EXPECT_NE(message.find(path_.string() + ": File too large"), std::string::npos) << message;
        EXPECT_EQ(files_in(temporary_.path()), 1U);
        EXPECT_EQ(text_of(path_), before);
    }
    save_network(path_, changed, {});
    EXPECT_EQ(load_network(path_).layers[0].weights[0], 99);
}

TEST_F(NetworkFile, PlacesThatCannotBeWritten) {
    const auto code_of = [](const fs::path& path) {
        try {
            save_network(path, example_network(), {});
        } catch (const UserError& error) {
            return error.code();
        }
        return ExitCode::ok;
    };
    EXPECT_EQ(code_of(temporary_.path() / "missing" / "network.safetensors"), ExitCode::io);
    EXPECT_EQ(code_of(temporary_.path()), ExitCode::io);
    EXPECT_EQ(code_of("/dev/full"), ExitCode::io);
    EXPECT_EQ(code_of("/proc/network.safetensors"), ExitCode::io);  // read-only for root too
    if (geteuid() != 0) {
        fs::permissions(temporary_.path(), fs::perms::owner_read | fs::perms::owner_exec);
        EXPECT_EQ(code_of(path_), ExitCode::io);
        fs::permissions(temporary_.path(), fs::perms::owner_all);
    }
    EXPECT_EQ(files_in(temporary_.path()), 0U);
}

TEST_F(NetworkFile, FilesThatCannotBeRead) {
    EXPECT_NE(network_refusal(temporary_.path() / "none").find("No such file"), std::string::npos);
    EXPECT_NE(network_refusal(temporary_.path()).find("not a regular file"), std::string::npos);
    write_file(path_, "<!DOCTYPE html><html>not found</html>");
    EXPECT_NE(network_refusal(path_).find("another format"), std::string::npos);
}

TEST_F(NetworkFile, ReservedMetadataIsTheProgrammersError) {
    EXPECT_THROW(save_network(path_, example_network(), {{"layers.1.inputs", "7"}}), std::logic_error);
    Network lopsided = example_network();
    lopsided.layers[0].bias.pop_back();
    EXPECT_THROW(save_network(path_, lopsided, {}), std::logic_error);
    EXPECT_EQ(files_in(temporary_.path()), 0U);
}

}  // namespace
}  // namespace espalier
