#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/loader/loader.h"
#include "data/loader/order.h"
#include "data/shards/token_shard.h"

// Data sets of which each token is known, and all that ranks take of them.
namespace lathe {

using Datasets = std::vector<std::shared_ptr<const Dataset>>;

// Tokens first, first + 1, ...: each is there once. Lengths 0 to 40, documents over three shards;
// every fifth not trained.
inline std::shared_ptr<const Dataset> make_dataset(const std::string& folder, int64_t documents,
                                                   int32_t first = 0) {
  std::filesystem::create_directory(folder);
  DatasetManifest manifest{1, "h", "", "", 60000, {}, ""};
  int32_t token = first;
  for (int s = 0; s < 3; ++s) {
    const std::string file = "s" + std::to_string(s) + ".h5";
    ShardWriter writer(folder + "/" + file, {"h", "", 60000});
    for (int64_t d = documents * s / 3; d < documents * (s + 1) / 3; ++d) {
      std::vector<int32_t> ids(mix_bits(d) % 41);
      std::vector<uint8_t> mask;
      for (int32_t& id : ids) {
        mask.push_back(token % 5 != 0);
        id = token++;
      }
      writer.add(ids, mask);
    }
    manifest.shards.push_back(shard_entry(file, writer.finish()));
  }
  write_manifest(folder, manifest);
  return std::make_shared<const Dataset>(folder);
}

inline LoaderOptions options_of(int64_t rows, int64_t micro_batches, int rank, int size,
                                int prefetch = 0) {
  LoaderOptions options;
  options.max_length = 64;
  options.seed = 11;
  options.rows_per_micro_batch = rows;
  options.micro_batches = micro_batches;
  options.rank = rank;
  options.size = size;
  options.prefetch = prefetch;
  return options;
}

inline std::vector<int64_t> values(const at::Tensor& tensor) {
  const int64_t* begin = tensor.const_data_ptr<int64_t>();
  return {begin, begin + tensor.numel()};
}

// What all ranks together take in `steps` steps, in the order of rows.
inline std::vector<int64_t> id_stream(const Datasets& datasets, LoaderOptions options,
                                      int64_t steps, LoaderState from = {}) {
  std::vector<std::unique_ptr<Loader>> ranks;
  for (options.rank = 0; options.rank < options.size; ++options.rank) {
    ranks.push_back(std::make_unique<Loader>(datasets, std::vector<double>{}, options));
    ranks.back()->seek(from);
  }
  std::vector<int64_t> stream;
  for (int64_t s = 0; s < steps; ++s) {
    for (const auto& rank : ranks) {
      const std::vector<Batch> batches = rank->next();
      EXPECT_EQ(static_cast<int64_t>(batches.size()), options.micro_batches);
      EXPECT_EQ(rank->state(), ranks[0]->state());
      for (const Batch& batch : batches) {
        for (const int64_t id : values(batch.tokens)) stream.push_back(id);
      }
    }
  }
  return stream;
}

}  // namespace lathe
