#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

// JSON lines in and out, for the verbs that scripts call.
namespace lathe {

// Where a verb's lines go: a file, or standard output for "-". A file is written under a temporary
// name and renamed by close(), so a half-written one is never found.
class LinesOut {
 public:
  explicit LinesOut(std::string path);
  ~LinesOut();
  LinesOut(const LinesOut&) = delete;
  LinesOut& operator=(const LinesOut&) = delete;
  void write(const std::string& line);  // a line end is added
  void close();                         // throws std::runtime_error when not all could be written

 private:
  std::string path_, temporary_;
  std::FILE* file_;
};

// Answers every JSON object of a file (plain, .gz or .zst; "-": standard input) with one line, in
// order, on `threads` threads; blank lines are left out. Memory is bounded. A line that is no JSON
// object, and what answer throws as std::invalid_argument, ends it with "file:line: ...".
using AnswerLine = std::function<std::string(const nlohmann::ordered_json&)>;
void answer_lines(const std::string& input, LinesOut& out, int threads, const AnswerLine& answer);

// As JSON, and as JSON on one line. Bytes that are no UTF-8 become U+FFFD.
std::string ids_text(const std::vector<int32_t>& ids);
std::string line_of(const nlohmann::ordered_json& object);

}  // namespace lathe
