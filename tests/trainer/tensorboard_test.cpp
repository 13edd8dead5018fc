#include "trainer/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>

#include "data/shards/file.h"
#include "tests/temp_folder.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

std::string only_file(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path().string());
  EXPECT_EQ(files.size(), 1u);
  return files.at(0);
}

// Checks the framing and returns the events' bytes.
std::vector<std::string> read_records(const std::string& path) {
  const std::string bytes = read_file(path);
  std::vector<std::string> events;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t length;
    uint32_t length_crc, data_crc;
    std::memcpy(&length, bytes.data() + at, 8);
    std::memcpy(&length_crc, bytes.data() + at + 8, 4);
    EXPECT_EQ(length_crc, masked_crc32c(std::string_view(bytes).substr(at, 8)));
    events.push_back(bytes.substr(at + 12, length));
    std::memcpy(&data_crc, bytes.data() + at + 12 + length, 4);
    EXPECT_EQ(data_crc, masked_crc32c(events.back()));
    at += 16 + length;
  }
  return events;
}

TEST(TensorBoard, ChecksumsAreThePublishedOnes) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);            // the check value of CRC-32C
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(TensorBoard, WritesFramedEventsThatReadBack) {
  TempFolder folder;
  {
    EventWriter writer(folder.path());
    writer.scalar("train/loss", 300, 1.5);
  }
  const std::vector<std::string> events = read_records(only_file(folder.path()));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].substr(9),
            "\x1a\x0d"
            "brain.Event:2");
  // step 300, summary {value {tag "train/loss", simple_value 1.5}}
  const std::string expected =
      std::string("\x10\xac\x02\x2a\x13\x0a\x11\x0a\x0atrain/loss\x15\x00\x00\xc0\x3f", 24);
  EXPECT_EQ(events[1][0], '\x09');
  EXPECT_EQ(events[1].substr(9), expected);
}

TEST(TensorBoard, ResumedWriterSaysFromWhichStepOlderFilesAreStale) {
  TempFolder folder;
  { EventWriter writer(folder.path(), 6); }
  const std::vector<std::string> events = read_records(only_file(folder.path()));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].substr(9), "\x10\x06\x3a\x02\x08\x01");
}

TEST(TensorBoard, TwoWritersInOneSecondHaveFilesOfTheirOwn) {
  TempFolder folder;
  EventWriter first(folder.path()), second(folder.path());
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}), 2);
}

TEST(TensorBoard, SaysWhichFileCanNotBeMade) {
  EXPECT_THROW(EventWriter("/nowhere/at/all"), std::runtime_error);
}

}  // namespace
}  // namespace lathe
