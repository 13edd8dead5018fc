#include "launch/fatal.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "launch/arguments.h"
#include "launch/exit_codes.h"
#include "parallel/group.h"
#include "recipes/run_record.h"
#include "trainer/trainer.h"

namespace lathe {
namespace {

const char* hint(int code) {
  switch (code) {
    case kUsage: return "lathe validate CONFIG.yaml checks a config; lathe train --help lists every key";
    case kBadInput: return "mend the file that is named, then start again";
    case kLaunchMismatch: return "see the README, section on many ranks";
    case kPeerLost: return "look for the FATAL line of the rank that failed first; start again to resume";
    case kOutputLocked: return "choose another output_dir, or wait for the run that holds it";
    case kIoError: return "free space or mend the disk, then start again to resume";
    case kNumericStop: return "lower learning_rate, or look at the data of the steps named above";
    default: return "this is a bug of lathe: report it with the command and this line";
  }
}

// A message is one line: scripts read it.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

Fatal explain(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const Coded& e) {
    return {e.code, e.what()};
  } catch (const UsageError& e) {
    return {kUsage, e.what()};
  } catch (const PeerLost& e) {
    return {kPeerLost, e.what()};
  } catch (const NumericStop& e) {
    return {kNumericStop, e.what()};
  } catch (const std::invalid_argument& e) {
    return {kBadInput, e.what()};
  } catch (const SaveFailed& e) {
    return {kIoError, e.what()};
  } catch (const std::filesystem::filesystem_error& e) {
    return {kIoError, e.what()};
  } catch (const std::system_error& e) {
    return {kIoError, e.what()};
  } catch (const c10::Error& e) {
    return {kInternal, e.what_without_backtrace()};
  } catch (const std::logic_error& e) {
    return {kInternal, e.what()};
  } catch (const std::bad_alloc&) {
    return {kInternal, "out of memory; lower per_device_train_batch_size or data.max_length"};
  } catch (const std::runtime_error& e) {
    return {kIoError, e.what()};
  } catch (const std::exception& e) {
    return {kInternal, e.what()};
  }
}

void print_fatal(const Fatal& fatal, int rank) {
  fmt::print(stderr, "FATAL code={} rank={} host={} cause=\"{}\" hint=\"{}\"\n", fatal.code, rank, host_name(), one_line(fatal.cause),
             hint(fatal.code));
}

void with_code(int code, const std::function<void()>& phase) {
  try {
    phase();
  } catch (const std::invalid_argument& e) {
    throw Coded(code, e.what());
  }
}

}  // namespace lathe
