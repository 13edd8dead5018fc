#pragma once

#include <functional>
#include <string>

#include "parallel/group.h"

// The output of a stage of a long run: made once, hashed, never changed. A run
// that is started again takes it up.
namespace lathe {

class StageFolder {
 public:
  StageFolder(std::string folder, Group& world);

  const std::string& folder() const { return folder_; }
  // The text of <name>. If it is not there, all ranks call make(), and rank 0's
  // text is kept. inputs: all that decides it; std::invalid_argument if the
  // file was made of others, std::runtime_error if it is not what was written.
  std::string text(const std::string& name, const std::string& inputs,
                   const std::function<std::string()>& make);
  // The same for what a stage leaves in a folder of its own: make() works
  // there, output() says what it came to.
  void work(const std::string& name, const std::string& inputs, const std::function<void()>& make,
            const std::function<std::string()>& output);

 private:
  // Whether it was finished with these inputs. output: the hash that it had.
  bool is_done(const std::string& name, const std::string& inputs, std::string& output) const;
  void finish(const std::string& name, const std::string& inputs, const std::string& output) const;

  std::string folder_;
  Group& world_;
};

}  // namespace lathe
