/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the unit tests of this room share. */
#include <setjmp.h>
#include <cmocka.h>

#include "base/buf.h"

/* Compares and shows both texts when they differ. */
static inline void same_text(struct slice got, const char *wanted) {
	if (!slice_eq(got, slice_of(wanted))) fail_msg("got  <%.*s>\n         want <%s>", SLICE_ARG(got), wanted);
}
