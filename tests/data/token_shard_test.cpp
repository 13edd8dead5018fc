#include "data/shards/token_shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/data/folder.h"

namespace lathe {
namespace {

using testing::HasSubstr;

// Document d has d % 7 + 1 tokens, token t of all is (t * 37) % vocab; every third token is not
// trained.
struct Made {
  std::vector<int64_t> tokens;
  std::vector<uint8_t> mask;
  std::vector<uint64_t> offsets{0};
  ShardWriter::Finished finished;
};

Made make_shard(const std::string& path, int64_t documents, int64_t vocab, bool masked,
                int64_t length_factor = 1) {
  Made made;
  ShardWriter writer(path, {.tokenizer_hash = "abc", .template_hash = "", .vocab_size = vocab});
  for (int64_t d = 0; d < documents; ++d) {
    std::vector<int32_t> ids;
    std::vector<uint8_t> mask;
    for (int64_t i = 0; i < (d % 7 + 1) * length_factor; ++i) {
      const auto t = static_cast<int64_t>(made.tokens.size());
      made.tokens.push_back(t * 37 % vocab);
      made.mask.push_back(!masked || t % 3 != 0);
      ids.push_back(static_cast<int32_t>(made.tokens.back()));
      mask.push_back(made.mask.back());
    }
    made.offsets.push_back(made.tokens.size());
    writer.add(ids, masked ? mask : std::vector<uint8_t>{});
  }
  made.finished = writer.finish();
  return made;
}

bool same(const TokenShard& shard, const Made& made) {
  const auto offsets = shard.offsets();
  std::vector<int64_t> tokens(made.tokens.size());
  std::vector<uint8_t> mask(made.tokens.size());
  shard.read("sequence", 0, static_cast<int64_t>(tokens.size()), tokens.data(), mask.data());
  return std::equal(offsets.begin(), offsets.end(), made.offsets.begin(), made.offsets.end()) &&
         tokens == made.tokens && mask == made.mask;
}

TEST(TokenShard, GivesBackWhatWasWritten) {
  const TestFolder folder;
  for (const int64_t vocab : {10, 65536, 65537, 200000}) {
    for (const bool masked : {false, true}) {
      const std::string path =
          folder / ("a" + std::to_string(vocab) + std::to_string(masked) + ".h5");
      const Made made = make_shard(path, 50, vocab, masked);
      const TokenShard shard(path, made.finished.seal);
      EXPECT_TRUE(same(shard, made));
      EXPECT_EQ(shard.all_trained(), !masked);
      EXPECT_EQ(shard.documents(), 50);
      EXPECT_EQ(shard.info().tokenizer_hash, "abc");
      EXPECT_EQ(shard.info().template_hash, "");
      EXPECT_EQ(shard.info().vocab_size, vocab);
      EXPECT_EQ(shard.count_targets(), made.finished.targets);
      EXPECT_EQ(made.finished.tokens, static_cast<int64_t>(made.tokens.size()));
      shard.verify();
    }
  }
}

TEST(TokenShard, CountsTargetsWithoutFirstTokens) {
  const TestFolder folder;
  ShardWriter writer(folder / "a.h5", {"abc", "", 10});
  const std::vector<int32_t> ids{1, 2, 3};
  writer.add(ids, std::vector<uint8_t>{1, 0, 1});
  writer.add(ids, std::vector<uint8_t>{});
  writer.add(std::vector<int32_t>{}, {});
  EXPECT_EQ(writer.finish().targets, 3);
  EXPECT_EQ(TokenShard(folder / "a.h5").count_targets(), 3);
}

TEST(TokenShard, ReadsAnyRange) {
  const TestFolder folder;
  const Made made = make_shard(folder / "a.h5", 12, 1000, true);
  const TokenShard shard(folder / "a.h5");
  const auto n = static_cast<int64_t>(made.tokens.size());
  for (int64_t begin = 0; begin <= n; ++begin) {
    for (int64_t end = begin; end <= n; ++end) {
      std::vector<int64_t> tokens(end - begin);
      std::vector<uint8_t> mask(end - begin);
      shard.read("sequence", begin, end, tokens.data(), mask.data());
      ASSERT_TRUE(std::equal(tokens.begin(), tokens.end(), made.tokens.begin() + begin));
      ASSERT_TRUE(std::equal(mask.begin(), mask.end(), made.mask.begin() + begin));
    }
  }
  EXPECT_THROW(shard.read("sequence", 0, n + 1, nullptr, nullptr), std::invalid_argument);
  EXPECT_THAT(message_of([&] { shard.offsets("chosen"); }),
              HasSubstr("has no column chosen, it has sequence"));
}

TEST(TokenShard, ReadsAcrossBlocksFromManyThreads) {
  const TestFolder folder;
  const Made made =
      make_shard(folder / "a.h5", 300, 70000, true, 1000);  // 1.2 M tokens of 4 bytes: five blocks
  const TokenShard shard(folder / "a.h5", made.finished.seal);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t d = t; d + 1 < made.offsets.size(); d += 3) {
        const auto begin = static_cast<int64_t>(made.offsets[d]),
                   end = static_cast<int64_t>(made.offsets[d + 1]);
        std::vector<int64_t> tokens(end - begin);
        std::vector<uint8_t> mask(end - begin);
        shard.read("sequence", begin, end, tokens.data(), mask.data());
        wrong[t] += !std::equal(tokens.begin(), tokens.end(), made.tokens.begin() + begin);
        wrong[t] += !std::equal(mask.begin(), mask.end(), made.mask.begin() + begin);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, testing::Each(0));
}

TEST(TokenShard, HoldsPairsOfColumns) {
  const TestFolder folder;
  ShardWriter writer(folder / "a.h5", {"abc", "", 10}, {"chosen", "rejected"});
  const std::vector<int32_t> a{1, 2}, b{3, 4, 5};
  const std::vector<uint8_t> mask{0, 1, 1};
  writer.add(std::vector<std::span<const int32_t>>{a, b},
             std::vector<std::span<const uint8_t>>{{}, mask});
  EXPECT_THROW(writer.add(a, {}), std::invalid_argument);
  writer.finish();
  const TokenShard shard(folder / "a.h5");
  EXPECT_EQ(shard.columns(), (std::vector<std::string>{"chosen", "rejected"}));
  std::vector<int64_t> tokens(3);
  shard.read("rejected", 0, 3, tokens.data(), nullptr);
  EXPECT_EQ(tokens, (std::vector<int64_t>{3, 4, 5}));
  EXPECT_TRUE(shard.all_trained("chosen"));
  EXPECT_FALSE(shard.all_trained("rejected"));
}

TEST(TokenShard, IsByteIdenticalWhenWrittenTwice) {
  const TestFolder folder;
  const Made one = make_shard(folder / "a.h5", 20, 500, true),
             two = make_shard(folder / "b.h5", 20, 500, true);
  EXPECT_EQ(one.finished.hash, two.finished.hash);
  EXPECT_EQ(one.finished.seal, two.finished.seal);
  EXPECT_EQ(read_file(folder / "a.h5"), read_file(folder / "b.h5"));
}

TEST(TokenShard, AWriterThatIsDestroyedLeavesNothing) {
  const TestFolder folder;
  {
    ShardWriter writer(folder / "a.h5", {"abc", "", 10});
    EXPECT_THROW(writer.add(std::vector<int32_t>{10}, {}), std::invalid_argument);
    EXPECT_THROW(writer.add(std::vector<int32_t>{-1}, {}), std::invalid_argument);
    EXPECT_THROW(writer.add(std::vector<int32_t>{1}, std::vector<uint8_t>{1, 1}),
                 std::invalid_argument);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// With the seal, and without it (HDF5 then sees the damage): the same data or an error that names
// the file.
TEST(TokenShard, AFlippedByteNeverChangesDataSilently) {
  const TestFolder folder;
  const std::string path = folder / "a.h5";
  const Made made = make_shard(path, 10, 500, true);
  const std::string good = read_file(path);
  int64_t refused = 0, refused_sealed = 0;
  for (size_t i = 0; i < good.size(); ++i) {
    if (i > 8192 && i < 16000) continue;  // the unused end of the head
    write_byte(path, i, static_cast<char>(good[i] ^ (1 << i % 8)));
    bool equal = true;
    const std::string plain = message_of([&] { equal = same(TokenShard(path), made); });
    ASSERT_TRUE(plain.empty() ? equal : plain.find("a.h5") != std::string::npos) << i << plain;
    refused += !plain.empty();
    const std::string sealed =
        message_of([&] { equal = same(TokenShard(path, made.finished.seal), made); });
    ASSERT_THAT(sealed, HasSubstr("a.h5")) << i;
    ++refused_sealed;
    write_byte(path, i, good[i]);
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(refused_sealed, refused);
}

TEST(TokenShard, ATruncatedFileIsRefused) {
  const TestFolder folder;
  const std::string path = folder / "a.h5";
  const Made made = make_shard(path, 10, 500, true);
  const std::string good = read_file(path);
  for (size_t size = 0; size < good.size(); size += size < 4096 ? 31 : 317) {
    write_text(path, std::string_view(good).substr(0, size));
    EXPECT_THAT(message_of([&] { TokenShard shard(path); }), HasSubstr("a.h5")) << size;
    EXPECT_THAT(message_of([&] { TokenShard shard(path, made.finished.seal); }),
                HasSubstr("the manifest says"))
        << size;
  }
}

TEST(TokenShard, AFileCutAfterItWasOpenedIsNamed) {
  const TestFolder folder;
  const std::string path = folder / "a.h5";
  make_shard(path, 100, 500, true, 50);
  const TokenShard shard(path);
  std::vector<int64_t> tokens(10);
  shard.read("sequence", 0, 10, tokens.data(), nullptr);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_THAT(message_of([&] { shard.verify(); }), HasSubstr("a.h5: ends at byte"));
}

TEST(TokenShard, DamageNamesFileDataSetAndBlock) {
  const TestFolder folder;
  const std::string path = folder / "a.h5";
  const Made made = make_shard(path, 700, 70000, false, 200);  // 560,000 tokens: blocks 0, 1, 2
  std::string bad = read_file(path);
  bad[made.finished.seal.head_bytes + (1 << 20) + 5] ^= 1;
  write_text(path, bad);
  const TokenShard shard(path, made.finished.seal);
  std::vector<int64_t> tokens(100);
  shard.read("sequence", 0, 100, tokens.data(), nullptr);
  const std::string message =
      message_of([&] { shard.read("sequence", 300000, 300100, tokens.data(), nullptr); });
  EXPECT_THAT(message, HasSubstr("a.h5: columns/sequence/tokens: block 1 "));
  EXPECT_THAT(message_of([&] { shard.verify(); }), HasSubstr("block 1 "));
}

TEST(TokenShard, RefusesOtherFiles) {
  const TestFolder folder;
  EXPECT_THROW(TokenShard(folder / "absent.h5"), std::runtime_error);
  EXPECT_THROW(TokenShard(folder.path()), std::runtime_error);
  write_text(folder / "a.h5", "{\"text\": \"no\"}");
  EXPECT_THAT(message_of([&] { TokenShard shard(folder / "a.h5"); }),
              HasSubstr("is no whole HDF5 file"));
}

}  // namespace
}  // namespace lathe
