#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <unordered_map>

#include "data/tokenize/json_part.h"
#include "data/tokenize/patterns.h"
#include "data/tokenize/spec.h"

// Reads vocab.json + merges.txt, the older form of byte-level tokenizers (GPT-2, Qwen 2). What
// tokenizer.json would say about splitting follows from the class that tokenizer_config.json names.
namespace lathe {
namespace {

using Ids = std::unordered_map<std::string_view, int32_t>;

void read_vocab(const JsonFile& file, TokenizerSpec& spec, Ids& ids) {
  for (const auto& field : file.root().object()) {
    const JsonPart value(field.value,
                         file.path + ": '" + std::string(field.key.substr(0, 80)) + "'");
    const auto id = static_cast<int32_t>(value.integer(0, kMaxTokens));
    spec.vocab.push_back({std::string(field.key), id});
    if (!ids.emplace(field.key, id).second) value.fail("stands twice");
  }
}

// A pair a line, in order of rank; a first line "#version: ..." and CRLF line ends occur.
void read_merges(const std::string& path, const Ids& ids, TokenizerSpec& spec) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::invalid_argument(path + ": can not be read");
  int64_t number = 0;
  std::string line, whole;
  const auto refuse = [&](const std::string& what) {
    throw std::invalid_argument(path + ":" + std::to_string(number) + ": " + what);
  };
  const auto id_of = [&](std::string_view token) {
    const auto found = ids.find(token);
    if (token.empty() || found == ids.end())
      refuse("the token '" + std::string(token.substr(0, 80)) + "' is not in vocab.json");
    return found->second;
  };
  while (std::getline(file, line)) {
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with("#version")) continue;
    const size_t space = line.find(' ');
    if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) {
      refuse("expected two tokens with a space between them");
    }
    const std::string_view left = std::string_view(line).substr(0, space),
                           right = std::string_view(line).substr(space + 1);
    whole.assign(left).append(right);
    const auto rank = static_cast<uint32_t>(spec.merges.size());
    spec.merges.push_back({id_of(left), id_of(right), id_of(whole), rank});
  }
}

struct Config {
  std::string tokenizer_class = "GPT2Tokenizer";
  bool add_prefix_space = false, add_bos_token = false;
};

Config read_config(const std::filesystem::path& folder) {
  const std::string path = (folder / "tokenizer_config.json").string();
  Config config;
  if (!std::filesystem::exists(path)) return config;
  const JsonFile file(path);
  config.tokenizer_class = file.root().string_or("tokenizer_class", config.tokenizer_class);
  config.add_prefix_space = file.root().boolean_or("add_prefix_space", false);
  config.add_bos_token = file.root().boolean_or("add_bos_token", false);
  if (config.tokenizer_class.ends_with("Fast"))
    config.tokenizer_class.resize(config.tokenizer_class.size() - 4);
  return config;
}

void set_steps(const std::string& folder, const Config& config, TokenizerSpec& spec) {
  PreTokenizerStep bytes;
  bytes.kind = PreTokenizerStep::Kind::kByteLevel;
  if (config.add_prefix_space) bytes.prepend = PreTokenizerStep::Prepend::kAlways;
  if (config.tokenizer_class == "GPT2Tokenizer") {
    bytes.use_regex = true;
  } else if (config.tokenizer_class == "Qwen2Tokenizer") {
    spec.normalizer.push_back({NormalizerStep::Kind::kNfc, "", ""});
    PreTokenizerStep split;
    split.kind = PreTokenizerStep::Kind::kSplitRegex;
    split.pattern = kQwen2Pattern;
    spec.pre_tokenizer.push_back(split);
  } else {
    throw std::invalid_argument(
        folder + ": vocab.json and merges.txt of the class " + config.tokenizer_class +
        " are not supported (GPT2Tokenizer and Qwen2Tokenizer are); bring its tokenizer.json");
  }
  spec.pre_tokenizer.push_back(bytes);
  DecoderStep decoder;
  decoder.kind = DecoderStep::Kind::kByteLevel;
  spec.decoder.push_back(decoder);
}

}  // namespace

TokenizerSpec read_vocab_merges(const std::string& folder) {
  const std::filesystem::path base(folder);
  const Config config = read_config(base);
  TokenizerSpec spec;
  set_steps(folder, config, spec);
  const JsonFile vocab((base / "vocab.json").string());
  Ids ids;
  read_vocab(vocab, spec, ids);
  read_merges((base / "merges.txt").string(), ids, spec);
  // The one special token of GPT-2's own files, which name none.
  const auto end_of_text = ids.find("<|endoftext|>");
  if (end_of_text != ids.end()) {
    spec.added.push_back({end_of_text->second, "<|endoftext|>", false, false, false, false, true});
  }
  read_tokenizer_config(folder, spec);
  if (config.tokenizer_class == "GPT2Tokenizer") {
    for (std::optional<std::string>* name : {&spec.bos, &spec.eos, &spec.unk_name}) {
      if (!*name && end_of_text != ids.end()) *name = "<|endoftext|>";
    }
  }
  if (config.add_bos_token && spec.bos) {
    const std::optional<int32_t> bos = id_of_token(spec, *spec.bos);
    if (bos) spec.post_processor = {{false, {*bos}}, {true, {}}};
  }
  check_ids(folder, spec);
  return spec;
}

}  // namespace lathe
