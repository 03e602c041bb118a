/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and leaving a mailbox, and asking about one that is not open: all of it from the mailbox's row. */
#include "access/imap/place.h"
#include "access/imap/status.h"
#include "store/quota.h"

struct asking { struct imap_session *s; struct db_conn *c; const struct mailbox *m; struct buf *out; };

static void put_number(const struct asking *a, uint64_t n) { buf_addf(a->out, "%llu", (unsigned long long)n); }
static void messages(const struct asking *a) { put_number(a, a->m->exists); }
static void unseen(const struct asking *a) { put_number(a, a->m->unseen); }
static void deleted(const struct asking *a) { put_number(a, a->m->deleted); }
static void bytes(const struct asking *a) { put_number(a, a->m->bytes); }
static void next_uid(const struct asking *a) { put_number(a, a->m->uidnext); }
static void validity(const struct asking *a) { put_number(a, a->m->uidvalidity); }
static void modseq(const struct asking *a) { put_number(a, a->m->highestmodseq); }
static void append_limit(const struct asking *a) { put_number(a, imap_append_limit(a->s)); }

static void recent(const struct asking *a) {
	AUTO_BUF struct buf uids = BUF((size_t)1 << 30);
	if (a->m->recent_from < a->m->uidnext) (void)store_uids(a->c, a->m->box, a->m->recent_from, &uids);
	put_number(a, uids.len / sizeof(uint32_t));
}

static void deleted_bytes(const struct asking *a) {
	uint64_t bytes = 0;
	if (a->m->deleted != 0) (void)store_deleted_bytes(a->c, a->m->box, &bytes);
	buf_addf(a->out, "%llu", (unsigned long long)bytes);
}

static void mailbox_id(const struct asking *a) {
	buf_byte(a->out, '(');
	imap_put_mailbox_id(a->out, a->m->box.account, a->m->object_id);
	buf_byte(a->out, ')');
}

static const struct { const char *name; void (*put)(const struct asking *a); unsigned enables; } items[] = {
	{ "MESSAGES", messages, 0 },
	{ "RECENT", recent, 0 },
	{ "UIDNEXT", next_uid, 0 },
	{ "UIDVALIDITY", validity, 0 },
	{ "UNSEEN", unseen, 0 },
	{ "SIZE", bytes, 0 },                                 /* RFC 8438 */
	{ "DELETED", deleted, 0 },                            /* RFC 9051 */
	{ "DELETED-STORAGE", deleted_bytes, 0 },              /* RFC 9208 */
	{ "HIGHESTMODSEQ", modseq, IMAP_CONDSTORE },          /* RFC 7162 */
	{ "MAILBOXID", mailbox_id, 0 },                       /* RFC 8474 */
	{ "APPENDLIMIT", append_limit, 0 },                   /* RFC 7889 */
};

uint64_t imap_append_limit(const struct imap_session *s) {
	uint64_t limit = s->context->params.message_limit;
	return limit != 0 ? limit : IMAP_MESSAGE_LIMIT;
}

bool imap_parse_status_items(struct imap_parse *p, unsigned *out) {
	unsigned asked = 0;
	if (!imap_parse_need(p, '(')) return false;
	while (!imap_parse_take(p, ')')) {
		size_t i = 0;
		if (asked != 0 && !imap_parse_space(p)) return false;
		while (i < LEN(items) && !imap_parse_take_word(p, items[i].name)) i++;
		if (i == LEN(items)) return imap_parse_fail(p, "Unknown status item.");
		asked |= 1U << i;
	}
	*out = asked;
	return asked != 0 || imap_parse_fail(p, "No status items.");
}

void imap_put_status(struct imap_session *s, struct db_conn *c, const struct mailbox *m, unsigned asked) {
	const struct asking a = { s, c, m, imap_out(s) };
	const char *before = " (";
	buf_add(imap_out(s), S("* STATUS "));
	imap_put_mailbox(s, m->name);
	for (size_t i = 0; i < LEN(items); i++) {
		if ((asked & 1U << i) == 0) continue;
		if (items[i].enables != 0) imap_enable(s, items[i].enables);
		buf_addf(imap_out(s), "%s%s ", before, items[i].name);
		items[i].put(&a);
		before = " ";
	}
	buf_add(imap_out(s), S(")\r\n"));
}

IMAP_COMMAND(imap_do_status) {
	struct imap_parse *p = &call->p;
	struct slice name;
	unsigned asked;
	struct imap_found f;
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &name) || !imap_parse_space(p) ||
	    !imap_parse_status_items(p, &asked) || !imap_parse_end(p))
		return imap_bad(p);
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	int r = c == NULL ? -1 : imap_find_with(s, c, name, ACL_READ, &f);
	if (r != 0) return imap_refused(s, r, "status");
	imap_put_status(s, c, &f.m, asked);
	return imap_ok("Status completed.");
}

/* RFC 7162 §7: neither "*" nor "$". */
static bool parse_numbers(struct imap_parse *p, struct imap_set *out) {
	if (!imap_parse_set(p, out)) return false;
	bool numbers = !out->saved;
	for (size_t i = 0; i < out->count; i++) numbers &= out->ranges[i].first != 0 && out->ranges[i].last != 0;
	return numbers || imap_parse_fail(p, "QRESYNC wants sets of numbers alone.");
}

/* "(1:5 11:15)" behind the known UIDs helps servers that forget expunges; ours forget none: read and left. */
static bool parse_match(struct imap_parse *p) {
	struct imap_set numbers, uids;
	return imap_parse_need(p, '(') && parse_numbers(p, &numbers) && imap_parse_space(p) &&
	       parse_numbers(p, &uids) && imap_parse_need(p, ')');
}

/* "(67890007 90060115194045000 41:211,214:541 (…))", RFC 7162 §3.2.5 */
static bool parse_qresync(struct imap_session *s, struct imap_parse *p, struct imap_select_params *out) {
	uint64_t validity = 0;
	if (!imap_enabled(s, IMAP_QRESYNC)) return imap_parse_fail(p, "QRESYNC is not enabled.");
	if (!imap_parse_space(p) || !imap_parse_need(p, '(') || !imap_parse_number(p, UINT32_MAX, &validity) ||
	    !imap_parse_space(p) || !imap_parse_number(p, INT64_MAX, &out->modseq))
		return false;
	if (validity == 0 || out->modseq == 0) return imap_parse_fail(p, "QRESYNC wants numbers above 0.");
	out->qresync = true;
	out->uidvalidity = (uint32_t)validity;
	if (!imap_parse_take(p, ' ')) return imap_parse_need(p, ')');
	if (!imap_parse_next_is(p, '(')) {
		struct imap_set *known = arena_get(&s->mem, sizeof(*known));
		if (!parse_numbers(p, known)) return false;
		imap_set_settle(known, UINT32_MAX);
		out->known = known;
		if (!imap_parse_take(p, ' ')) return imap_parse_need(p, ')');
	}
	if (imap_enabled(s, IMAP_UIDONLY)) return imap_parse_fail(p, IMAP_UIDREQUIRED); /* RFC 9586 §3.7 */
	return parse_match(p) && imap_parse_need(p, ')');
}

static bool parse_params(struct imap_session *s, struct imap_parse *p, struct imap_select_params *out) {
	if (!imap_parse_take(p, ' ')) return imap_parse_end(p);
	if (!imap_parse_need(p, '(')) return false;
	do {
		if (imap_parse_take_word(p, "CONDSTORE")) out->condstore = true;
		else if (!imap_parse_take_word(p, "QRESYNC")) return imap_parse_fail(p, "Unknown SELECT parameter.");
		else if (!parse_qresync(s, p, out)) return false;
	} while (imap_parse_take(p, ' '));
	return imap_parse_need(p, ')') && imap_parse_end(p);
}

static struct imap_answer open_named(struct imap_session *s, struct imap_parse *p, bool read_only) {
	struct imap_select_params how = { .read_only = read_only };
	struct slice name;
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &name) || !parse_params(s, p, &how)) return imap_bad(p);
	return imap_select(s, name, &how);
}

IMAP_COMMAND(imap_do_select) {
	return open_named(s, &call->p, false);
}

IMAP_COMMAND(imap_do_examine) {
	return open_named(s, &call->p, true);
}

IMAP_COMMAND(imap_do_check) {
	(void)s;
	return imap_parse_end(&call->p) ? imap_ok("Check completed.") : imap_bad(&call->p);
}

IMAP_COMMAND(imap_do_unselect) {
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	imap_deselect(s);
	return imap_ok("Unselect completed.");
}
