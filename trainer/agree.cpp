#include "trainer/agree.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>

#include <cstring>
#include <stdexcept>

namespace lathe {

std::vector<int64_t> sum_over(Group& group, std::vector<int64_t> values) {
  at::Tensor sums = at::tensor(values, at::kLong).to(group.device());
  group.all_reduce(sums, Reduce::kSum);
  sums = sums.cpu();
  std::memcpy(values.data(), sums.data_ptr(), values.size() * sizeof(int64_t));
  return values;
}

bool any(Group& group, bool value) {
  at::Tensor flag =
      at::scalar_tensor(value ? 1 : 0, at::TensorOptions().dtype(at::kLong)).to(group.device());
  group.all_reduce(flag, Reduce::kMax);
  return flag.item<int64_t>() != 0;
}

std::vector<std::string> gather_bytes(Group& group, const std::string& bytes) {
  at::Tensor lengths =
      at::empty({group.size()}, at::TensorOptions().dtype(at::kLong).device(group.device()));
  group.all_gather(at::tensor({static_cast<int64_t>(bytes.size())}, at::kLong).to(group.device()),
                   lengths);
  lengths = lengths.cpu();
  const int64_t longest = lengths.max().item<int64_t>();
  if (longest == 0) return std::vector<std::string>(group.size());
  std::string padded = bytes;
  padded.resize(longest);
  at::Tensor all = at::empty({group.size() * longest},
                             at::TensorOptions().dtype(at::kByte).device(group.device()));
  group.all_gather(at::from_blob(padded.data(), {longest}, at::kByte).to(group.device()), all);
  all = all.cpu();
  std::vector<std::string> result;
  for (int64_t rank = 0; rank < group.size(); ++rank) {
    const char* begin = static_cast<const char*>(all.data_ptr()) + rank * longest;
    result.emplace_back(begin, lengths.data_ptr<int64_t>()[rank]);
  }
  return result;
}

std::string broadcast_bytes(Group& group, std::string bytes, int root) {
  at::Tensor length =
      at::tensor({static_cast<int64_t>(bytes.size())}, at::kLong).to(group.device());
  group.broadcast(length, root);
  bytes.resize(length.item<int64_t>());
  if (bytes.empty()) return bytes;
  at::Tensor whole = at::from_blob(bytes.data(), {static_cast<int64_t>(bytes.size())}, at::kByte)
                         .to(group.device());
  group.broadcast(whole, root);
  whole = whole.cpu();
  return std::string(static_cast<const char*>(whole.data_ptr()), bytes.size());
}

void together(Group& group, const std::function<void()>& part) {
  std::string failure;  // first byte: which kind
  try {
    part();
  } catch (const std::invalid_argument& error) {
    failure = std::string("i") + error.what();
  } catch (const Stopped& error) {
    failure = std::string("s") + error.what();
  } catch (const std::exception& error) {
    failure = std::string("r") + error.what();
  }
  const std::vector<std::string> failures = gather_bytes(group, failure);
  for (const std::string& first : failures) {
    if (first.empty()) continue;
    if (first[0] == 'i') throw std::invalid_argument(first.substr(1));
    if (first[0] == 's') throw Stopped(first.substr(1));
    throw std::runtime_error(first.substr(1));
  }
}

}  // namespace lathe
