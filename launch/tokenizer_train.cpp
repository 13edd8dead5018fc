// lathe tokenizer train --input FILE... --output DIR
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "data/corpus/corpus.h"
#include "data/corpus/input_file.h"
#include "data/tokenize/tokenizer.h"
#include "data/tokenize/train_bpe.h"
#include "data/tokenize/unicode.h"
#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "launch/run_verb.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBlockBytes = 4 << 20, kMostTextBytes = size_t{1} << 30;

constexpr const char* kFooter = R"(
Byte-level BPE, the kind of GPT-2, Llama 3 and Qwen. The merges are those of BpeTrainer of the
`tokenizers` library with the same options, and its files are read line after line as there. Of
.jsonl and .json files the `text` of each record is one text, unless --lines is given.

  lathe tokenizer train --input books/*.txt --output my-tokenizer --vocab-size 8000
        --special-token '<|endoftext|>' --eos-token '<|endoftext|>'
)";

struct TrainArguments {
  std::string action, output, pattern = "gpt2", bos_token, eos_token, pad_token;
  std::vector<std::string> inputs;
  bool lines = false, seen_bytes_only = false;
  BpeTraining training;
};

// Texts laid end to end.
struct TextBlock {
  std::string bytes;
  std::vector<size_t> ends;
};

class Counter {
 public:
  Counter(Splitter::Pattern pattern, size_t threads) : counts_(threads, WordCounts(pattern)) {}

  void add(std::string_view text) {
    blocks_.back().bytes += text;
    blocks_.back().ends.push_back(blocks_.back().bytes.size());
    bytes_ += static_cast<int64_t>(text.size());
    ++texts_;
    if (blocks_.back().bytes.size() < kBlockBytes) return;
    if (blocks_.size() == counts_.size()) flush();
    blocks_.emplace_back();
  }
  WordCounts take() {
    flush();
    for (size_t i = 1; i < counts_.size(); ++i) counts_[0].add(counts_[i]);
    return std::move(counts_[0]);
  }
  int64_t bytes() const { return bytes_; }
  int64_t texts() const { return texts_; }

 private:
  // Each thread counts one block.
  void flush() {
    std::vector<std::exception_ptr> failures(blocks_.size());
    {
      std::vector<std::jthread> threads;
      for (size_t i = 0; i < blocks_.size(); ++i) {
        threads.emplace_back([&, i] {
          try {
            size_t begin = 0;
            for (const size_t end : blocks_[i].ends) {
              counts_[i].add(std::string_view(blocks_[i].bytes).substr(begin, end - begin));
              begin = end;
            }
          } catch (...) {
            failures[i] = std::current_exception();
          }
        });
      }
    }
    for (const std::exception_ptr& failure : failures) {
      if (failure) std::rethrow_exception(failure);
    }
    blocks_.clear();
  }

  std::vector<WordCounts> counts_;
  std::vector<TextBlock> blocks_ = std::vector<TextBlock>(1);
  int64_t bytes_ = 0, texts_ = 0;
};

// Every line with its end is a text, as the reference reads files.
void add_lines(const std::string& path, Counter& counter) {
  InputFile file(path);
  std::string held;
  std::vector<char> buffer(1 << 20);
  int64_t line = 0;
  const auto add = [&] {
    ++line;
    if (!is_valid_utf8(held)) {
      throw std::invalid_argument(fmt::format("{}:{}: the text is not valid UTF-8", path, line));
    }
    counter.add(held);
    held.clear();
  };
  while (const size_t got = file.read(buffer.data(), buffer.size())) {
    std::string_view rest(buffer.data(), got);
    for (size_t end; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1)) {
      held += rest.substr(0, end + 1);
      add();
    }
    held += rest;
    if (held.size() > kMostTextBytes)
      throw std::invalid_argument(path + ": a line of more than 1 GiB");
  }
  if (!held.empty()) add();
}

void add_records(const std::string& path, Counter& counter) {
  CorpusFile file(path, Shape::kText);
  while (const auto record = file.next()) counter.add(std::get<TextRecord>(record->content).text);
}

bool holds_records(const std::string& path) {
  for (const char* ending :
       {".jsonl", ".json", ".jsonl.gz", ".json.gz", ".jsonl.zst", ".json.zst"}) {
    if (path.ends_with(ending)) return true;
  }
  return false;
}

void add_file(const std::string& path, bool lines, Counter& counter) {
  if (!lines && holds_records(path)) {
    add_records(path, counter);
  } else {
    add_lines(path, counter);
  }
}

Splitter::Pattern pattern_named(const std::string& name) {
  if (name == "gpt2") return Splitter::Pattern::kGpt2;
  if (name == "llama3") return Splitter::Pattern::kLlama3;
  if (name == "qwen2") return Splitter::Pattern::kQwen2;
  throw UsageError("lathe tokenizer train: --pattern is `" + name +
                   "`; expected gpt2, llama3 or qwen2");
}

void write_whole(const fs::path& path, const std::string& text) {
  const std::string temporary = fmt::format("{}.tmp-{}", path.string(), getpid());
  std::ofstream out(temporary, std::ios::binary);
  out << text;
  out.close();
  if (!out) throw std::runtime_error(path.string() + ": can not be written");
  fs::rename(temporary, path);
}

std::string config_text(const TrainArguments& a) {
  nlohmann::ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                   {"clean_up_tokenization_spaces", false}};
  if (!a.bos_token.empty()) config["bos_token"] = a.bos_token;
  if (!a.eos_token.empty()) config["eos_token"] = a.eos_token;
  if (!a.pad_token.empty()) config["pad_token"] = a.pad_token;
  return config.dump(2) + "\n";
}

int train(TrainArguments a) {
  const Splitter::Pattern pattern = pattern_named(a.pattern);
  std::vector<std::string>& special = a.training.special_tokens;
  for (const std::string& token : {a.bos_token, a.eos_token, a.pad_token}) {
    if (!token.empty() && std::find(special.begin(), special.end(), token) == special.end())
      special.push_back(token);
  }
  Counter counter(pattern, static_cast<size_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN))));
  for (const std::string& input : a.inputs) {
    for (const std::string& path :
         fs::is_regular_file(input) ? std::vector{input} : expand_paths(input)) {
      try {
        add_file(path, a.lines, counter);
      } catch (const std::invalid_argument& error) {
        const std::string what = error.what();
        throw std::invalid_argument(what.starts_with(path) ? what : path + ": " + what);
      }
    }
  }
  const WordCounts words = counter.take();
  const TrainedBpe trained = train_bpe(words, a.training);
  fs::create_directories(a.output);
  write_whole(fs::path(a.output) / "tokenizer.json", tokenizer_json(trained, pattern));
  write_whole(fs::path(a.output) / "tokenizer_config.json", config_text(a));
  const Tokenizer written(a.output);  // what was written can be read
  fmt::print(
      "{} texts, {:.1f} MB, {} words ({} different) -> {} tokens: {} special, {} merges\nwritten "
      "to {}\n",
      counter.texts(), static_cast<double>(counter.bytes()) / 1e6, words.words(),
      words.counts().size(), written.vocab_size(), trained.num_special, trained.merges.size(),
      a.output);
  if (static_cast<int64_t>(trained.tokens.size()) < a.training.vocab_size) {
    fmt::print("fewer tokens than --vocab-size {}: no further pair stands {} times in the texts\n",
               a.training.vocab_size, std::max<int64_t>(1, a.training.min_frequency));
  }
  return kDone;
}

}  // namespace

int tokenizer_verb(int argc, char** argv) {
  TrainArguments a;
  Arguments arguments("tokenizer",
                      "Trains a tokenizer: lathe tokenizer train --input FILE... --output DIR");
  arguments.positional("action", a.action, "train");
  arguments.option("--input", a.inputs,
                   "files, folders or globs: text, or JSON lines with `text`; also .gz, .zst");
  arguments.option("--output", a.output, "folder for tokenizer.json and tokenizer_config.json",
                   true);
  arguments.option("--vocab-size", a.training.vocab_size,
                   "tokens in all, special ones and the 256 bytes included");
  arguments.option("--min-frequency", a.training.min_frequency,
                   "a pair that is rarer is not merged");
  arguments.option("--special-token,--special-tokens", a.training.special_tokens,
                   "gets one of the first ids; may be given again");
  arguments.option("--bos-token", a.bos_token,
                   "named in tokenizer_config.json, made special if it is not");
  arguments.option("--eos-token", a.eos_token, "the same");
  arguments.option("--pad-token", a.pad_token, "the same");
  arguments.option("--pattern", a.pattern, "how text is cut into words: gpt2, llama3 or qwen2");
  arguments.option("--limit-alphabet", a.training.limit_alphabet,
                   "so many of the commonest bytes at most; 0: all");
  arguments.flag("--seen-bytes-only", a.seen_bytes_only,
                 "leave out bytes that no text holds (initial_alphabet=[])");
  arguments.flag("--lines", a.lines, "read JSON files as plain lines too");
  arguments.footer(kFooter);
  if (!arguments.parse(argc, argv)) return kDone;
  if (a.action != "train")
    throw UsageError("lathe tokenizer: `" + a.action + "` is unknown; expected train");
  if (a.inputs.empty()) throw UsageError("lathe tokenizer train: --input is required");
  a.training.all_bytes = !a.seen_bytes_only;
  return train(std::move(a));
}

}  // namespace lathe
