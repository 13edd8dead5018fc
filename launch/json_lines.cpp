#include "launch/json_lines.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "data/corpus/lines.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kWaveBytes = 8 << 20;

struct Line {
  std::string text;  // the record, then the answer to it
  int64_t number = 0;
};

Json parse_object(const std::string& line) {
  Json object;
  try {
    object = Json::parse(line);
  } catch (const nlohmann::json::exception& error) {
    throw std::invalid_argument(fmt::format("is no JSON: {}", error.what()));
  }
  if (!object.is_object()) {
    throw std::invalid_argument(
        fmt::format("found {}, expected a JSON object", object.type_name()));
  }
  return object;
}

void answer_one(const std::string& input, Line& line, const AnswerLine& answer) {
  try {
    line.text = answer(parse_object(line.text));
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(fmt::format("{}:{}: {}", input, line.number, error.what()));
  }
}

// Answers come in the order of their lines, and of several faults the first line's is thrown.
void answer_wave(const std::string& input, std::vector<Line>& lines, LinesOut& out, int threads,
                 const AnswerLine& answer) {
  std::vector<std::exception_ptr> failures(lines.size());
  std::atomic<size_t> next = 0;
  const auto loop = [&] {
    for (size_t i = next++; i < lines.size(); i = next++) {
      try {
        answer_one(input, lines[i], answer);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(loop);
    loop();
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    if (failures[i]) std::rethrow_exception(failures[i]);
    out.write(lines[i].text);
  }
}

}  // namespace

LinesOut::LinesOut(std::string path) : path_(std::move(path)), file_(stdout) {
  if (path_ == "-") return;
  temporary_ = fmt::format("{}.tmp-{}", path_, getpid());
  file_ = std::fopen(temporary_.c_str(), "wb");
  if (!file_) {
    throw std::runtime_error(
        fmt::format("{}: can not be written: {}", temporary_, std::strerror(errno)));
  }
}

LinesOut::~LinesOut() {
  if (temporary_.empty()) return;
  if (file_) std::fclose(file_);
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

void LinesOut::write(const std::string& line) {
  if (std::fwrite(line.data(), 1, line.size(), file_) != line.size() ||
      std::fputc('\n', file_) == EOF) {
    throw std::runtime_error(
        fmt::format("{}: can not be written: {}", path_, std::strerror(errno)));
  }
}

void LinesOut::close() {
  std::FILE* file = std::exchange(file_, stdout);
  const bool failed = std::fflush(file) != 0 || (!temporary_.empty() && std::fclose(file) != 0);
  if (!temporary_.empty()) file_ = nullptr;
  if (failed) {
    throw std::runtime_error(
        fmt::format("{}: can not be written: {}", path_, std::strerror(errno)));
  }
  if (temporary_.empty()) return;
  std::filesystem::rename(temporary_, path_);
  temporary_.clear();
}

void answer_lines(const std::string& input, LinesOut& out, int threads, const AnswerLine& answer) {
  InputFile file(input == "-" ? "/dev/stdin" : input);
  LineReader reader(file);
  std::vector<Line> wave;
  size_t bytes = 0;
  while (true) {
    const auto line = reader.next();
    if (line && line->find_first_not_of(" \t\r") != line->npos) {
      wave.push_back({std::string(*line), reader.line()});
      bytes += line->size();
    }
    if (!line || bytes >= kWaveBytes) {
      answer_wave(input, wave, out, threads, answer);
      wave.clear();
      bytes = 0;
    }
    if (!line) return;
  }
}

std::string ids_text(const std::vector<int32_t>& ids) {
  fmt::memory_buffer text;
  text.push_back('[');
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) text.append(std::string_view(", "));
    const fmt::format_int number(ids[i]);
    text.append(number.data(), number.data() + number.size());
  }
  text.push_back(']');
  return fmt::to_string(text);
}

std::string line_of(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace lathe
