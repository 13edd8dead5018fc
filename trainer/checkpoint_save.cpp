#include <fmt/core.h>

#include <cstring>
#include <filesystem>
#include <random>

#include "data/shards/file.h"
#include "data/shards/hash.h"
#include "data/shards/hdf5.h"
#include "trainer/agree.h"
#include "trainer/checkpoint.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

std::string run_of(const StateSlice& slice) {
  return slice.name + "/" + std::to_string(slice.offset) + "+" +
         std::to_string(slice.values.numel());
}

// Which of its slices this rank writes. What several ranks hold goes to the one with the least to
// write so far; all ranks work that out alike.
std::vector<StateSlice> slices_to_write(Group& group, const std::vector<StateSlice>& slices) {
  std::string mine;
  for (const StateSlice& slice : slices)
    mine += run_of(slice) + "\n" + std::to_string(slice.values.numel()) + "\n";
  struct Run {
    int64_t count = 0;
    std::vector<int> holders;
  };
  std::map<std::string, Run> runs;
  const std::vector<std::string> lists = gather_bytes(group, mine);
  for (int rank = 0; rank < group.size(); ++rank) {
    const std::string& list = lists[rank];
    for (size_t at = 0; at < list.size();) {
      const size_t name_end = list.find('\n', at), count_end = list.find('\n', name_end + 1);
      Run& run = runs[list.substr(at, name_end - at)];
      run.count = std::stoll(list.substr(name_end + 1, count_end - name_end - 1));
      run.holders.push_back(rank);
      at = count_end + 1;
    }
  }
  std::vector<int64_t> load(group.size());
  std::map<std::string, int> writer;
  for (const auto& [name, run] : runs) {
    int least = run.holders.front();
    for (const int rank : run.holders) {
      if (load[rank] < load[least]) least = rank;
    }
    writer[name] = least;
    load[least] += run.count;
  }
  std::vector<StateSlice> result;
  for (const StateSlice& slice : slices) {
    if (slice.values.numel() > 0 && writer.at(run_of(slice)) == group.rank())
      result.push_back(slice);
  }
  return result;
}

// An exponent of all ones is infinity or NaN. Works on the bits so that the loop becomes vector
// code.
bool all_finite(const float* values, int64_t n) {
  uint32_t found = 0;
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof(bits));
    found |= static_cast<uint32_t>((bits & 0x7f800000u) == 0x7f800000u);
  }
  return found == 0;
}

// One contiguous data set named <tensor>/<offset>; returns the byte of the file where its numbers
// begin.
uint64_t write_dataset(hid_t file, const StateSlice& slice) {
  const std::string name = slice.name + "/" + std::to_string(slice.offset);
  const hsize_t count = slice.values.numel();
  const hdf5::Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose, name);
  const hdf5::Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose, name);
  hdf5::check(H5Pset_create_intermediate_group(links, 1), name);
  hdf5::Handle dataset(
      H5Dcreate2(file, name.c_str(), H5T_IEEE_F32LE, space, links, H5P_DEFAULT, H5P_DEFAULT),
      H5Dclose, name);
  hdf5::check(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                       slice.values.const_data_ptr<float>()),
              name);
  const haddr_t position = H5Dget_offset(dataset);
  if (position == HADDR_UNDEF)
    throw std::runtime_error(name + ": HDF5 gave it no place in the file");
  hdf5::check(dataset.reset(), name);
  return position;
}

// Writes, syncs and reads back this rank's file; returns its part of the manifest.
std::string write_rank_file(const std::string& folder, int rank,
                            const std::vector<StateSlice>& slices) {
  const hdf5::Quiet quiet;
  const std::string name = "rank-" + std::to_string(rank) + ".h5", path = folder + "/" + name;
  std::map<std::string, ManifestTensor> tensors;
  {
    const hdf5::Handle access = hdf5::access_properties();
    hdf5::Handle file(H5Fcreate(path.c_str(), H5F_ACC_EXCL, H5P_DEFAULT, access), H5Fclose, path);
    for (const StateSlice& slice : slices) {
      const at::Tensor& values = slice.values;
      if (!values.is_contiguous() || values.scalar_type() != at::kFloat || !values.is_cpu()) {
        throw std::runtime_error(slice.name + " is not a flat run of float32 on the CPU");
      }
      if (!all_finite(values.const_data_ptr<float>(), values.numel())) {
        throw std::runtime_error(slice.name +
                                 " holds numbers that are not finite; they are not saved");
      }
      ManifestTensor& tensor = tensors[slice.name];
      tensor.shape = slice.shape;
      tensor.pieces.push_back({.offset = slice.offset,
                               .count = values.numel(),
                               .position = write_dataset(file, slice),
                               .file = 0});
    }
    hdf5::check(file.reset(), path);
  }
  sync_path(path);
  const ReadFile written(path);
  return dump_part(
      {.name = name, .bytes = written.bytes(), .hash = written.hash(0, written.bytes())}, tensors);
}

void commit(const std::string& temporary, const std::string& folder,
            const CheckpointManifest& manifest) {
  const std::string path = temporary + "/manifest.json";
  write_file(path, dump_manifest(manifest));
  sync_path(path);
  if (fs::exists(folder)) {
    // Of an earlier run that was passed over as damaged, or is not wanted any more.
    const std::string old = temporary + ".old";
    fs::rename(folder, old);
    publish(temporary, folder);
    fs::remove_all(old);
  } else {
    publish(temporary, folder);
  }
}

std::string random_name() {
  std::random_device device;
  return hex16(static_cast<uint64_t>(device()) << 32 | device());
}

}  // namespace

CheckpointSave::CheckpointSave(std::string output_dir, int64_t step, Mesh& mesh,
                               const std::vector<StateSlice>& slices, std::string state,
                               bool in_background)
    : output_dir_(std::move(output_dir)),
      state_(std::move(state)),
      step_(step),
      world_(mesh.world()) {
  const bool first = world_.rank() == 0;
  temporary_ = checkpoint_folder(output_dir_, step_) + ".tmp-" +
               broadcast_bytes(world_, first ? random_name() : "", 0);
  try {
    together(world_, [&] {
      if (first) fs::create_directories(temporary_);
    });
    mine_ = slices_to_write(world_, slices);
    if (in_background) {
      together(world_, [&] {
        for (StateSlice& slice : mine_) slice.values = slice.values.clone();
      });
    }
    part_ = std::async(in_background ? std::launch::async : std::launch::deferred,
                       [this] { return write_rank_file(temporary_, world_.rank(), mine_); });
  } catch (const PeerLost&) {
    throw;
  } catch (const std::exception& error) {
    fail(error);
  }
}

CheckpointSave::~CheckpointSave() {
  if (finished_ || !part_.valid()) return;
  try {
    if (!written()) part_.wait();
  } catch (...) {
  }
  std::error_code ignored;
  if (world_.rank() == 0) fs::remove_all(temporary_, ignored);
}

bool CheckpointSave::written() const {
  return part_.wait_for(std::chrono::seconds(0)) != std::future_status::timeout;
}

void CheckpointSave::finish() {
  try {
    std::string part;
    together(world_, [&] { part = part_.get(); });
    const std::vector<std::string> parts = gather_bytes(world_, part);
    together(world_, [&] {
      if (world_.rank() != 0) return;
      CheckpointManifest manifest{.step = step_, .state = state_, .files = {}, .tensors = {}};
      for (const std::string& each : parts) add_part(manifest, each);
      commit(temporary_, checkpoint_folder(output_dir_, step_), manifest);
    });
    finished_ = true;
  } catch (const PeerLost&) {
    throw;
  } catch (const std::exception& error) {
    fail(error);
  }
}

void CheckpointSave::fail(const std::exception& cause) {
  std::error_code ignored;
  if (world_.rank() == 0) fs::remove_all(temporary_, ignored);
  throw SaveFailed("checkpoint of step " + std::to_string(step_) + " in " + output_dir_ +
                   " was not saved: " + cause.what());
}

void save_checkpoint(const std::string& output_dir, int64_t step, Mesh& mesh,
                     const std::vector<StateSlice>& slices, const std::string& state) {
  CheckpointSave(output_dir, step, mesh, slices, state).finish();
}

double checkpoint_bytes(Mesh& mesh, const std::vector<StateSlice>& slices) {
  int64_t count = 0;
  for (const StateSlice& slice : slices_to_write(mesh.world(), slices))
    count += slice.values.numel();
  return static_cast<double>(sum_over(mesh.world(), {count}).at(0)) * sizeof(float);
}

void require_space(const std::string& output_dir, Mesh& mesh, double bytes, double copies) {
  const double needed = bytes * copies;
  try {
    together(mesh.world(), [&] {
      if (mesh.world().rank() != 0) return;
      const auto free = static_cast<double>(fs::space(output_dir).available);
      if (needed <= free) return;
      throw std::runtime_error(fmt::format(
          "the checkpoints of this run do not fit in {}: needed {:.3f} GB ({:.0f} of {:.3f} GB), "
          "free {:.3f} GB; free space, or lower save_total_limit",
          output_dir, needed / 1e9, copies, bytes / 1e9, free / 1e9));
    });
  } catch (const PeerLost&) {
    throw;
  } catch (const std::runtime_error& error) {
    throw SaveFailed(error.what());
  }
}

}  // namespace lathe
