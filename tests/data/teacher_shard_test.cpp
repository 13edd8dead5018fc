#include "data/shards/teacher_shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/shards/teacher_set.h"
#include "tests/data/folder.h"

namespace lathe {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TeacherInfo info_of(int64_t vocab, int64_t k = 2) {
  return {.teacher_hash = "t",
          .tokenizer_hash = "abc",
          .template_hash = "",
          .dataset_hash = "d",
          .vocab_size = vocab,
          .k = k};
}

// Document d has d % 3 rows; row r of all has ids 2r, 2r + 1 and log-probabilities that float16
// holds.
TeacherEntry make(const std::string& path, const TeacherInfo& info, int64_t documents) {
  TeacherWriter writer(path, info, 5);
  int64_t r = 0;
  for (int64_t d = 0; d < documents; ++d) {
    std::vector<int64_t> ids;
    std::vector<float> logp, tail;
    for (int64_t i = 0; i < d % 3; ++i, ++r) {
      ids.insert(ids.end(), {2 * r, 2 * r + 1});
      logp.insert(logp.end(), {-0.25f * static_cast<float>(r % 8), -2});
      tail.push_back(-3);
    }
    writer.add(ids, logp, tail);
  }
  return writer.finish();
}

TEST(TeacherShard, GivesBackWhatWasWritten) {
  const TestFolder folder;
  for (const int64_t vocab : {100, 65536, 65537}) {
    const std::string path = folder / ("a" + std::to_string(vocab) + ".h5");
    const TeacherEntry entry = make(path, info_of(vocab), 10);
    EXPECT_EQ(entry.rows, 9);
    EXPECT_EQ(entry.first_document, 5);
    const TeacherShard shard(path, entry.seal);
    EXPECT_EQ(shard.info(), info_of(vocab));
    EXPECT_EQ(shard.documents(), 10);
    std::vector<int64_t> ids(8);
    std::vector<float> logp(8), tail(4);
    shard.read(3, 7, ids.data(), logp.data(), tail.data());
    for (int64_t i = 0; i < 4; ++i) {
      EXPECT_EQ(ids[2 * i], 2 * (3 + i));
      EXPECT_EQ(ids[2 * i + 1], 2 * (3 + i) + 1);
      EXPECT_EQ(logp[2 * i], -0.25f * static_cast<float>(3 + i));
      EXPECT_EQ(tail[i], -3);
    }
    EXPECT_THROW(shard.read(3, 10, ids.data(), logp.data(), tail.data()), std::invalid_argument);
    // An earlier run's file is known by itself.
    EXPECT_EQ(entry_of(path).hash, entry.hash);
    EXPECT_EQ(entry_of(path).rows, 9);
  }
}

TEST(TeacherShard, WrongRowsAreRefused) {
  const TestFolder folder;
  TeacherWriter writer(folder / "a.h5", info_of(10), 0);
  const std::vector<float> one{-1};
  EXPECT_THAT(
      [&] {
        writer.add(std::vector<int64_t>{1, 10}, std::vector<float>{-1, -2}, one);
      },
      ThrowsMessage<std::invalid_argument>(HasSubstr("outside the vocabulary [0, 10)")));
  EXPECT_THAT([&] { writer.add(std::vector<int64_t>{1}, std::vector<float>{-1}, one); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("for 1 rows of 2")));
  EXPECT_THAT(
      [&] {
        writer.add(std::vector<int64_t>{1, 2}, std::vector<float>{1, -2}, one);
      },
      ThrowsMessage<std::invalid_argument>(HasSubstr("is no log-probability")));
  EXPECT_THROW(TeacherWriter(folder / "b.h5", info_of(1), 0), std::invalid_argument);
}

TEST(TeacherShard, DamageIsNamed) {
  const TestFolder folder;
  const TeacherEntry entry = make(folder / "a.h5", info_of(100), 20);
  const std::string bytes = read_file(folder / "a.h5");
  const auto write = [&](const std::string& content) {
    std::ofstream(folder / "b.h5", std::ios::binary) << content;
  };
  int refused = 0;
  for (size_t at = 0; at < bytes.size(); at += 37) {
    std::string flipped = bytes;
    flipped[at] ^= 0x10;
    write(flipped);
    try {
      const TeacherShard shard(folder / "b.h5", entry.seal);
      std::vector<int64_t> ids(38);
      std::vector<float> logp(38), tail(19);
      shard.read(0, entry.rows, ids.data(), logp.data(), tail.data());
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), HasSubstr("b.h5"));
      ++refused;
    }
  }
  EXPECT_EQ(refused, static_cast<int>((bytes.size() + 36) / 37));
  write(bytes.substr(0, bytes.size() / 2));
  EXPECT_THROW(TeacherShard(folder / "b.h5", entry.seal), std::runtime_error);
}

TEST(TeacherShard, ManifestsReadBackAndDamageIsNamed) {
  TeacherManifest manifest{.info = info_of(100), .shards = {}, .report = R"({"rows":9})"};
  manifest.shards.push_back({.file = "a.h5",
                             .seal = {.bytes = 7, .head_bytes = 5, .head_hash = ~uint64_t{0}},
                             .hash = 3,
                             .first_document = 0,
                             .documents = 10,
                             .rows = 9});
  const std::string text = teacher_manifest_text(manifest);
  const TeacherManifest back = parse_teacher_manifest(text);
  EXPECT_EQ(back.info, manifest.info);
  EXPECT_EQ(back.shards.at(0).seal, manifest.shards[0].seal);
  EXPECT_EQ(teacher_manifest_text(back), text);
  std::string path = text;
  path.replace(path.find("a.h5"), 4, "/etc");
  EXPECT_THROW(parse_teacher_manifest(path), std::runtime_error);
  for (size_t cut = 0; cut + 2 < text.size(); cut += 13)
    EXPECT_THROW(parse_teacher_manifest(text.substr(0, cut)), std::exception);
  const TestFolder folder;
  EXPECT_THAT([&] { read_teacher_manifest(folder.path()); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("lathe capture makes such a folder")));
  std::ofstream(folder / "teacher.json") << "{}";
  EXPECT_THAT([&] { read_teacher_manifest(folder.path()); },
              ThrowsMessage<std::runtime_error>(HasSubstr("is damaged")));
}

}  // namespace
}  // namespace lathe
