// lathe chat --model DIR: a conversation on the terminal.
#include <fmt/core.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "launch/conversation.h"
#include "launch/exit_codes.h"
#include "launch/run_verb.h"
#include "launch/sampling_arguments.h"
#include "launch/signals.h"

namespace lathe {
namespace {

class Chat {
 public:
  Chat(const LoadedModel& loaded, const SamplingArguments& sampling, const std::string& system)
      : loaded_(loaded),
        sampling_(sampling),
        format_(loaded.tokenizer(), sampling.chat_template),
        interrupted_(flag_on_interrupt()),
        system_(system) {
    reset();
  }

  // Until /exit or the end of the input.
  void run() {
    for (std::string line; read(line);) {
      if (line == "/exit") return;
      if (line == "/reset") {
        reset();
      } else if (!line.empty()) {
        answer(line);
      }
    }
  }

 private:
  void reset() {
    history_.messages.clear();
    if (!system_.empty()) history_.messages.push_back({"system", system_});
  }

  // The prompt is for people: what is piped in gets answers alone.
  bool read(std::string& line) {
    if (isatty(STDIN_FILENO)) std::cout << "> " << std::flush;
    interrupted_ = false;
    while (!std::getline(std::cin, line)) {
      // Ctrl-C at the prompt begins a new line.
      if (!interrupted_.exchange(false)) return false;
      std::cin.clear();
      clearerr(stdin);
      std::cout << "\n> " << std::flush;
    }
    return true;
  }

  // What was said until Ctrl-C stays in the history; a turn that can not be asked does not.
  void answer(const std::string& question) {
    history_.messages.push_back({"user", question});
    StreamDecoder decoder(loaded_.tokenizer());
    std::string said;
    const auto say = [&](const std::string& piece) {
      said += piece;
      std::cout << piece << std::flush;
    };
    const std::atomic<bool>& stop = interrupted_;
    try {
      GenerateRequest request{.prompt = chat_ids(loaded_.tokenizer(), format_, history_),
                              .options = sampling_.of(loaded_),
                              .stop_strings = sampling_.stop};
      request.options.seed += static_cast<uint64_t>(turn_++);
      const auto& stops = request.options.stop_ids;
      const auto result =
          generate(*loaded_.model, {request},
                   {.tokenizer = &loaded_.tokenizer(),
                    .on_token =
                        [&](size_t, int64_t id) {
                          if (std::find(stops.begin(), stops.end(), id) == stops.end())
                            say(decoder.push(static_cast<int32_t>(id)));
                        },
                    .stop = &stop});
      say(decoder.finish());
      if (result[0].finish == GenerateResult::Finish::kCancelled) std::cout << " [stopped]";
      // Not what a stop string took back.
      if (!sampling_.stop.empty()) said = result[0].text;
      history_.messages.push_back({"assistant", said});
    } catch (const std::invalid_argument& error) {
      history_.messages.pop_back();
      std::cout << error.what() << "; /reset begins anew";
    }
    std::cout << std::endl;
  }

  const LoadedModel& loaded_;
  const SamplingArguments& sampling_;
  ChatFormat format_;
  std::atomic<bool>& interrupted_;
  std::string system_;
  Conversation history_;
  int64_t turn_ = 0;
};

}  // namespace

int chat_verb(int argc, char** argv) {
  ModelArguments model;
  SamplingArguments sampling;
  std::string system;
  Arguments arguments("chat",
                      "Talks with a model. /reset forgets the conversation, /exit or Ctrl-D ends "
                      "it, Ctrl-C stops an answer.");
  model.add_to(arguments);
  arguments.option("--system", system, "what the model is told before everything");
  sampling.options.max_new_tokens = 512;
  sampling.add_to(arguments);
  if (!arguments.parse(argc, argv)) return kDone;
  const LoadedModel loaded = model.load();
  Chat(loaded, sampling, system).run();
  return kDone;
}

}  // namespace lathe
