#include <stdexcept>
#include <unordered_map>

#include "data/tokenize/spec.h"
#include "data/tokenize/tokenizer_steps.h"

// Reads tokenizer.json, the format of Hugging Face's `tokenizers` library.
namespace lathe {
namespace {

using Ids = std::unordered_map<std::string_view, int32_t>;

AddedToken read_added(const JsonPart& part) {
  part.allow({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
  AddedToken token;
  token.id = static_cast<int32_t>(part.at("id").integer(0, kMaxTokens));
  token.content = part.at("content").string();
  token.single_word = part.boolean_or("single_word", false);
  token.lstrip = part.boolean_or("lstrip", false);
  token.rstrip = part.boolean_or("rstrip", false);
  token.special = part.boolean_or("special", false);
  token.normalized = part.boolean_or("normalized", !token.special);
  return token;
}

Ids read_vocab(const JsonPart& part, TokenizerSpec& spec) {
  const auto object = part.object();
  if (static_cast<int64_t>(object.size()) >= kMaxTokens) part.fail("has too many tokens");
  Ids ids;
  ids.reserve(object.size());
  for (const auto& field : object) {
    const JsonPart value(field.value,
                         part.where() + "['" + std::string(field.key.substr(0, 80)) + "']");
    const auto id = static_cast<int32_t>(value.integer(0, kMaxTokens));
    spec.vocab.push_back({std::string(field.key), id});
    if (!ids.emplace(field.key, id).second) value.fail("stands twice");
  }
  return ids;
}

// "a b" or ["a", "b"].
std::pair<std::string_view, std::string_view> read_pair(const JsonPart& part) {
  if (part.is_string()) {
    const std::string_view text = part.string();
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      part.fail("is not two tokens with a space between them");
    }
    return {text.substr(0, space), text.substr(space + 1)};
  }
  const auto items = part.items();
  if (items.size() != 2) part.fail("is not a pair of tokens");
  return {items[0].string(), items[1].string()};
}

void read_merges(const JsonPart& part, const Ids& ids, TokenizerSpec& spec) {
  const auto id_of = [&](const JsonPart& merge, std::string_view token) {
    const auto found = ids.find(token);
    if (token.empty() || found == ids.end())
      merge.fail("needs the token '" + std::string(token) + "', which model.vocab does not have");
    return found->second;
  };
  uint32_t rank = 0;
  std::string whole;
  for (const auto& item : part.array()) {
    const JsonPart merge(item, part.where() + "[" + std::to_string(rank) + "]");
    const auto [left, right] = read_pair(merge);
    whole.assign(left).append(right);
    spec.merges.push_back({id_of(merge, left), id_of(merge, right), id_of(merge, whole), rank++});
  }
}

void read_model(const JsonPart& part, TokenizerSpec& spec) {
  const std::string type = part.string_or("type", "BPE");
  if (type != "BPE") part.fail("has the type " + type + "; only BPE is supported");
  part.allow({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
              "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (part.find("dropout"))
    part.fail("has dropout, which is not supported: ids must not be left to chance");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!part.string_or(key, "").empty()) part.at(key).fail("is not supported");
  }
  spec.fuse_unk = part.boolean_or("fuse_unk", false);
  spec.byte_fallback = part.boolean_or("byte_fallback", false);
  spec.ignore_merges = part.boolean_or("ignore_merges", false);
  const Ids ids = read_vocab(part.at("vocab"), spec);
  read_merges(part.at("merges"), ids, spec);
  if (const auto unk = part.find("unk_token")) {
    const auto found = ids.find(unk->string());
    if (found != ids.end()) spec.unk = found->second;
  }
}

}  // namespace

TokenizerSpec read_tokenizer_json(const std::string& path) {
  const JsonFile file(path);
  const JsonPart root = file.root();
  // Truncation and padding are the caller's business; the reference's own callers reset them too.
  root.allow({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
              "post_processor", "decoder", "model"});
  TokenizerSpec spec;
  read_model(root.at("model"), spec);
  if (const auto added = root.find("added_tokens")) {
    for (const JsonPart& token : added->items()) spec.added.push_back(read_added(token));
  }
  if (const auto part = root.find("normalizer")) read_normalizer(*part, spec.normalizer);
  if (const auto part = root.find("pre_tokenizer")) read_pre_tokenizer(*part, spec.pre_tokenizer);
  if (const auto part = root.find("post_processor"))
    read_post_processor(*part, spec.post_processor);
  if (const auto part = root.find("decoder")) read_decoder(*part, spec.decoder);
  spec.join_with_spaces = !root.find("decoder");
  check_ids(path, spec);
  return spec;
}

}  // namespace lathe
