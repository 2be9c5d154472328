#include "host/report/report.hpp"
#include "files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "espalier/error.hpp"
#include "espalier/dataset.hpp"
#include "host/formats/npy.hpp"
#include "host/data/pixel_statistics.hpp"
#include "host/report/page.hpp"
#include "host/run/run_reader.hpp"
#include "host/report/tables.hpp"
#include "recorded_run.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

void append(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::app) << text; }

std::size_t occurrences(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
    return count;
}

/// The JSON island of a page.
nlohmann::json island(const std::string& page) {
    const std::string open = "<script type=\"application/json\" id=\"data\">";
    const auto begin = page.find(open) + open.size();
    return nlohmann::json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

std::vector<std::uint8_t> from_base64(const std::string& text) {
    static const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::vector<std::uint8_t> bytes;
    std::uint32_t word = 0;
    int bits = 0;
    for (const char letter : text) {
        if (letter == '=') break;
        word = word << 6 | static_cast<std::uint32_t>(letters.find(letter));
        if ((bits += 6) >= 8) bytes.push_back(static_cast<std::uint8_t>(word >> (bits -= 8)));
    }
    return bytes;
}

/// Palette indices of a PNG as this program writes them: one IDAT, no filters.
std::vector<std::uint8_t> png_pixels(const std::string& png, Index* width) {
    const auto number = [&](std::size_t at) {
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<std::uint8_t>(png.at(at + i));
        return value;
    };
    *width = number(16);
    const Index height = number(20);
    const auto data = png.find("IDAT");
    std::string rows(std::size_t{height} * (*width + 1), '\0');
    uLongf size = rows.size();
    EXPECT_EQ(uncompress(reinterpret_cast<Bytef*>(rows.data()), &size,
                         reinterpret_cast<const Bytef*>(png.data()) + data + 4, number(data - 4)),
              Z_OK);
    std::vector<std::uint8_t> pixels;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (i % (*width + 1) != 0) pixels.push_back(static_cast<std::uint8_t>(rows[i]));
    }
    return pixels;
}

TEST(Report, TheGoldenMapDecodesToTheCounts) {
    const TemporaryFolder temporary;
    const RecordedRunOptions options{.epochs = 10};
    const fs::path out = temporary.path() / "page.html";
    EXPECT_TRUE(write_report({record_run(temporary.path() / "run", options)}, out).empty());

    const auto run = island(text_of(out))["maps"].at(0);
    const auto frames = from_base64(run["frames"]);
    ASSERT_EQ(run["epochs"].size(), 11U);
    ASSERT_EQ(frames.size(), 11U * 144);
    const auto highest = run["highest"].get<std::uint32_t>();
    std::uint32_t largest = 0;
    for (std::uint32_t moment = 0; moment <= 10; ++moment) {
        const auto counts = recorded_degrees(options, moment);
        for (std::size_t i = 0; i < 144; ++i) ASSERT_EQ(frames[moment * 144 + i], counts[i]) << moment << ' ' << i;
        largest = std::max(largest, *std::max_element(counts.begin(), counts.end()));
    }
    EXPECT_EQ(highest, largest);

    const auto counts = recorded_degrees(options, 10);
    Index width = 0;
    const auto pixels = png_pixels(text_of(temporary.path() / "page-figures" / "heat-map-run-epoch-00010.png"), &width);
    constexpr std::size_t zoom = 280 / 12, margin = 10, shades = 253;  // of a framed map
    for (std::size_t i = 0; i < 144; ++i) {
        const std::uint32_t shade =
            pixels[(margin + i / 12 * zoom + zoom / 2) * width + margin + i % 12 * zoom + zoom / 2];
        EXPECT_EQ((shade * highest + shades / 2) / shades, counts[i]) << i;
    }
    const auto rows = lines_of(temporary.path() / "page-figures" / "heat-map-run-epoch-00010.csv");
    ASSERT_EQ(rows.size(), 13U);
    EXPECT_EQ(rows[0], "x0,x1,x2,x3,x4,x5,x6,x7,x8,x9,x10,x11");
    std::string first_row;
    for (std::size_t x = 0; x < 12; ++x) first_row += (x == 0 ? "" : ",") + std::to_string(counts[x]);
    EXPECT_EQ(rows[1], first_row);
}

TEST(Report, IsSelfContainedAndComplete) {
    const TemporaryFolder temporary;
    const fs::path out = temporary.path() / "report.html";
    write_report({record_run(temporary.path() / "run", {})}, out);
    const std::string page = text_of(out);
    EXPECT_EQ(page.substr(0, 15), "<!doctype html>");
    for (const char* from_elsewhere : {"src=\"http", "href=\"http", "@import", "url(h", "url(/", "fetch(", "{{", "}}<"}) {
        EXPECT_THAT(page, Not(HasSubstr(from_elsewhere)));
    }
    for (const char* chart : {"loss", "accuracy", "confidence", "replaced", "contrast", "trend-run", "rings-run",
                              "degrees-layer1-inputs", "degrees-layer1-outputs", "weights-layer1", "weights-layer2"}) {
        EXPECT_EQ(occurrences(page, "data-chart=\"" + std::string(chart) + "\""), 1U) << chart;
        const std::string svg = text_of(temporary.path() / "report-figures" / (std::string(chart) + ".svg"));
        EXPECT_THAT(svg, testing::StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\""));
        EXPECT_THAT(svg, HasSubstr("<style>"));
        EXPECT_GT(lines_of(temporary.path() / "report-figures" / (std::string(chart) + ".csv")).size(), 2U) << chart;
    }
    EXPECT_THAT(page, HasSubstr("The page holds 7 of 7 recorded moments"));
    EXPECT_THAT(page, HasSubstr("dataset = &quot;synthetic&quot;"));

    // Every link leads to a file, and the index lists every file.
    std::set<std::string> files{"index.csv"}, there;
    for (const std::string& line : lines_of(temporary.path() / "report-figures" / "index.csv")) {
        if (line != "file,title") files.insert(line.substr(0, line.find(',')));
    }
    for (const auto& entry : fs::directory_iterator(temporary.path() / "report-figures"))
        there.insert(entry.path().filename());
    EXPECT_EQ(files, there);
    for (auto at = page.find("href=\"report-figures/"); at != std::string::npos;
         at = page.find("href=\"report-figures/", at + 1)) {
        const std::string link = page.substr(at + 21, page.find('"', at + 6) - at - 21);
        EXPECT_TRUE(there.contains(link)) << link;
    }
}

TEST(Report, TheDataOfAChartAreTheHistory) {
    const TemporaryFolder temporary;
    const fs::path run = record_run(temporary.path() / "run", {.epochs = 3});
    write_report({run}, temporary.path() / "report.html");
    const auto rows = lines_of(temporary.path() / "report-figures" / "loss.csv");
    const auto history = read_run_folder(run).history;
    ASSERT_EQ(rows.size(), 7U);
    EXPECT_EQ(rows[0], "series,epoch,loss");
    for (std::size_t e = 0; e < 3; ++e) {
        const std::string epoch = std::to_string(e + 1) + ".0";  // a column has one type: real numbers
        EXPECT_EQ(rows[1 + e].substr(0, 9), "test," + epoch + ",");
        EXPECT_EQ(std::stod(rows[1 + e].substr(9)), history.at("test_loss")[e]);
        EXPECT_EQ(std::stod(rows[4 + e].substr(10)), history.at("train_loss")[e]);
    }
}

TEST(Report, JudgesPlantedRunsAndComparesThem) {
    const TemporaryFolder temporary;
    std::vector<fs::path> runs;
    for (const std::uint64_t seed : {1U, 2U, 3U}) {
        runs.push_back(record_run(temporary.path() / ("positive" + std::to_string(seed)),
                                  {.more_config = "weight-decay = 0.01\n", .seed = seed, .drift = 0.6}));
        runs.push_back(
            record_run(temporary.path() / ("negative" + std::to_string(seed)), {.seed = seed, .drift = -0.6}));
    }
    EXPECT_TRUE(write_report(runs, temporary.path() / "report.html").empty());
    const auto rows = lines_of(temporary.path() / "report-figures" / "summary.csv");
    ASSERT_EQ(rows.size(), 7U);
    for (std::size_t r = 1; r < 7; ++r) {
        EXPECT_THAT(rows[r], HasSubstr(rows[r].starts_with("positive") ? ",positive," : ",negative,"));
    }
    const auto seeds = lines_of(temporary.path() / "report-figures" / "seeds.csv");
    ASSERT_EQ(seeds.size(), 3U);
    EXPECT_THAT(seeds[1], testing::AllOf(HasSubstr("weight-decay 0,3,"), testing::EndsWith(",negative")));
    EXPECT_THAT(seeds[2], testing::AllOf(HasSubstr("weight-decay 0.01,3,"), testing::EndsWith(",positive")));
    EXPECT_EQ(lines_of(temporary.path() / "report-figures" / "overlaps.csv").size(), 16U);  // pairs of six
    EXPECT_THAT(lines_of(temporary.path() / "report-figures" / "differences.csv"),
                testing::Contains(testing::StartsWith("weight-decay,0.01,0,")));
    const std::string page = text_of(temporary.path() / "report.html");
    EXPECT_THAT(page, testing::AllOf(HasSubstr("positive in 1 of 2 rows (weight-decay 0.01: "),
                                     HasSubstr("negative in 1 of 2 rows (weight-decay 0: ")));
    const auto maps = island(page)["maps"];
    ASSERT_EQ(maps.size(), 2U);
    for (std::size_t row = 0; row < 2; ++row) {
        // Pooled: what the page holds is the sum over the seeds.
        std::vector<std::uint32_t> sums(144, 0);
        for (const std::uint64_t seed : {1U, 2U, 3U}) {
            const auto counts = recorded_degrees({.seed = seed, .drift = row == 0 ? -0.6 : 0.6}, 6);
            for (std::size_t i = 0; i < 144; ++i) sums[i] += counts[i];
        }
        EXPECT_EQ(maps[row]["runs"], 3);
        const auto frames = from_base64(maps[row]["frames"]);
        ASSERT_EQ(frames.size(), 7U * 144);
        for (std::size_t i = 0; i < 144; ++i) ASSERT_EQ(frames[6 * 144 + i], sums[i]) << i;
    }
}

TEST(Report, LeavesBadRunsOutAndSaysSo) {
    const TemporaryFolder temporary;
    const fs::path good = record_run(temporary.path() / "good", {});
    const fs::path other = record_run(temporary.path() / "other-shape", {.image = {10, 10, 1}});
    const fs::path cut = record_run(temporary.path() / "cut", {});
    fs::resize_file(cut / "connections.npy", 1000);
    const auto left_out = write_report({cut, good, other, temporary.path() / "none"}, temporary.path() / "report.html");
    ASSERT_EQ(left_out.size(), 3U);
    EXPECT_THAT(left_out[0], HasSubstr((cut / "connections.npy").string()));
    EXPECT_THAT(left_out[1], testing::AllOf(HasSubstr("other-shape"), HasSubstr("10 x 10"), HasSubstr("12 x 12")));
    EXPECT_THAT(left_out[2], HasSubstr("none: there is no such run folder"));
    const std::string page = text_of(temporary.path() / "report.html");
    EXPECT_EQ(island(page)["maps"].size(), 1U);
    EXPECT_THAT(page, HasSubstr("there is no such run folder"));

    try {
        write_report({cut, temporary.path() / "none"}, temporary.path() / "second.html");
        FAIL() << "a report of nothing";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::data);
        EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("connections.npy"), HasSubstr("none")));
    }
    EXPECT_FALSE(fs::exists(temporary.path() / "second.html"));
}

TEST(Report, NamesCannotBreakThePage) {
    const TemporaryFolder temporary;
    const fs::path wild = temporary.path() / "a<b>&\"'</script><script>alert(1)</script" / "x";
    const fs::path first = record_run(wild.parent_path() / "</script><img src=x>", {});
    const fs::path second = record_run(temporary.path() / "</script><img src=x>", {.seed = 2});
    write_report({first, second}, temporary.path() / "report.html");
    const std::string page = text_of(temporary.path() / "report.html");
    EXPECT_EQ(occurrences(page, "</script>"), 2U);
    EXPECT_EQ(occurrences(page, "<img src=x>"), 0U);
    const auto rows = lines_of(temporary.path() / "report-figures" / "summary.csv");
    ASSERT_EQ(rows.size(), 3U);
    EXPECT_NE(rows[1].substr(0, rows[1].find(',')), rows[2].substr(0, rows[2].find(',')));
    EXPECT_NE(island(page)["maps"].size(), 0U);
    std::set<std::string> maps;  // a picture each
    for (const auto& entry : fs::directory_iterator(temporary.path() / "report-figures")) {
        const std::string name = entry.path().filename().string();
        if (name.ends_with("epoch-00006.png")) maps.insert(name);
    }
    EXPECT_EQ(maps.size(), 2U);
}

TEST(Report, LinksReachFoldersOfAnyName) {
    const TemporaryFolder temporary;
    for (const std::string name : {"50% of #1?", "a \"b\" & 'c'", "donn\xe9" "es", "gr\u00fcn", "two\nlines", "x:y"}) {
        SCOPED_TRACE(name);
        const fs::path first = record_run(temporary.path() / name, {});
        const fs::path second = record_run(temporary.path() / (name + " too"), {.seed = 2});
        write_report({first}, first / "report.html");
        write_report({second}, second / "report.html");
        const fs::path out = temporary.path() / (name + ".html");
        write_report({first, second}, out);
        const std::string page = text_of(out);
        std::size_t links = 0;
        for (auto at = page.find("href=\""); at != std::string::npos; at = page.find("href=\"", at + 1)) {
            const std::string address = page.substr(at + 6, page.find('"', at + 6) - at - 6);
            if (address.starts_with("data:")) continue;  // the page's icon
            EXPECT_EQ(address.find_first_of("#?&' :\n"), std::string::npos) << address;
            std::string path;
            for (std::size_t i = 0; i < address.size(); ++i) {
                const bool coded = address[i] == '%';
                path += coded ? static_cast<char>(std::stoi(address.substr(i + 1, 2), nullptr, 16)) : address[i];
                i += coded ? 2 : 0;
            }
            EXPECT_TRUE(fs::exists(temporary.path() / path)) << path;
            ++links;
        }
        EXPECT_GT(links, 20U);
        EXPECT_THAT(page, HasSubstr("This run's own report"));
    }
}

TEST(Report, ReplacesItsOldFiguresAndNothingElse) {
    const TemporaryFolder temporary;
    const fs::path figures = temporary.path() / "report-figures";
    write_report({record_run(temporary.path() / "old", {})}, temporary.path() / "report.html");
    EXPECT_TRUE(fs::exists(figures / "trend-old.svg"));
    append(figures / "mine.txt", "keep");
    append(figures / "index.csv", "../precious.txt,a trap\n");
    append(temporary.path() / "precious.txt", "keep");
    write_report({record_run(temporary.path() / "new", {})}, temporary.path() / "report.html");
    EXPECT_FALSE(fs::exists(figures / "trend-old.svg"));
    EXPECT_TRUE(fs::exists(figures / "trend-new.svg"));
    EXPECT_TRUE(fs::exists(figures / "mine.txt"));
    EXPECT_TRUE(fs::exists(temporary.path() / "precious.txt"));
}

TEST(Report, DenseRunsHaveCurvesButNoMaps) {
    const TemporaryFolder temporary;
    const fs::path folder = record_run(temporary.path() / "run", {.more_config = "topology = \"dense\"\n"});
    for (const char* file : {"connections.npy", "degrees-layer1-outputs.npy", "network.safetensors"})
        fs::remove(folder / file);
    write_report({folder}, temporary.path() / "report.html");
    const std::string page = text_of(temporary.path() / "report.html");
    EXPECT_THAT(page, HasSubstr("data-chart=\"loss\""));
    EXPECT_THAT(page, Not(HasSubstr("<canvas")));
    EXPECT_THAT(page, HasSubstr("no sparse layer"));
}

TEST(Report, AThousandEpochsStaySmall) {
    const TemporaryFolder temporary;
    const RecordedRunOptions options{.epochs = 1000, .image = {28, 28, 1}, .outputs = 512, .num_edges = 14'256};
    const fs::path run = record_run(temporary.path() / "long", options);
    write_report({run}, temporary.path() / "report.html");
    EXPECT_LT(fs::file_size(temporary.path() / "report.html"), 3'000'000U);
    const fs::path second = temporary.path() / "twin";
    fs::copy(run, second);
    write_report({run, second}, temporary.path() / "two.html");
    EXPECT_LT(fs::file_size(temporary.path() / "two.html"), 3'000'000U);
    EXPECT_THAT(text_of(temporary.path() / "two.html"), HasSubstr("of 1001 recorded moments, evenly thinned"));
}

TEST(EmbeddedMoments, AllThatFitElseEvenlyFirstAndLastKept) {
    EXPECT_THAT(embedded_moments(4, 10, 40), testing::ElementsAre(0, 1, 2, 3));
    EXPECT_THAT(embedded_moments(9, 10, 50), testing::ElementsAre(0, 2, 4, 6, 8));
    EXPECT_THAT(embedded_moments(9, 1000, 5), testing::ElementsAre(0, 8));
    EXPECT_THAT(embedded_moments(1, 10, 40), testing::ElementsAre(0));
}

}  // namespace
}  // namespace espalier
