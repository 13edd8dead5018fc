#include "data/jinja/value.h"

#include <algorithm>
#include <cmath>

#include "data/jinja/text.h"

namespace lathe::jinja {
namespace {

// Bounds every recursion over a value: printing, comparing, freeing.
constexpr uint32_t kMaxDepth = 100;
constexpr size_t kIndexFrom = 9;

uint32_t checked_depth(uint32_t inner) {
  if (inner >= kMaxDepth) throw Fault("a value is nested more than 100 deep");
  return inner + 1;
}

uint32_t depth_around(const Items& items) {
  uint32_t inner = 0;
  for (const Value& item : items) inner = std::max(inner, item.depth());
  return checked_depth(inner);
}

// Equal for keys that Python holds equal: 1, 1.0 and True are one key.
std::string index_key(const Value& key) {
  switch (key.kind()) {
    case Value::Kind::None:
      return "0";
    case Value::Kind::Bool:
    case Value::Kind::Int:
      return "i" + std::to_string(key.integer());
    case Value::Kind::Float: {
      const double number = key.number();
      const bool whole = number == std::floor(number) && std::abs(number) < 9e18;
      return whole ? "i" + std::to_string(static_cast<int64_t>(number))
                   : "f" + std::to_string(number);
    }
    case Value::Kind::Text:
      return "t" + key.text();
    case Value::Kind::Tuple: {
      std::string joined = "(";
      for (const Value& item : key.items()) {
        const std::string part = index_key(item);
        joined += std::to_string(part.size()) + ":" + part;
        if (joined.size() > 4096) throw Fault("a tuple is too large for a key");
      }
      return joined;
    }
    default:
      throw Fault("unhashable type: '" + std::string(key.type_name()) + "'");
  }
}

const std::string& empty_text() {
  static const std::string empty;
  return empty;
}

}  // namespace

Value::Value(std::string text) : data_(std::make_shared<const std::string>(std::move(text))) {}

Value::Value(Items items) {
  const uint32_t depth = depth_around(items);
  data_ = std::make_shared<const Sequence>(Sequence{std::move(items), depth});
}

Value::Value(Dict dict) : data_(std::make_shared<const Dict>(std::move(dict))) {}

Value::Value(Function function) {
  checked_depth(function.self.depth());
  data_ = std::make_shared<const Function>(std::move(function));
}

Value Value::undefined(std::string why) {
  Value value;
  value.data_ = Undefined{std::make_shared<const std::string>(std::move(why))};
  return value;
}

Value Value::tuple(Items items) {
  const uint32_t depth = depth_around(items);
  Value value;
  value.data_ = std::make_shared<const TupleSequence>(TupleSequence{{std::move(items), depth}});
  return value;
}

const std::string& Value::text() const {
  return *std::get<std::shared_ptr<const std::string>>(data_);
}

const Items& Value::items() const {
  if (kind() == Kind::Tuple) return std::get<std::shared_ptr<const TupleSequence>>(data_)->items;
  return std::get<std::shared_ptr<const Sequence>>(data_)->items;
}

const Dict& Value::dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }

int64_t Value::integer() const {
  return kind() == Kind::Bool ? std::get<bool>(data_) : std::get<int64_t>(data_);
}

double Value::number() const {
  return kind() == Kind::Float ? std::get<double>(data_) : static_cast<double>(integer());
}

Namespace& Value::space() const { return *std::get<Namespace*>(data_); }
const Function& Value::function() const {
  return *std::get<std::shared_ptr<const Function>>(data_);
}
Loop& Value::loop() const { return *std::get<std::shared_ptr<Loop>>(data_); }

const std::string& Value::why() const {
  const Undefined& undefined = std::get<Undefined>(data_);
  return undefined.why ? *undefined.why : empty_text();
}

bool Value::truth() const {
  switch (kind()) {
    case Kind::Undefined:
    case Kind::None:
      return false;
    case Kind::Bool:
    case Kind::Int:
      return integer() != 0;
    case Kind::Float:
      return number() != 0;
    case Kind::Text:
      return !text().empty();
    case Kind::List:
    case Kind::Tuple:
      return !items().empty();
    case Kind::Dict:
      return dict().size() > 0;
    default:
      return true;
  }
}

uint32_t Value::depth() const {
  switch (kind()) {
    case Kind::List:
      return std::get<std::shared_ptr<const Sequence>>(data_)->depth;
    case Kind::Tuple:
      return std::get<std::shared_ptr<const TupleSequence>>(data_)->depth;
    case Kind::Dict:
      return dict().depth();
    case Kind::Function:
      return 1 + function().self.depth();
    case Kind::Loop:
      return 1 + loop().list.depth();
    default:
      return 0;
  }
}

std::string_view Value::type_name() const {
  switch (kind()) {
    case Kind::Undefined:
      return "Undefined";
    case Kind::None:
      return "NoneType";
    case Kind::Bool:
      return "bool";
    case Kind::Int:
      return "int";
    case Kind::Float:
      return "float";
    case Kind::Text:
      return "str";
    case Kind::List:
      return "list";
    case Kind::Tuple:
      return "tuple";
    case Kind::Dict:
      return "dict";
    case Kind::Namespace:
      return "Namespace";
    case Kind::Function:
      return "function";
    case Kind::Loop:
      return "LoopContext";
  }
  return "";
}

size_t Dict::position(const Value& key) const {
  if (!index_.empty()) {
    const auto found = index_.find(index_key(key));
    return found == index_.end() ? entries_.size() : found->second;
  }
  const std::string wanted = key.is_text() ? "" : index_key(key);
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Value& present = entries_[i].first;
    if (key.is_text() ? present.is_text() && present.text() == key.text()
                      : !present.is_text() && index_key(present) == wanted) {
      return i;
    }
  }
  return entries_.size();
}

const Value* Dict::find(const Value& key) const {
  const size_t at = position(key);
  return at == entries_.size() ? nullptr : &entries_[at].second;
}

const Value* Dict::find(std::string_view key) const {
  if (!index_.empty()) return find(Value(key));
  for (const Entry& entry : entries_) {
    if (entry.first.is_text() && entry.first.text() == key) return &entry.second;
  }
  return nullptr;
}

void Dict::set(Value key, Value value) {
  depth_ = std::max(depth_, checked_depth(std::max(key.depth(), value.depth())));
  const size_t at = position(key);
  if (at < entries_.size()) {
    entries_[at].second = std::move(value);
    return;
  }
  entries_.emplace_back(std::move(key), std::move(value));
  if (!index_.empty()) {
    index_[index_key(entries_.back().first)] = at;
  } else if (entries_.size() == kIndexFrom) {
    for (size_t i = 0; i < entries_.size(); ++i) index_[index_key(entries_[i].first)] = i;
  }
}

namespace {

bool equal_items(const Items& a, const Items& b, Budget& budget) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equal(a[i], b[i], budget)) return false;
  }
  return true;
}

bool equal_dicts(const Dict& a, const Dict& b, Budget& budget) {
  if (a.size() != b.size()) return false;
  for (const auto& [key, value] : a.entries()) {
    const Value* other = b.find(key);
    if (other == nullptr || !equal(value, *other, budget)) return false;
  }
  return true;
}

bool equal_numbers(const Value& a, const Value& b) {
  if (a.is_integer() && b.is_integer()) return a.integer() == b.integer();
  return a.number() == b.number();
}

}  // namespace

bool equal(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Value::Kind::Text:
      budget.scan(std::min(a.text().size(), b.text().size()));
      return a.text() == b.text();
    case Value::Kind::List:
    case Value::Kind::Tuple:
      return equal_items(a.items(), b.items(), budget);
    case Value::Kind::Dict:
      return equal_dicts(a.dict(), b.dict(), budget);
    case Value::Kind::Namespace:
      return &a.space() == &b.space();
    case Value::Kind::Function:
      return &a.function() == &b.function();
    case Value::Kind::Loop:
      return &a.loop() == &b.loop();
    default:
      return true;
  }
}

bool less(const Value& a, const Value& b, Budget& budget, std::string_view sign) {
  budget.step();
  if (a.is_number() && b.is_number()) {
    if (a.is_integer() && b.is_integer()) return a.integer() < b.integer();
    return a.number() < b.number();
  }
  // Bytes of UTF-8 are in the order of their code points.
  if (a.is_text() && b.is_text()) {
    budget.scan(std::min(a.text().size(), b.text().size()));
    return a.text() < b.text();
  }
  if (a.is_undefined() || b.is_undefined()) throw Fault(a.is_undefined() ? a.why() : b.why());
  if (a.kind() == b.kind() && a.is_sequence()) {
    const size_t common = std::min(a.items().size(), b.items().size());
    for (size_t i = 0; i < common; ++i) {
      if (!equal(a.items()[i], b.items()[i], budget))
        return less(a.items()[i], b.items()[i], budget, sign);
    }
    return a.items().size() < b.items().size();
  }
  const bool mirrored = sign[0] == '>';  // a > b is asked as b < a
  const std::string left((mirrored ? b : a).type_name()), right((mirrored ? a : b).type_name());
  throw Fault("'" + std::string(sign) + "' not supported between instances of '" + left +
              "' and '" + right + "'");
}

Items elements(const Value& value, Budget& budget) {
  Items items;
  switch (value.kind()) {
    case Value::Kind::Undefined:
      return items;
    case Value::Kind::List:
    case Value::Kind::Tuple:
      budget.make(value.items().size() * sizeof(Value));
      budget.step(value.items().size() / 8);
      return value.items();
    case Value::Kind::Dict:
      budget.make(value.dict().size() * sizeof(Value));
      budget.step(value.dict().size());
      for (const auto& [key, unused] : value.dict().entries()) items.push_back(key);
      return items;
    case Value::Kind::Text:
      for (std::string_view character : characters(value.text())) {
        budget.make(sizeof(Value) + 48);
        budget.step();
        items.emplace_back(character);
      }
      return items;
    default:
      throw Fault("'" + std::string(value.type_name()) + "' object is not iterable");
  }
}

}  // namespace lathe::jinja
