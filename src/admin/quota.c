/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of accounts and domains. A domain's is kept as a pool that its accounts belong to; it is asked for here only,
 * so that nothing has to be walked later. */
#include "admin/inside.h"
#include "admin/json.h"
#include "admin/text.h"
#include "store/quota.h"
#include "user/user.h"

#include <sysexits.h>

struct limits {
	struct slice name;
	uint64_t bytes, messages;
};

/* "2G", "none" (of its own), "unlimited"; then a number of messages, as a word or an option. */
static int take_limits(struct admin_call *c, struct limits *out) {
	struct slice messages = c->count > 2 ? c->args[2] : S("none");
	if (!text_read_size(c->args[1], &out->bytes))
		return refuse(c, EX_DATAERR, "%.*s: not a size (bytes, or 500M, 2G, none)", SLICE_ARG(c->args[1]));
	call_option(c, "messages", &messages);
	if (slice_same(c->args[1], S("unlimited"))) out->bytes = QUOTA_UNLIMITED;
	if (slice_same(messages, S("unlimited"))) out->messages = QUOTA_UNLIMITED;
	else if (!slice_same(messages, S("none")) && !slice_number(messages, INT64_MAX, &out->messages))
		return refuse(c, EX_DATAERR, "%.*s: not a number of messages", SLICE_ARG(messages));
	return EX_OK;
}

/* account: without a limit of its own it has that of the settings. */
static void tell_limits(struct admin_call *c, const struct limits *l, bool account) {
	AUTO_BUF struct buf done = BUF(100);
	if (l->bytes == QUOTA_UNLIMITED) buf_add(&done, S("any amount"));
	else if (l->bytes != 0) text_size(&done, l->bytes);
	else buf_add(&done, account ? S("what quota_default_size allows") : S("any amount"));
	if (l->messages == QUOTA_UNLIMITED) buf_add(&done, S(", any number of messages"));
	else if (l->messages != 0) buf_addf(&done, ", %llu messages", (unsigned long long)l->messages);
	tell(c, "%.*s may keep %s", SLICE_ARG(l->name), buf_text(&done));
}

static int set_account(struct db_conn *tx, void *arg) {
	const struct limits *l = arg;
	return user_account_quota(tx, l->name, l->bytes, l->messages);
}

int verb_account_quota(struct admin_call *c) {
	struct limits l = { .name = c->args[0] };
	int code = take_limits(c, &l);
	if (code != EX_OK) return code;
	int r = db_write(c->a->db, set_account, &l);
	if (r < 0) return broken(c);
	if (r != 0) return refuse(c, EX_NOUSER, "%.*s: no such account (hato account list)", SLICE_ARG(l.name));
	tell_limits(c, &l, true);
	return EX_OK;
}

struct joining {
	struct db_conn *tx;
	struct slice name;
};

static int join(void *ctx, const struct account *a) {
	const struct joining *j = ctx;
	int r = store_pool_join(j->tx, j->name, a->id);
	return r == STORE_NO_ACCOUNT ? 0 : r;
}

static int set_domain(struct db_conn *tx, void *arg) {
	const struct limits *l = arg;
	struct joining j = { tx, l->name };
	int r = store_pool_set(tx, l->name, l->bytes, l->messages);
	return r == 0 && (l->bytes != 0 || l->messages != 0) ? user_account_each(tx, l->name, join, &j) : r;
}

static int show_domain(struct admin_call *c, struct slice name) {
	struct quota_pool p = { .name = name };
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	int r = conn == NULL ? -1 : store_pool(conn, c->mem, name, &p);
	if (r < 0) return broken(c);
	if (c->json) {
		struct json j = { .out = c->out };
		json_open(&j, NULL, '{');
		json_text(&j, "domain", name);
		json_number(&j, "quota_bytes", (int64_t)p.limit_bytes);
		json_number(&j, "quota_messages", (int64_t)p.limit_messages);
		if (r == 0) json_number(&j, "bytes", (int64_t)p.bytes);
		if (r == 0) json_number(&j, "messages", (int64_t)p.messages);
		json_close(&j, '}');
	} else if (r != 0) {
		tell(c, "%.*s has no limits of its own", SLICE_ARG(name));
	} else {
		AUTO_BUF struct buf used = BUF(32);
		text_size(&used, p.bytes);
		tell(c, "%.*s keeps %s, %llu messages", SLICE_ARG(name), buf_text(&used),
		     (unsigned long long)p.messages);
		tell_limits(c, &(struct limits){ name, p.limit_bytes, p.limit_messages }, false);
	}
	return EX_OK;
}

int verb_domain_quota(struct admin_call *c) {
	struct limits l = { 0 };
	if (user_domain(c->mem, c->args[0], &l.name) != 0)
		return refuse(c, EX_DATAERR, "%.*s: not a domain (write it as example.com)", SLICE_ARG(c->args[0]));
	if (c->count == 1) return show_domain(c, l.name);
	int code = take_limits(c, &l);
	if (code != EX_OK) return code;
	if (l.bytes == QUOTA_UNLIMITED) l.bytes = 0;
	if (l.messages == QUOTA_UNLIMITED) l.messages = 0;
	int r = db_write(c->a->db, set_domain, &l);
	if (r != 0) return broken(c);
	tell_limits(c, &l, false);
	return EX_OK;
}
