#include "trainer/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "trainer/safetensors_json.h"

namespace lathe {
namespace {

struct Dtype {
  std::string_view name;
  int bits;
};

// In the order of the reference implementation's enumeration: its writer sorts by it, falling.
constexpr Dtype kDtypes[] = {
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
};

bool has_parent_component(std::string_view name) {
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find_first_of("/\\", begin), name.size());
    if (name.substr(begin, end - begin) == "..") return true;
    begin = end + 1;
  }
  return false;
}

class HeaderParser {
 public:
  HeaderParser(std::string_view json, uint64_t data_bytes, const std::string& where,
               std::map<std::string, std::string>* metadata)
      : json_(json, where), data_bytes_(data_bytes), metadata_(metadata) {}

  std::map<std::string, TensorEntry> parse() {
    if (!json_.at('{')) json_.fail("header does not begin with '{'");
    bool has_metadata = false;
    json_.object([&](std::string name) {
      if (name == "__metadata__") {
        if (has_metadata) json_.fail("duplicate key __metadata__");
        has_metadata = true;
        parse_metadata();
      } else {
        parse_entry(std::move(name));
      }
    });
    json_.end();
    check_layout();
    return std::move(entries_);
  }

 private:
  void parse_metadata() {
    std::map<std::string, std::string> values;
    json_.object([&](std::string key) {
      if (values.size() == kMaxSafetensorsTensors) json_.fail("more than 100000 metadata keys");
      if (!json_.at('"'))
        json_.fail("__metadata__ value of " + json_quoted(key) + " is not a string");
      std::string value = json_.string();
      const auto [place, added] = values.emplace(std::move(key), std::move(value));
      if (!added) json_.fail("duplicate metadata key " + json_quoted(place->first));
    });
    if (metadata_ != nullptr) *metadata_ = std::move(values);
  }

  void parse_entry(std::string name) {
    if (entries_.size() == kMaxSafetensorsTensors) json_.fail("more than 100000 tensors");
    if (name.find('\0') != std::string::npos)
      json_.fail("tensor name " + json_quoted(name) + " holds NUL");
    if (has_parent_component(name))
      json_.fail("tensor name " + json_quoted(name) + " holds a '..' path component");
    json_.subject("tensor " + json_quoted(name));
    TensorEntry entry = parse_fields();
    check_span(entry);
    json_.subject("");
    const auto [place, added] = entries_.emplace(std::move(name), std::move(entry));
    if (!added) json_.fail("duplicate tensor name " + json_quoted(place->first));
  }

  TensorEntry parse_fields() {
    TensorEntry entry;
    bool dtype = false, shape = false, offsets = false;
    const auto once = [&](bool& seen, const char* key) {
      if (seen) json_.fail(std::string("duplicate key ") + key);
      seen = true;
    };
    json_.object([&](const std::string& key) {
      if (key == "dtype") {
        once(dtype, "dtype");
        entry.dtype = json_.string();
        if (safetensors_dtype_rank(entry.dtype) < 0)
          json_.fail("unknown dtype " + json_quoted(entry.dtype));
      } else if (key == "shape") {
        once(shape, "shape");
        parse_shape(entry);
      } else if (key == "data_offsets") {
        once(offsets, "data_offsets");
        parse_offsets(entry);
      } else {
        json_.fail("unknown key " + json_quoted(key));
      }
    });
    if (!dtype) json_.fail("dtype is missing");
    if (!shape) json_.fail("shape is missing");
    if (!offsets) json_.fail("data_offsets is missing");
    return entry;
  }

  void parse_shape(TensorEntry& entry) {
    json_.array([&] {
      if (entry.shape.size() == kMaxSafetensorsRank) json_.fail("shape has more than 64 dims");
      const uint64_t size = json_.unsigned_integer();
      if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        json_.fail("shape: size beyond 2^63 - 1");
      entry.shape.push_back(static_cast<int64_t>(size));
    });
  }

  void parse_offsets(TensorEntry& entry) {
    int count = 0;
    json_.array([&] {
      if (count == 2) json_.fail("data_offsets has more than two numbers");
      (count++ == 0 ? entry.begin : entry.end) = json_.unsigned_integer();
    });
    if (count != 2) json_.fail("data_offsets has fewer than two numbers");
  }

  void check_span(const TensorEntry& entry) {
    if (entry.begin > entry.end) {
      json_.fail("data_offsets begin " + std::to_string(entry.begin) + " beyond end " +
                 std::to_string(entry.end));
    }
    if (entry.end > data_bytes_) {
      json_.fail("data_offsets end " + std::to_string(entry.end) + " beyond the data of " +
                 std::to_string(data_bytes_) + " bytes; the file is truncated");
    }
    // A zero anywhere makes the product zero, but the others must still not overflow: readers
    // multiply in their own order.
    uint64_t bits = static_cast<uint64_t>(safetensors_dtype_bits(entry.dtype));
    bool empty = false;
    for (const int64_t size : entry.shape) {
      if (size == 0) {
        empty = true;
      } else if (__builtin_mul_overflow(bits, static_cast<uint64_t>(size), &bits)) {
        json_.fail("shape: the product of its sizes overflows");
      }
    }
    if (empty) bits = 0;
    if (bits % 8 != 0) json_.fail("shape does not fill whole bytes of " + entry.dtype);
    if (bits / 8 != entry.end - entry.begin) {
      json_.fail("shape and dtype need " + std::to_string(bits / 8) +
                 " bytes but data_offsets span " + std::to_string(entry.end - entry.begin));
    }
  }

  // Sorted by begin, each tensor must start where the one before it ended: no hole, no overlap, no
  // byte left over.
  void check_layout() {
    using Item = std::map<std::string, TensorEntry>::const_pointer;
    std::vector<Item> order;
    order.reserve(entries_.size());
    for (const auto& item : entries_) order.push_back(&item);
    std::sort(order.begin(), order.end(), [](Item a, Item b) {
      return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
    });
    uint64_t expected = 0;
    for (const Item item : order) {
      if (item->second.begin != expected) {
        json_.fail("tensor " + json_quoted(item->first) + ": data_offsets begin at " +
                   std::to_string(item->second.begin) + " but " + std::to_string(expected) +
                   " was expected (" + (item->second.begin < expected ? "overlap)" : "hole)"));
      }
      expected = item->second.end;
    }
    if (expected != data_bytes_) {
      json_.fail(std::to_string(data_bytes_ - expected) +
                 " bytes after the last tensor belong to none");
    }
  }

  StrictJson json_;
  uint64_t data_bytes_;
  std::map<std::string, std::string>* metadata_;
  std::map<std::string, TensorEntry> entries_;
};

}  // namespace

uint64_t safetensors_data_begin(std::string_view bytes, uint64_t file_bytes,
                                const std::string& where) {
  if (file_bytes < 8 || bytes.size() < 8) {
    throw std::invalid_argument(where + ": " + std::to_string(file_bytes) +
                                " bytes are too few for a safetensors file");
  }
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i)
    length = length << 8 | static_cast<unsigned char>(bytes[static_cast<size_t>(i)]);
  if (length > kMaxSafetensorsHeaderBytes) {
    throw std::invalid_argument(where + ": header length " + std::to_string(length) +
                                " is beyond 100000000; this is not a safetensors file");
  }
  if (length > file_bytes - 8) {
    throw std::invalid_argument(where + ": header length " + std::to_string(length) +
                                " is beyond the file of " + std::to_string(file_bytes) +
                                " bytes; the file is truncated");
  }
  if (length < 2)
    throw std::invalid_argument(where + ": header length " + std::to_string(length) +
                                " is too small");
  return 8 + length;
}

std::map<std::string, TensorEntry> parse_safetensors_header(
    std::string_view bytes, uint64_t file_bytes, const std::string& where,
    std::map<std::string, std::string>* metadata) {
  const uint64_t data_begin = safetensors_data_begin(bytes, file_bytes, where);
  if (bytes.size() < data_begin)
    throw std::invalid_argument(where + ": the header was not read whole");
  const std::string_view json = bytes.substr(8, data_begin - 8);
  return HeaderParser(json, file_bytes - data_begin, where, metadata).parse();
}

std::string format_safetensors_header(
    const std::vector<std::pair<std::string, TensorEntry>>& entries) {
  std::string out(8, '\0');
  out += R"({"__metadata__":{"format":"pt"})";
  for (const auto& [name, entry] : entries) {
    out += "," + json_quoted(name, std::string::npos) + R"(:{"dtype":")" + entry.dtype +
           R"(","shape":[)";
    for (size_t i = 0; i < entry.shape.size(); ++i)
      out += (i == 0 ? "" : ",") + std::to_string(entry.shape[i]);
    out += R"(],"data_offsets":[)" + std::to_string(entry.begin) + "," + std::to_string(entry.end) +
           "]}";
  }
  out += "}";
  out.resize((out.size() + 7) / 8 * 8, ' ');
  const uint64_t length = out.size() - 8;
  for (size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(length >> (8 * i) & 0xff);
  return out;
}

int safetensors_dtype_rank(std::string_view dtype) {
  const auto found = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                  [&](const Dtype& d) { return d.name == dtype; });
  return found == std::end(kDtypes) ? -1 : static_cast<int>(found - std::begin(kDtypes));
}

int safetensors_dtype_bits(std::string_view dtype) {
  const int rank = safetensors_dtype_rank(dtype);
  return rank < 0 ? 0 : kDtypes[rank].bits;
}

}  // namespace lathe
