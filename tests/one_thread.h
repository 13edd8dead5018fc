#pragma once

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace lathe {

// The models of tests are so small that a second thread only waits; on a busy machine it waits fifty
// times as long as the work takes.
class OneThread : public testing::Test {
 protected:
  OneThread() { at::set_num_threads(1); }
  ~OneThread() override { at::set_num_threads(threads_); }

 private:
  int threads_ = at::get_num_threads();
};

}  // namespace lathe
