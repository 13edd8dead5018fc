#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "data/tokenize/json_part.h"
#include "data/tokenize/spec.h"

// What stands beside the vocabulary in a Hugging Face folder: tokenizer_config.json,
// special_tokens_map.json, added_tokens.json and chat_template.jinja with
// additional_chat_templates/.
namespace lathe {
namespace {

// A special token is written as a string or as an object that has its content.
std::optional<std::string> read_name(const JsonPart& root, std::string_view key) {
  const auto part = root.find(key);
  if (!part) return std::nullopt;
  return std::string(part->is_object() ? part->at("content").string() : part->string());
}

void read_names(const JsonPart& root, TokenizerSpec& spec) {
  const auto read = [&](std::optional<std::string>& name, const char* key) {
    if (!name) name = read_name(root, key);
  };
  read(spec.bos, "bos_token");
  read(spec.eos, "eos_token");
  read(spec.pad, "pad_token");
  read(spec.unk_name, "unk_token");
  for (const auto& field : root.object()) {
    if (!field.key.ends_with("_token")) continue;
    const auto part = root.find(field.key);
    const bool named = part && (part->is_string() || (part->is_object() && part->find("content")));
    if (named) spec.special_tokens.try_emplace(std::string(field.key), *read_name(root, field.key));
  }
  const auto more = root.find("additional_special_tokens");
  if (!more || !spec.additional_special.empty()) return;
  for (const JsonPart& item : more->items()) {
    spec.additional_special.emplace_back(item.is_object() ? item.at("content").string()
                                                          : item.string());
  }
}

// One template, or a list of them by name.
void read_chat_template(const JsonPart& root, TokenizerSpec& spec) {
  const auto part = root.find("chat_template");
  if (!part) return;
  if (part->is_string()) {
    spec.chat_templates["default"] = part->string();
    return;
  }
  for (const JsonPart& named : part->items()) {
    spec.chat_templates[std::string(named.at("name").string())] = named.at("template").string();
  }
}

bool has_added(const TokenizerSpec& spec, std::string_view content) {
  for (const AddedToken& token : spec.added) {
    if (token.content == content) return true;
  }
  return false;
}

// Tokens that tokenizer.json has already keep its flags.
void read_added_tokens_decoder(const JsonPart& part, TokenizerSpec& spec) {
  for (const auto& field : part.object()) {
    const JsonPart value(field.value, part.where() + "." + std::string(field.key));
    AddedToken token;
    token.content = value.at("content").string();
    if (has_added(spec, token.content)) continue;
    int64_t id = 0;
    for (const char digit : field.key) {
      if (digit < '0' || digit > '9' || id >= kMaxTokens) value.fail("has a key that is no id");
      id = id * 10 + (digit - '0');
    }
    if (field.key.empty() || id >= kMaxTokens) value.fail("has a key that is no id");
    token.id = static_cast<int32_t>(id);
    token.single_word = value.boolean_or("single_word", false);
    token.lstrip = value.boolean_or("lstrip", false);
    token.rstrip = value.boolean_or("rstrip", false);
    token.normalized = value.boolean_or("normalized", true);
    token.special = value.boolean_or("special", false);
    spec.added.push_back(std::move(token));
  }
}

// {token: id}; the special ones are those that the other files name.
void read_added_tokens(const JsonPart& root, const std::vector<std::string>& special,
                       TokenizerSpec& spec) {
  for (const auto& field : root.object()) {
    const JsonPart value(field.value, root.where() + std::string(field.key));
    if (has_added(spec, field.key)) continue;
    AddedToken token;
    token.id = static_cast<int32_t>(value.integer(0, kMaxTokens));
    token.content = field.key;
    token.special = std::find(special.begin(), special.end(), token.content) != special.end();
    token.normalized = !token.special;
    spec.added.push_back(std::move(token));
  }
}

std::vector<std::string> special_names(const TokenizerSpec& spec) {
  std::vector<std::string> names = spec.additional_special;
  for (const auto& name : {spec.bos, spec.eos, spec.pad, spec.unk_name}) {
    if (name) names.push_back(*name);
  }
  return names;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

void read_tokenizer_config(const std::string& folder, TokenizerSpec& spec) {
  const std::filesystem::path base(folder);
  const auto exists = [&](const char* name) {
    return std::filesystem::is_regular_file(base / name);
  };
  if (exists("tokenizer_config.json")) {
    const JsonFile file((base / "tokenizer_config.json").string());
    read_names(file.root(), spec);
    read_chat_template(file.root(), spec);
    if (const auto part = file.root().find("added_tokens_decoder"))
      read_added_tokens_decoder(*part, spec);
  }
  if (exists("special_tokens_map.json")) {
    const JsonFile file((base / "special_tokens_map.json").string());
    read_names(file.root(), spec);
  }
  if (exists("added_tokens.json")) {
    const JsonFile file((base / "added_tokens.json").string());
    read_added_tokens(file.root(), special_names(spec), spec);
  }
  check_ids(folder, spec);
  if (exists("chat_template.jinja")) {
    spec.chat_templates["default"] = read_text(base / "chat_template.jinja");
  }
  if (!std::filesystem::is_directory(base / "additional_chat_templates")) return;
  for (const auto& entry :
       std::filesystem::directory_iterator(base / "additional_chat_templates")) {
    const std::filesystem::path& path = entry.path();
    if (path.extension() == ".jinja") spec.chat_templates[path.stem().string()] = read_text(path);
  }
}

}  // namespace lathe
