/* SPDX-License-Identifier: Apache-2.0 */
/* Users cannot see why their mail is missing, and nobody here can repair the client: so the few that are known are met
 * half-way. */
#include "access/imap/client_id.h"

bool client_id_misuses_uidonly(const struct slice *pairs, size_t count) {
	for (size_t i = 0; i + 1 < count; i += 2)
		if (slice_same(pairs[i], S("name"))) return slice_same(pairs[i + 1], S("Microsoft Office 365"));
	return false;
}
