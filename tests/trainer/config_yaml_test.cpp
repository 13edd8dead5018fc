#include "trainer/config_yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include "tests/trainer/config_example.h"

namespace lathe {
namespace {

using namespace config_example;
using testing::HasSubstr;

TEST(HostileConfig, BrokenYamlHasAPlace) {
  EXPECT_THAT(fault("seed: 1\n\toutput_dir: x\n"), HasSubstr("run.yaml:2:"));
  EXPECT_THAT(fault("seed: [1\n"), HasSubstr("run.yaml:2:1: not valid YAML: "));
  EXPECT_THAT(fault("seed: 'x\n"), HasSubstr("run.yaml:2:1: not valid YAML: "));
  EXPECT_THAT(fault("seed: \"x"), HasSubstr("run.yaml:2:1: not valid YAML: "));
  EXPECT_EQ(read("seed: 1\n...\n").config.seed, 1);
  EXPECT_EQ(read("output_dir: |+\n  x\n\n").config.output_dir, "x\n\n");
  EXPECT_EQ(read(std::string(1 << 20, ' ')).config.seed, 42);
  EXPECT_THAT(fault("a: b: c\n"), HasSubstr("run.yaml:1:5: not valid YAML: "));
  EXPECT_THAT(fault("", {"data.train=[a"}),
              HasSubstr("command line: data.train=[a: not valid YAML: "));
}

TEST(HostileConfig, WhatAConfigNeverNeedsIsRefused) {
  EXPECT_EQ(fault("seed: &a 1"),
            "run.yaml:1:7: anchors (`&name`) are not used in a config; write the value again");
  EXPECT_THAT(fault("a: &x [y, y]\nb: &z [*x, *x]\nc: [*z, *z]\n"),
              HasSubstr("run.yaml:1:4: anchors"));
  EXPECT_THAT(fault("seed: *a"), HasSubstr("run.yaml:1:"));
  EXPECT_EQ(fault("seed: !!int 1"),
            "run.yaml:1:7: tags (`!name`) are not used in a config; remove it");
  EXPECT_EQ(fault("seed: 1\n---\nseed: 2\n"),
            "run.yaml:2:1: a second document; a config is one document");
  EXPECT_EQ(fault(std::string("seed: 1\nx\0y: 2", 14)),
            "run.yaml:2:2: control character 0; remove it");
  EXPECT_EQ(fault("seed: 1\n\x04unknown: 1"), "run.yaml:2:1: control character 4; remove it");
  EXPECT_EQ(fault("output_dir: \"a\\0b\""), "run.yaml:1:13: a NUL character in a text");
  EXPECT_EQ(fault("seed: \xff"), "run.yaml:1:7: the text is not UTF-8; save the file as UTF-8");
  for (const std::string bad :
       {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"}) {
    EXPECT_THAT(fault("seed: " + bad), HasSubstr("not UTF-8"));
  }
  EXPECT_EQ(fault("", {"output_dir=a\x01"}),
            "command line: output_dir=a : control character 1; remove it");
  EXPECT_EQ(fault("? [a]\n: b\n"), "run.yaml:1:3: expected a key, which is one word");
  EXPECT_EQ(fault(std::string(2 << 20, '#')),
            "run.yaml:1:1: the text is larger than 1 MB; a config is a few kilobytes");
}

std::string repeated(const std::string& text, size_t count) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

// Each input in a thread with a stack of 1 MB, as a rank's thread might have.
std::string fault_on_a_small_stack(const std::string& yaml) {
  struct Task {
    const std::string& yaml;
    std::string message;
  } task{yaml, ""};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 1 << 20);
  pthread_t thread;
  const auto run = [](void* argument) -> void* {
    auto& t = *static_cast<Task*>(argument);
    t.message = fault(t.yaml);
    return nullptr;
  };
  EXPECT_EQ(pthread_create(&thread, &attributes, run, &task), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  return task.message;
}

TEST(HostileConfig, DeepNestingIsRefusedOnASmallStack) {
  std::string stairs;
  for (int i = 0; i < 1000; ++i) stairs += std::string(i, ' ') + "a:\n";
  int num_inputs = 0;
  for (const std::string& text :
       {repeated("[", 100'000), repeated("{", 100'000), repeated("- ", 100'000),
        repeated("? ", 100'000), repeated("[{", 50'000), repeated("{a: ", 100'000),
        repeated("[a: ", 100'000), repeated("[? ", 100'000), "a: " + repeated("- ", 100'000),
        repeated("[\n", 100'000), repeated("- \n ", 1000), stairs}) {
    const std::string message = fault_on_a_small_stack(text);
    EXPECT_THAT(message, HasSubstr("run.yaml:")) << text.substr(0, 20);
    EXPECT_LT(message.size(), 300u);
    ++num_inputs;
  }
  EXPECT_EQ(num_inputs, 12);
  EXPECT_EQ(fault(repeated("[", 65) + repeated("]", 65)),
            "run.yaml:1:65: nested deeper than 64; a config needs three levels");
}

TEST(HostileConfig, LargeInputsEndSoon) {
  int num_inputs = 0;
  for (const std::string& text :
       {"train: [" + repeated("a, ", 120'000) + "]", repeated("a\n", 500'000),
        std::string(1 << 20, 'a'), std::string(1 << 20, '-'),
        "seed: " + std::string(1'000'000, '9'), std::string(1'000'000, 'a') + ": 1",
        "a: \"" + std::string(1'000'000, '\\') + "\"", repeated(": ", 400'000),
        repeated(", ", 400'000), repeated("!", 1'000'000), repeated("&a ", 300'000),
        repeated("? a\n", 200'000), repeated("a: |\n", 200'000), repeated("---\n", 200'000),
        repeated("]", 1'000'000)}) {
    EXPECT_NE(fault(text), "no fault") << text.substr(0, 20);
    ++num_inputs;
  }
  EXPECT_EQ(num_inputs, 15);
}

}  // namespace
}  // namespace lathe
