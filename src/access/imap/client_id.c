/* SPDX-License-Identifier: Apache-2.0 */
/* Users cannot see why their mail is missing, and nobody here can repair the client: so the few that are known are met
 * half-way. */
#include "access/imap/client_id.h"

bool client_id_read(struct imap_parse *p, bool *misuses_uidonly) {
	enum { FIELDS_MAX = 30 };
	struct slice *pairs = NULL, name = SLICE_NONE;
	size_t count = 0;
	if (!imap_parse_space(p)) return false;
	if (!imap_parse_take_word(p, "NIL") && !imap_parse_strings(p, FIELDS_MAX * 2, &pairs, &count)) return false;
	if (count % 2 != 0) return imap_parse_fail(p, "A field without a value.");
	for (size_t i = 0; i < count; i += 2) {
		if (pairs[i].at == NULL) return imap_parse_fail(p, "A field without a name.");
		if (name.len == 0 && slice_same(pairs[i], S("name"))) name = pairs[i + 1];
	}
	*misuses_uidonly = slice_same(name, S("Microsoft Office 365"));
	return imap_parse_end(p);
}
