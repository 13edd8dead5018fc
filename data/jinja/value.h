#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "data/jinja/limits.h"

// The values of a template: Python's, as far as templates need them. Strings, lists and dicts never
// change once made (Hugging Face renders in Jinja's immutable sandbox), so they are shared and can
// hold no cycles.
namespace lathe::jinja {

class Value;
class Dict;
struct Function;
struct Loop;
struct Namespace;
using Items = std::vector<Value>;

// What a missing name or attribute gives; why tells what was missing, for the error when it is
// used.
struct Undefined {
  std::shared_ptr<const std::string> why;
};
struct None {};
struct Sequence {
  Items items;
  uint32_t depth = 1;
};
struct TupleSequence : Sequence {};

class Value {
 public:
  // The order is that of the variant below.
  enum class Kind {
    Undefined,
    None,
    Bool,
    Int,
    Float,
    Text,
    List,
    Tuple,
    Dict,
    Namespace,
    Function,
    Loop
  };

  Value() : data_(None{}) {}
  explicit Value(bool value) : data_(value) {}
  explicit Value(int64_t value) : data_(value) {}
  explicit Value(double value) : data_(value) {}
  explicit Value(std::string text);
  explicit Value(std::string_view text) : Value(std::string(text)) {}
  explicit Value(const char* text) : Value(std::string(text)) {}
  explicit Value(Items items);
  explicit Value(Dict dict);
  explicit Value(Namespace* space) : data_(space) {}
  explicit Value(Function function);
  explicit Value(std::shared_ptr<Loop> loop) : data_(std::move(loop)) {}
  static Value undefined(std::string why);
  static Value tuple(Items items);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is_undefined() const { return kind() == Kind::Undefined; }
  bool is_none() const { return kind() == Kind::None; }
  bool is_text() const { return kind() == Kind::Text; }
  bool is_dict() const { return kind() == Kind::Dict; }
  bool is_integer() const { return kind() == Kind::Int || kind() == Kind::Bool; }
  bool is_number() const { return is_integer() || kind() == Kind::Float; }
  bool is_sequence() const { return kind() == Kind::List || kind() == Kind::Tuple; }

  // Each only for its kind; integer() also for Bool, number() for all numbers.
  const std::string& text() const;
  const Items& items() const;  // of List and Tuple
  const Dict& dict() const;
  int64_t integer() const;
  double number() const;
  Namespace& space() const;
  const Function& function() const;
  Loop& loop() const;
  const std::string& why() const;  // of Undefined

  bool truth() const;
  uint32_t depth() const;              // nesting of what it holds
  std::string_view type_name() const;  // as Python calls it

 private:
  // The shared pointers are owned by the values of a rendering and the literals of its template.
  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const Sequence>, std::shared_ptr<const TupleSequence>,
               std::shared_ptr<const Dict>, Namespace*, std::shared_ptr<const Function>,
               std::shared_ptr<Loop>>
      data_;
};

// Keeps the order in which keys were first set, as Python does.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;
  const Value* find(const Value& key) const;  // throws Fault for a key that is a list or dict
  const Value* find(std::string_view key) const;
  void set(Value key, Value value);
  const std::vector<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  uint32_t depth() const { return depth_; }

 private:
  size_t position(const Value& key) const;
  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t> index_;  // only of large dicts
  uint32_t depth_ = 1;
};

// namespace(): the one thing that a template may change. Owned by the rendering.
struct Namespace {
  Dict attributes;
};

// The variable `loop`.
struct Loop {
  Value list;  // a List or Tuple of all items
  size_t index = 0;
  std::optional<std::string>
      changed;  // what loop.changed() last saw, printed: values could make a cycle
};

struct Macro;  // of the evaluator
struct Function {
  enum class Kind { Global, Method, Macro };
  Kind kind = Kind::Global;
  std::string name;
  Value self;                    // of a Method
  const Macro* macro = nullptr;  // owned by the rendering
};

// Python's == and <. less throws Fault for types that have no order.
bool equal(const Value& a, const Value& b, Budget& budget);
bool less(const Value& a, const Value& b, Budget& budget, std::string_view sign = "<");

// The elements that a for loop goes over: of a list, characters of a string, keys of a dict, none
// of Undefined.
Items elements(const Value& value, Budget& budget);

}  // namespace lathe::jinja
