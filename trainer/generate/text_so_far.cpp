#include "trainer/generate/text_so_far.h"

#include <algorithm>
#include <stdexcept>

namespace lathe {

TextSoFar::TextSoFar(const Tokenizer& tokenizer, const std::vector<std::string>& stop_strings)
    : decoder_(std::make_unique<StreamDecoder>(tokenizer)), stop_strings_(&stop_strings) {
  for (const std::string& stop : stop_strings) {
    if (stop.empty()) throw std::invalid_argument("a stop string is empty");
    longest_ = std::max(longest_, stop.size());
  }
}

bool TextSoFar::push(int64_t id) {
  const size_t known = text_.size();
  text_ += decoder_->push(static_cast<int32_t>(id));
  // A stop string may have begun in what was there.
  const size_t from = known + 1 > longest_ ? known + 1 - longest_ : 0;
  size_t cut = std::string::npos;
  for (const std::string& stop : *stop_strings_) cut = std::min(cut, text_.find(stop, from));
  if (cut == std::string::npos) return false;
  text_.resize(cut);
  return true;
}

}  // namespace lathe
