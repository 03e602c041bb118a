/* SPDX-License-Identifier: Apache-2.0 */
/* QUOTA (RFC 9208). A root is an account, named by its address, or a domain that has limits of its own; a mailbox
 * belongs to its owner's. Limits are set by administrators (auth_master_users) only. */
#include "access/imap/place.h"
#include "store/quota.h"
#include "user/user.h"

struct root { struct slice name; uint64_t bytes, messages, limit_bytes, limit_messages; bool none; };

static void put_root(struct imap_session *s, const struct root *q) {
	struct buf *out = imap_out(s);
	const char *blank = "";
	buf_add(out, S("* QUOTA "));
	imap_put_astring(out, q->name);
	buf_add(out, S(" ("));
	if (q->limit_bytes != 0) {
		buf_addf(out, "STORAGE %llu %llu", (unsigned long long)(q->bytes + 1023) / 1024,
			 (unsigned long long)q->limit_bytes / 1024);
		blank = " ";
	}
	if (q->limit_messages != 0)
		buf_addf(out, "%sMESSAGE %llu %llu", blank, (unsigned long long)q->messages,
			 (unsigned long long)q->limit_messages);
	buf_add(out, S(")\r\n"));
}

static struct root root_of_pool(const struct quota_pool *p) {
	return (struct root){ p->name, p->bytes, p->messages, p->limit_bytes, p->limit_messages };
}

/* The roots of an account, of which it may have two; those without limits are none. */
static int roots_of(struct imap_session *s, struct db_conn *c, int64_t id, struct root out[2], size_t *count) {
	struct account account;
	struct store_usage usage;
	struct quota_pool pool;
	*count = 0;
	int r = user_account_by_id(c, &s->mem, id, &account);
	if (r == 0) r = store_usage(c, id, &usage);
	if (r != 0) return r < 0 ? r : STORE_NO_ACCOUNT;
	if (account.quota_bytes != 0 || account.quota_messages != 0)
		out[(*count)++] = (struct root){ account.address, usage.bytes, usage.messages, account.quota_bytes,
						 account.quota_messages };
	r = store_pool_of(c, &s->mem, id, &pool);
	if (r == 0) out[(*count)++] = root_of_pool(&pool);
	return r < 0 ? r : 0;
}

IMAP_COMMAND(imap_do_getquotaroot) {
	struct imap_parse *p = &call->p;
	struct slice name;
	struct imap_found f;
	struct root roots[2];
	size_t count;
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &name) || !imap_parse_end(p)) return imap_bad(p);
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	int r = c == NULL ? -1 : imap_find_with(s, c, name, ACL_READ, &f);
	if (r == 0) r = roots_of(s, c, f.m.box.account, roots, &count);
	if (r != 0) return imap_refused(s, r, "quota");
	buf_add(imap_out(s), S("* QUOTAROOT "));
	imap_put_mailbox(s, f.m.name);
	for (size_t i = 0; i < count; i++) {
		buf_byte(imap_out(s), ' ');
		imap_put_astring(imap_out(s), roots[i].name);
	}
	buf_add(imap_out(s), S("\r\n"));
	for (size_t i = 0; i < count; i++) put_root(s, &roots[i]);
	return imap_ok("Getquotaroot completed.");
}

/* Whatever root an administrator names; others see their own. */
static int find_root(struct imap_session *s, struct db_conn *c, struct slice name, struct root *out) {
	struct root roots[2];
	struct account account;
	struct store_usage usage;
	struct quota_pool pool;
	size_t count;
	int r = roots_of(s, c, s->account, roots, &count);
	for (size_t i = 0; i < count && r == 0; i++) {
		if (!slice_same(roots[i].name, name)) continue;
		*out = roots[i];
		return 0;
	}
	if (r != 0 || !s->master) return r != 0 ? r : STORE_NO_MAILBOX;
	if (slice_find(name, '@') == name.len) {
		if ((r = store_pool(c, &s->mem, arena_lower(&s->mem, name), &pool)) == 0) *out = root_of_pool(&pool);
		return r;
	}
	r = user_account_find(c, &s->mem, name, &account);
	if (r == 0) r = store_usage(c, account.id, &usage);
	if (r != 0) return r < 0 ? r : STORE_NO_MAILBOX;
	*out = (struct root){ account.address, usage.bytes, usage.messages, account.quota_bytes,
			      account.quota_messages };
	return 0;
}

static struct imap_answer no_root(struct imap_session *s, int r) {
	return r == STORE_NO_MAILBOX ? imap_no("[NONEXISTENT] No such quota root.") : imap_refused(s, r, "quota");
}

IMAP_COMMAND(imap_do_getquota) {
	struct imap_parse *p = &call->p;
	struct slice name;
	struct root root;
	if (!imap_parse_space(p) || !imap_parse_astring(p, &name) || !imap_parse_end(p)) return imap_bad(p);
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	int r = c == NULL ? -1 : find_root(s, c, name, &root);
	if (r != 0) return no_root(s, r);
	put_root(s, &root);
	return imap_ok("Getquota completed.");
}

struct setting { struct imap_session *s; struct root root; };

static int set(struct db_conn *tx, void *arg) {
	const struct setting *w = arg;
	const struct root *q = &w->root;
	if (slice_find(q->name, '@') != q->name.len) {
		int r = user_account_quota(tx, q->name, q->limit_bytes, q->limit_messages);
		return r > 0 ? STORE_NO_MAILBOX : r;
	}
	return store_pool_set(tx, q->name, q->limit_bytes, q->limit_messages);
}

/* What is not named has no limit (RFC 9208 §4.1.3). */
static bool parse_limits(struct imap_parse *p, struct root *q) {
	*q = (struct root){ .none = false };
	if (!imap_parse_need(p, '(')) return false;
	for (bool first = true; !imap_parse_take(p, ')'); first = false) {
		uint64_t n;
		if (!first && !imap_parse_space(p)) return false;
		bool storage = imap_parse_take_word(p, "STORAGE");
		if (!storage && !imap_parse_take_word(p, "MESSAGE"))
			return imap_parse_fail(p, "Unknown resource (STORAGE or MESSAGE).");
		if (!imap_parse_space(p) || !imap_parse_number(p, INT64_MAX / 1024, &n)) return false;
		q->none |= n == 0;
		if (storage) q->limit_bytes = n * 1024;
		else q->limit_messages = n;
	}
	return true;
}

IMAP_COMMAND(imap_do_setquota) {
	struct imap_parse *p = &call->p;
	struct slice name;
	struct setting w = { .s = s };
	struct root asked;
	if (!imap_parse_space(p) || !imap_parse_astring(p, &name) || !imap_parse_space(p) || !parse_limits(p, &asked) ||
	    !imap_parse_end(p))
		return imap_bad(p);
	if (asked.none) return imap_no("[CANNOT] A limit of 0 is not possible."); /* RFC 9208 §3.2 */
	if (!s->master) return imap_no("[NOPERM] Only administrators set limits.");
	struct db_conn *c AUTO_READ = db_read(s->context->db);
	int r = c == NULL ? -1 : find_root(s, c, name, &w.root);
	db_release(&c);
	if (r != 0) return no_root(s, r);
	w.root.limit_bytes = asked.limit_bytes;
	w.root.limit_messages = asked.limit_messages;
	if ((r = db_write(s->context->db, set, &w)) != 0) return no_root(s, r);
	put_root(s, &w.root);
	return imap_ok("Setquota completed.");
}
