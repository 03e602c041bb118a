/* SPDX-License-Identifier: Apache-2.0 */
/* Relay and agent filter what they answer, so that core logs, counts and returns what the operator wants to be known.
 */
#include "role/status_filter.h"
#include "base/log.h"

bool status_filter_apply(const struct lookup *filter, const char *tag, struct slice *status, struct slice *text,
			 struct arena *mem) {
	struct lookup_hit hit;
	if (filter->count == 0 || status->len == 0) return false;
	struct slice key = arena_fmt(mem, "%.*s %.*s", SLICE_ARG(*status), SLICE_ARG(*text));
	if (lookup_key(filter, key, mem, &hit) != TABLE_FOUND) return false;
	struct slice rest = slice_trim(hit.value), fresh = slice_word(&rest, " \t");
	bool good = fresh.len >= 5 && fresh.len < 12 && fresh.at[1] == '.' && strchr("245", fresh.at[0]) != NULL;
	if (!good || (fresh.at[0] == '2') != (status->at[0] == '2')) {
		say(L_WARN, tag, "delivery status filter: \"%.*s\" is no status of the same kind as \"%.*s\"",
		    SLICE_ARG(hit.value), SLICE_ARG(key));
		return false;
	}
	*status = fresh;
	*text = slice_trim(rest);
	return true;
}
