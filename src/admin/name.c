/* SPDX-License-Identifier: Apache-2.0 */
/* A file of its own because mime and store both have a mailbox, and mean different things. */
#include "admin/inside.h"
#include "mime/address.h"
#include "user/user.h"

bool name_address(struct arena *mem, struct slice text, bool catch_all, struct slice *out) {
	struct mailbox m;
	if (catch_all && text.len > 1 && text.at[0] == '@') return user_address(mem, text, out) == 0;
	return address_parse(text, ADDRESS_STRICT | ADDRESS_UTF8, mem, &m) == ADDRESS_OK &&
	       user_address(mem, text, out) == 0;
}
