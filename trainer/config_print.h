#pragma once

#include <string>

#include "trainer/config.h"

// What a field list can be printed as.
namespace lathe {

std::string dump_fields(const FieldList& list, const ResolvedConfig& resolved);
std::string help_fields(const FieldList& list);
std::string schema_fields(const FieldList& list, const std::string& title);

}  // namespace lathe
