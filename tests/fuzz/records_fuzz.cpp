#include <unistd.h>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "data/corpus/bad_record.h"
#include "data/corpus/corpus.h"
#include "data/corpus/shapes.h"

// Any bytes as a file of records: every record is read or refused with std::invalid_argument, and
// a reader that begins behind a record reads the same rest. The first byte chooses the file's kind
// and the shape.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lathe;
  if (size < 1) return 0;
  const char* kinds[] = {".jsonl", ".json", ".csv", ".txt"};
  const std::string path = (std::filesystem::temp_directory_path() /
                            ("lathe_fuzz_" + std::to_string(getpid()) + kinds[data[0] & 3]))
                               .string();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data) + 1, static_cast<std::streamsize>(size - 1));
  Reading reading(static_cast<Shape>((data[0] >> 2) % shape_names().size()));
  if (data[0] & 128) reading.columns = {{"prompt", "q"}, {"messages", "m"}};
  try {
    CorpusFile file(path, reading), texts(path, reading);
    for (bool more = true; more;) {
      try {
        more = file.next().has_value();
      } catch (const BadRecord&) {
      }
    }
    const auto first = texts.next_text(), second = texts.next_text();
    if (first && second && reading.shape != Shape::kAuto) {
      CorpusFile rest(path, reading, first->end);
      if (rest.next_text()->text != second->text) std::abort();
    }
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
