#include "trainer/safetensors_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

namespace lathe {
namespace {

using testing::HasSubstr;

std::string with_length(uint64_t length, const std::string& rest) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(length >> (8 * i) & 0xff);
  return bytes + rest;
}

std::string file_of(const std::string& json, size_t data_bytes) {
  return with_length(json.size(), json + std::string(data_bytes, 'x'));
}

// Why it is refused, or "accepted".
std::string refusal(const std::string& bytes) {
  try {
    parse_safetensors_header(bytes, bytes.size(), "model.safetensors");
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("model.safetensors: "));
    return error.what();
  }
  return "accepted";
}

struct Case {
  const char* what;
  std::string json;
  size_t data_bytes;
  const char* reason;
};

const std::string kGood = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
std::string one(const std::string& fields, const std::string& name = "w") {
  return "{\"" + name + "\":{" + fields + "}}";
}

std::vector<Case> json_faults() {
  return {
      {"no brace", "[1,2]", 0, "does not begin with '{'"},
      {"leading space", " {}", 0, "does not begin with '{'"},
      {"empty text", "  ", 0, "does not begin with '{'"},
      {"cut", R"({"w":{"dtype":"F32","sha)", 8, "a string does not end"},
      {"cut after a key", R"({"w")", 0, "expected ':'"},
      {"cut in an escape", "{\"w\\", 0, "a string does not end"},
      {"trailing comma", "{\"w\":{" + kGood + "},}", 8, "expected '\"'"},
      {"single quotes", "{'w':{}}", 0, "expected '\"'"},
      {"value is no object", R"({"w":7})", 0, "expected '{'"},
      {"comment", "{/**/}", 0, "expected '\"'"},
      {"text after the end", "{\"w\":{" + kGood + "}}x", 8, "bytes after the JSON"},
      {"second object", "{}{}", 0, "bytes after the JSON"},
      {"NUL padding", std::string("{}\0\0", 4), 0, "bytes after the JSON"},
      {"bad UTF-8", one(kGood, "w\xff"), 8, "bad UTF-8"},
      {"overlong UTF-8", one(kGood, "\xc0\xaf"), 8, "bad UTF-8"},
      {"surrogate in UTF-8", one(kGood, "\xed\xa0\x80"), 8, "bad UTF-8"},
      {"cut UTF-8", one(kGood, "w\xe2\x82"), 8, "bad UTF-8"},
      {"beyond Unicode", one(kGood, "\xf4\x90\x80\x80"), 8, "bad UTF-8"},
      {"control character", one(kGood, "w\n"), 8, "control character"},
      {"unknown escape", one(kGood, "w\\x"), 8, "unknown escape"},
      {"short \\u", one(kGood, "w\\u12"), 8, "four hex digits"},
      {"lone high surrogate", one(kGood, "\\ud800"), 8, "lone surrogate"},
      {"lone low surrogate", one(kGood, "\\udc00"), 8, "lone surrogate"},
      {"two high surrogates", one(kGood, "\\ud800\\ud800"), 8, "lone surrogate"},
      {"nested array", one(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), 8,
       "nested deeper"},
      {"deep nesting", "{\"w\":{\"shape\":" + std::string(100000, '['), 0, "nested deeper"},
      {"deep objects", "{\"w\":{\"w\":" + std::string(100000, '{'), 0, "unknown key"},
  };
}

std::vector<Case> tensor_faults() {
  const std::string two64 = R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])";
  std::string rank = "1";
  for (int i = 0; i < 9999; ++i) rank += ",1";
  return {
      {"NaN", one(R"("dtype":"F32","shape":[NaN],"data_offsets":[0,8])"), 8,
       "expected an unsigned integer"},
      {"1e999", one(R"("dtype":"F32","shape":[1e999],"data_offsets":[0,8])"), 8,
       "fraction or exponent"},
      {"fraction", one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8.0])"), 8,
       "fraction or exponent"},
      {"negative size", one(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), 8, "negative"},
      {"negative offset", one(R"("dtype":"F32","shape":[2],"data_offsets":[-8,0])"), 8, "negative"},
      {"text as number", one(R"("dtype":"F32","shape":["2"],"data_offsets":[0,8])"), 8,
       "unsigned integer"},
      {"leading zero", one(R"("dtype":"F32","shape":[02],"data_offsets":[0,8])"), 8,
       "leading zero"},
      {"2^64", one(R"("dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551616])"), 8,
       "beyond 2^64"},
      {"size 2^63", one(R"("dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,0])"), 0,
       "beyond 2^63"},
      {"duplicate name", "{\"w\":{" + kGood + "},\"w\":{" + kGood + "}}", 8,
       "duplicate tensor name \"w\""},
      {"duplicate by escape", "{\"w\":{" + kGood + "},\"\\u0077\":{" + kGood + "}}", 8,
       "duplicate tensor name \"w\""},
      {"duplicate dtype", one("\"dtype\":\"F32\"," + kGood), 8, "duplicate key dtype"},
      {"duplicate shape", one(kGood + ",\"shape\":[2]"), 8, "duplicate key shape"},
      {"duplicate offsets", one(kGood + ",\"data_offsets\":[0,8]"), 8,
       "duplicate key data_offsets"},
      {"unknown key", one(kGood + ",\"stride\":[1]"), 8, "unknown key \"stride\""},
      {"no dtype", one(R"("shape":[2],"data_offsets":[0,8])"), 8, "dtype is missing"},
      {"no shape", one(R"("dtype":"F32","data_offsets":[0,8])"), 8, "shape is missing"},
      {"no offsets", one(R"("dtype":"F32","shape":[2])"), 8, "data_offsets is missing"},
      {"unknown dtype", one(R"("dtype":"F31","shape":[2],"data_offsets":[0,8])"), 8,
       "unknown dtype \"F31\""},
      {"lower-case dtype", one(R"("dtype":"f32","shape":[2],"data_offsets":[0,8])"), 8,
       "unknown dtype"},
      {"one offset", one(R"("dtype":"F32","shape":[2],"data_offsets":[8])"), 8, "fewer than two"},
      {"three offsets", one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])"), 8,
       "more than two"},
      {"offset beyond the file", one(R"("dtype":"F32","shape":[4],"data_offsets":[0,16])"), 8,
       "beyond the data of 8"},
      {"begin beyond end", one(R"("dtype":"F32","shape":[0],"data_offsets":[8,0])"), 8,
       "begin 8 beyond end 0"},
      {"span too long", one(R"("dtype":"F32","shape":[1],"data_offsets":[0,8])"), 8,
       "need 4 bytes but data_offsets span 8"},
      {"span too short", one(R"("dtype":"F64","shape":[2],"data_offsets":[0,8])"), 8,
       "need 16 bytes"},
      {"product 2^64", one(two64), 0, "overflows"},
      {"product overflows beside a zero",
       one(R"("dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0])"), 0,
       "overflows"},
      {"half a byte", one(R"("dtype":"F4","shape":[3],"data_offsets":[0,1])"), 1, "whole bytes"},
      {"rank 10,000", one("\"dtype\":\"U8\",\"shape\":[" + rank + "],\"data_offsets\":[0,1]"), 1,
       "more than 64 dims"},
      {"NUL in the name", one(kGood, "w\\u0000"), 8, "holds NUL"},
      {"path in the name", one(kGood, "../../etc/passwd"), 8, "'..' path component"},
      {"inner path", one(kGood, "a/../b"), 8, "'..' path component"},
      {"back-slashed path", one(kGood, "a\\\\.."), 8, "'..' path component"},
      {"metadata is no object", R"({"__metadata__":"pt"})", 0, "expected '{'"},
      {"metadata value is a number", R"({"__metadata__":{"a":1}})", 0, "is not a string"},
      {"metadata value is an object", R"({"__metadata__":{"a":{}}})", 0, "is not a string"},
      {"duplicate metadata key", R"({"__metadata__":{"a":"","a":""}})", 0,
       "duplicate metadata key \"a\""},
      {"two metadata", R"({"__metadata__":{},"__metadata__":{}})", 0, "duplicate key __metadata__"},
  };
}

std::vector<Case> layout_faults() {
  const auto pair = [](const char* a, const char* b) {
    return std::string(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)") + a +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}";
  };
  return {
      {"overlap", pair("[0,4]", "[2,6]"), 6,
       "\"b\": data_offsets begin at 2 but 4 was expected (overlap)"},
      {"the same span twice", pair("[0,4]", "[0,4]"), 4, "(overlap)"},
      {"hole between", pair("[0,4]", "[6,10]"), 10,
       "\"b\": data_offsets begin at 6 but 4 was expected (hole)"},
      {"hole before", pair("[2,6]", "[6,10]"), 10,
       "\"a\": data_offsets begin at 2 but 0 was expected (hole)"},
      {"bytes left over", pair("[0,4]", "[4,8]"), 9, "1 bytes after the last tensor"},
      {"bytes of nobody", "{}", 3, "3 bytes after the last tensor"},
      {"truncated", pair("[0,4]", "[4,8]"), 7, "truncated"},
  };
}

TEST(SafetensorsHeader, RefusesEveryMalformedKindWithItsReason) {
  int kinds = 0;
  for (const auto& cases : {json_faults(), tensor_faults(), layout_faults()}) {
    for (const Case& item : cases) {
      EXPECT_THAT(refusal(file_of(item.json, item.data_bytes)), HasSubstr(item.reason))
          << item.what;
      ++kinds;
    }
  }
  EXPECT_EQ(kinds, 73);
}

TEST(SafetensorsHeader, NamesTheTensorAtFault) {
  EXPECT_THAT(
      refusal(file_of(one(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,8])", "model.norm"), 8)),
      HasSubstr("tensor \"model.norm\": a fraction"));
  const std::string message = refusal(file_of(one("", std::string(1 << 20, 'n')), 0));
  EXPECT_LT(message.size(), 400u) << "a long name is shortened";
}

TEST(SafetensorsHeader, RefusesEveryLengthThatCannotBe) {
  int lengths = 0;
  for (const uint64_t length :
       {uint64_t{0}, uint64_t{1}, uint64_t{7}, (uint64_t{1} << 31) - 1, uint64_t{1} << 32,
        uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7, uint64_t{100'000'001}}) {
    EXPECT_THAT(refusal(with_length(length, "{}  ")),
                HasSubstr(length < 2 ? "too small" : "is beyond"))
        << length;
    ++lengths;
  }
  EXPECT_EQ(lengths, 9);
  for (size_t bytes = 0; bytes < 8; ++bytes)
    EXPECT_THAT(refusal(std::string(bytes, 'x')), HasSubstr("too few"));
  const std::string small = with_length(kMaxSafetensorsHeaderBytes, "{}");
  EXPECT_THROW(parse_safetensors_header(small, uint64_t{1} << 40, "sparse"), std::invalid_argument)
      << "not read whole";
}

TEST(SafetensorsHeader, AcceptsWhatTheFormatAllows) {
  EXPECT_EQ(refusal(file_of("{}", 0)), "accepted");
  EXPECT_EQ(refusal(file_of("{}      ", 0)), "accepted");
  EXPECT_EQ(
      refusal(file_of(
          "{ \"w\" :\n{\t\"shape\" : [ ] , \"data_offsets\":[ 0 , 4 ],\r\"dtype\":\"F32\" } } ",
          4)),
      "accepted");
  EXPECT_EQ(refusal(file_of(one(R"("dtype":"F4","shape":[2,3],"data_offsets":[0,3])"), 3)),
            "accepted");
  EXPECT_EQ(refusal(file_of(one(R"("dtype":"F32","shape":[0,1000000],"data_offsets":[0,0])"), 0)),
            "accepted");
  EXPECT_EQ(refusal(file_of(
                R"({"__metadata__":{},"":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})", 1)),
            "accepted");
  EXPECT_EQ(refusal(file_of(one(kGood, "a/b..c/.../d"), 8)), "accepted")
      << "dots that name no parent";
}

TEST(SafetensorsHeader, DecodesEscapesInNames) {
  const std::string bytes = file_of(one(kGood, R"(\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t\u0041)"), 8);
  const auto entries = parse_safetensors_header(bytes, bytes.size(), "x");
  EXPECT_EQ(entries.begin()->first, "\u00e9\U0001F600\"\\/\b\f\n\r\tA");
}

TEST(SafetensorsHeader, FormatsWhatItParses) {
  const std::vector<std::pair<std::string, TensorEntry>> entries = {
      {"b\"\\\n\u00e9", {"F32", {2, 3}, 0, 24}},
      {"a", {"U8", {}, 24, 25}},
      {"c", {"I64", {0}, 25, 25}}};
  const std::string header = format_safetensors_header(entries);
  EXPECT_EQ(header.size() % 8, 0u);
  std::map<std::string, std::string> metadata;
  const auto parsed = parse_safetensors_header(header, header.size() + 25, "x", &metadata);
  EXPECT_EQ(parsed, (std::map<std::string, TensorEntry>(entries.begin(), entries.end())));
  EXPECT_EQ(metadata.at("format"), "pt");
}

TEST(SafetensorsHeader, SurvivesEveryTruncationAndEveryFlippedByte) {
  const std::string good = file_of("{\"a\":{" + kGood + R"(},"__metadata__":{"k":"v"}})", 8);
  ASSERT_EQ(refusal(good), "accepted");
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(refusal(good.substr(0, size)), "accepted") << size;
  for (size_t i = 0; i < good.size() - 8; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = good;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      refusal(flipped);  // refused or another valid header, but never a crash
    }
  }
}

extern "C" void __asan_init() __attribute__((weak));

// Peak memory of a refusal above what the text itself takes, in a process of its own, in MiB.
long parse_memory_mib(const std::string& bytes) {
  int ends[2];
  if (::pipe(ends) != 0) return -1;
  const pid_t child = ::fork();
  if (child == 0) {
    struct rusage before {
    }, after{};
    ::getrusage(RUSAGE_SELF, &before);
    long mib = -1;
    try {
      parse_safetensors_header(bytes, bytes.size(), "x");
    } catch (const std::invalid_argument&) {
      ::getrusage(RUSAGE_SELF, &after);
      mib = (after.ru_maxrss - before.ru_maxrss) / 1024;
    }
    ::_exit(::write(ends[1], &mib, sizeof mib) == sizeof mib ? 0 : 1);
  }
  long mib = -1;
  ::close(ends[1]);
  if (::read(ends[0], &mib, sizeof mib) != sizeof mib) mib = -1;
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return mib;
}

TEST(SafetensorsHeader, KeepsMemoryBoundedWhateverTheHeaderSays) {
  const auto repeat = [](const std::string& begin, const std::string& fields,
                         const std::string& end, size_t bytes) {
    std::string json = begin;
    for (int i = 0; json.size() < bytes; ++i)
      json += (i == 0 ? "\"" : ",\"") + std::to_string(i) + fields;
    return file_of(json + end, 0);
  };
  std::string rank = "0";
  for (int i = 0; i < 63; ++i) rank += ",0";
  const size_t most = 20'000'000;  // beyond every cap but the header's own
  const std::pair<const char*, std::string> hostile[] = {
      {"many tensors",
       repeat("{", R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})", "}", most)},
      {"many dims",
       repeat("{", "\":{\"dtype\":\"U8\",\"shape\":[" + rank + "],\"data_offsets\":[0,0]}", "}",
              most)},
      {"much metadata", repeat("{\"__metadata__\":{", "\":\"\"", "}}", most)},
      {"one long name", file_of("{\"" + std::string(most, 'n') + "\":{", 0)},
      {"one long escape", file_of("{\"" + std::string(most, '\\') + "\":{", 0)},
  };
  const long sanitizer_factor = __asan_init != nullptr ? 3 : 1;  // its red zones and quarantine
  int kinds = 0;
  for (const auto& [what, bytes] : hostile) {
    const long mib = parse_memory_mib(bytes);
    EXPECT_GE(mib, 0) << what;
    EXPECT_LE(mib, (20 + 64) * sanitizer_factor)
        << what << ": with the text itself, twice the header and 64 MiB";
    ++kinds;
  }
  EXPECT_EQ(kinds, 5);
}

}  // namespace
}  // namespace lathe
