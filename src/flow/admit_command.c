/* SPDX-License-Identifier: Apache-2.0 */
/* What settings make of a command line before the session reads it. */
#include "base/fail.h"
#include "flow/admit_private.h"

struct slice admit_command(void *owner, struct slice line, struct arena *mem) {
	const struct admit *a = owner;
	struct lookup_hit hit;
	if (a->local || a->params->command_filter.count == 0) return line;
	int r = lookup_key(&a->params->command_filter, line, mem, &hit);
	if (r == TABLE_LATER) say(L_WARN, a->params->service, "smtpd_command_filter: %s", fail_text());
	if (r != TABLE_FOUND) return line;
	say(L_INFO, a->params->service, "%.*s: replacing command \"%.*s\" with \"%.*s\"", SLICE_ARG(a->client),
	    SLICE_ARG(slice_head(line, 100)), SLICE_ARG(slice_head(hit.value, 100)));
	return hit.value;
}

bool admit_forbidden(void *owner, struct slice word) {
	const struct admit *a = owner;
	for (size_t i = 0; i < a->params->forbidden_count; i++)
		if (slice_same(a->params->forbidden[i], word)) return true;
	AUTO_ARENA struct arena mem = { 0 };
	struct lookup_hit hit;
	return a->params->forbidden_tables.count != 0 &&
	       lookup_key(&a->params->forbidden_tables, word, &mem, &hit) == TABLE_FOUND;
}
