/* SPDX-License-Identifier: Apache-2.0 */
/* ETRN: the words are Postfix's, which gives no enhanced codes here. */
#include "base/fail.h"
#include "flow/admit_private.h"

/* fast_flush_domains: names, their subdomains, and tables. */
static int allowed(const struct admit *a, struct slice domain, struct arena *mem) {
	struct lookup_hit hit;
	for (size_t i = 0; i < a->params->flush_count; i++) {
		struct slice word = a->params->flush[i];
		bool below = slice_starts(word, S("."));
		struct slice bare = slice_skip(word, below);
		if (slice_same(word, domain)) return TABLE_FOUND;
		if ((below || a->params->flush_parents) && domain.len > bare.len && slice_ends_same(domain, bare) &&
		    domain.at[domain.len - bare.len - 1] == '.')
			return TABLE_FOUND;
	}
	return lookup_domain(&a->params->flush_tables, domain, !a->params->flush_parents, mem, &hit);
}

struct smtp_reply admit_etrn(void *owner, struct slice domain, struct arena *mem) {
	struct admit *a = owner;
	if (slice_starts(domain, S("@")) || slice_starts(domain, S("#"))) domain = slice_skip(domain, 1);
	if (!domain_valid(domain, true) && !domain_is_literal(domain))
		return smtp_reply(501, NULL, S("Error: invalid parameter syntax"));
	struct smtp_reply refused = admit_restrict_etrn(a, domain, mem);
	if (refused.code != 0) return refused;
	int may = allowed(a, domain, mem);
	if (may == TABLE_LATER) return smtp_reply(458, NULL, S("Unable to queue messages"));
	if (may != TABLE_FOUND) return smtp_reply_fmt(mem, 459, NULL, "<%.*s>: service unavailable", SLICE_ARG(domain));
	int r = ask_flush(a->params->core, &(struct flush_ask){ .domain = domain }, mem);
	if (r < 0) say(L_ERROR, a->params->service, "%s", fail_text());
	if (r != ASK_OK) return smtp_reply(458, NULL, S("Unable to queue messages"));
	return smtp_reply(250, NULL, S("Queuing started"));
}
