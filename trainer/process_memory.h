#pragma once

namespace lathe {

// Resident memory of this process, in bytes.
double resident_bytes();

}  // namespace lathe
