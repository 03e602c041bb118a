/* SPDX-License-Identifier: Apache-2.0 */
/* smtp_requiretls_policy: how far a message with REQUIRETLS (RFC 8689) is obeyed on the way to a next hop. */
#include "base/fail.h"
#include "conf/lookup.h"
#include "role/relay_settings.h"

static int action_of(struct slice word) {
	static const char *const actions[] = { [SMTP_REQUIRE_NONE] = "disable",
					       [SMTP_REQUIRE_IF_OFFERED] = "opportunistic",
					       [SMTP_REQUIRE_STARTTLS] = "opportunistic+starttls",
					       [SMTP_REQUIRE_ENFORCE] = "enforce" };
	return slice_among(word, actions, LEN(actions));
}

int relay_require_read(struct relay_settings *s, struct relay_profile *p) {
	enum setting_id id = relay_setting(p, SET_smtp_requiretls_policy);
	size_t n;
	const struct slice *words = conf_list(p->view, id, &n);
	if (!conf_bool(p->view, SET_requiretls_enable)) return 0;
	p->requires = arena_array(&s->mem, n + 1, sizeof *p->requires);
	for (size_t i = 0; i < n; i++) {
		struct relay_require *r = &p->requires[p->requires_count++];
		bool table = slice_find(words[i], ':') < words[i].len;
		r->action = table ? -1 : action_of(words[i]);
		if (table && lookup_open(s->tables, &words[i], 1, 0, &s->mem, &r->table) == TABLE_FOUND) continue;
		if (r->action < 0)
			return table ? fail_add("%s", setting_of(id)->name)
				     : fail("%s: \"%.*s\" is no action (enforce, opportunistic+starttls, "
					    "opportunistic, "
					    "disable)",
					    setting_of(id)->name, SLICE_ARG(words[i]));
	}
	p->requires[p->requires_count++].action = SMTP_REQUIRE_ENFORCE;
	return 0;
}

int relay_require(const struct relay_profile *p, struct slice hop, struct arena *mem) {
	struct smtp_next_hop parts = { 0 };
	struct slice name = S("");
	bool local = slice_starts(hop, S("unix:"));
	if (local) name = conf_text(p->view, SET_myhostname);
	else if (smtp_next_hop_parse(hop, &parts)) name = parts.host;
	for (size_t i = 0; i < p->requires_count; i++) {
		const struct relay_require *r = &p->requires[i];
		struct lookup_hit hit;
		if (r->table.count == 0) return r->action;
		int found = lookup_key(&r->table, name, mem, &hit);
		if (found == TABLE_MISSING && slice_find(name, '.') < name.len)
			found = lookup_domain(&r->table, slice_skip(name, slice_find(name, '.')), true, mem, &hit);
		if (found == TABLE_LATER) return fail_add("REQUIRETLS policy");
		if (found != TABLE_FOUND) continue;
		int action = action_of(slice_trim(hit.value));
		return action >= 0 ? action
				   : fail("REQUIRETLS policy configuration error: \"%.*s\" is no action",
					  SLICE_ARG(hit.value));
	}
	return SMTP_REQUIRE_NONE;
}
