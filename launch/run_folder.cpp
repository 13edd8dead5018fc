#include "launch/run_folder.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "launch/exit_codes.h"
#include "launch/fatal.h"
#include "recipes/run_record.h"

namespace lathe {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw Coded(errno == ENOSPC || errno == EIO ? kIoError : kOutputLocked, fmt::format("{}: {}", what, std::strerror(errno)));
}

std::string read_owner(int file) {
  char text[256] = {};
  const ssize_t n = pread(file, text, sizeof text - 1, 0);
  return n > 0 ? text : "unknown";
}

}  // namespace

RunFolder::RunFolder(const std::string& path) : path_(path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw Coded(kOutputLocked, fmt::format("output_dir {} can not be made: {}", path, error.message()));
  const std::string lock_path = path + "/.lock";
  lock_ = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (lock_ < 0) fail("output_dir " + path + " can not be written");
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const std::string owner = read_owner(lock_);
    close(lock_);
    throw Coded(kOutputLocked, fmt::format("output_dir {} is held by another run ({})", path, owner));
  }
  const std::string owner = fmt::format("host {} pid {}", host_name(), getpid());
  if (ftruncate(lock_, 0) != 0 || pwrite(lock_, owner.data(), owner.size(), 0) != std::ssize(owner)) {
    fail("output_dir " + path + " can not be written");
  }
}

RunFolder::~RunFolder() { close(lock_); }

void RunFolder::write(const std::string& name, const std::string& text) const {
  const std::string target = path_ + "/" + name, temporary = target + ".tmp";
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) fail(temporary);
  const bool written = ::write(file, text.data(), text.size()) == std::ssize(text) && fsync(file) == 0;
  close(file);
  if (!written || std::rename(temporary.c_str(), target.c_str()) != 0) fail(target);
}

}  // namespace lathe
