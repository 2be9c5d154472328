// Fetching that breaks off and goes on, per cent of it, and archives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "data_files.hpp"
#include "host/data/archive.hpp"
#include "host/data/catalog.hpp"
#include "host/data/download.hpp"
#include "host/data/fetch.hpp"
#include "host/formats/sha256.hpp"
#include "program_fixture.hpp"
#include "temporary_folder.hpp"
#include "user_errors.hpp"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string bytes_in(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

class BrokenDownload : public testing::Test {
protected:
    void SetUp() override {
        fs::create_directories(from_);
        fs::create_directories(to_);
        set_.name = "tiny";
        const std::string content = idx({400}, std::string(400, '\1'));
        packed_ = gzipped(content);
        set_.files = {{"tiny-labels-idx1-ubyte", sha256(content)}};
        set_.mirrors = {"file://" + from_.string() + "/"};
        if (run_program({"curl", "--version"}).status != 0) GTEST_SKIP() << "needs curl";
    }
    void expect_fetched() const { EXPECT_EQ(bytes_in(to_ / name_), packed_); }

    const std::string name_ = "tiny-labels-idx1-ubyte.gz";
    TemporaryFolder temporary_;
    fs::path from_ = temporary_.path() / "from", to_ = temporary_.path() / "to";
    fs::path part_ = to_ / ("." + name_ + ".part");
    std::string packed_;
    KnownSet set_;
};

TEST_F(BrokenDownload, GoesOnWhereItStopped) {
    const std::size_t half = packed_.size() / 2;
    // Only the second half is right at the mirror: what comes out right began with what was there.
    write_file(from_ / name_, std::string(half, '?') + packed_.substr(half));
    write_file(part_, packed_.substr(0, half));
    fetch_dataset(set_, to_);
    expect_fetched();
    EXPECT_FALSE(fs::exists(part_));
}

TEST_F(BrokenDownload, BeginsAnewIfWhatWasThereIsSomethingElse) {
    write_file(from_ / name_, packed_);
    write_file(part_, "something else");
    fetch_dataset(set_, to_);
    expect_fetched();
    EXPECT_FALSE(fs::exists(part_));
}

TEST_F(BrokenDownload, AWholeFileThatWasNotMovedInIsNotFetchedAgain) {
    write_file(part_, packed_);  // no mirror has anything
    fetch_dataset(set_, to_);
    expect_fetched();
}

TEST_F(BrokenDownload, WhatArrivedStaysWhenTheRestDoesNotCome) {
    write_file(part_, packed_.substr(0, 10));
    EXPECT_EQ(error_of([&] { fetch_dataset(set_, to_); }).first, ExitCode::data);
    EXPECT_EQ(bytes_in(part_), packed_.substr(0, 10));
}

TEST(AnnouncedSize, OfTheLastAnswerAndTheWholeFile) {
    EXPECT_EQ(announced_size("", 5), 0U);
    EXPECT_EQ(announced_size("HTTP/2 200 \r\nContent-Length: 120\r\n\r\n", 0), 120U);
    EXPECT_EQ(announced_size("HTTP/1.1 302 Found\r\ncontent-length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: x\r\n", 0), 0U);
    EXPECT_EQ(announced_size("HTTP/1.1 206 Partial Content\r\nContent-Length: 20\r\nContent-Range: bytes 100-119/120\r\n",
                             100),
              120U);
    EXPECT_EQ(announced_size("  HTTP/1.1 200 OK\n  Content-Length: 30\n", 0), 30U);  // as wget prints them
}

/// Made by Python, so that another program's archives are read.
class Archives : public testing::Test {
protected:
    void make(const std::string& python) const {
        std::ofstream(temporary_.path() / "make.py")
            << "import io, os, tarfile, zipfile\nos.chdir('" << temporary_.path().string() << "')\n" << python;
        if (std::system(("python3 '" + (temporary_.path() / "make.py").string() + "'").c_str()) != 0) {
            GTEST_SKIP() << "needs python3";
        }
        fs::create_directories(into_);
    }
    TemporaryFolder temporary_;
    fs::path into_ = temporary_.path() / "into";
};

TEST_F(Archives, ZipAndTarAreUnpacked) {
    make("z = zipfile.ZipFile('a.zip', 'w', zipfile.ZIP_DEFLATED); z.writestr('in/side.txt', 'text ' * 1000); z.close()\n"
         "t = tarfile.open('a.tar.gz', 'w:gz'); i = tarfile.TarInfo('in/tar.txt'); i.size = 5\n"
         "t.addfile(i, io.BytesIO(b'tared')); t.close()\n");
    unpack_archive(temporary_.path() / "a.zip", into_);
    unpack_archive(temporary_.path() / "a.tar.gz", into_);
    EXPECT_EQ(bytes_in(into_ / "in" / "side.txt").size(), 5000U);
    EXPECT_EQ(bytes_in(into_ / "in" / "tar.txt"), "tared");
}

TEST_F(Archives, NothingLandsOutsideTheFolder) {
    make("z = zipfile.ZipFile('a.zip', 'w'); z.writestr('../evil.txt', 'x'); z.writestr('/tmp/espalier-evil', 'x')\n"
         "z.writestr('good.txt', 'x'); z.close()\n"
         "t = tarfile.open('a.tar', 'w'); i = tarfile.TarInfo('link'); i.type = tarfile.SYMTYPE; i.linkname = '..'\n"
         "t.addfile(i); j = tarfile.TarInfo('link/evil.txt'); j.size = 1; t.addfile(j, io.BytesIO(b'x')); t.close()\n");
    unpack_archive(temporary_.path() / "a.zip", into_);
    unpack_archive(temporary_.path() / "a.tar", into_);
    EXPECT_TRUE(fs::exists(into_ / "good.txt"));
    EXPECT_FALSE(fs::exists(temporary_.path() / "evil.txt"));
    EXPECT_FALSE(fs::exists("/tmp/espalier-evil"));
    EXPECT_FALSE(fs::is_symlink(into_ / "link"));
}

TEST_F(Archives, DamageIsADataError) {
    make("z = zipfile.ZipFile('a.zip', 'w', zipfile.ZIP_DEFLATED); z.writestr('a.txt', os.urandom(9000)); z.close()\n"
         "b = open('a.zip', 'rb').read(); open('cut.zip', 'wb').write(b[:4000]); open('no.zip', 'wb').write(b'page')\n"
         "t = tarfile.open('a.tar', 'w')\n"
         "for name in 'ab': i = tarfile.TarInfo(name); i.size = 5; t.addfile(i, io.BytesIO(b'tared'))\n"
         "t.close(); b = bytearray(open('a.tar', 'rb').read()); b[1024] ^= 1; open('bad.tar', 'wb').write(b)\n");
    EXPECT_EQ(error_of([&] { unpack_archive(temporary_.path() / "bad.tar", into_); }).first, ExitCode::data);
    EXPECT_EQ(error_of([&] { unpack_archive(temporary_.path() / "cut.zip", into_); }).first, ExitCode::data);
    EXPECT_EQ(error_of([&] { unpack_archive(temporary_.path() / "no.zip", into_); }).first, ExitCode::data);
    EXPECT_THAT(error_of([&] { unpack_archive(temporary_.path() / "none.zip", into_); }).second, HasSubstr("none.zip"));
}

using ArchiveProgram = ProgramTest;

TEST_F(ArchiveProgram, SaysThatItNeedsLibarchiveBeforeItFetches) {
    setenv("ESPALIER_LIBARCHIVE", path("libnone.so").c_str(), 1);
    const Outcome fetched = run({"data", "fetch", "cifar-10", "--data-dir", path("data")});
    const Outcome listed = run({"data", "list"});  // wants none
    unsetenv("ESPALIER_LIBARCHIVE");
    EXPECT_EQ(fetched.code, 6) << fetched.err;
    EXPECT_THAT(fetched.err, testing::AllOf(HasSubstr("libnone.so"), HasSubstr("ESPALIER_LIBARCHIVE")));
    EXPECT_EQ(listed.code, 0) << listed.err;
}

}  // namespace
}  // namespace espalier
