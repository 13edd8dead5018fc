#include "trainer/safetensors.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/shared.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

class Safetensors : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        fs::temp_directory_path() / ("lathe-safetensors-" + std::to_string(::getpid()) + "-" +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  static void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  fs::path folder_;
};

TEST_F(Safetensors, GivesBackEveryTypeAndShapeBytewise) {
  const at::ScalarType types[] = {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong,
                                  at::kInt,    at::kShort, at::kChar, at::kByte,     at::kBool};
  std::vector<NamedTensor> tensors;
  for (const at::ScalarType type : types) {
    const at::Tensor values = at::arange(6).remainder(2).to(type).reshape({2, 3});
    tensors.push_back({std::string("matrix.") + c10::toString(type), values});
    tensors.push_back({std::string("scalar.") + c10::toString(type), values[1][0]});
    tensors.push_back({std::string("empty.") + c10::toString(type), at::empty({0, 4}, type)});
    tensors.push_back({std::string("transposed.") + c10::toString(type), values.t()});
  }
  write_safetensors(path("all"), tensors);
  const SafetensorsFile file(path("all"));
  ASSERT_EQ(file.entries().size(), tensors.size());
  for (const NamedTensor& named : tensors) {
    const at::Tensor read = file.tensor(named.name);
    EXPECT_EQ(read.scalar_type(), named.tensor.scalar_type());
    EXPECT_TRUE(at::equal(read, named.tensor)) << named.name;
  }
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "the temporary file is gone";
}

TEST_F(Safetensors, WritesWhatTheReferenceWriterWrites) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int files = 0;
  for (const char* model : {"llama", "llama_bf16", "llama_tied", "qwen2", "gpt2"}) {
    const std::string original =
        shared_path(std::string("fixtures/models/") + model + "/model.safetensors");
    const SafetensorsFile file(original);
    std::vector<NamedTensor> tensors;
    for (const auto& [name, entry] : file.entries()) tensors.push_back({name, file.tensor(name)});
    write_safetensors(path(model), tensors);
    EXPECT_TRUE(read(path(model)) == read(original)) << model;
    ++files;
  }
  EXPECT_EQ(files, 5);
}

TEST_F(Safetensors, WritesTheSameBytesInWhateverOrderTensorsAreGiven) {
  const at::Tensor a = at::ones({3}), b = at::ones({2}, at::kLong),
                   c = at::ones({5}, at::kBFloat16);
  write_safetensors(path("one"), {{"a", a}, {"b", b}, {"c", c}});
  write_safetensors(path("two"), {{"c", c}, {"b", b}, {"a", a}});
  EXPECT_EQ(read(path("one")), read(path("two")));
  const SafetensorsFile file(path("one"));
  EXPECT_EQ(file.entries().at("b").begin, 0u) << "the widest type lies first";
  EXPECT_EQ(file.entries().at("a").begin, 16u);
  EXPECT_EQ(file.entries().at("c").begin, 28u);
  EXPECT_EQ(safetensors_data_begin(read(path("one")), 1 << 20, "one") % 8, 0u);
}

TEST_F(Safetensors, ReadsDataThatIsBadlyAligned) {
  const std::string json = R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  static_assert(sizeof(float) == 4);
  std::string bytes =
      std::string(1, static_cast<char>(json.size() + 1)) + std::string(7, '\0') + json + " ";
  ASSERT_NE(bytes.size() % 4, 0u);
  const float values[] = {1.5f, -2};
  bytes.append(reinterpret_cast<const char*>(values), 8);
  write(path("odd"), bytes);
  EXPECT_TRUE(
      at::equal(SafetensorsFile(path("odd")).tensor("x"), at::tensor({1.5, -2.0}, at::kFloat)));
}

TEST_F(Safetensors, NamesTheTypeItCannotComputeWith) {
  const std::string json = R"({"w":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}} )";
  write(path("fp8"),
        std::string(1, static_cast<char>(json.size())) + std::string(7, '\0') + json + "12345678");
  const SafetensorsFile file(path("fp8"));
  EXPECT_EQ(file.bytes("w"), "12345678");
  try {
    file.tensor("w");
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("F8_E4M3"), std::string::npos) << error.what();
  }
  EXPECT_THROW(file.tensor("v"), std::invalid_argument);
}

TEST_F(Safetensors, RefusesABooleanThatIsNeitherZeroNorOne) {
  const std::string json = R"({"w":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})";
  write(path("bool"),
        std::string(1, static_cast<char>(json.size())) + std::string(7, '\0') + json + "\x01\x02");
  EXPECT_THROW(SafetensorsFile(path("bool")).tensor("w"), std::invalid_argument);
}

TEST_F(Safetensors, KeepsTheOldFileWhenWritingFails) {
  write_safetensors(path("kept"), {{"a", at::ones({4})}});
  const std::string before = read(path("kept"));
  const auto broken = [](const std::string&) -> at::Tensor {
    throw std::runtime_error("no value");
  };
  EXPECT_THROW(write_safetensors(path("kept"), {{"a", at::kFloat, {4}}}, broken),
               std::runtime_error);
  EXPECT_EQ(read(path("kept")), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "the temporary file is gone";
}

TEST_F(Safetensors, ReplacesAFileThatIsMappedWithoutHarmToTheReader) {
  write_safetensors(path("x"), {{"a", at::ones({4})}});
  const SafetensorsFile file(path("x"));
  write_safetensors(path("x"), {{"a", file.tensor("a") * 2}});
  EXPECT_TRUE(at::equal(file.tensor("a"), at::ones({4})));
  EXPECT_TRUE(at::equal(SafetensorsFile(path("x")).tensor("a"), at::full({4}, 2.0)));
}

TEST_F(Safetensors, RefusesToWriteTwoTensorsOfOneName) {
  EXPECT_THROW(write_safetensors(path("x"), {{"a", at::ones({1})}, {"a", at::ones({1})}}),
               std::invalid_argument);
  EXPECT_THROW(write_safetensors(path("x"), {{"__metadata__", at::ones({1})}}),
               std::invalid_argument);
  EXPECT_FALSE(fs::exists(path("x")));
}

TEST_F(Safetensors, RefusesWhatIsNoFile) {
  EXPECT_THROW(SafetensorsFile(path("absent")), std::runtime_error);
  EXPECT_THROW(SafetensorsFile(folder_.string()), std::exception);
  write(path("empty"), "");
  EXPECT_THROW(SafetensorsFile(path("empty")), std::invalid_argument);
}

TEST_F(Safetensors, RefusesASparseTerabyteByItsHeader) {
  write(path("sparse"), std::string("\x02\0\0\0\0\0\0\0{}", 10));
  fs::resize_file(path("sparse"), uintmax_t{1} << 40);
  EXPECT_THROW(SafetensorsFile(path("sparse")), std::invalid_argument);
}

}  // namespace
}  // namespace lathe
