#include <stdexcept>

#include "data/corpus/parquet.h"

// Built without libarrow.
namespace lathe {

struct ParquetReader::Parts {};

ParquetReader::ParquetReader(std::string path) {
  throw std::invalid_argument(
      path +
      ": is a Parquet file, which this build can not read; build lathe with it: "
      "LATHE_PARQUET=1 ./launch/bootstrap, or write JSON lines, for example in Python: "
      "datasets.load_dataset(...).to_json(\"data.jsonl\")");
}
ParquetReader::~ParquetReader() = default;

std::optional<std::string_view> ParquetReader::next() { return std::nullopt; }
int64_t ParquetReader::row() const { return 0; }
void ParquetReader::seek(int64_t) {}
int64_t ParquetReader::bytes_read() const { return 0; }

}  // namespace lathe
