#include <nlohmann/json.hpp>

#include "data/tokenize/patterns.h"
#include "data/tokenize/train_bpe.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json pre_tokenizer(Splitter::Pattern pattern) {
  if (pattern == Splitter::Pattern::kGpt2) return byte_level(true);
  const char* regex = pattern == Splitter::Pattern::kLlama3 ? kLlama3Pattern : kQwen2Pattern;
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", regex}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level(false)})}};
}

Json added_token(size_t id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json model(const TrainedBpe& trained) {
  Json vocab = Json::object(), merges = Json::array();
  // Tokens are unique, so no key has to be looked for.
  auto& pairs = vocab.get_ref<Json::object_t&>();
  for (size_t id = 0; id < trained.tokens.size(); ++id) pairs.emplace_back(trained.tokens[id], id);
  for (const auto& [left, right] : trained.merges) {
    merges.push_back(Json::array({trained.tokens[left], trained.tokens[right]}));
  }
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

}  // namespace

std::string tokenizer_json(const TrainedBpe& trained, Splitter::Pattern pattern) {
  Json added = Json::array();
  for (size_t id = 0; id < trained.num_special; ++id)
    added.push_back(added_token(id, trained.tokens[id]));
  const Json file = {{"version", "1.0"},          {"truncation", nullptr},
                     {"padding", nullptr},        {"added_tokens", std::move(added)},
                     {"normalizer", nullptr},     {"pre_tokenizer", pre_tokenizer(pattern)},
                     {"post_processor", nullptr}, {"decoder", byte_level(true)},
                     {"model", model(trained)}};
  return file.dump(2) + "\n";
}

}  // namespace lathe
