/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords (SASL_README), which depend on the next hop and the sender, and the filters of what servers say. */
#include "base/encode.h"
#include "base/fail.h"
#include "base/log.h"
#include "role/relay_settings.h"
#include "role/status_filter.h"

/* Passwords. */

struct asking {
	const struct relay_settings *s;
	const struct relay_profile *p;
	struct arena *mem;
	struct slice value;
};

static int ask_key(struct asking *a, struct slice key) {
	struct lookup_hit hit;
	if (key.len == 0) return TABLE_MISSING;
	int r = lookup_key(&a->p->passwords, key, a->mem, &hit);
	if (r == TABLE_FOUND) a->value = hit.value;
	return r;
}

/* user+ext@dom, user@dom, @dom */
static int ask_sender(struct asking *a, struct slice sender) {
	struct slice local, domain;
	if (!a->p->by_sender || sender.len == 0 || !rewrite_parts(sender, &local, &domain)) return TABLE_MISSING;
	size_t split = rewrite_split(&a->s->rewrite, local);
	const struct slice keys[] = {
		sender,
		split < local.len ? arena_fmt(a->mem, "%.*s@%.*s", (int)split, local.at, SLICE_ARG(domain))
				  : SLICE_NONE,
		arena_fmt(a->mem, "@%.*s", SLICE_ARG(domain)),
	};
	for (size_t i = 0; i < LEN(keys); i++) {
		int r = ask_key(a, keys[i]);
		if (r != TABLE_MISSING) return r;
	}
	return TABLE_MISSING;
}

bool relay_login(void *ctx, struct slice host, struct arena *mem, struct slice *user, struct slice *password) {
	const struct relay_login *l = ctx;
	const struct relay_profile *p = l->profile;
	struct asking a = { .s = l->settings, .p = p, .mem = mem };
	struct smtp_next_hop parts = { 0 };
	*user = *password = S("");
	if (!p->log_in) return true;
	smtp_next_hop_parse(l->hop, &parts);
	int r = ask_sender(&a, l->sender);
	const struct slice keys[] = { host, l->hop, parts.host };
	for (size_t i = 0; i < LEN(keys) && r == TABLE_MISSING; i++) r = ask_key(&a, keys[i]);
	if (r == TABLE_LATER)
		say(L_WARN, p->tag, "%s lookup error: %s",
		    setting_of(relay_setting(p, SET_smtp_sasl_password_maps))->name, fail_text());
	if (r != TABLE_FOUND || a.value.len == 0) return r != TABLE_LATER;
	*password = a.value;
	char delimiter = p->login_delimiter.len != 0 ? p->login_delimiter.at[0] : ':';
	*user = slice_cut(password, delimiter);
	return true;
}

/* Filters. */

void relay_filter(const struct relay_profile *p, struct smtp_outcome *o, struct arena *mem) {
	struct slice status = slice_of(o->status), text = o->text;
	if (!status_filter_apply(&p->status_filter, p->tag, &status, &text, mem)) return;
	snprintf(o->status, sizeof o->status, "%.*s", SLICE_ARG(status));
	o->text = text;
	if (status.at[0] != '2') o->fate = status.at[0] == '5' ? SMTP_NEVER : SMTP_LATER;
}

struct slice relay_filter_reply(void *profile, struct slice line, struct arena *mem) {
	const struct relay_profile *p = profile;
	struct lookup_hit hit;
	return lookup_key(&p->reply_filter, line, mem, &hit) == TABLE_FOUND ? hit.value : line;
}

bool relay_discard(void *profile, struct slice address, struct arena *mem, struct slice *words) {
	const struct relay_profile *p = profile;
	struct lookup_hit hit;
	if (lookup_key(&p->discard_maps, address, mem, &hit) != TABLE_FOUND) return false;
	*words = hit.value;
	return true;
}
