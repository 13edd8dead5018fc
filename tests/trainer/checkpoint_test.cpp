#include "trainer/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "data/shards/file.h"
#include "parallel/local_group.h"
#include "tests/temp_folder.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// Rank r's part of a state of two tensors, cut into `size` parts. Element i of tensor t has the
// value 1000 t + i + step.
std::vector<StateSlice> make_state(int rank, int size, double step) {
  std::vector<StateSlice> slices;
  int64_t t = 1;
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{5, 7}, std::vector<int64_t>{12}}) {
    const int64_t n = c10::multiply_integers(shape);
    const int64_t begin = n * rank / size, end = n * (rank + 1) / size;
    slices.push_back(
        {.name = "master/tensor." + std::to_string(t),
         .shape = shape,
         .offset = begin,
         .values = at::arange(begin, end, at::kFloat) + (1000. * static_cast<double>(t++) + step)});
  }
  return slices;
}

std::vector<StateSlice> zeros_like(std::vector<StateSlice> slices) {
  for (StateSlice& slice : slices) slice.values = at::full_like(slice.values, NAN);
  return slices;
}

void expect_equal(const std::vector<StateSlice>& a, const std::vector<StateSlice>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(at::equal(a[i].values, b[i].values)) << a[i].name;
}

// world ranks, of which `parts` different ones hold the state (fewer parts than ranks: replicas).
void save(const std::string& folder, int world, int parts, int64_t step) {
  run_local(world, [&](std::unique_ptr<Group> group) {
    const int part = group->rank() % parts;
    Mesh mesh(std::move(group), {});
    save_checkpoint(folder, step, mesh, make_state(part, parts, static_cast<double>(step)),
                    R"({"step": )" + std::to_string(step) + ", \"x\": 0.1}");
  });
}

std::optional<int64_t> newest(const std::string& folder,
                              std::vector<std::string>* notes = nullptr) {
  const auto group = solo_group();
  const auto checkpoint = open_newest_checkpoint(folder, *group, [&](const std::string& note) {
    if (notes) notes->push_back(note);
  });
  if (!checkpoint) return std::nullopt;
  std::vector<StateSlice> slices = zeros_like(make_state(0, 1, 0));
  checkpoint->fill(slices);
  expect_equal(slices, make_state(0, 1, static_cast<double>(checkpoint->step())));
  return checkpoint->step();
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Checkpoint, AnyNumberOfRanksLoadsWhatAnyNumberWrote) {
  for (const int writers : {1, 2, 4}) {
    TempFolder folder;
    save(folder.path(), writers, writers, 7);
    for (const int readers : {1, 2, 4, 8}) {
      run_local(readers, [&](std::unique_ptr<Group> group) {
        const Checkpoint checkpoint(folder / "checkpoint-7", *group);
        EXPECT_EQ(checkpoint.step(), 7);
        EXPECT_EQ(checkpoint.state(), R"({"step":7,"x":0.1})");
        std::vector<StateSlice> slices = zeros_like(make_state(group->rank(), readers, 0));
        checkpoint.fill(slices);
        expect_equal(slices, make_state(group->rank(), readers, 7));
      });
    }
  }
}

TEST(Checkpoint, FilesAreHdf5AndNothingElseIsLeft) {
  TempFolder folder;
  save(folder.path(), 2, 2, 1);
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
    names.push_back(fs::relative(entry.path(), folder.path()).string());
  }
  EXPECT_THAT(names,
              testing::UnorderedElementsAre("checkpoint-1", "checkpoint-1/manifest.json",
                                            "checkpoint-1/rank-0.h5", "checkpoint-1/rank-1.h5"));
  EXPECT_TRUE(read_file(folder / "checkpoint-1/rank-0.h5").starts_with("\x89HDF\r\n\x1a\n"));
}

TEST(Checkpoint, WhatSeveralRanksHoldIsWrittenOnceAndSharedOut) {
  TempFolder folder;
  save(folder.path(), 4, 1, 1);
  const auto manifest = parse_manifest(read_file(folder / "checkpoint-1/manifest.json"), "manifest");
  ASSERT_EQ(manifest.tensors.size(), 2u);
  for (const auto& [name, tensor] : manifest.tensors) {
    ASSERT_EQ(tensor.pieces.size(), 1u) << name;
    EXPECT_EQ(tensor.pieces[0].count, c10::multiply_integers(tensor.shape));
  }
  EXPECT_NE(manifest.tensors.at("master/tensor.1").pieces[0].file,
            manifest.tensors.at("master/tensor.2").pieces[0].file);
  EXPECT_EQ(newest(folder.path()), 1);
}

TEST(Checkpoint, EveryFlippedByteOfTheManifestIsSeen) {
  TempFolder folder;
  save(folder.path(), 1, 1, 1);
  const std::string good = read_file(folder / "checkpoint-1/manifest.json");
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << i % 8));
    EXPECT_THROW(parse_manifest(bad, "manifest"), std::runtime_error) << i;
  }
  for (const size_t size : {size_t{0}, size_t{1}, good.size() / 2, good.size() - 1}) {
    EXPECT_THROW(parse_manifest(good.substr(0, size), "manifest"), std::runtime_error) << size;
  }
  EXPECT_THROW(parse_manifest(good + "\n", "manifest"), std::runtime_error);
}

TEST(Checkpoint, EveryFlippedByteOfARankFileIsSeen) {
  TempFolder folder;
  save(folder.path(), 1, 1, 1);
  const std::string path = folder / "checkpoint-1/rank-0.h5", good = read_file(path);
  const auto group = solo_group();
  int flips = 0;
  for (size_t i = 0; i < good.size(); i += 1 + good.size() / 200, ++flips) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << i % 8));
    write(path, bad);
    EXPECT_THAT(message_of([&] { Checkpoint(folder / "checkpoint-1", *group); }),
                HasSubstr("rank-0.h5 is damaged"));
  }
  EXPECT_GE(flips, 100);
}

TEST(Checkpoint, ManifestThatPointsOutsideItsFilesIsRefused) {
  const auto damaged = [](const std::function<void(CheckpointManifest&)>& change) {
    CheckpointManifest manifest{
        .step = 1, .state = "{}", .files = {{"rank-0.h5", 100, 0}}, .tensors = {}};
    manifest.tensors["w"] = {{5}, {{.offset = 0, .count = 5, .position = 80, .file = 0}}};
    EXPECT_NO_THROW(parse_manifest(dump_manifest(manifest), "manifest"));
    change(manifest);
    EXPECT_THROW(parse_manifest(dump_manifest(manifest), "manifest"), std::runtime_error);
  };
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  damaged([](auto& m) { m.tensors["w"].pieces[0].position = 81; });
  damaged([](auto& m) { m.tensors["w"].pieces[0].position = ~uint64_t{0}; });
  damaged([](auto& m) { m.tensors["w"].pieces[0].count = 6; });
  damaged([](auto& m) { m.tensors["w"].pieces[0].count = kHuge; });
  damaged([](auto& m) { m.tensors["w"].pieces[0].count = 0; });
  damaged([](auto& m) { m.tensors["w"].pieces[0].offset = -1; });
  damaged([](auto& m) { m.tensors["w"].pieces[0].offset = kHuge; });
  damaged([](auto& m) { m.tensors["w"].pieces[0].file = 1; });
  damaged([](auto& m) { m.tensors["w"].shape = {kHuge, 2}; });
  damaged([](auto& m) { m.tensors["w"].shape = {-5}; });
  damaged([](auto& m) { m.files[0].name = "../rank-0.h5"; });
}

TEST(Checkpoint, NewestUndamagedOneIsTakenAndTheOthersAreNamed) {
  TempFolder folder;
  EXPECT_EQ(newest(folder.path()), std::nullopt);
  EXPECT_EQ(newest(folder / "not there"), std::nullopt);
  for (const int64_t step : {9, 10, 20, 30, 40, 50}) save(folder.path(), 2, 2, step);
  write(folder / "checkpoint-50/rank-1.h5",
        read_file(folder / "checkpoint-50/rank-1.h5") + "x");                                // grown
  write(folder / "checkpoint-40/rank-1.h5", read_file(folder / "checkpoint-10/rank-1.h5"));  // stale
  fs::remove(folder / "checkpoint-30/rank-0.h5");
  fs::remove(folder / "checkpoint-20/manifest.json");
  fs::create_directory(folder / "checkpoint-60.tmp-0123");
  fs::create_directory(folder / "checkpoint-99999999999999999999");
  write(folder / "checkpoint-70", "a file");
  std::vector<std::string> notes;
  EXPECT_EQ(newest(folder.path(), &notes), 10);
  ASSERT_EQ(notes.size(), 4u);
  EXPECT_THAT(notes[0], HasSubstr("checkpoint-50/rank-1.h5 is damaged: it has"));
  EXPECT_THAT(notes[1], HasSubstr("checkpoint-40/rank-1.h5 is damaged: its xxh64"));
  EXPECT_THAT(notes[2], HasSubstr("checkpoint-30/rank-0.h5 can not be read"));
  EXPECT_THAT(notes[3], HasSubstr("checkpoint-20/manifest.json"));
}

TEST(Checkpoint, SwappedRankFilesAreSeen) {
  TempFolder folder;
  save(folder.path(), 2, 2, 1);
  const std::string first = folder / "checkpoint-1/rank-0.h5",
                    second = folder / "checkpoint-1/rank-1.h5";
  const std::string bytes = read_file(first);
  write(first, read_file(second));
  write(second, bytes);
  EXPECT_THAT(message_of([&] { newest(folder.path()); }), HasSubstr("none of the checkpoints"));
}

TEST(Checkpoint, DamageThatOneRankFindsIsThrownOnAll) {
  TempFolder folder;
  save(folder.path(), 2, 2, 1);
  std::string bytes = read_file(folder / "checkpoint-1/rank-1.h5");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write(folder / "checkpoint-1/rank-1.h5", bytes);
  std::atomic<int> thrown = 0;
  run_local(2, [&](std::unique_ptr<Group> group) {
    const std::string message = message_of([&] { Checkpoint(folder / "checkpoint-1", *group); });
    if (message.find("rank-1.h5 is damaged") != std::string::npos) ++thrown;
  });
  EXPECT_EQ(thrown, 2);
}

TEST(Checkpoint, FailureOfOneRankFailsTheSaveOnAllAndLeavesNothing) {
  TempFolder folder;
  save(folder.path(), 4, 4, 1);
  std::atomic<int> failed = 0;
  run_local(4, [&](std::unique_ptr<Group> group) {
    std::vector<StateSlice> slices = make_state(group->rank(), 4, 2);
    if (group->rank() == 2) slices[1].values[0] = NAN;
    Mesh mesh(std::move(group), {});
    try {
      save_checkpoint(folder.path(), 2, mesh, slices, "{}");
    } catch (const SaveFailed& error) {
      EXPECT_THAT(error.what(), HasSubstr("master/tensor.2 holds numbers that are not finite"));
      ++failed;
    }
  });
  EXPECT_EQ(failed, 4);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}), 1);
  EXPECT_EQ(newest(folder.path()), 1);
}

TEST(Checkpoint, SavingAStepAgainReplacesIt) {
  TempFolder folder;
  save(folder.path(), 2, 2, 3);
  write(folder / "checkpoint-3/rank-0.h5", "");
  save(folder.path(), 1, 1, 3);
  EXPECT_EQ(newest(folder.path()), 3);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}), 1);
}

TEST(Checkpoint, MissingAndMisshapenTensorsAreNamed) {
  TempFolder folder;
  save(folder.path(), 1, 1, 1);
  const auto group = solo_group();
  const Checkpoint checkpoint(folder / "checkpoint-1", *group);
  std::vector<StateSlice> slices = make_state(0, 1, 0);
  slices[0].name = "master/other";
  EXPECT_THROW(checkpoint.fill(slices), std::invalid_argument);
  EXPECT_THAT(message_of([&] { checkpoint.fill(slices); }),
              HasSubstr("has no tensor master/other"));
  slices = make_state(0, 1, 0);
  slices[1].shape = {3, 4};
  EXPECT_THAT(message_of([&] { checkpoint.fill(slices); }),
              HasSubstr("master/tensor.2 is [12], expected [3, 4]"));
}

TEST(Checkpoint, PruneKeepsTheNewestCompleteOnes) {
  TempFolder folder;
  for (const int64_t step : {1, 2, 3, 10, 11}) save(folder.path(), 1, 1, step);
  fs::create_directories(folder / "checkpoint-12.tmp-0123");
  write(folder / "checkpoint-12.tmp-0123/rank-0.h5", "half");
  write(folder / "metrics.jsonl", "");
  fs::remove(folder / "checkpoint-11/manifest.json");
  prune_checkpoints(folder.path(), 2);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path()))
    names.push_back(entry.path().filename().string());
  EXPECT_THAT(names, testing::UnorderedElementsAre("checkpoint-3", "checkpoint-10", "checkpoint-11",
                                                   "metrics.jsonl"));
  prune_checkpoints(folder.path(), 0);
  EXPECT_TRUE(fs::exists(folder / "checkpoint-3"));
}

}  // namespace
}  // namespace lathe
