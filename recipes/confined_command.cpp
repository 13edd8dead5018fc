#include "recipes/confined_command.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <stdexcept>

namespace lathe {
namespace {

constexpr int kNotConfined = 125, kNotStarted = 126, kNotFound = 127;

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "run_confined knows the system calls of x86-64 and AArch64 only"
#endif
constexpr uint32_t kX32Bit = 0x40000000;  // other numbers for the same calls, on x86-64

// No socket, and no io_uring, which makes sockets without the call.
constexpr std::array<sock_filter, 10> kFilter = {{
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 3, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
}};

bool limit(int resource, uint64_t most) {
  const rlimit value{most, most};
  return setrlimit(static_cast<__rlimit_resource>(resource), &value) == 0;
}

// In the child: only what is safe after a fork of a process with threads.
[[noreturn]] void become(const char* command, const char* folder, const CommandLimits& limits) {
  setpgid(0, 0);
  const int nothing = open("/dev/null", O_RDWR);
  const sock_fprog program{static_cast<unsigned short>(kFilter.size()),
                           const_cast<sock_filter*>(kFilter.data())};
  const bool confined = nothing >= 0 && dup2(nothing, 0) == 0 && dup2(nothing, 1) == 1 &&
                        dup2(nothing, 2) == 2 && chdir(folder) == 0 &&
                        limit(RLIMIT_CPU, static_cast<uint64_t>(limits.seconds)) &&
                        limit(RLIMIT_AS, static_cast<uint64_t>(limits.mebibytes) << 20) &&
                        limit(RLIMIT_FSIZE, uint64_t{64} << 20) && limit(RLIMIT_CORE, 0) &&
                        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
  if (!confined) _exit(kNotConfined);
  syscall(SYS_close_range, 3U, ~0U, 0U);
  execl("/bin/sh", "sh", "-c", command, nullptr);
  _exit(kNotFound);
}

// Whether the child ended by itself within the time; it can be waited for then.
bool ends_in_time(pid_t child, int64_t seconds) {
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, child, 0U));
  if (handle < 0) return false;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  pollfd waited{handle, POLLIN, 0};
  int ready = 0;
  do {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    ready = poll(&waited, 1, static_cast<int>(std::max<int64_t>(0, left.count())));
  } while (ready < 0 && errno == EINTR);
  close(handle);
  return ready > 0;
}

}  // namespace

bool run_confined(const std::string& command, const std::string& folder,
                  const CommandLimits& limits) {
  const pid_t child = fork();
  if (child < 0)
    throw std::runtime_error(fmt::format("can not start `{}`: {}", command, std::strerror(errno)));
  if (child == 0) become(command.c_str(), folder.c_str(), limits);
  setpgid(child, child);  // whoever comes first
  const bool in_time = ends_in_time(child, limits.seconds);
  kill(-child, SIGKILL);  // with whatever it started
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!in_time || !WIFEXITED(status)) return false;
  const int code = WEXITSTATUS(status);
  if (code == kNotConfined)
    throw std::runtime_error(
        fmt::format("`{}` can not be cut off from the network (seccomp) or limited here", command));
  if (code == kNotFound || code == kNotStarted) {
    throw std::invalid_argument(
        fmt::format("self_reward.verifier_command: `{}` ended with {}: the shell did not find it, "
                    "or may not start it; "
                    "give a full path, as it runs in a folder of its own",
                    command, code));
  }
  return code == 0;
}

}  // namespace lathe
