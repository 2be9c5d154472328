// CSV tables as people have them: headers or none, separators, quotes, texts as labels, and what is refused.
#include "host/data/csv.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data_files.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class CsvTest : public testing::Test {
protected:
    CsvTable read(const std::string& text, const CsvOptions& options = {}) {
        write_file(path_, text);
        return read_csv(path_, options);
    }
    std::string refused(const std::string& text, const CsvOptions& options = {}) {
        write_file(path_, text);
        return refusal(ExitCode::data, [&] { read_csv(path_, options); });
    }
    static std::vector<std::string> labels(const CsvTable& table) {
        std::vector<std::string> names;
        for (const std::int32_t code : table.labels.codes) {
            names.push_back(table.labels.names[static_cast<std::size_t>(code)]);
        }
        return names;
    }
    static CsvOptions label(const std::string& column) {
        CsvOptions options;
        options.label = column;
        return options;
    }
    static CsvOptions header(CsvOptions::Header header) {
        CsvOptions options;
        options.header = header;
        return options;
    }

    TemporaryFolder folder_;
    std::filesystem::path path_ = folder_.path() / "table.csv";
};

TEST_F(CsvTest, AFirstLineIsAHeaderIfNoneOfItsFieldsIsANumber) {
    CsvTable table = read("label,a,b\n1,2,3\n");
    EXPECT_THAT(table.floats, ElementsAre(2, 3));
    EXPECT_THAT(table.columns, ElementsAre("a", "b"));
    EXPECT_EQ(table.label_column, "label");
    table = read("1,2,3\n0,4,5\n");
    EXPECT_THAT(table.floats, ElementsAre(2, 3, 4, 5));
    EXPECT_THAT(table.columns, IsEmpty());
    EXPECT_THAT(read("# made by numpy.savetxt\n1,2,3\n").floats, ElementsAre(2, 3));
}

TEST_F(CsvTest, AFirstSampleWithAFaultIsNotTakenForAHeader) {
    for (const std::string field : {"", "NA", "?", "1e400", "0x10", "1_000", "nan", "none"}) {
        EXPECT_THAT(refused("0,1.5," + field + ",2\n1,2,3,4\n"), HasSubstr("line 1, column 3")) << field;
    }
    EXPECT_THAT(refused("0,1.5,x,2\n"), HasSubstr("If line 1 is a header, say header=yes"));
}

TEST_F(CsvTest, ALineThatCouldBeEitherIsRefusedUntilItIsSaid) {
    const std::string counting = "0,1,2,3\n1,5,6,7\n";
    EXPECT_THAT(refused(counting), AllOf(HasSubstr("line 1 could be a header or a sample"), HasSubstr("header=yes")));
    EXPECT_THAT(read(counting, header(CsvOptions::Header::no)).floats, ElementsAre(1, 2, 3, 5, 6, 7));
    const CsvTable named = read(counting, header(CsvOptions::Header::yes));
    EXPECT_THAT(named.floats, ElementsAre(5, 6, 7));
    EXPECT_THAT(named.columns, ElementsAre("1", "2", "3"));
    EXPECT_THAT(refused("label,0,1\n1,5,6\n"), HasSubstr("could be a header or a sample"));
    EXPECT_THAT(refused("class,10,20\n1,5,6\n"),
                HasSubstr("its label is the text 'class', that of line 2 the number '1'"));
    EXPECT_THAT(refused("cat,NA,?\ndog,1,2\n"), HasSubstr("its features are all missing"));
    EXPECT_THAT(read("cat,5.1,3.5\ndog,4,3\n").floats, ElementsAre(5.1F, 3.5F, 4, 3)) << "a text label, no header";
}

TEST_F(CsvTest, SeparatorsAndQuotes) {
    for (const char* separator : {",", ";", "\t", " ", "  "}) {
        const std::string s = separator;
        const CsvTable table = read("label" + s + "a" + s + "b\n1" + s + "2" + s + "3\n");
        EXPECT_THAT(table.floats, ElementsAre(2, 3)) << "'" << s << "'";
        EXPECT_THAT(table.columns, ElementsAre("a", "b")) << "'" << s << "'";
    }
    EXPECT_THAT(read("  1   2 3  \n 0 4   5\n").floats, ElementsAre(2, 3, 4, 5)) << "as numpy.savetxt pads";
    const CsvTable quoted = read("\"label\",\"height, cm\",\"a \"\"b\"\"\"\n\"x,y\",\"2\",3\n");
    EXPECT_THAT(quoted.columns, ElementsAre("height, cm", "a \"b\""));
    EXPECT_THAT(labels(quoted), ElementsAre("x,y"));
    EXPECT_THAT(quoted.floats, ElementsAre(2, 3));
    const CsvTable lines = read("label,\"two\nlines\"\r\n1,2\r\n");
    EXPECT_THAT(lines.columns, ElementsAre("two\nlines"));
    EXPECT_THAT(refused("1,2\n1,\"3\n4,5\n"), HasSubstr("line 2: expected a quote that ends the quoted field"));
    EXPECT_THAT(refused("1,2\n1,\"3\"x\n"), HasSubstr("line 2, column 2: expected a separator behind"));
    EXPECT_THAT(refused("1;2,5\n0;1,5\n"), HasSubstr("decimals are written with a point"));
}

TEST_F(CsvTest, TheLabelsColumnByPlaceOrName) {
    const std::string text = "a,b,kind\n1,2,7\n3,4,8\n";
    for (const char* column : {"kind", "last", "3"}) {
        const CsvTable table = read(text, label(column));
        EXPECT_THAT(labels(table), ElementsAre("7", "8"));
        EXPECT_THAT(table.floats, ElementsAre(1, 2, 3, 4));
        EXPECT_THAT(table.columns, ElementsAre("a", "b"));
    }
    EXPECT_THAT(refused(text, label("sort")),
                HasSubstr("line 1: expected a header with a column 'sort', the label's, found 'a', 'b', 'kind'"));
    EXPECT_THAT(refused(text, label("4")), HasSubstr("expected a label in column 4, found 3 columns"));
    EXPECT_THAT(refused(",a,b\n0,1,2\n"), HasSubstr("index=False")) << "pandas' row numbers as labels";
    EXPECT_THAT(read(",a,kind\n0,1,2\n", label("kind")).remarks, ElementsAre(HasSubstr("column without a name")));
}

TEST_F(CsvTest, LabelsAreWholeNumbersOrTexts) {
    EXPECT_THAT(labels(read("3,1\n1.0,1\n-2,1\n 07,1\n")), ElementsAre("3", "1", "-2", "7"));
    EXPECT_THAT(labels(read("cat,1\ndog,1\n")), ElementsAre("cat", "dog"));
    EXPECT_THAT(labels(read("True,1\nFalse,1\n")), ElementsAre("True", "False"));
    EXPECT_THAT(labels(read("caf\xe9,1\n")), ElementsAre("caf\xc3\xa9")) << "Latin-1 becomes UTF-8";
    EXPECT_THAT(refused("1,1\n,1\n"), HasSubstr("line 2, column 1: expected a label, found none"));
    EXPECT_THAT(refused("1,1\nNA,1\n"), HasSubstr("a missing one ('NA')"));
    EXPECT_THAT(refused("1,1\n1.5,1\n"), HasSubstr("line 2, column 1: expected a label"));
    EXPECT_THAT(read("1,1\nx,1\n").remarks, ElementsAre(AllOf(HasSubstr("line 1"), HasSubstr("line 2"))));
    std::string many;
    for (std::size_t i = 0; i <= max_classes; ++i) many += std::to_string(i) + ",1\n";
    EXPECT_THAT(refused(many), HasSubstr("line 65537, column 1: expected labels of at most 65536 classes"));
}

TEST_F(CsvTest, LinesWithCarriageReturnsAloneAreToldBySuch) {
    EXPECT_THAT(refused("label,a\r1,2\r0,3\r"), AllOf(HasSubstr("at byte 7"), HasSubstr("carriage return alone")));
    EXPECT_THAT(read("label,a\r\n1,2\r\n").floats, ElementsAre(2));
    EXPECT_THAT(read("1,2\r").floats, ElementsAre(2)) << "one line";
}

TEST_F(CsvTest, MissingValuesAndTextsNameLineAndColumn) {
    EXPECT_THAT(refused("label,width\n1,2\n1,NA\n"),
                HasSubstr("line 3, column 2 ('width'): expected a finite number, found a missing value: 'NA'"));
    EXPECT_THAT(refused("label,colour\n1,red\n"), HasSubstr("line 2, column 2 ('colour'): expected a finite number, found 'red'"));
    EXPECT_THAT(refused("1,2\n1,inf\n"), HasSubstr("line 2, column 2"));
    EXPECT_THAT(read("1,True,false\n0,False,true\n").floats, ElementsAre(1, 0, 0, 1)) << "as pandas.get_dummies writes";
    EXPECT_THAT(read("1,1e-400\n").floats, ElementsAre(0)) << "too small is nothing, not missing";
    EXPECT_THAT(refused("\xff\xfe" "1\n"), HasSubstr("UTF-16"));
}

TEST_F(CsvTest, TheLabelIsTheColumnThatIsNoKnownFeature) {
    CsvOptions options;
    options.known_columns = {"a", "b"};
    const CsvTable table = read("a,kind,b\n1,x,2\n", options);
    EXPECT_EQ(table.label_column, "kind");
    EXPECT_THAT(table.floats, ElementsAre(1, 2));
    EXPECT_EQ(read("kind,c,b\n1,2,3\n", options).label_column, "kind") << "other names: the first, as ever";
}

TEST_F(CsvTest, FeaturesAloneWhereLabelsAreNotNeeded) {
    CsvOptions options;
    options.unlabelled_features = 2;
    CsvTable table = read("a,b\n1,2\n", options);
    EXPECT_FALSE(table.labelled);
    EXPECT_THAT(table.floats, ElementsAre(1, 2));
    EXPECT_THAT(table.columns, ElementsAre("a", "b"));
    EXPECT_EQ(table.samples(), 1U);
    table = read("k,a,b\n0,1,2\n", options);
    EXPECT_TRUE(table.labelled);
    EXPECT_THAT(table.floats, ElementsAre(1, 2));
}

}  // namespace
}  // namespace espalier
