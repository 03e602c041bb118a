/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "user/user.h"
/* What the files of this room share. An address in stored form, in two parts; whole is local@domain. */
struct parts {
	struct slice whole, local, domain;
	struct slice written; /* the local part as it was written */
};
/* empty_local: "@domain" is allowed. 0 or USER_BAD_ADDRESS. */
int parts_of(struct arena *mem, struct slice address, bool empty_local, struct parts *out);
