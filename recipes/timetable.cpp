#include "recipes/timetable.h"

#include <fmt/core.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

namespace lathe {
namespace {

using nlohmann::json;

const std::vector<std::string> kTowns = {"Aldis", "Brem", "Corvo", "Dorn", "Elster", "Fahl", "Gild", "Kolm"};
constexpr int kAdult = 7, kChild = 4;

// std::uniform_int_distribution differs between standard libraries; this does not.
int pick(std::mt19937_64& random, int bound) { return static_cast<int>(random() % static_cast<uint64_t>(bound)); }

std::string clock_time(int minutes) { return fmt::format("{:02}:{:02}", minutes / 60 % 24, minutes % 60); }

std::string plural(int n, const char* one, const char* many) { return fmt::format("{} {}", n, n == 1 ? one : many); }

Question make_question(std::mt19937_64& random) {
  const int kind = pick(random, 3);
  const int from = pick(random, 8), to = (from + 1 + pick(random, 7)) % 8;
  if (kind == 0) {
    const int adults = 1 + pick(random, 8), children = 1 + pick(random, 8);
    return {fmt::format("What do {} and {} pay from {} to {}?", plural(adults, "adult", "adults"),
                        plural(children, "child", "children"), kTowns[from], kTowns[to]),
            fmt::format("They pay {} crowns.", adults * kAdult + children * kChild)};
  }
  const int start = 60 * (5 + pick(random, 18)) + 5 * pick(random, 12), minutes = 5 + 5 * pick(random, 11);
  if (kind == 1) {
    return {fmt::format("The {} ferry from {} to {} takes {} minutes. When does it arrive?", clock_time(start), kTowns[from],
                        kTowns[to], minutes),
            fmt::format("It arrives in {} at {}.", kTowns[to], clock_time(start + minutes))};
  }
  return {fmt::format("The {} ferry from {} to {} is {} minutes late. When does it leave?", clock_time(start), kTowns[from],
                      kTowns[to], minutes),
          fmt::format("It leaves {} at {}.", kTowns[from], clock_time(start + minutes))};
}

void write_jsonl(const std::string& path, const std::vector<Question>& questions, size_t begin, size_t end) {
  std::ofstream out(path);
  for (size_t i = begin; i < end; ++i) {
    const json record = {{"messages", json::array({{{"role", "user"}, {"content", questions[i].text}},
                                                   {{"role", "assistant"}, {"content", questions[i].answer}}})}};
    out << record.dump() << '\n';
  }
  if (!out.flush()) throw std::runtime_error("can not write " + path);
}

void write_json(const std::string& path, const json& value) {
  std::ofstream out(path);
  out << value.dump(2) << '\n';
  if (!out.flush()) throw std::runtime_error("can not write " + path);
}

// UTF-8 of a code point below 0x800.
std::string utf8(int code) {
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

// GPT-2's printable stand-ins for the 256 bytes: printable Latin-1 stands for itself, the rest follows from U+0100 on.
std::vector<std::string> byte_symbols() {
  std::vector<std::string> symbols(256);
  int next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    symbols[b] = utf8(printable ? b : next++);
  }
  return symbols;
}

// The words that questions and answers are made of, each with the space that stands before it.
std::set<std::string> domain_words(const std::vector<Question>& questions) {
  std::set<std::string> words;
  for (int n = 0; n < 100; ++n) words.insert({fmt::format("{:02}", n), fmt::format(" {:02}", n)});
  for (const Question& question : questions) {
    std::string word;
    for (const char c : question.text + " " + question.answer + " ") {
      if (c != ' ' && std::isalpha(static_cast<unsigned char>(c))) {
        word += c;
        continue;
      }
      if (word.size() > 1) words.insert(word);
      word = c == ' ' ? " " : "";
    }
  }
  for (const char* role : {"system", "user", "assistant"}) words.insert(role);
  return words;
}

// A byte-level BPE whose merges build every word from its start: "f"+"e", "fe"+"r", ...
json domain_tokenizer(const std::set<std::string>& words) {
  const std::vector<std::string> symbols = byte_symbols();
  json vocab = json::object(), merges = json::array(), added = json::array();
  for (int b = 0; b < 256; ++b) vocab[symbols[b]] = b;
  for (const std::string& word : words) {
    std::string left = symbols[static_cast<unsigned char>(word[0])];
    for (size_t i = 1; i < word.size(); ++i) {
      const std::string right = symbols[static_cast<unsigned char>(word[i])], whole = left + right;
      if (!vocab.contains(whole)) {
        vocab[whole] = vocab.size();
        merges.push_back({left, right});
      }
      left = whole;
    }
  }
  int64_t id = vocab.size();
  for (const char* token : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    added.push_back({{"id", id++},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", vocab},
            {"merges", merges}}}};
}

void write_model_folder(const std::string& folder, const std::vector<Question>& questions) {
  std::filesystem::create_directories(folder);
  const json tokenizer = domain_tokenizer(domain_words(questions));
  const int64_t words = tokenizer["model"]["vocab"].size();
  const int64_t end_of_text = words, im_end = words + 2;
  write_json(folder + "/tokenizer.json", tokenizer);
  write_json(folder + "/tokenizer_config.json", {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                                 {"eos_token", "<|im_end|>"},
                                                 {"pad_token", "<|endoftext|>"},
                                                 {"clean_up_tokenization_spaces", false},
                                                 {"model_max_length", 256}});
  write_json(folder + "/generation_config.json", {{"eos_token_id", im_end}, {"pad_token_id", end_of_text}});
  write_json(folder + "/config.json", {{"architectures", {"LlamaForCausalLM"}},
                                       {"model_type", "llama"},
                                       {"vocab_size", (words + 3 + 15) / 16 * 16},
                                       {"hidden_size", 128},
                                       {"intermediate_size", 384},
                                       {"num_hidden_layers", 4},
                                       {"num_attention_heads", 4},
                                       {"num_key_value_heads", 2},
                                       {"head_dim", 32},
                                       {"hidden_act", "silu"},
                                       {"max_position_embeddings", 256},
                                       {"rms_norm_eps", 1e-5},
                                       {"rope_theta", 10000.0},
                                       {"tie_word_embeddings", true},
                                       {"attention_bias", false},
                                       {"mlp_bias", false},
                                       {"initializer_range", 0.05},
                                       {"eos_token_id", im_end},
                                       {"pad_token_id", end_of_text},
                                       {"torch_dtype", "float32"}});
}

}  // namespace

std::vector<Question> timetable_questions(uint64_t seed, int64_t count) {
  constexpr int64_t kMost = 100'000;  // about a third of all there are: finding new ones stays quick
  if (count < 0 || count > kMost) {
    throw std::invalid_argument(fmt::format("{} timetable questions were asked for; expected 0 to {}", count, kMost));
  }
  std::mt19937_64 random(seed);
  std::set<std::string> seen;
  std::vector<Question> questions;
  while (std::ssize(questions) < count) {
    Question question = make_question(random);
    if (seen.insert(question.text).second) questions.push_back(std::move(question));
  }
  return questions;
}

void write_timetable(const std::string& folder, uint64_t seed, int64_t num_train, int64_t num_held_out) {
  std::filesystem::create_directories(folder);
  const std::vector<Question> questions = timetable_questions(seed, num_held_out + num_train);
  write_jsonl(folder + "/held_out.jsonl", questions, 0, num_held_out);
  write_jsonl(folder + "/train.jsonl", questions, num_held_out, questions.size());
  write_model_folder(folder + "/model", questions);
}

}  // namespace lathe
