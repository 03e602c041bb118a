/* SPDX-License-Identifier: Apache-2.0 */
/* APPEND of one or many messages (RFC 3501 §6.3.11, RFC 3502), given whole (literals, binary ones too: RFC 3516; with
 * UTF-8 headers: RFC 6855) or put together here (CATENATE, RFC 4469), and REPLACE (RFC 8508). All messages of a command
 * enter with one commit or none does. What makes one impossible is found before the client is asked for its bytes.
 * Raw 8-bit headers are taken as they come, also without UTF8: whoever moves old mail has them. */
#include "access/imap/catenate.h"
#include "access/imap/limit.h"
#include "access/imap/place.h"
#include "access/imap/status.h"
#include "base/fail.h"
#include "store/quota.h"

enum { KEPT_LIMIT = 64 * 1024 * 1024, MESSAGES_MAX = 20000, NUMBER_ROOM = 12 };

struct appending {
	struct append_reader in;
	struct box box;
	uint32_t rights;            /* in it */
	struct upload *first, **end;
	size_t count, kept;         /* messages; memory they take until the commit */
	uint64_t limit;             /* bytes of one message */
	struct uid_range replaced;  /* REPLACE: the one that goes; else 0 */
	uint32_t gone;
};

static void appending_done(struct appending *a) {
	for (struct upload *u = a->first; u != NULL; u = u->next) upload_done(u);
}

/* Refusing: literals that nobody asked for but that come anyway have to be read, to the end of the command. */

static struct imap_answer pass_over(struct append_reader *in, struct imap_answer a) {
	struct imap_session *s = in->s;
	struct imap_literal literal;
	struct slice line = in->line;
	uint64_t total = 0;
	while (!s->over && imap_literal_at_end(line, &literal) && !literal.waits) {
		if (literal.size > (uint64_t)IMAP_MESSAGE_LIMIT * 8 - total) {
			imap_say(s, "* BYE [TOOBIG] Message too large.");
			imap_end(s, "Message too large");
			break;
		}
		total += literal.size;
		if (imap_read_literal(s, literal.size, NULL, NULL) < 0) break;
		int r = imap_read_line(s, &line);
		s->dropping = r > 0;
		if (r != 0) break;
	}
	in->line = SLICE_NONE;
	return a;
}

static struct imap_answer target_refused(struct imap_session *s, int r, const char *what) {
	return r == STORE_NO_MAILBOX ? imap_no("[TRYCREATE] Mailbox doesn't exist.") : imap_refused(s, r, what);
}

/* Reading. */

bool append_literal(struct append_reader *in, bool eight, struct imap_literal *out) {
	struct imap_parse *p = &in->p;
	bool tilde = imap_parse_take(p, '~');
	if (tilde < eight || !imap_parse_next_is(p, '{') || !imap_literal_at_end(p->rest, out) ||
	    slice_find_last(p->rest, '{') != 0)
		return imap_parse_fail(p, eight ? "Expected a literal8." : "Expected a literal.");
	return true;
}

int append_receive(struct append_reader *in, struct imap_literal literal, int (*take)(void *ctx, struct slice piece),
		   void *ctx) {
	struct imap_session *s = in->s;
	struct slice line;
	in->line = SLICE_NONE;
	if (literal.waits) {
		buf_add(imap_out(s), S("+ OK\r\n"));
		if (!imap_flush(s)) return -1;
	}
	int r = imap_read_literal(s, literal.size, take, ctx);
	int end = s->broken ? -1 : imap_read_line(s, &line);
	if (end < 0) return -1;
	s->dropping = end > 0;
	if (end > 0) imap_parse_fail(&in->p, "Line too long.");
	in->line = in->p.rest = end == 0 ? arena_slice(&s->mem, line) : SLICE_NONE;
	return r;
}

static bool parse_date(struct imap_parse *p, int64_t *us) {
	struct slice text;
	struct date date;
	if (!imap_parse_string(p, &text) || !imap_parse_space(p)) return false;
	if (date_parse_internal(text, &date) != DATE_OK) return imap_parse_fail(p, "Invalid date-time.");
	*us = date.utc * 1000000;
	return true;
}

static bool parse_options(struct appending *a, struct append *to) {
	struct imap_parse *p = &a->in.p;
	struct imap_flags flags = { 0 };
	if (imap_parse_next_is(p, '(') && (!imap_parse_flags(a->in.s, p, &flags) || !imap_parse_space(p))) return false;
	if (imap_parse_next_is(p, '"') && !parse_date(p, &to->received_us)) return false;
	to->flags = flags.bits;
	to->keywords = flags.keywords;
	return true;
}

/* One literal whole. IMAP_OK when it is in u. */
static struct imap_answer take_whole(struct appending *a, struct upload *u) {
	struct imap_literal literal;
	struct append_reader *in = &a->in;
	bool utf8 = imap_parse_take_word(&in->p, "UTF8");
	if (utf8 && (!imap_parse_space(&in->p) || !imap_parse_need(&in->p, '('))) return imap_bad(&in->p);
	if (!append_literal(in, utf8, &literal)) return imap_bad(&in->p);
	if (utf8 && !imap_enabled(in->s, IMAP_UTF8)) return imap_no("ENABLE UTF8=ACCEPT comes first.");
	if (literal.size == 0) return imap_no("A message can't be empty.");
	if (literal.size > a->limit) return imap_no("[TOOBIG] Message too large.");
	int r = append_receive(in, literal, upload_take, u);
	if (in->s->broken) return imap_no("");
	if (r != 0) return imap_refused(in->s, r, "append");
	if (utf8 && !imap_parse_need(&in->p, ')')) return imap_bad(&in->p);
	return imap_ok("");
}

static struct imap_answer take_message(struct appending *a) {
	struct upload *u = arena_get(&a->in.s->mem, sizeof(*u));
	struct imap_parse *p = &a->in.p;
	uint64_t limit = imap_saves_limit(a->in.s);
	if (limit != 0 && a->count == limit)
		return imap_no(imap_limit_text(a->in.s, limit, 0, "Too many messages in one command."));
	if (a->count++ == MESSAGES_MAX || a->kept > KEPT_LIMIT)
		return imap_no("[LIMIT] Too many messages in one command.");
	upload_begin(u, a->in.s);
	*a->end = u;
	a->end = &u->next;
	if (!parse_options(a, &u->append)) return imap_bad(p);
	struct imap_answer answer =
		imap_parse_take_word(p, "CATENATE") ? catenate(&a->in, a->limit, u) : take_whole(a, u);
	if (answer.status != IMAP_OK) return answer;
	u->append.box = a->box;
	int r = upload_finish(u);
	a->kept += u->summary.room + KIB(8);
	return r != 0 ? imap_refused(a->in.s, r, "append") : answer;
}

/* Storing. */

static int count_gone(void *ctx, uint32_t uid) {
	struct appending *a = ctx;
	(void)uid;
	a->gone++;
	return 0;
}

static int store(struct db_conn *tx, void *arg) {
	struct appending *a = arg;
	struct quota q;
	struct imap_session *s = a->in.s;
	a->gone = 0;
	int r = imap_quota(s, tx, a->box.account, &q);
	if (r < 0) return r;
	/* first, so that a full mailbox can still be written to in its own place */
	if (a->replaced.first != 0) {
		r = store_expunge(tx, s->box.box, (struct uid_set){ &a->replaced, 1 }, false, count_gone, a);
		if (r == 0 && a->gone == 0) r = STORE_NO_BLOB;
		if (r != 0) return r;
	} else {
		r = 0;
	}
	for (struct upload *u = a->first; u != NULL && r == 0; u = u->next) {
		u->append.quota_bytes = q.bytes;
		u->append.quota_messages = q.messages;
		memcpy(u->append.quota_levels, q.levels, sizeof q.levels);
		imap_limit_new(a->rights, &u->append.flags, &u->append.keywords);
		r = upload_store(tx, u);
	}
	return r;
}

static const char *appended_code(struct appending *a) {
	AUTO_BUF struct buf text = BUF(a->count * NUMBER_ROOM + KIB(1));
	struct imap_set_builder uids = { 0 };
	for (struct upload *u = a->first; u != NULL; u = u->next) imap_set_append(&uids, u->done.uid, u->done.uid);
	buf_addf(&text, "[APPENDUID %u ", a->first->done.uidvalidity);
	imap_put_set(&text, &uids.set);
	buf_byte(&text, ']');
	imap_set_builder_done(&uids);
	return arena_text(&a->in.s->mem, buf_slice(&text));
}

static int find_box(struct imap_session *s, struct slice name, struct appending *a) {
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	struct imap_found f;
	int r = c == NULL ? -1 : imap_find_with(s, c, name, ACL_INSERT, &f);
	if (r != 0) return r;
	a->box = f.m.box;
	a->rights = f.rights;
	return 0;
}

/* Python's imapclient writes two blanks between messages. */
static bool another_message(struct imap_parse *p) {
	if (!imap_parse_take(p, ' ')) return false;
	while (imap_parse_take(p, ' ')) {}
	return true;
}

/* From the mailbox's name on. */
static struct imap_answer append(struct appending *a, const char *what) {
	struct imap_session *s = a->in.s;
	struct imap_parse *p = &a->in.p;
	struct slice name;
	a->limit = imap_append_limit(s);
	a->end = &a->first;
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &name) || !imap_parse_space(p)) return imap_bad(p);
	int r = find_box(s, name, a);
	if (r != 0) return target_refused(s, r, what);
	do {
		struct imap_answer answer = take_message(a);
		if (answer.status != IMAP_OK) return answer;
	} while (a->replaced.first == 0 && another_message(p));
	if (!imap_parse_end(p)) return imap_bad(p);
	r = db_write_repeatable(s->context->db, store, a);
	if (r != 0) return target_refused(s, r, what);
	imap_tell_composed(s, name, name, "");
	return imap_ok("");
}

IMAP_COMMAND(imap_do_append) {
	AUTO(appending_done) struct appending a = { .in = { s, call->p, s->unread ? call->p.rest : SLICE_NONE } };
	struct imap_answer answer = append(&a, "append");
	if (answer.status != IMAP_OK) return pass_over(&a.in, answer);
	if ((a.rights & ACL_READ) == 0) return imap_ok("Append completed."); /* RFC 9051 §6.3.12 */
	return imap_ok(arena_fmt(&s->mem, "%s Append completed.", appended_code(&a)).at);
}

IMAP_COMMAND(imap_do_replace) {
	AUTO(appending_done) struct appending a = { .in = { s, call->p, s->unread ? call->p.rest : SLICE_NONE } };
	enum { REMOVES = ACL_DELETE | ACL_EXPUNGE };
	if ((s->box.rights & REMOVES) != REMOVES) return pass_over(&a.in, imap_refused(s, STORE_NO_RIGHT, "replace"));
	struct imap_call own = { .tag = call->tag, .uid = call->uid, .p = call->p };
	struct imap_set set;
	if (!imap_parse_messages(s, &own, &set)) return pass_over(&a.in, imap_bad(&own.p));
	if (imap_set_size(&set) > 1)
		return pass_over(&a.in, (struct imap_answer){ IMAP_BAD, "REPLACE takes one message." });
	if (set.count == 0 || view_number(&s->box.view, set.ranges[0].first) == 0)
		return pass_over(&a.in, imap_no("[NONEXISTENT] No such message."));
	a.replaced = (struct uid_range){ set.ranges[0].first, set.ranges[0].first };
	a.in.p = own.p;
	struct imap_answer answer = append(&a, "replace");
	if (answer.status != IMAP_OK) return pass_over(&a.in, answer);
	if ((a.rights & ACL_READ) != 0) {
		buf_addf(imap_out(s), "* OK %s ", appended_code(&a));
		imap_say(s, "Replacement message ready.");
	}
	return imap_ok("Replace completed.");
}
