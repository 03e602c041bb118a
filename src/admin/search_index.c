/* SPDX-License-Identifier: Apache-2.0 */
/* The search index: how far it is, and making it anew. Without a server there is no background: then it is done here,
 * before the answer. */
#include "admin/inside.h"
#include "admin/json.h"
#include "admin/text.h"
#include "base/fail.h"
#include "store/search_index.h"
#include "user/user.h"

#include <sysexits.h>

/* Of less text the file is mostly its own empty pages, and what share of the text it is says nothing. */
enum { RATIO_LEAST = 1024 * 1024 };

/* The server's, or one opened for this request. NULL: refused, or off. */
struct search_index *index_of(struct admin_call *c, struct search_index **own) {
	if (c->a->index != NULL || c->a->ops->mail_freed != NULL) return c->a->index;
	return search_index_open(c->a->db, own) < 0 ? NULL : *own;
}

static void put_percent(struct buf *out, uint64_t part, uint64_t whole) {
	if (whole != 0) buf_addf(out, " (%llu %%)", (unsigned long long)(part * 100 / whole));
}

static void show_text(struct admin_call *c, const struct search_index_status *s) {
	struct buf *out = c->out;
	uint64_t done = s->bodies - MIN_OF(s->waiting, s->bodies);
	buf_addf(out, "indexed   %llu of %llu messages", (unsigned long long)done, (unsigned long long)s->bodies);
	put_percent(out, done, s->bodies);
	buf_add(out,
		s->rebuilding ? S(", being made anew; until then the old one answers\ntext      ") : S("\ntext      "));
	text_size(out, s->index.text_bytes);
	buf_add(out, S("\nfile      "));
	text_size(out, s->index.file_bytes);
	if (s->index.text_bytes >= RATIO_LEAST) put_percent(out, s->index.file_bytes, s->index.text_bytes);
	buf_byte(out, '\n');
}

static void show_json(struct admin_call *c, const struct search_index_status *s) {
	struct json j = { .out = c->out };
	json_open(&j, NULL, '{');
	json_number(&j, "messages", (int64_t)s->bodies);
	json_number(&j, "waiting", (int64_t)s->waiting);
	json_number(&j, "documents", (int64_t)s->index.documents);
	json_number(&j, "text_bytes", (int64_t)s->index.text_bytes);
	json_number(&j, "file_bytes", (int64_t)s->index.file_bytes);
	json_bool(&j, "rebuilding", s->rebuilding);
	json_close(&j, '}');
}

static int status(struct admin_call *c, struct search_index *x) {
	struct search_index_status s;
	if (search_index_status(x, &s) < 0) return broken(c);
	if (c->json) show_json(c, &s);
	else show_text(c, &s);
	return EX_OK;
}

static int account_status(struct admin_call *c, struct search_index *x, struct slice name) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	struct account account;
	uint64_t messages = 0, waiting = 0;
	int r = conn == NULL ? -1 : user_account_find(conn, c->mem, name, &account);
	if (r == 0) r = search_index_account(x, account.id, &messages, &waiting);
	if (r < 0) return broken(c);
	if (r != 0) return refuse(c, EX_NOUSER, "%.*s: no such account (hato account list)", SLICE_ARG(name));
	struct json j = { .out = c->out };
	if (!c->json) {
		tell(c, "indexed   %llu of %llu messages", (unsigned long long)(messages - waiting),
		     (unsigned long long)messages);
		return EX_OK;
	}
	json_open(&j, NULL, '{');
	json_text(&j, "account", account.address);
	json_number(&j, "messages", (int64_t)messages);
	json_number(&j, "waiting", (int64_t)waiting);
	json_close(&j, '}');
	return EX_OK;
}

static int rebuild(struct admin_call *c, struct search_index *x, bool here) {
	struct search_index_status s;
	search_index_rebuild(x);
	if (!here) {
		tell(c, "the index is being made anew in the background (hato index tells how far it is)");
		return EX_OK;
	}
	int r;
	while ((r = search_index_work(x)) == 1) {}
	if (r < 0 || search_index_status(x, &s) < 0) return broken(c);
	tell(c, "the index is new: %llu messages", (unsigned long long)(s.bodies - MIN_OF(s.waiting, s.bodies)));
	return EX_OK;
}

int verb_index(struct admin_call *c) {
	struct search_index *own = NULL, *x = index_of(c, &own);
	struct slice what = c->count != 0 ? c->args[0] : S("status"), account = c->count > 1 ? c->args[1] : SLICE_NONE;
	if (!slice_eq(what, S("status")) && !slice_eq(what, S("rebuild")) && c->count == 1 &&
	    slice_find(what, '@') < what.len) {
		account = what;
		what = S("status");
	}
	int code;
	if (x == NULL && c->a->ops->mail_freed != NULL)
		code = refuse(c, EX_CONFIG,
			      "there is no search index (search_index = no in main.cf, or its file cannot be made: see "
			      "the log)");
	else if (x == NULL) code = refuse(c, EX_IOERR, "%s", fail_text());
	else if (slice_eq(what, S("status"))) code = account.len != 0 ? account_status(c, x, account) : status(c, x);
	else if (!slice_eq(what, S("rebuild")))
		code = refuse(c, EX_USAGE, "%.*s: must be status or rebuild", SLICE_ARG(what));
	else if (account.len != 0)
		code = refuse(c, EX_USAGE,
			      "the index is one for all accounts, which share their mail's bodies: hato index rebuild");
	else code = rebuild(c, x, own != NULL);
	search_index_close(&own);
	return code;
}
