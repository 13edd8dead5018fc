#include "data/curate/text_files.h"

#include <stdexcept>

#include "data/curate/measure_block.h"

namespace lathe {

void for_each_text_of(const std::vector<std::string>& files, int threads,
                      const std::function<void(std::string_view text)>& f) {
  CurateOptions options;
  options.sources.emplace_back().files = files;
  options.threads = threads;
  BlockReader reader(options);
  while (const auto raw = reader.next()) {
    for (const RawBlock::Raw& record : raw->records) {
      if (!record.fault.empty()) throw std::invalid_argument(record.fault);
    }
    if (raw->failure) std::rethrow_exception(raw->failure);
    for (const std::string& text : texts_of(*raw, threads, [](size_t) { return true; })) f(text);
  }
}

}  // namespace lathe
