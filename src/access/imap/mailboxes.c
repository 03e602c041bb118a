/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/mailboxes.h"
#include "user/user.h"

struct collecting {
	struct imap_session *s;
	struct db_conn *c;
	struct arena *mem;
	struct imap_mailboxes *out;
	int64_t owner;          /* of the shared mailboxes read last, whose names begin with: */
	struct slice prefix;
};

void imap_mailboxes_done(struct imap_mailboxes *all) {
	free(all->at);
	*all = (struct imap_mailboxes){ .at = NULL };
}

static int collect(void *ctx, const struct mailbox *m) {
	struct collecting *k = ctx;
	struct imap_mailboxes *all = k->out;
	if (all->count == all->room) {
		all->room = all->room == 0 ? 64 : all->room * 2;
		all->at = mem_resize(all->at, all->room * sizeof *all->at);
	}
	all->at[all->count] = *m;
	all->at[all->count].name = arena_slice(k->mem, m->name);
	all->at[all->count++].keywords = SLICE_NONE;
	return 0;
}

/* What others share with this user, and the levels above, which are there to be opened only. */

static int collect_name(struct collecting *k, struct slice name) {
	return collect(k, &(struct mailbox){ .name = name, .nonexistent = true, .has_children = true });
}

static int prefix_of(struct collecting *k, int64_t owner) {
	AUTO_ARENA struct arena mem = { 0 };
	struct account account;
	int r = user_account_by_id(k->c, &mem, owner, &account);
	k->owner = owner;
	k->prefix = r == 0 ? imap_prefix_of(k->s, k->mem, owner, account.address) : SLICE_NONE;
	return r < 0 ? r : 0;
}

static int collect_shared(void *ctx, struct box box, uint32_t rights) {
	struct collecting *k = ctx;
	struct mailbox m;
	if ((rights & ACL_LOOKUP) == 0) return 0;
	int r = k->owner != box.account ? prefix_of(k, box.account) : 0;
	if (r == 0 && k->prefix.len != 0) r = store_mailbox(k->c, k->mem, box, &m);
	if (r != 0 || k->prefix.len == 0) return r == STORE_NO_MAILBOX ? 0 : r;
	m.name = arena_fmt(k->mem, "%.*s%.*s", SLICE_ARG(k->prefix), SLICE_ARG(m.name));
	m.special_use = 0; /* it is the owner's Trash, not this user's */
	m.has_children = m.subscribed = false; /* as far as this user sees */
	collect(k, &m);
	for (size_t i = m.name.len; i-- > 0;)
		if (m.name.at[i] == '/') collect_name(k, slice_head(m.name, i));
	return 0;
}

int imap_mailboxes(struct imap_session *s, struct db_conn *c, struct arena *mem, struct imap_mailboxes *out) {
	const struct imap_session_params *p = &s->context->params;
	struct collecting k = { .s = s, .c = c, .mem = mem, .out = out };
	int r = store_list(c, s->account, collect, &k);
	size_t own = out->count;
	if (r == 0 && (p->shared_prefix.len != 0 || p->public_account.len != 0))
		r = store_acl_shared(c, s->account, buf_slice(&s->login), collect_shared, &k);
	if (r == 0 && out->count != own) out->count = store_list_merge(out->at, out->count);
	return r;
}

int imap_mailbox_rights(struct imap_session *s, struct db_conn *c, const struct mailbox *m, uint32_t *rights) {
	*rights = ACL_ALL;
	return m->box.account == s->account ? 0 : store_acl_rights(c, m->box, buf_slice(&s->login), rights);
}

bool imap_name_below(struct slice name, struct slice at, bool one_level) {
	if (slice_eq(name, at)) return true;
	if (!slice_starts(name, at) || name.at[at.len] != '/') return false;
	struct slice rest = slice_skip(name, at.len + 1);
	return !one_level || slice_find(rest, '/') == rest.len;
}
