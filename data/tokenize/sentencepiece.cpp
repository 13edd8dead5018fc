#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <unordered_map>

#include "data/tokenize/bpe.h"
#include "data/tokenize/spec.h"
#include "data/tokenize/unicode.h"

// Reads SentencePiece's .model (a protobuf ModelProto, sentencepiece_model.proto) of the kind BPE.
// Scores become ranks: SentencePiece joins the pair whose piece has the highest score, whichever
// way the piece is cut in two.
namespace lathe {
namespace {

constexpr const char* kSpace = "\xE2\x96\x81";
constexpr uintmax_t kMaxFileBytes = 64u << 20;

// Walks through the fields of one protobuf message; every length is checked against what is there.
class Message {
 public:
  Message(std::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  struct Field {
    uint64_t number = 0, value = 0;  // value: of the integer kinds, or the bits of a float
    std::string_view bytes;
  };
  bool next(Field& field) {
    if (bytes_.empty()) return false;
    const uint64_t key = varint();
    field = {key >> 3, 0, {}};
    switch (key & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.value = fixed(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.value = fixed(4);
        break;
      default:
        refuse();
    }
    return true;
  }

 private:
  [[noreturn]] void refuse() const {
    throw std::invalid_argument(path_ + ": is no SentencePiece model, or is cut off");
  }
  std::string_view take(uint64_t size) {
    if (size > bytes_.size()) refuse();
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  uint64_t fixed(size_t size) {
    uint64_t value = 0;
    std::memcpy(&value, take(size).data(), size);
    return value;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    refuse();
  }
  std::string_view bytes_;
  const std::string& path_;
};

struct Piece {
  enum Type { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  std::string text;
  float score = 0;
  uint64_t type = kNormal;
};

struct Model {
  std::vector<Piece> pieces;
  uint64_t model_type = 1;  // unigram, the format's default
  bool byte_fallback = false, add_dummy_prefix = true, remove_extra_whitespaces = true,
       escape_whitespaces = true;
  bool whitespace_as_suffix = false;
  std::string charsmap;
};

Piece read_piece(Message message) {
  Piece piece;
  for (Message::Field field; message.next(field);) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2) piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    if (field.number == 3) piece.type = field.value;
  }
  return piece;
}

Model read_model(std::string_view bytes, const std::string& path) {
  Model model;
  Message file(bytes, path);
  for (Message::Field part; file.next(part);) {
    if (part.number == 1) model.pieces.push_back(read_piece(Message(part.bytes, path)));
    Message inner(part.number == 2 || part.number == 3 ? part.bytes : std::string_view(), path);
    for (Message::Field field; inner.next(field);) {
      if (part.number == 2 && field.number == 3) model.model_type = field.value;
      if (part.number == 2 && field.number == 24) model.whitespace_as_suffix = field.value != 0;
      if (part.number == 2 && field.number == 35) model.byte_fallback = field.value != 0;
      if (part.number == 3 && field.number == 2) model.charsmap = field.bytes;
      if (part.number == 3 && field.number == 3) model.add_dummy_prefix = field.value != 0;
      if (part.number == 3 && field.number == 4) model.remove_extra_whitespaces = field.value != 0;
      if (part.number == 3 && field.number == 5) model.escape_whitespaces = field.value != 0;
    }
  }
  const auto refuse = [&](const std::string& what) {
    throw std::invalid_argument(path + ": " + what);
  };
  if (model.model_type != 2) refuse("its model_type is not BPE; only BPE is supported");
  if (!model.charsmap.empty())
    refuse("normalizer_spec has a precompiled_charsmap, which is not supported");
  if (model.remove_extra_whitespaces)
    refuse("normalizer_spec.remove_extra_whitespaces is not supported");
  if (!model.escape_whitespaces)
    refuse("normalizer_spec.escape_whitespaces false is not supported");
  if (model.whitespace_as_suffix)
    refuse("trainer_spec.treat_whitespace_as_suffix is not supported");
  if (static_cast<int64_t>(model.pieces.size()) >= kMaxTokens) refuse("has too many pieces");
  return model;
}

// Equal scores have equal ranks, so that the leftmost goes first.
std::vector<uint32_t> ranks_of(const std::vector<Piece>& pieces) {
  std::vector<float> scores;
  for (const Piece& piece : pieces) scores.push_back(piece.score);
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  std::vector<uint32_t> ranks;
  for (const Piece& piece : pieces) {
    const auto at = std::lower_bound(scores.begin(), scores.end(), piece.score, std::greater<>());
    ranks.push_back(static_cast<uint32_t>(at - scores.begin()));
  }
  return ranks;
}

void set_merges(const std::vector<Piece>& pieces, TokenizerSpec& spec) {
  std::unordered_map<std::string_view, int32_t> ids;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].type == Piece::kNormal) ids.emplace(pieces[i].text, static_cast<int32_t>(i));
  }
  const std::vector<uint32_t> ranks = ranks_of(pieces);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const std::string_view text = pieces[i].text;
    if (pieces[i].type != Piece::kNormal) continue;
    for (size_t cut = utf8_length(text[0]); cut < text.size(); cut += utf8_length(text[cut])) {
      const auto left = ids.find(text.substr(0, cut)), right = ids.find(text.substr(cut));
      if (left == ids.end() || right == ids.end()) continue;
      spec.merges.push_back({left->second, right->second, static_cast<int32_t>(i), ranks[i]});
    }
  }
}

void set_pieces(const std::vector<Piece>& pieces, const std::string& path, TokenizerSpec& spec) {
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    const auto refuse = [&](const char* what) {
      throw std::invalid_argument(path + ": piece " + std::to_string(i) + " " + what);
    };
    if (piece.text.empty() || piece.text.size() > 1024)
      refuse("is empty or longer than 1024 bytes");
    if (!is_valid_utf8(piece.text)) refuse("is not valid UTF-8");
    if (!(piece.score <= 0) && !(piece.score > 0)) refuse("has no number as its score");
    if (piece.type == Piece::kUnused || piece.type < Piece::kNormal || piece.type > Piece::kByte) {
      refuse("is of a type that is not supported");
    }
    if (piece.type == Piece::kByte && byte_of_fallback_token(piece.text) < 0) refuse("is no byte");
    const auto id = static_cast<int32_t>(i);
    spec.vocab.push_back({piece.text, id});
    if (piece.type == Piece::kUnknown) spec.unk = id;
    const bool special = piece.type == Piece::kUnknown || piece.type == Piece::kControl;
    if (special || piece.type == Piece::kUserDefined) {
      spec.added.push_back({id, piece.text, false, false, false, false, special});
    }
  }
}

}  // namespace

TokenizerSpec read_sentencepiece(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error || size > kMaxFileBytes)
    throw std::invalid_argument(path + ": can not be read, or is larger than 64 MB");
  std::string bytes(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size)))
    throw std::runtime_error(path + ": can not be read");
  const Model model = read_model(bytes, path);
  TokenizerSpec spec;
  spec.byte_fallback = model.byte_fallback;
  spec.fuse_unk = true;
  set_pieces(model.pieces, path, spec);
  set_merges(model.pieces, spec);
  if (model.add_dummy_prefix)
    spec.normalizer.push_back({NormalizerStep::Kind::kPrepend, "", kSpace});
  spec.normalizer.push_back({NormalizerStep::Kind::kReplace, " ", kSpace});
  using Kind = DecoderStep::Kind;
  spec.decoder = {
      {Kind::kReplace, kSpace, " "}, {Kind::kByteFallback, "", ""}, {Kind::kFuse, "", ""}};
  if (model.add_dummy_prefix) spec.decoder.push_back({Kind::kStrip, "", " ", 1, 0});
  const auto name = [&](const char* token) {
    return id_of_token(spec, token) ? std::optional<std::string>(token) : std::nullopt;
  };
  spec.bos = name("<s>");
  spec.eos = name("</s>");
  if (spec.bos) spec.post_processor = {{false, {*id_of_token(spec, *spec.bos)}}, {true, {}}};
  check_ids(path, spec);
  return spec;
}

}  // namespace lathe
