#include "trainer/hf_folder.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/shared.h"
#include "tests/temp_folder.h"
#include "trainer/hf_weights.h"
#include "trainer/json_fields.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string read(const std::string& path) { return read_text_file(path, 1 << 30); }
void write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

ModelConfig tiny_config(bool tied = false) {
  ModelConfig config = parse_model_config(
      R"({"model_type": "llama", "vocab_size": 32, "hidden_size": 8, "intermediate_size": 12,
          "num_hidden_layers": 2, "num_attention_heads": 2, "foreign": [1]})",
      "tiny");
  config.tie_word_embeddings = tied;
  return config;
}

std::unique_ptr<Model> tiny_model(bool tied = false, at::ScalarType dtype = at::kFloat) {
  std::unique_ptr<Model> model = make_model(tiny_config(tied), dtype, at::kCPU);
  initialize(*model, 7);
  return model;
}

void expect_same_weights(Model& a, Model& b) {
  const auto left = a.parameters(), right = b.parameters();
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(left[i]->name, right[i]->name);
    EXPECT_TRUE(at::equal(left[i]->value, right[i]->value)) << left[i]->name;
  }
}

std::vector<NamedTensor> tensors_of(const std::string& folder) {
  const WeightFiles files(folder);
  std::vector<NamedTensor> tensors;
  for (const std::string& name : files.names())
    tensors.push_back({name, files.tensor(name).clone()});
  return tensors;
}

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}
std::string load_refusal(const std::string& folder) {
  return refusal([&] { load_model(folder, at::kFloat, at::kCPU); });
}

TEST(HfFolder, ImportOfAnExportIsTheSameModelBytewise) {
  for (const bool tied : {false, true}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const TempFolder one, two;
      const std::unique_ptr<Model> model = tiny_model(tied, dtype);
      save_model(*model, one.path(), "", dtype);
      const std::unique_ptr<Model> loaded = load_model(one.path(), dtype, at::kCPU);
      expect_same_weights(*model, *loaded);
      save_model(*loaded, two.path(), "", dtype);
      EXPECT_EQ(files_in(one.path()),
                (std::vector<std::string>{"config.json", "model.safetensors"}));
      for (const std::string& name : files_in(one.path()))
        EXPECT_EQ(read(one / name), read(two / name)) << name;
    }
  }
}

TEST(HfFolder, ExportOfAnImportIsTheReferenceFileBytewise) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int folders = 0;
  for (const char* name : {"llama", "llama3", "llama_bf16", "llama_tied"}) {
    const std::string folder = shared_path(std::string("fixtures/models/") + name);
    const at::ScalarType dtype =
        read_model_config(folder).dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
    const TempFolder out;
    save_model(*load_model(folder, dtype, at::kCPU), out.path(), folder, dtype);
    EXPECT_TRUE(read(out / "model.safetensors") == read(folder + "/model.safetensors")) << name;
    EXPECT_EQ(read(out / "generation_config.json"), read(folder + "/generation_config.json"));
    ++folders;
  }
  EXPECT_EQ(folders, 4);
}

TEST(HfFolder, CastsBetweenStoredAndComputedTypes) {
  const TempFolder folder;
  const std::unique_ptr<Model> model = tiny_model();
  for (const at::ScalarType stored : {at::kFloat, at::kBFloat16, at::kHalf}) {
    save_model(*model, folder.path(), "", stored);
    EXPECT_EQ(read_model_config(folder.path()).dtype, stored == at::kFloat  ? "float32"
                                                      : stored == at::kHalf ? "float16"
                                                                            : "bfloat16");
    for (const at::ScalarType computed : {at::kFloat, at::kBFloat16}) {
      const std::unique_ptr<Model> loaded = load_model(folder.path(), computed, at::kCPU);
      const at::Tensor expected = model->parameters()[0]->value.to(stored).to(computed);
      EXPECT_TRUE(at::equal(loaded->parameters()[0]->value, expected));
    }
  }
}

TEST(HfFolder, ExportsFloat32MastersOfABfloat16Model) {
  const TempFolder folder;
  const std::unique_ptr<Model> model = tiny_model(false, at::kBFloat16), masters = tiny_model();
  const auto weights = [&](const std::string& name) {
    for (const Parameter* parameter : masters->parameters()) {
      if (parameter->name == name && name != "model.norm.weight") return parameter->value;
    }
    return at::Tensor();  // a frozen parameter has no master
  };
  save_model(*model, folder.path(), "", at::kFloat, 1 << 20, weights);
  expect_same_weights(*load_model(folder.path(), at::kFloat, at::kCPU), *masters);
}

TEST(HfFolder, ShardsAndRemovesShardsOfAnEarlierSave) {
  const TempFolder folder;
  const std::unique_ptr<Model> model = tiny_model();
  write(folder / "model-notes.txt", "mine");
  save_model(*model, folder.path(), "", at::kFloat, 2048);
  const WeightFiles sharded(folder.path());
  const Json index = Json::parse(read(folder / kWeightsIndexFile));
  int64_t total = 0;
  for (const Parameter* parameter : model->parameters())
    total += static_cast<int64_t>(parameter->value.nbytes());
  EXPECT_EQ(index["metadata"]["total_size"], total);
  EXPECT_EQ(index["weight_map"].size(), model->parameters().size());
  EXPECT_EQ(index["weight_map"]["model.embed_tokens.weight"], "model-00001-of-00004.safetensors");
  EXPECT_EQ(files_in(folder.path()).size(), 1u + 4 + 1 + 1)
      << "config, shards, index, and what was there";
  expect_same_weights(*load_model(folder.path(), at::kFloat, at::kCPU), *model);

  save_model(*model, folder.path(), "", at::kFloat, 4096);
  EXPECT_EQ(files_in(folder.path()).size(), 1u + 2 + 1 + 1);
  expect_same_weights(*load_model(folder.path(), at::kFloat, at::kCPU), *model);

  save_model(*model, folder.path(), "", at::kFloat);
  EXPECT_EQ(files_in(folder.path()),
            (std::vector<std::string>{"config.json", "model-notes.txt", "model.safetensors"}));
  save_model(*model, folder.path(), "", at::kFloat, 1);
  EXPECT_EQ(files_in(folder.path()).size(), 1u + model->parameters().size() + 1 + 1)
      << "a tensor is never split";
  expect_same_weights(*load_model(folder.path(), at::kFloat, at::kCPU), *model);
}

TEST(HfFolder, CarriesTheTokenizerAlong) {
  const TempFolder tokenizer, out;
  int files = 0;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                           "chat_template.jinja", "vocab.json", "merges.txt", "tokenizer.model",
                           "added_tokens.json", "generation_config.json"}) {
    write(tokenizer / name, std::string(name) + std::string("\0\xff", 2));
    ++files;
  }
  write(tokenizer / "training_args.bin", "not carried");
  save_model(*tiny_model(), out.path(), tokenizer.path(), at::kFloat);
  EXPECT_EQ(files_in(out.path()).size(), static_cast<size_t>(files + 2));
  EXPECT_EQ(read(out / "merges.txt"), read(tokenizer / "merges.txt"));

  fs::remove(tokenizer / "merges.txt");
  save_model(*tiny_model(), out.path(), tokenizer / "tokenizer.json", at::kFloat);
  EXPECT_FALSE(fs::exists(out / "merges.txt"))
      << "a tokenizer's leftover would be another tokenizer";
  save_model(*tiny_model(), out.path(), out.path(), at::kFloat);
  EXPECT_TRUE(fs::exists(out / "vocab.json")) << "a folder that keeps its own tokenizer";
  EXPECT_THAT(
      refusal([&] { save_model(*tiny_model(), out.path(), tokenizer / "absent", at::kFloat); }),
      HasSubstr("absent"));
}

TEST(HfFolder, CarriesForeignConfigKeysAlong) {
  const TempFolder out;
  save_model(*tiny_model(), out.path(), "", at::kBFloat16);
  EXPECT_EQ(Json::parse(read(out / "config.json"))["foreign"], Json({1}));
}

TEST(HfFolder, RefusesAValueThatFloat16CannotHold) {
  const TempFolder out;
  const std::unique_ptr<Model> model = tiny_model();
  model->parameters()[0]->value.detach()[3][2] = 65536.0;
  EXPECT_THAT(refusal([&] { save_model(*model, out.path(), "", at::kHalf); }),
              HasSubstr("model.embed_tokens.weight"));
  EXPECT_EQ(refusal([&] { save_model(*model, out.path(), "", at::kBFloat16); }), "accepted");
  EXPECT_THAT(refusal([&] { save_model(*model, out.path(), "", at::kDouble); }),
              HasSubstr("cannot be stored as Double"));
}

TEST(HfFolder, ListsEveryDisagreementInOneError) {
  const TempFolder folder;
  save_model(*tiny_model(), folder.path(), "", at::kFloat);
  std::vector<NamedTensor> tensors = tensors_of(folder.path());
  for (NamedTensor& named : tensors) {
    if (named.name == "lm_head.weight") named.name = "head.weight";
    if (named.name == "model.norm.weight") named.tensor = at::ones({9});
    if (named.name == "model.embed_tokens.weight") named.tensor = named.tensor.to(at::kInt);
  }
  write_safetensors(folder / kWeightsFile, tensors);
  EXPECT_THAT(
      load_refusal(folder.path()),
      AllOf(HasSubstr("missing: lm_head.weight"), HasSubstr("extra: head.weight"),
            HasSubstr("model.norm.weight is [9] but [8] is expected"),
            HasSubstr("model.embed_tokens.weight is I32 but F32, BF16 or F16 is expected")));
}

TEST(HfFolder, ToleratesATiedHeadAndStoredRotaryBuffers) {
  const TempFolder folder;
  const std::unique_ptr<Model> model = tiny_model(true);
  save_model(*model, folder.path(), "", at::kFloat);
  std::vector<NamedTensor> tensors = tensors_of(folder.path());
  for (const NamedTensor& named : tensors)
    EXPECT_NE(named.name, "lm_head.weight") << "a tied head is not stored";
  tensors.push_back({"lm_head.weight", model->parameters()[0]->value.detach().clone()});
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", at::ones({2})});
  write_safetensors(folder / kWeightsFile, tensors);
  expect_same_weights(*load_model(folder.path(), at::kFloat, at::kCPU), *model);
}

TEST(HfFolder, RefusesAConfigThatClaimsMoreThanTheFilesHold) {
  const TempFolder folder;
  save_model(*tiny_model(), folder.path(), "", at::kFloat);
  Json config = Json::parse(read(folder / "config.json"));
  config.update({{"vocab_size", 1 << 24}, {"hidden_size", 1 << 20}, {"head_dim", 4}});
  write(folder / "config.json", config.dump());
  EXPECT_THAT(load_refusal(folder.path()), HasSubstr("the sizes in config.json need at least"));
}

TEST(HfFolder, RefusesAnIndexThatLeadsElsewhere) {
  const TempFolder folder;
  const std::unique_ptr<Model> model = tiny_model();
  save_model(*model, folder.path(), "", at::kFloat, 4096);
  const std::string good = read(folder / kWeightsIndexFile);
  const auto with = [&](const Json& file) {
    Json index = Json::parse(good);
    index["weight_map"]["model.norm.weight"] = file;
    write(folder / kWeightsIndexFile, index.dump());
    return load_refusal(folder.path());
  };
  int kinds = 0;
  for (const Json& path : {Json("../model-00001-of-00002.safetensors"), Json("/etc/x.safetensors"),
                           Json("a\\b.safetensors"), Json(""), Json("model.bin"),
                           Json(std::string("a\0.safetensors", 14)), Json(7), Json()}) {
    EXPECT_THAT(with(path), HasSubstr("plain name of a .safetensors file is expected")) << path;
    ++kinds;
  }
  EXPECT_EQ(kinds, 8);
  EXPECT_THAT(with("model-00003-of-00002.safetensors"), HasSubstr("which is not there"));
  EXPECT_THAT(with("model-00001-of-00002.safetensors"),
              HasSubstr("\"model.norm.weight\" is not in"));
  Json index = Json::parse(good);
  index["weight_map"].erase("model.norm.weight");
  write(folder / kWeightsIndexFile, index.dump());
  EXPECT_THAT(load_refusal(folder.path()), HasSubstr("\"model.norm.weight\" is not in the index"));
  write(folder / kWeightsIndexFile, "{}");
  EXPECT_THAT(load_refusal(folder.path()), HasSubstr("weight_map is missing"));
  write(folder / kWeightsIndexFile, good);
  EXPECT_EQ(load_refusal(folder.path()), "accepted");
}

TEST(HfFolder, SaysWhatAFolderWithoutWeightsLacks) {
  const TempFolder folder;
  EXPECT_THAT(load_refusal(folder.path()), HasSubstr("config.json"));
  write(folder / "config.json", dump_model_config(tiny_config()));
  EXPECT_THAT(load_refusal(folder.path()),
              AllOf(HasSubstr("has neither model.safetensors"), Not(HasSubstr("pickled"))));
  write(folder / "pytorch_model.bin", "x");
  EXPECT_THAT(load_refusal(folder.path()),
              HasSubstr("pickled weights (pytorch_model.bin) are not read"));
}

TEST(HfFolder, ReadsShardsOfTheReferenceWriter) {
  if (!have_shared("fixtures/models/qwen3")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  const WeightFiles files(shared_path("fixtures/models/qwen3"));
  EXPECT_EQ(files.names().size(), 25u);
  EXPECT_TRUE(files.contains("model.norm.weight"));
}

TEST(HfCache, ResolvesAModelThroughItsMainReference) {
  const TempFolder cache;
  write(cache / "models--org--name/refs/main", "0123abcd\n");
  write(cache / "models--org--name/snapshots/0123abcd/config.json", "{}");
  write(cache / "models--gpt2/refs/main", "ff");
  write(cache / "models--gpt2/snapshots/ff/config.json", "{}");
  EXPECT_EQ(resolve_model_folder("org/name", cache.path()),
            cache / "models--org--name/snapshots/0123abcd");
  EXPECT_EQ(resolve_model_folder("gpt2", cache.path()), cache / "models--gpt2/snapshots/ff");
  EXPECT_EQ(resolve_model_folder(cache.path(), ""), cache.path()) << "a folder is taken as it is";
}

TEST(HfCache, SaysWhereItLooked) {
  const TempFolder cache;
  const auto resolve = [&](const std::string& name) {
    return refusal([&] { resolve_model_folder(name, cache.path()); });
  };
  EXPECT_THAT(resolve("org/name"), AllOf(HasSubstr(cache / "models--org--name/refs/main"),
                                         HasSubstr("nothing is fetched")));
  write(cache / "models--org--name/refs/main", "abc");
  EXPECT_THAT(resolve("org/name"), HasSubstr(cache / "models--org--name/snapshots/abc"));
  write(cache / "models--org--name/refs/main", "../../..");
  EXPECT_THAT(resolve("org/name"), HasSubstr("does not hold a commit"));
  int names = 0;
  for (const char* name :
       {"../name", "org/..", "a/b/c", "/absent", "", "org/", "org/na me", "org/.name"}) {
    EXPECT_THAT(resolve(name), HasSubstr("is not a folder; give the path of a model folder"))
        << name;
    ++names;
  }
  EXPECT_EQ(names, 8);
  EXPECT_THAT(refusal([] { resolve_model_folder("org/name"); }),
              HasSubstr("is not a folder; give the path"));
}

TEST(HfCache, LiesWhereTheEnvironmentSays) {
  std::map<std::string, std::string> variables = {{"HOME", "/h"}};
  const auto environment = [&](const char* name) { return variables[name]; };
  EXPECT_EQ(hub_cache_folder(environment), "/h/.cache/huggingface/hub");
  variables["XDG_CACHE_HOME"] = "/x";
  EXPECT_EQ(hub_cache_folder(environment), "/x/huggingface/hub");
  variables["HF_HOME"] = "/f";
  EXPECT_EQ(hub_cache_folder(environment), "/f/hub");
  variables["HF_HUB_CACHE"] = "/c";
  EXPECT_EQ(hub_cache_folder(environment), "/c");
}

}  // namespace
}  // namespace lathe
