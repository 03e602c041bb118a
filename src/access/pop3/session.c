/* SPDX-License-Identifier: Apache-2.0 */
/* A command is a line, its answer is queued, and pipelined commands leave together. Whoever reads his mail slowly is
 * waited for here, because he has logged in. No snapshot of the database is held meanwhile. */
#include "access/line.h"
#include "access/pop3/drops.h"
#include "access/pop3/line.h"
#include "access/present.h"
#include "base/fail.h"
#include "base/log.h"
#include "db/blob.h"
#include "net/sasl.h"
#include "net/stream.h"
#include "store/store.h"

#include <sys/epoll.h>

enum {
	OUT_LIMIT = 4 * 1024 * 1024,
	OUT_STEP = 64 * 1024,
	BAD_LIMIT = 20,
	PIECE = 64 * 1024,
	PAGE = 5000,
	DROP_MAX = 1 << 30,
	UIDL_MAX = 70,
	IN_USE_WAIT_MS = 2000,
	IN_USE_LOOK_MS = 50
};
enum { IS_SEEN = 1, IS_READ = 2, IS_DELETED = 4 };

struct entry {
	uint32_t uid, bits;
	uint64_t size;
};

struct pop3 {
	struct task task;
	struct pool *pool;
	const struct pop3_context *context;
	struct stream *wire;
	int64_t account;
	struct buf login, remote;
	uint64_t present;         /* access/present.h */
	uint64_t log_session;
	bool tls, utf8, greeted, open, over, broken, dropping;
	unsigned bad;
	int64_t heard;
	enum language language;
	unsigned offer;           /* of SASL before log-in, for CAPA */
	const char *ending;
	struct box box;
	uint32_t uidvalidity;
	struct buf drop;          /* of struct entry, rising uids */
	size_t deleted;
	uint64_t deleted_bytes, bytes;
	struct arena mem;         /* of one command */
};

static struct buf *out(struct pop3 *s) {
	return stream_out(s->wire);
}

static size_t count(const struct pop3 *s) {
	return s->drop.len / sizeof(struct entry);
}

static struct entry *at(struct pop3 *s, size_t i) {
	return (struct entry *)(void *)s->drop.at + i;
}

static int64_t write_deadline(const struct pop3 *s) {
	int64_t limit = s->context->params.write_limit;
	return deadline_in(limit != 0 ? limit : MINUTES(5));
}

static void end(struct pop3 *s, const char *why) {
	s->over = true;
	if (s->ending == NULL) s->ending = why;
}

static bool written(struct pop3 *s, int r) {
	if (r == STREAM_OK) return true;
	s->broken = true;
	end(s, r == STREAM_LATE ? "Client does not read" : r == STREAM_CLOSED ? "Connection closed" : "Write failed");
	return false;
}

static bool flush(struct pop3 *s) {
	return !s->broken && written(s, stream_wait_flush(s->wire, write_deadline(s)));
}

static bool drain(struct pop3 *s) {
	return !s->broken && (out(s)->len < OUT_STEP || flush(s));
}

static void ok(struct pop3 *s, const char *text) {
	pop3_say(out(s), s->language, true, text);
}

static void no(struct pop3 *s, const char *text) {
	pop3_say(out(s), s->language, false, text);
}

static void bad(struct pop3 *s, const char *text) {
	no(s, text);
	if (++s->bad < BAD_LIMIT) return;
	no(s, "Too many invalid commands.");
	end(s, "Too many invalid commands");
}

static void broken(struct pop3 *s, const char *what) {
	note(L_ERROR, "pop3", s->log_session, NULL, what, FA("user", buf_slice(&s->login)), FP(fail_text()));
	no(s, "[SYS/TEMP] Internal error, try again later.");
}

/* Opening. */

static int add_entry(void *ctx, const struct message *m) {
	struct pop3 *s = ctx;
	struct entry e = { m->uid, (m->flags & FLAG_SEEN) != 0 ? IS_SEEN : 0, m->size };
	s->bytes += m->size;
	return buf_add(&s->drop, slice_from(&e, sizeof e)) ? 0 : fail("too many messages");
}

static int load(struct pop3 *s) {
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	struct mailbox m;
	int r = c != NULL ? store_inbox(c, s->account, &s->box) : -1;
	if (r == 0) r = store_mailbox(c, &s->mem, s->box, &m);
	if (r != 0) return r;
	s->uidvalidity = m.uidvalidity;
	buf_room(&s->drop, MIN_OF(m.exists, (uint64_t)DROP_MAX / sizeof(struct entry)) * sizeof(struct entry));
	return store_each(c, s->box, UID_ALL, 0, add_entry, s);
}

/* A client whose connection broke is back before its old session is seen to have ended: it is not refused at once. */
static void greet(struct pop3 *s, bool may_wait) {
	const struct pop3_context *x = s->context;
	enum drop_answer answer = drop_open(x->drops, s->account, x->params.login_delay_s);
	if (answer == DROP_IN_USE && may_wait && clock_ms() < s->heard + IN_USE_WAIT_MS) return;
	s->greeted = true;
	switch (answer) {
	case DROP_IN_USE:
		no(s, "[IN-USE] Another session has this mailbox open.");
		end(s, "Mailbox is in use");
		return;
	case DROP_TOO_SOON:
		no(s, "[LOGIN-DELAY] You have logged in a moment ago, try again later.");
		end(s, "Too soon after the last log-in");
		return;
	default: s->open = true;
	}
	int r = load(s);
	if (r == 0) {
		ok(s, "Logged in.");
		return;
	}
	if (r > 0) fail("there is no INBOX (%d)", r);
	broken(s, "maildrop cannot be opened:");
	end(s, "Maildrop cannot be opened");
}

/* Arguments. */

static bool number(struct slice *args, uint64_t max, uint64_t *out_) {
	return slice_number(pop3_word(args), max, out_);
}

/* The message of that number that is not deleted; NULL: it has been said. */
static struct entry *take_message(struct pop3 *s, struct slice *args) {
	uint64_t n;
	if (!number(args, UINT32_MAX, &n)) {
		bad(s, "Expected a message number.");
	} else if (n == 0 || n > count(s)) {
		no(s, "There is no such message.");
	} else if ((at(s, (size_t)n - 1)->bits & IS_DELETED) != 0) {
		no(s, "Message is deleted.");
	} else {
		return at(s, (size_t)n - 1);
	}
	return NULL;
}

static bool at_end(struct pop3 *s, struct slice args) {
	if (slice_trim(args).len == 0) return true;
	bad(s, "Too many arguments.");
	return false;
}

/* Commands. */

static void do_stat(struct pop3 *s, struct slice args UNUSED) {
	buf_addf(out(s), "+OK %zu %llu\r\n", count(s) - s->deleted, (unsigned long long)(s->bytes - s->deleted_bytes));
}

static void do_list(struct pop3 *s, struct slice args) {
	if (args.len != 0) {
		const struct entry *e = take_message(s, &args);
		if (e != NULL && at_end(s, args))
			buf_addf(out(s), "+OK %zu %llu\r\n", (size_t)(e - at(s, 0)) + 1, (unsigned long long)e->size);
		return;
	}
	buf_addf(out(s), "+OK %zu messages:\r\n", count(s) - s->deleted);
	for (size_t i = 0; i < count(s) && drain(s); i++)
		if ((at(s, i)->bits & IS_DELETED) == 0)
			buf_addf(out(s), "%zu %llu\r\n", i + 1, (unsigned long long)at(s, i)->size);
	buf_add(out(s), S(".\r\n"));
}

/* Unique ids. Those that messages brought along come from the database, page by page. */
struct uidls {
	struct pop3 *s;
	size_t next, end;  /* of the page */
	bool numbered;
};

static void put_uidl(struct uidls *u, struct slice imported) {
	struct pop3 *s = u->s;
	const struct entry *e = at(s, u->next++);
	const char *format = s->context->params.uidl_format;
	if ((e->bits & IS_DELETED) != 0) return;
	buf_addf(out(s), "%zu ", u->next);
	if (imported.len != 0) buf_add(out(s), slice_head(imported, UIDL_MAX));
	else pop3_uidl_add(out(s), format != NULL ? format : "%08Xu%08Xv", e->uid, s->uidvalidity);
	buf_add(out(s), S("\r\n"));
}

static int add_uidl(void *ctx, uint32_t uid, struct slice uidl) {
	struct uidls *u = ctx;
	while (u->next < u->end && at(u->s, u->next)->uid < uid) put_uidl(u, SLICE_NONE);
	if (u->next < u->end && at(u->s, u->next)->uid == uid) put_uidl(u, uidl);
	return 0;
}

static int uidl_page(struct uidls *u) {
	struct pop3 *s = u->s;
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	if (c == NULL) return -1;
	int r = store_uidl_each(c, s->box, (struct uid_range){ at(s, u->next)->uid, at(s, u->end - 1)->uid }, add_uidl,
				u);
	while (r == 0 && u->next < u->end) put_uidl(u, SLICE_NONE);
	return r;
}

static void do_uidl(struct pop3 *s, struct slice args) {
	struct uidls u = { .s = s };
	if (args.len != 0) {
		const struct entry *e = take_message(s, &args);
		if (e == NULL || !at_end(s, args)) return;
		u.next = (size_t)(e - at(s, 0));
		u.end = u.next + 1;
		size_t before = out(s)->len;
		buf_add(out(s), S("+OK "));
		if (uidl_page(&u) == 0) return;
		out(s)->len = before;
		broken(s, "UIDL:");
		return;
	}
	ok(s, "Unique ids follow");
	while (u.next < count(s) && drain(s)) {
		u.end = MIN_OF(u.next + PAGE, count(s));
		if (uidl_page(&u) == 0) continue;
		broken(s, "UIDL:"); /* a list that ended early would make clients fetch everything again */
		end(s, "UIDL failed");
		return;
	}
	buf_add(out(s), S(".\r\n"));
}

/* Texts. */

struct text {
	struct pop3 *s;
	bool inside;          /* of a line */
	char last;
	bool header;
	uint64_t lines_left;  /* of the body */
};

/* One line, or a part of one; bare LF become CRLF, since a client that knows only CRLF would see dots elsewhere than
 * we. */
static void put_line(struct text *t, struct slice part) {
	struct buf *o = out(t->s);
	bool whole = part.at[part.len - 1] == '\n';
	struct slice words = slice_head(part, part.len - whole);
	if (!t->inside && words.len != 0 && words.at[0] == '.') buf_byte(o, '.');
	buf_add(o, words);
	if (words.len != 0) t->last = words.at[words.len - 1];
	if (!whole) {
		t->inside = true;
		return;
	}
	bool crlf = t->last == '\r' && (words.len != 0 || t->inside);
	buf_add(o, crlf ? S("\n") : S("\r\n"));
	bool empty = !t->inside && words.len == (size_t)crlf;
	if (!t->header) t->lines_left--;
	if (empty) t->header = false;
	t->inside = false;
	t->last = '\n';
}

static int put_body(struct text *t, struct blob *b) {
	struct pop3 *s = t->s;
	AUTO_BUF struct buf piece = BUF(PIECE);
	char *room = buf_room(&piece, PIECE);
	for (uint64_t offset = 0;;) {
		ssize_t n = blob_read(b, offset, room, PIECE);
		if (n < 0) return -1;
		struct slice rest = slice_from(room, (size_t)n);
		while (rest.len != 0 && (t->header || t->lines_left != 0)) {
			size_t len = MIN_OF(slice_find(rest, '\n') + 1, rest.len);
			put_line(t, slice_head(rest, len));
			rest = slice_skip(rest, len);
		}
		if (n == 0 || rest.len != 0 || (!t->header && t->lines_left == 0)) return 0;
		offset += (uint64_t)n;
		if (!drain(s)) return 0;
	}
}

struct wanted {
	int64_t blob;
};

static int take_blob(void *ctx, const struct message *m) {
	((struct wanted *)ctx)->blob = m->blob_id;
	return 0;
}

static int open_body(struct pop3 *s, uint32_t uid, struct blob **b) {
	const struct uid_range range = { uid, uid };
	struct wanted w = { 0 };
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	int r = c != NULL ? store_each(c, s->box, (struct uid_set){ &range, 1 }, 0, take_blob, &w) : -1;
	if (r == 0) r = w.blob != 0 ? blob_open(c, w.blob, b) : BLOB_GONE;
	return r;
}

static bool put_message(struct pop3 *s, const struct entry *e, uint64_t lines) {
	AUTO_BLOB struct blob *b = NULL;
	int r = open_body(s, e->uid, &b);
	if (r != 0) {
		if (r < 0) broken(s, "message cannot be read:");
		else no(s, "[SYS/TEMP] Message is gone.");
		return false;
	}
	struct text t = { .s = s, .header = true, .lines_left = lines };
	buf_addf(out(s), "+OK %llu octets\r\n", (unsigned long long)e->size);
	if (put_body(&t, b) < 0) { /* half a message must not look like a whole one */
		broken(s, "message is damaged:");
		s->broken = true;
		end(s, "Message is damaged");
		return false;
	}
	if (t.inside) buf_add(out(s), t.last == '\r' ? S("\n") : S("\r\n"));
	buf_add(out(s), S(".\r\n"));
	return true;
}

static void do_retr(struct pop3 *s, struct slice args) {
	struct entry *e = take_message(s, &args);
	if (e != NULL && at_end(s, args) && put_message(s, e, UINT64_MAX)) e->bits |= IS_READ;
}

static void do_top(struct pop3 *s, struct slice args) {
	uint64_t lines;
	const struct entry *e = take_message(s, &args);
	if (e == NULL) return;
	if (!number(&args, UINT32_MAX, &lines)) bad(s, "Expected a number of lines.");
	else if (at_end(s, args)) put_message(s, e, lines);
}

static void do_dele(struct pop3 *s, struct slice args) {
	struct entry *e = take_message(s, &args);
	if (e == NULL || !at_end(s, args)) return;
	e->bits |= IS_DELETED;
	s->deleted++;
	s->deleted_bytes += e->size;
	ok(s, "Marked to be deleted.");
}

static void do_rset(struct pop3 *s, struct slice args UNUSED) {
	for (size_t i = 0; i < count(s); i++) at(s, i)->bits &= ~(uint32_t)(IS_DELETED | IS_READ);
	s->deleted = 0;
	s->deleted_bytes = 0;
	ok(s, "");
}

static void do_noop(struct pop3 *s, struct slice args UNUSED) {
	ok(s, "");
}

static void do_capa(struct pop3 *s, struct slice args UNUSED) {
	ok(s, "Capability list follows");
	pop3_put_capabilities(out(s), s->context->params.login_delay_s);
	/* RFC 2449 §5: what can be had before log-in is announced in both states */
	buf_add(out(s), s->offer != 0 ? S("USER\r\nSASL") : S("USER"));
	sasl_list(out(s), s->offer, " ");
	buf_add(out(s), S("\r\nIMPLEMENTATION hato\r\n.\r\n"));
}

static void do_lang(struct pop3 *s, struct slice args) {
	pop3_lang(out(s), args, &s->language);
}

/* The end. */

/* Ranges of entries with these bits, which need not be neighbours by number: between two neighbours in the drop there
 * is no other message, and there never will be. */
static struct uid_set set_of(struct pop3 *s, uint32_t mask, uint32_t want) {
	struct uid_range *ranges = NULL;
	size_t n = 0, room = 0;
	bool joins = false;
	for (size_t i = 0; i < count(s); i++) {
		const struct entry *e = at(s, i);
		bool in = (e->bits & mask) == want;
		if (in && joins) ranges[n - 1].last = e->uid;
		if (in && !joins) {
			if (n == room) {
				struct uid_range *more = arena_array(&s->mem, room = room * 2 + 64, sizeof *more);
				if (n != 0) memcpy(more, ranges, n * sizeof *more);
				ranges = more;
			}
			ranges[n++] = (struct uid_range){ e->uid, e->uid };
		}
		joins = in;
	}
	return (struct uid_set){ ranges, n };
}

static int update(struct db_conn *tx, void *arg) {
	struct pop3 *s = arg;
	const struct flag_change seen = { .how = FLAGS_ADD, .flags = FLAG_SEEN };
	struct uid_set read = set_of(s, IS_READ | IS_SEEN | IS_DELETED, IS_READ),
		       gone = set_of(s, IS_DELETED, IS_DELETED);
	int r = 0;
	if (read.count != 0 && !s->context->params.no_flag_updates)
		r = store_flags(tx, s->box, read, &seen, NULL, NULL, NULL, NULL);
	if (r == 0 && gone.count != 0) r = store_expunge(tx, s->box, gone, false, NULL, NULL);
	return r == 0 && gone.count != 0 ? store_uidl_tidy(tx, s->box) : r;
}

static void do_quit(struct pop3 *s, struct slice args UNUSED) {
	bool wanted = s->deleted != 0;
	for (size_t i = 0; i < count(s) && !wanted; i++) wanted = (at(s, i)->bits & (IS_READ | IS_SEEN)) == IS_READ;
	int r = wanted ? db_write(s->context->db, update, s) : 0;
	if (r == 0) {
		if (s->deleted != 0) buf_addf(out(s), "+OK Logging out, %zu messages deleted.\r\n", s->deleted);
		else ok(s, "Logging out.");
	} else {
		if (r > 0) fail("INBOX is gone (%d)", r);
		note(L_ERROR, "pop3", s->log_session, NULL, "QUIT:", FA("user", buf_slice(&s->login)), FP(fail_text()));
		no(s, "[SYS/TEMP] Nothing was deleted: internal error.");
		s->deleted = 0;
	}
	end(s, "Logged out");
}

static const struct command {
	const char *name;
	void (*run)(struct pop3 *s, struct slice args);
	bool bare; /* takes no arguments */
} commands[] = {
	{ "STAT", do_stat, true },  { "LIST", do_list, false }, { "UIDL", do_uidl, false }, { "RETR", do_retr, false },
	{ "TOP", do_top, false },   { "DELE", do_dele, false }, { "NOOP", do_noop, true },  { "RSET", do_rset, true },
	{ "CAPA", do_capa, true },  { "LANG", do_lang, false }, { "QUIT", do_quit, true },
};

static void run(struct pop3 *s, struct slice line) {
	struct slice args = line, name = pop3_word(&args);
	for (size_t i = 0; i < LEN(commands); i++) {
		if (!slice_same(name, slice_of(commands[i].name))) continue;
		if (commands[i].bare && !at_end(s, args)) return;
		s->bad = 0;
		commands[i].run(s, slice_trim(args));
		return;
	}
	bad(s, "Unknown command.");
}

/* The task. */

static bool take_line(struct pop3 *s) {
	struct slice line;
	int r = access_line(s->wire, POP3_LINE, &s->dropping, &line);
	if (r == STREAM_LONG) bad(s, "Line too long.");
	if (r != STREAM_OK) return r == STREAM_LONG;
	s->heard = clock_ms();
	run(s, arena_slice(&s->mem, line));
	arena_reset(&s->mem);
	return drain(s);
}

static void take_input(struct pop3 *s) {
	int r = STREAM_OK;
	while (r == STREAM_OK && !s->over) {
		r = stream_fill(s->wire);
		while (!s->over && take_line(s)) continue;
	}
	if (r == STREAM_AGAIN || r == STREAM_OK || s->over) return;
	s->broken = true;
	end(s, "Connection closed");
}

static int64_t patience(const struct pop3 *s) {
	int64_t limit = s->context->params.idle_limit;
	return limit != 0 ? limit : MINUTES(10);
}

static void session_free(struct pop3 *s) {
	AUTO_BUF struct buf text = BUF(256);
	buf_addf(&text, "Disconnected: %s ", s->ending != NULL ? s->ending : "Closed");
	note(L_INFO, "pop3", s->log_session, NULL, buf_text(&text), FA("user", buf_slice(&s->login)),
	     F("rip", buf_slice(&s->remote)), FN("messages", count(s)), FN("deleted", s->deleted),
	     FN("in", stream_bytes_in(s->wire)), FN("out", stream_bytes_out(s->wire)));
	presence_leave(s->context->presence, s->present);
	stream_part(&s->wire, s->pool);
	buf_done(&s->login);
	buf_done(&s->remote);
	buf_done(&s->drop);
	arena_done(&s->mem);
	free(s);
}

static void step(struct task *task, enum wake why) {
	struct pop3 *s = OWNER_OF(task, struct pop3, task);
	if (!s->greeted) greet(s, why == WAKE_CALL || why == WAKE_DEADLINE);
	if (!s->greeted) { /* what the client says meanwhile can wait too; that it leaves cannot */
		task_park(task, 0, 0, clock_ms() + IN_USE_LOOK_MS);
		return;
	}
	if (why == WAKE_STOP) {
		no(s, "[SYS/TEMP] Server shutting down.");
		end(s, "Server shutting down");
	} else if (!s->over) {
		take_input(s);
		if (!s->over && clock_ms() >= s->heard + patience(s)) {
			no(s, "Disconnected for inactivity.");
			end(s, "Inactivity");
		}
	}
	/* the next session may begin as soon as the client can know that this one is over */
	if (s->over && s->open) drop_close(s->context->drops, s->account);
	if (!s->broken) flush(s);
	if (s->over) {
		if (s->open && s->broken) s->deleted = 0;
		task_end(task);
		session_free(s);
		return;
	}
	stream_relax(s->wire);
	arena_done(&s->mem);
	task_park(task, EPOLLIN, 0, s->heard + patience(s));
}

void pop3_session_start(struct pool *pool, const struct pop3_context *context, int fd, const struct pop3_grant *grant) {
	struct pop3 *s = mem_get(sizeof *s);
	*s = (struct pop3){ .task.step = step,
			    .context = context,
			    .account = grant->account,
			    .log_session = grant->session,
			    .tls = grant->tls,
			    .utf8 = grant->utf8,
			    .language = grant->language < LANGUAGE_COUNT ? (enum language)grant->language
									 : LANGUAGE_DEFAULT,
			    .offer = grant->offer,
			    .heard = clock_ms(),
			    .login = BUF(KIB(1)),
			    .remote = BUF(256),
			    .drop = BUF(DROP_MAX) };
	buf_add(&s->login, grant->login);
	buf_add(&s->remote, grant->remote);
	s->wire = stream_new(fd, POP3_LINE * 8, OUT_LIMIT);
	s->present = presence_enter(context->presence,
				    &(struct present){ .login = grant->login,
						       .remote = grant->remote,
						       .protocol = "pop3",
						       .session = grant->session },
				    fd);
	s->pool = pool;
	pool_add(pool, &s->task, fd, -1);
}
