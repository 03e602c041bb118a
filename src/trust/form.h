/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
/* What RFC 5322 §3.6 misses in a header: a field that must be there, or one twice that may be there once. Empty:
 * nothing. Text in mem. */
struct slice form_wrong(struct slice header, struct arena *mem);
