/* SPDX-License-Identifier: Apache-2.0 */
/* The way from a name to a mailbox leads through here for every command, so that there is one place where rights are
 * asked for. */
#include "access/imap/place.h"
#include "store/quota.h"
#include "user/user.h"

static int owner_of(struct db_conn *c, struct arena *mem, struct slice address, struct imap_place *out) {
	struct account account;
	int r = user_account_find(c, mem, address, &account);
	if (r != 0) return r < 0 ? r : STORE_NO_MAILBOX;
	out->account = account.id;
	out->owner = account.address;
	return 0;
}

/* What follows the prefix; at == NULL: the name has another one. "Shared" alone is its root as well. */
static struct slice behind(struct slice prefix, struct slice name) {
	if (prefix.len == 0) return SLICE_NONE;
	if (slice_starts(name, prefix)) return slice_skip(name, prefix.len);
	return prefix.at[prefix.len - 1] == '/' && slice_eq(name, slice_head(prefix, prefix.len - 1)) ? S("")
												      : SLICE_NONE;
}

int imap_place(struct imap_session *s, struct db_conn *c, struct slice said, struct imap_place *out) {
	const struct imap_session_params *p = &s->context->params;
	struct slice rest = behind(p->shared_prefix, said);
	struct slice owner = slice_head(rest, slice_find(rest, '/'));
	*out = (struct imap_place){ .account = s->account, .owner = buf_slice(&s->login), .name = said, .own = true };
	int r = 0;
	if (rest.at != NULL && slice_find(owner, '@') != owner.len) {
		out->name = slice_skip(rest, owner.len + 1);
		r = owner_of(c, &s->mem, owner, out);
	} else if (p->public_account.len != 0 && (rest = behind(p->public_prefix, said)).at != NULL) {
		out->name = rest;
		r = owner_of(c, &s->mem, p->public_account, out);
	}
	out->own = out->account == s->account;
	return r;
}

struct slice imap_prefix_of(struct imap_session *s, struct arena *mem, int64_t account, struct slice owner) {
	const struct imap_session_params *p = &s->context->params;
	if (account == s->account) return S("");
	if (p->public_account.len != 0 && slice_same(owner, p->public_account)) return p->public_prefix;
	return arena_fmt(mem, "%.*s%.*s/", SLICE_ARG(p->shared_prefix), SLICE_ARG(owner));
}

int imap_find(struct imap_session *s, struct db_conn *c, struct slice said, struct imap_found *out) {
	*out = (struct imap_found){ .rights = ACL_ALL };
	int r = imap_place(s, c, said, &out->place);
	if (r == 0 && out->place.name.len == 0) r = STORE_NO_MAILBOX;
	if (r == 0) r = store_find(c, &s->mem, out->place.account, out->place.name, &out->m);
	if (r == 0 && out->m.nonexistent) r = STORE_NO_MAILBOX;
	if (r != 0) return r;
	size_t prefix = (size_t)(out->place.name.at - said.at); /* as the user wrote it */
	if (prefix != 0)
		out->m.name =
			arena_fmt(&s->mem, "%.*s%.*s", SLICE_ARG(slice_head(said, prefix)), SLICE_ARG(out->m.name));
	if (out->place.own) return 0;
	out->m.special_use = 0;
	r = store_acl_rights(c, out->m.box, buf_slice(&s->login), &out->rights);
	return r < 0 ? r : out->rights == 0 ? STORE_NO_MAILBOX : 0;
}

static int refuse(const struct imap_found *f) {
	return (f->rights & ACL_LOOKUP) != 0 ? STORE_NO_RIGHT : STORE_NO_MAILBOX;
}

int imap_find_with(struct imap_session *s, struct db_conn *c, struct slice said, uint32_t all, struct imap_found *out) {
	int r = imap_find(s, c, said, out);
	return r != 0 ? r : (out->rights & all) == all ? 0 : refuse(out);
}

int imap_find_any(struct imap_session *s, struct db_conn *c, struct slice said, uint32_t one_of,
		  struct imap_found *out) {
	int r = imap_find(s, c, said, out);
	return r != 0 ? r : (out->rights & one_of) != 0 ? 0 : refuse(out);
}

int imap_may_create(struct imap_session *s, struct db_conn *c, const struct imap_place *place) {
	struct slice above = place->name;
	struct mailbox m;
	uint32_t rights = 0;
	if (place->own) return 0;
	do { /* the nearest level that exists */
		size_t at = slice_find_last(above, '/');
		if (at == above.len) return STORE_NO_RIGHT;
		above = slice_head(above, at);
		int r = store_find(c, &s->mem, place->account, above, &m);
		if (r < 0) return r;
		if (r == 0) break;
	} while (true);
	int r = store_acl_rights(c, m.box, buf_slice(&s->login), &rights);
	return r < 0 ? r : (rights & ACL_CREATE) != 0 ? 0 : STORE_NO_RIGHT;
}

static uint32_t fixed_by(uint32_t rights) {
	return ((rights & ACL_SEEN) != 0 ? 0U : FLAG_SEEN) | ((rights & ACL_DELETE) != 0 ? 0U : FLAG_DELETED) |
	       ((rights & ACL_WRITE) != 0 ? 0U : FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DRAFT);
}

bool imap_limit_flags(uint32_t rights, struct flag_change *change) {
	change->fixed = fixed_by(rights);
	change->words_fixed = (rights & ACL_WRITE) == 0;
	if (change->fixed == 0) return true;
	if (change->how == FLAGS_REPLACE) return change->fixed != FLAG_ALL;
	return (change->flags & ~change->fixed) != 0 || (change->keywords.len != 0 && !change->words_fixed);
}

void imap_limit_new(uint32_t rights, uint32_t *flags, struct slice *keywords) {
	*flags &= ~fixed_by(rights);
	if ((rights & ACL_WRITE) == 0) *keywords = SLICE_NONE;
}

int imap_quota(struct imap_session *s, struct db_conn *c, int64_t account, struct quota *out) {
	AUTO_ARENA struct arena mem = { 0 };
	struct account a;
	int r = user_account_by_id(c, &mem, account, &a);
	*out = (struct quota){ 0 };
	if (r != 0) return r < 0 ? r : 0;
	out->bytes = a.quota_bytes;
	out->messages = a.quota_messages;
	memcpy(out->levels, s->context->params.quota_levels, sizeof out->levels);
	return 0;
}
