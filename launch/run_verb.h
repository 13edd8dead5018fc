#pragma once

// The verbs' functions: argv[1] is the verb's name. Each returns an exit code or throws (see fatal.h).
namespace lathe {

int train_verb(int argc, char** argv);
int curate_verb(int argc, char** argv);
int prepare_verb(int argc, char** argv);
int capture_verb(int argc, char** argv);
int synthesize_verb(int argc, char** argv);
int generate_verb(int argc, char** argv);
int chat_verb(int argc, char** argv);
int score_verb(int argc, char** argv);
int eval_verb(int argc, char** argv);
int tokenize_verb(int argc, char** argv);
int render_verb(int argc, char** argv);
int tokenizer_verb(int argc, char** argv);
int inspect_verb(int argc, char** argv);
int export_verb(int argc, char** argv);
int validate_verb(int argc, char** argv);
int prove_verb(int argc, char** argv);
int report_verb(int argc, char** argv);
int preflight_verb(int argc, char** argv);
int plan_verb(int argc, char** argv);
int postmortem_verb(int argc, char** argv);
int ls_verb(int argc, char** argv);
int cp_verb(int argc, char** argv);
int env_verb(int argc, char** argv);
int schema_verb(int argc, char** argv);

}  // namespace lathe
