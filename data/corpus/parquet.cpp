#include "data/corpus/parquet.h"

#include <arrow/api.h>
#include <fmt/format.h>
#include <parquet/arrow/reader.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>
#include <simdjson.h>

#include <cmath>
#include <filesystem>
#include <stdexcept>

#include "data/corpus/bad_record.h"
#include "data/corpus/json_fields.h"
#include "data/corpus/lines.h"

namespace lathe {
namespace {

constexpr int64_t kBatchRows = 64;

// A fault of one row; its place is put in front where it is known.
struct CellFault : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

void append_value(std::string& json, const arrow::Array& column, int64_t i,
                  const std::string& name);

void append_text(std::string& json, std::string_view text, const std::string& name) {
  if (!simdjson::validate_utf8(text.data(), text.size()))
    throw CellFault(name + ": the text is not UTF-8");
  if (json.size() + text.size() > kMostLineBytes)
    throw CellFault(fmt::format("the row is longer than {} bytes", kMostLineBytes));
  json += json_fields::json_string(text);
}

template <typename Number>
void append_float(std::string& json, Number value) {
  json += std::isfinite(value) ? fmt::format("{}", value) : "null";
}

template <typename List>
void append_list(std::string& json, const arrow::Array& column, int64_t i,
                 const std::string& name) {
  const auto& list = static_cast<const List&>(column);
  const arrow::Array& values = *list.values();
  const int64_t begin = list.value_offset(i);
  json += '[';
  for (int64_t k = 0; k < list.value_length(i); ++k) {
    if (k > 0) json += ", ";
    append_value(json, values, begin + k, name);
  }
  json += ']';
}

void append_struct(std::string& json, const arrow::StructArray& column, int64_t i,
                   const std::string& name) {
  json += '{';
  for (int k = 0; k < column.num_fields(); ++k) {
    const std::string& field = column.struct_type()->field(k)->name();
    if (k > 0) json += ", ";
    append_text(json, field, name);
    json += ": ";
    append_value(json, *column.field(k), i, name + "." + field);
  }
  json += '}';
}

template <typename Array>
auto at(const arrow::Array& column, int64_t i) {
  return static_cast<const Array&>(column).GetView(i);
}

void append_value(std::string& json, const arrow::Array& column, int64_t i,
                  const std::string& name) {
  if (column.IsNull(i)) {
    json += "null";
    return;
  }
  switch (column.type_id()) {
    case arrow::Type::BOOL:
      json += at<arrow::BooleanArray>(column, i) ? "true" : "false";
      break;
    case arrow::Type::INT8:
      json += std::to_string(at<arrow::Int8Array>(column, i));
      break;
    case arrow::Type::INT16:
      json += std::to_string(at<arrow::Int16Array>(column, i));
      break;
    case arrow::Type::INT32:
      json += std::to_string(at<arrow::Int32Array>(column, i));
      break;
    case arrow::Type::INT64:
      json += std::to_string(at<arrow::Int64Array>(column, i));
      break;
    case arrow::Type::UINT8:
      json += std::to_string(at<arrow::UInt8Array>(column, i));
      break;
    case arrow::Type::UINT16:
      json += std::to_string(at<arrow::UInt16Array>(column, i));
      break;
    case arrow::Type::UINT32:
      json += std::to_string(at<arrow::UInt32Array>(column, i));
      break;
    case arrow::Type::UINT64:
      json += std::to_string(at<arrow::UInt64Array>(column, i));
      break;
    case arrow::Type::FLOAT:
      append_float(json, at<arrow::FloatArray>(column, i));
      break;
    case arrow::Type::DOUBLE:
      append_float(json, at<arrow::DoubleArray>(column, i));
      break;
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      append_text(json, at<arrow::BinaryArray>(column, i), name);
      break;
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      append_text(json, at<arrow::LargeBinaryArray>(column, i), name);
      break;
    case arrow::Type::LIST:
    case arrow::Type::MAP:  // a list of {"key", "value"}
      append_list<arrow::ListArray>(json, column, i, name);
      break;
    case arrow::Type::LARGE_LIST:
      append_list<arrow::LargeListArray>(json, column, i, name);
      break;
    case arrow::Type::FIXED_SIZE_LIST:
      append_list<arrow::FixedSizeListArray>(json, column, i, name);
      break;
    case arrow::Type::STRUCT:
      append_struct(json, static_cast<const arrow::StructArray&>(column), i, name);
      break;
    case arrow::Type::DICTIONARY: {
      const auto& words = static_cast<const arrow::DictionaryArray&>(column);
      append_value(json, *words.dictionary(), words.GetValueIndex(i), name);
      break;
    }
    default: {
      const auto value = column.GetScalar(i);
      if (!value.ok()) throw CellFault(name + ": " + value.status().message());
      append_text(json, (*value)->ToString(), name);
    }
  }
}

}  // namespace

struct ParquetReader::Parts {
  explicit Parts(std::string name) : path(std::move(name)) {
    guarded([&] {
      parquet::ReaderProperties properties;
      properties.enable_buffered_stream();  // pages, not whole columns of a row group
      properties.set_page_checksum_verification(true);
      parquet::ArrowReaderProperties batches;
      batches.set_batch_size(kBatchRows);
      batches.set_pre_buffer(false);
      parquet::arrow::FileReaderBuilder builder;
      check(builder.OpenFile(path, false, properties));
      builder.properties(batches);
      file = value_of(builder.Build());
      rows = file->parquet_reader()->metadata()->num_rows();
    });
    bytes = static_cast<int64_t>(std::filesystem::file_size(path));
  }

  // Whatever the library says of a file is said with the file's name.
  template <typename Work>
  void guarded(const Work& work) {
    try {
      work();
    } catch (const std::exception& fault) {
      throw std::invalid_argument(
          fmt::format("{}: is damaged, cut off or no Parquet file: {}", path, fault.what()));
    }
  }

  static void check(const arrow::Status& status) {
    if (!status.ok()) throw std::invalid_argument(status.ToStringWithoutContextLines());
  }
  template <typename Value>
  static Value value_of(arrow::Result<Value> result) {
    check(result.status());
    return std::move(result).ValueUnsafe();
  }

  // From the row group on that holds the row behind `row`.
  void open_batches() {
    const auto metadata = file->parquet_reader()->metadata();
    std::vector<int> groups;
    int64_t begin = 0;
    for (int g = 0; g < metadata->num_row_groups(); ++g) {
      const int64_t end = begin + metadata->RowGroup(g)->num_rows();
      if (end > row) {
        if (groups.empty()) to_pass = row - begin;
        groups.push_back(g);
      }
      begin = end;
    }
    batches = value_of(file->GetRecordBatchReader(groups));
  }

  // Whether there is a row at in_batch.
  bool fill() {
    if (!batches) open_batches();
    while (!batch || in_batch >= batch->num_rows()) {
      check(batches->ReadNext(&batch));
      if (!batch) return false;
      check(batch->Validate());
      in_batch = std::min(to_pass, batch->num_rows());
      to_pass -= in_batch;
    }
    return true;
  }

  void append_row() {
    json = "{";
    for (int c = 0; c < batch->num_columns(); ++c) {
      const std::string& name = batch->column_name(c);
      if (c > 0) json += ", ";
      append_text(json, name, "a column's name");
      json += ": ";
      append_value(json, *batch->column(c), in_batch, name);
    }
    json += '}';
    if (json.size() > kMostLineBytes)
      throw CellFault(fmt::format("the row is longer than {} bytes", kMostLineBytes));
  }

  std::string path;
  std::unique_ptr<parquet::arrow::FileReader> file;
  std::unique_ptr<arrow::RecordBatchReader> batches;
  std::shared_ptr<arrow::RecordBatch> batch;
  int64_t rows = 0, bytes = 0, row = 0, in_batch = 0, to_pass = 0;
  std::string json;
};

ParquetReader::ParquetReader(std::string path) : parts_(std::make_unique<Parts>(std::move(path))) {}
ParquetReader::~ParquetReader() = default;

std::optional<std::string_view> ParquetReader::next() {
  Parts& parts = *parts_;
  bool found = false;
  parts.guarded([&] { found = parts.fill(); });
  if (!found) {
    parts.batch.reset();
    if (parts.row == parts.rows) return std::nullopt;
    throw std::invalid_argument(
        fmt::format("{}: is damaged: its footer promises {} rows, but {} are there", parts.path,
                    parts.rows, parts.row));
  }
  ++parts.row;
  try {
    parts.append_row();
  } catch (const CellFault& fault) {
    ++parts.in_batch;
    throw BadRecord(parts.row, fmt::format("{}:{}: {}", parts.path, parts.row, fault.what()));
  }
  ++parts.in_batch;
  return parts.json;
}

int64_t ParquetReader::row() const { return parts_->row; }

void ParquetReader::seek(int64_t row) {
  if (row > parts_->rows)
    throw std::invalid_argument(parts_->path + ": the file is not the one that was read before");
  parts_->row = row;
}

int64_t ParquetReader::bytes_read() const {
  const Parts& parts = *parts_;
  if (parts.row == parts.rows) return parts.bytes;
  return static_cast<int64_t>(static_cast<double>(parts.bytes) * static_cast<double>(parts.row) /
                              static_cast<double>(parts.rows));
}

}  // namespace lathe
