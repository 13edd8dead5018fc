#pragma once

// What the exit code says to scripts and schedulers.
namespace lathe {

enum ExitCode : int {
  kDone = 0,
  kUsage = 64,           // usage or config
  kBadInput = 65,        // bad data, model or checkpoint
  kLaunchMismatch = 69,  // missing ranks, a build without what was asked for
  kInternal = 70,        // our bug
  kPeerLost = 71,        // a peer failed or hangs
  kOutputLocked = 73,    // output folder locked or not writable
  kIoError = 74,         // disk full or I/O error
  kStopped = 75,         // by a signal, checkpoint saved: start again
  kNumericStop = 76,     // gradients or loss not finite, again and again
};

}  // namespace lathe
