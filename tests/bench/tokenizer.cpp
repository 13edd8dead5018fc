#include <algorithm>
#include <ctime>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/shards/file.h"
#include "data/tokenize/tokenizer.h"

// How fast text becomes ids, on one thread: MB/s of UTF-8 over documents of about 4 KB, first pass
// of a fresh tokenizer (cold caches) and later passes, each the best of three, and how often faster
// than the plain path that is.
//   bench_tokenizer DATA [TOKENIZER...]    DATA: the folder that holds tokenizers/ and text/
//   bench_tokenizer --write FOLDER DATA    writes the documents, a JSON list of strings for each text
namespace {

using namespace lathe;
using nlohmann::json;

// Seconds that this thread was computing: neighbours on the machine do not count.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Documents of 4 KB, cut behind a line end.
std::vector<std::string> documents_of(const std::string& text) {
  std::vector<std::string> documents;
  for (size_t at = 0; at < text.size();) {
    const size_t line_end = text.find('\n', at + 4096);
    const size_t end = line_end == std::string::npos ? text.size() : line_end + 1;
    documents.push_back(text.substr(at, end - at));
    at = end;
  }
  return documents;
}

struct Text {
  std::string name;
  std::vector<std::string> documents;
  size_t num_bytes = 0;
};

Text make_text(const std::string& name, std::vector<std::string> documents) {
  Text text{name, std::move(documents), 0};
  for (const std::string& document : text.documents) text.num_bytes += document.size();
  return text;
}

// The field `text` of every record, one document each.
std::vector<std::string> texts_of_records(const std::string& path) {
  std::vector<std::string> documents;
  std::ifstream lines(path);
  for (std::string line; std::getline(lines, line);) documents.push_back(json::parse(line)["text"]);
  return documents;
}

// All strings of JSON files in the order of their names, one below the other.
std::string strings_of(const json& value) {
  if (value.is_string()) return value.get<std::string>() + "\n";
  std::string all;
  for (const json& each : value) {
    if (value.is_structured()) all += strings_of(each);
  }
  return all;
}

std::vector<std::string> files_in(const std::string& folder, const std::string& extension) {
  std::vector<std::string> paths;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(folder, absent)) {
    if (entry.path().extension() == extension) paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<Text> read_texts(const std::string& data) {
  std::string chinese;
  for (const std::string& path : files_in(data + "/text/zh", ".json")) chinese += strings_of(json::parse(read_file(path)));
  std::vector<std::string> python;
  for (const std::string& path : files_in("/usr/lib/python3.11", ".py")) {
    for (std::string& document : documents_of(read_file(path))) python.push_back(std::move(document));
  }
  const std::vector<Text> texts = {make_text("war-and-peace", documents_of(read_file(data + "/text/war-and-peace.txt"))),
                                   make_text("c4", texts_of_records(data + "/text/c4_demo.jsonl")),
                                   make_text("shakespeare", documents_of(read_file(data + "/text/tinyshakespeare.txt"))),
                                   make_text("chinese", documents_of(chinese)), make_text("python", python)};
  return texts;
}

template <typename Encode>
double megabytes_per_second(const Text& text, size_t num_documents, Encode encode) {
  size_t num_bytes = 0;
  const double start = cpu_seconds();
  for (size_t i = 0; i < num_documents; ++i) {
    encode(text.documents[i]);
    num_bytes += text.documents[i].size();
  }
  const double seconds = cpu_seconds() - start;
  return static_cast<double>(num_bytes) / 1e6 / seconds;
}

void measure(const std::string& folder, const std::string& name, const Text& text) {
  if (text.documents.empty()) return;
  size_t num_ids = 0;
  std::optional<Tokenizer> fresh;
  double load = 1e30, cold = 0;
  const size_t all = text.documents.size();
  const auto encode = [&](const std::string& document) {
    num_ids += fresh->encode(document, false).size();
  };
  for (int i = 0; i < 3; ++i) {
    const double start = cpu_seconds();
    fresh.emplace(folder);
    load = std::min(load, cpu_seconds() - start);
    cold = std::max(cold, megabytes_per_second(text, all, encode));
  }
  const Tokenizer& tokenizer = *fresh;
  const auto spans = [&](const std::string& document) {
    num_ids += tokenizer.encode_with_offsets(document, false).ids.size();
  };
  const auto plain = [&](const std::string& document) {
    num_ids += tokenizer.encode_plainly(document, false).ids.size();
  };
  double warm = 0;
  for (int i = 0; i < 3; ++i) warm = std::max(warm, megabytes_per_second(text, all, encode));
  const double with_spans = megabytes_per_second(text, all, spans);
  const double slow = megabytes_per_second(text, std::min<size_t>(all, 50), plain);
  std::printf(
      "%-9s %-16s %5.2f MB  cold %6.1f  warm %6.1f  spans %6.1f  plain %5.2f MB/s  cold/plain "
      "%5.1f  load %4.0f ms\n",
      name.c_str(), text.name.c_str(), static_cast<double>(text.num_bytes) / 1e6, cold, warm,
      with_spans, slow, cold / slow, load * 1e3);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--write") {
    for (const Text& text : read_texts(argv[3])) {
      std::ofstream(std::string(argv[2]) + "/" + text.name + ".json") << json(text.documents);
    }
    return 0;
  }
  if (argc < 2) return std::puts("usage: bench_tokenizer DATA [TOKENIZER...] | --write FOLDER DATA"), 64;
  const std::string data = argv[1];
  std::vector<std::string> names(argv + 2, argv + argc);
  if (names.empty()) names = {"gpt2", "qwen2", "llama2"};
  const std::vector<Text> texts = read_texts(data);
  for (const std::string& name : names) {
    for (const Text& text : texts) measure(data + "/tokenizers/" + name, name, text);
  }
}
