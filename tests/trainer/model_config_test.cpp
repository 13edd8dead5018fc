#include "trainer/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/shared.h"

namespace lathe {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

Json tiny() {
  return Json::parse(
      R"({"model_type": "llama", "vocab_size": 160, "hidden_size": 48, "intermediate_size": 80,
    "num_hidden_layers": 2, "num_attention_heads": 4})");
}

ModelConfig parse(const Json& json) { return parse_model_config(json.dump(), "config.json"); }

std::string refusal(const Json& json) {
  try {
    parse(json);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

std::string refusal(const std::string& key, const Json& value) {
  Json json = tiny();
  json[key] = value;
  return refusal(json);
}

// All but the text it was read from.
ModelConfig without_source(ModelConfig config) {
  config.source.clear();
  return config;
}

TEST(ModelConfig, TakesTheDefaultsOfTheClass) {
  const ModelConfig config = parse(tiny());
  EXPECT_EQ(config.num_key_value_heads, 4);
  EXPECT_EQ(config.head_dim, 12);
  EXPECT_EQ(config.max_position_embeddings, 2048);
  EXPECT_EQ(config.rms_norm_eps, 1e-6);
  EXPECT_EQ(config.rope_theta, 10000);
  EXPECT_EQ(config.rope_scaling, RopeScaling{});
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.eos_token_id, std::vector<int64_t>{2});
  EXPECT_EQ(config.pad_token_id, -1);
  EXPECT_EQ(config.dtype, "float32");
}

TEST(ModelConfig, ReadsBothSpellingsOfRotaryScaling) {
  const Json block = {{"rope_type", "llama3"},
                      {"factor", 8.0},
                      {"low_freq_factor", 1.0},
                      {"high_freq_factor", 4.0},
                      {"original_max_position_embeddings", 32}};
  Json v4 = tiny(), v5 = tiny();
  v4["rope_theta"] = 500000.0;
  v4["rope_scaling"] = block;
  v4["torch_dtype"] = "bfloat16";
  v5["rope_parameters"] = block;
  v5["rope_parameters"]["rope_theta"] = 500000.0;
  v5["dtype"] = "bfloat16";
  const ModelConfig config = parse(v4);
  EXPECT_EQ(config.rope_theta, 500000);
  EXPECT_EQ(config.rope_scaling.type, "llama3");
  EXPECT_EQ(config.rope_scaling.factor, 8);
  EXPECT_EQ(config.rope_scaling.original_max_position_embeddings, 32);
  EXPECT_EQ(config.dtype, "bfloat16");
  EXPECT_EQ(without_source(config), without_source(parse(v5)));
}

TEST(ModelConfig, ReadsTheOldKeyTypeAndFillsInTheOriginalLength) {
  Json json = tiny();
  json["rope_scaling"] = {{"type", "linear"}, {"factor", 2.5}};
  EXPECT_EQ(parse(json).rope_scaling.type, "linear");
  EXPECT_EQ(parse(json).rope_scaling.factor, 2.5);
  json["rope_scaling"] = {{"type", "yarn"}, {"original_max_position_embeddings", 512}};
  EXPECT_EQ(parse(json).rope_scaling.factor, 4) << "2048 / 512";
  json["rope_scaling"] = {{"type", "dynamic"}, {"factor", 2}};
  EXPECT_EQ(parse(json).rope_scaling.original_max_position_embeddings, 2048);
}

TEST(ModelConfig, ReadsTokenIdsAsNumberListOrNull) {
  Json json = tiny();
  json["eos_token_id"] = {7, 9};
  json["bos_token_id"] = nullptr;
  json["pad_token_id"] = -1;
  const ModelConfig config = parse(json);
  EXPECT_EQ(config.eos_token_id, (std::vector<int64_t>{7, 9}));
  EXPECT_EQ(config.bos_token_id, -1);
  EXPECT_EQ(config.pad_token_id, -1);
  json["eos_token_id"] = nullptr;
  EXPECT_TRUE(parse(json).eos_token_id.empty());
}

TEST(ModelConfig, RefusesWhatChangesTheMathematics) {
  EXPECT_THAT(refusal("hidden_act", "gelu"), HasSubstr("hidden_act is \"gelu\""));
  EXPECT_THAT(refusal("quantization_config", {{"quant_method", "gptq"}}),
              HasSubstr("quantization_config"));
  EXPECT_THAT(refusal("attention_dropout", 0.1), HasSubstr("attention_dropout"));
  EXPECT_THAT(refusal("pretraining_tp", 2), HasSubstr("pretraining_tp"));
  EXPECT_THAT(refusal("partial_rotary_factor", 0.5), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(refusal("layer_types", {"full_attention", "sliding_attention"}),
              HasSubstr("layer_types"));
  EXPECT_THAT(refusal("rope_scaling", {{"rope_type", "mrope"}}),
              HasSubstr("rope_scaling.rope_type is \"mrope\""));
  EXPECT_THAT(refusal("rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}, {"truncate", false}}),
              HasSubstr("truncate"));
  EXPECT_THAT(refusal("rope_parameters", {{"full_attention", Json::object()}}),
              HasSubstr("rope_parameters"));
  EXPECT_THAT(refusal("model_type", "mamba"),
              HasSubstr("model_type is \"mamba\"; supported are llama"));
  EXPECT_THAT(refusal("dtype", "float8_e4m3fn"), HasSubstr("dtype"));
  Json neutral = tiny();
  neutral.update({{"hidden_act", "silu"},
                  {"quantization_config", nullptr},
                  {"attention_dropout", 0.0},
                  {"pretraining_tp", 1}});
  EXPECT_EQ(refusal(neutral), "accepted");
}

TEST(ModelConfig, TellsAnAbsentWindowFromNone) {
  Json json = tiny();
  json["num_key_value_heads"] = 2;
  json["model_type"] = "mistral";
  EXPECT_EQ(parse(json).sliding_window, 4096);
  json["sliding_window"] = nullptr;
  EXPECT_EQ(parse(json).sliding_window, 0);
  EXPECT_FALSE(parse(json).slides(0));
  json["sliding_window"] = 8;
  EXPECT_TRUE(parse(json).slides(1));
  json["model_type"] = "qwen2";
  EXPECT_EQ(parse(json).sliding_window, 0) << "not used without use_sliding_window";
  json.update({{"use_sliding_window", true}, {"max_window_layers", 1}});
  EXPECT_FALSE(parse(json).slides(0));
  EXPECT_TRUE(parse(json).slides(1));
}

TEST(ModelConfig, RefusesWhatAFamilyDoesNotCompute) {
  const auto of = [](const char* family, const std::string& key, const Json& value) {
    Json json = tiny();
    json["num_key_value_heads"] = 2;
    json["model_type"] = family;
    json[key] = value;
    return refusal(json);
  };
  EXPECT_THAT(of("gemma2", "hidden_activation", "gelu"), HasSubstr("hidden_activation"));
  EXPECT_THAT(of("gemma3_text", "use_bidirectional_attention", true),
              HasSubstr("use_bidirectional_attention"));
  EXPECT_THAT(of("gemma3_text", "attn_logit_softcapping", 50), HasSubstr("attn_logit_softcapping"));
  EXPECT_THAT(of("gemma2", "layer_types", {"sliding_attention"}), HasSubstr("2 entries"));
  EXPECT_THAT(of("gemma2", "layer_types", {"chunked_attention", "full_attention"}),
              HasSubstr("chunked_attention"));
  EXPECT_THAT(of("phi3", "partial_rotary_factor", 0.25), HasSubstr("turns 3 of head_dim 12"));
  EXPECT_THAT(of("phi3", "resid_pdrop", 0.1), HasSubstr("resid_pdrop"));
  EXPECT_THAT(of("phi3", "rope_scaling", {{"type", "longrope"}}),
              HasSubstr("short_factor is missing"));
  EXPECT_THAT(of("smollm3", "no_rope_layers", {1, 2}), HasSubstr("no_rope_layers"));
  Json gpt2 = {{"model_type", "gpt2"}, {"vocab_size", 160}, {"n_embd", 48},
               {"n_layer", 2},         {"n_head", 4},       {"attn_pdrop", 0.1}};
  EXPECT_EQ(refusal(gpt2), "accepted");
  gpt2["scale_attn_by_inverse_layer_idx"] = true;
  EXPECT_THAT(refusal(gpt2), HasSubstr("scale_attn_by_inverse_layer_idx"));
}

TEST(ModelConfig, NamesTheKeyThatIsMissing) {
  int keys = 0;
  const Json whole = tiny();
  for (const auto& [key, value] : whole.items()) {
    Json json = tiny();
    json.erase(key);
    EXPECT_THAT(refusal(json), HasSubstr("config.json: " + key + " is missing"));
    ++keys;
  }
  EXPECT_EQ(keys, 6);
}

TEST(ModelConfig, RefusesSizesThatCannotBe) {
  for (const char* key :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings"}) {
    for (const Json& value :
         {Json(0), Json(-4), Json(INT64_MAX), Json(UINT64_MAX), Json(4.0), Json("4"), Json(true)}) {
      EXPECT_THAT(refusal(key, value), HasSubstr(key)) << value;
    }
  }
  EXPECT_THAT(refusal("num_key_value_heads", 3),
              HasSubstr("not a multiple of num_key_value_heads 3"));
  EXPECT_THAT(refusal("hidden_size", 50), HasSubstr("not a multiple of num_attention_heads"));
  EXPECT_THAT(refusal("head_dim", 7), HasSubstr("odd"));
  EXPECT_THAT(refusal("rms_norm_eps", -1), HasSubstr("rms_norm_eps"));
  EXPECT_THAT(refusal("rope_theta", 0), HasSubstr("rope_theta"));
  EXPECT_THAT(refusal("rope_scaling", {{"type", "linear"}}), HasSubstr("factor is missing"));
  EXPECT_THAT(refusal("rope_scaling", {{"type", "linear"}, {"factor", 0}}),
              HasSubstr("factor is 0"));
  EXPECT_THAT(refusal("rope_scaling", {{"type", "llama3"}, {"factor", 8}}),
              HasSubstr("original_max_position_embeddings"));
  EXPECT_THAT(refusal("eos_token_id", {1, -2}), HasSubstr("eos_token_id"));
  EXPECT_THAT(refusal("tie_word_embeddings", "yes"), HasSubstr("tie_word_embeddings"));
}

TEST(ModelConfig, RefusesTwoSpellingsThatDisagree) {
  Json json = tiny();
  json["rope_theta"] = 10000.0;
  json["rope_parameters"] = {{"rope_theta", 500000.0}, {"rope_type", "default"}};
  EXPECT_THAT(refusal(json), HasSubstr("rope_theta and rope_parameters.rope_theta disagree"));
  json = tiny();
  json["rope_scaling"] = {{"type", "linear"}, {"factor", 2}};
  json["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 4}};
  EXPECT_THAT(refusal(json), HasSubstr("rope_scaling and rope_parameters disagree"));
  json = tiny();
  json.update({{"torch_dtype", "float16"}, {"dtype", "bfloat16"}});
  EXPECT_THAT(refusal(json), HasSubstr("torch_dtype is float16 but dtype is bfloat16"));
}

TEST(ModelConfig, RefusesWhatIsNoJsonObject) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("{\"a\": NaN}"),
        std::string("{\"a\": \"\xff\"}"), "{\"a\": " + std::string(100000, '[')}) {
    EXPECT_THROW(parse_model_config(text, "x"), std::invalid_argument) << text.substr(0, 20);
  }
  EXPECT_THROW(read_model_config("/nowhere"), std::invalid_argument);
}

TEST(ModelConfig, IsTheSameAfterDumpAndParse) {
  std::vector<Json> cases(7, tiny());
  cases[1]["rope_scaling"] = {{"type", "linear"}, {"factor", 2.5}};
  cases[2]["rope_scaling"] = {{"rope_type", "llama3"},
                              {"factor", 8.0},
                              {"low_freq_factor", 1.0},
                              {"high_freq_factor", 4.0},
                              {"original_max_position_embeddings", 32}};
  cases[3]["rope_parameters"] = {{"rope_type", "yarn"},
                                 {"factor", 40},
                                 {"mscale", 0.707},
                                 {"mscale_all_dim", 1.0},
                                 {"original_max_position_embeddings", 32},
                                 {"rope_theta", 5e5}};
  cases[4].update(
      {{"eos_token_id", {3, 4}}, {"bos_token_id", nullptr}, {"torch_dtype", "float16"}});
  cases[5].update({{"tie_word_embeddings", true},
                   {"attention_bias", true},
                   {"mlp_bias", true},
                   {"head_dim", 16}});
  cases[6].update({{"original_max_position_embeddings", 512},
                   {"rope_scaling",
                    {{"type", "longrope"},
                     {"short_factor", {1, 1.25, 1.5, 2, 2.5, 3}},
                     {"long_factor", {2, 4, 6, 8, 10, 12.5}}}}});
  for (const Json& json : cases) {
    const ModelConfig config = parse(json);
    EXPECT_EQ(without_source(parse_model_config(dump_model_config(config), "dumped")),
              without_source(config))
        << json;
    EXPECT_EQ(dump_model_config(parse_model_config(dump_model_config(config), "dumped")),
              dump_model_config(config));
    EXPECT_EQ(without_source(parse_model_config(dump_model_config(without_source(config)), "bare")),
              without_source(config));
  }
}

TEST(ModelConfig, DumpsBothSpellingsAndCarriesForeignKeysAlong) {
  Json json = tiny();
  json.update({{"use_cache", true},
               {"my_key", {{"deep", {1, 2, 3}}}},
               {"architectures", {"LlamaForCausalLM"}}});
  json["rope_scaling"] = {{"type", "linear"}, {"factor", 2.5}, {"foreign", 1}};
  const Json dumped = Json::parse(dump_model_config(parse(json)));
  EXPECT_EQ(dumped["my_key"], json["my_key"]);
  EXPECT_EQ(dumped["use_cache"], true);
  EXPECT_EQ(dumped["dtype"], "float32");
  EXPECT_EQ(dumped["torch_dtype"], "float32");
  EXPECT_EQ(dumped["architectures"], Json({"LlamaForCausalLM"}));
  EXPECT_EQ(dumped["hidden_act"], "silu");
  EXPECT_EQ(dumped["rope_theta"], 10000.0);
  EXPECT_EQ(dumped["rope_scaling"],
            Json({{"rope_type", "linear"}, {"factor", 2.5}, {"foreign", 1}}));
  EXPECT_EQ(
      dumped["rope_parameters"],
      Json({{"rope_type", "linear"}, {"factor", 2.5}, {"foreign", 1}, {"rope_theta", 10000.0}}));
  EXPECT_EQ(Json::parse(dump_model_config(parse(tiny())))["rope_scaling"], nullptr);
}

TEST(ModelConfig, ReadsTheFixtures) {
  if (!have_shared("fixtures/models")) GTEST_SKIP() << "NOT RUN: ../shared is not there";
  int folders = 0;
  for (const char* name :
       {"llama", "llama3", "llama_bf16", "llama_linear", "llama_tied", "llama_yarn"}) {
    const ModelConfig config =
        read_model_config(shared_path(std::string("fixtures/models/") + name));
    EXPECT_EQ(config.vocab_size, 160);
    EXPECT_EQ(without_source(parse_model_config(dump_model_config(config), "dumped")),
              without_source(config));
    ++folders;
  }
  EXPECT_EQ(folders, 6);
  const ModelConfig yarn = read_model_config(shared_path("fixtures/models/llama_yarn"));
  EXPECT_EQ(yarn.rope_scaling.factor, 4);
  EXPECT_EQ(yarn.rope_scaling.original_max_position_embeddings, 32);
  EXPECT_TRUE(read_model_config(shared_path("fixtures/models/llama_tied")).tie_word_embeddings);
}

TEST(ModelConfig, TakesAbsentKeyValueHeadsFromTheClass) {
  const auto heads = [](const std::string& model_type, const std::string& more) {
    return parse_model_config(R"({"vocab_size": 40, "hidden_size": 64, "intermediate_size": 24,
                                  "num_hidden_layers": 2, "num_attention_heads": 32, "head_dim": 2,
                                  "model_type": ")" +
                                  model_type + "\"" + more + "}",
                              model_type)
        .num_key_value_heads;
  };
  EXPECT_EQ(heads("llama", ""), 32);
  EXPECT_EQ(heads("mistral", ""), 8);
  EXPECT_EQ(heads("qwen3_moe", ""), 4);
  EXPECT_EQ(heads("gemma2", ""), 4);
  EXPECT_EQ(heads("mistral", ", \"num_key_value_heads\": null"), 32);
  EXPECT_EQ(heads("mistral", ", \"num_key_value_heads\": 16"), 16);
}

}  // namespace
}  // namespace lathe
