/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What libhato.so shows to the program. It is hato's own, of the same version, and no interface for others. */
#define HATO_SHOWN __attribute__((visibility("default")))
extern HATO_SHOWN const char hato_library_version[];
HATO_SHOWN int hato_main(int argc, char **argv);
