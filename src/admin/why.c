/* SPDX-License-Identifier: Apache-2.0 */
/* The history as a time line. An address or Message-ID is first looked up backwards through time for the messages it
 * had to do with; then each of them is told from its beginning, the latest last, where the eye is. */
#include "admin/inside.h"
#include "admin/json.h"
#include "admin/text.h"
#include "base/clock.h"
#include "base/map.h"
#include "queue/history.h"
#include "queue/queue.h"
#include "user/user.h"

#include <sysexits.h>

enum { MESSAGES_DEFAULT = 10, MESSAGES_MOST = 1000, ROWS_MOST = 20000, TEXT_INDENT = 23 };

/* How an event is told: WORDS RECIPIENT, then the peer behind the peer's word. */
static const struct {
	const char *words, *peer;
	bool advise; /* what its text means is worth a hint */
} tales[] = {
	[HISTORY_ACCEPTED] = { "accepted", "from", false },
	[HISTORY_DELIVERED] = { "stored in the mailbox of", "came from", false },
	[HISTORY_SENT] = { "sent on for", "taken over by", false },
	[HISTORY_DEFERRED] = { "not delivered yet to", "at", true },
	[HISTORY_BOUNCED] = { "could not be delivered to", "at", true },
	[HISTORY_REJECTED] = { "refused at the door, for", "client", true },
	[HISTORY_EXPIRED] = { "given up after all tries for", "at", true },
	[HISTORY_HELD] = { "put on hold for", "by", false },
	[HISTORY_RELEASED] = { "released for", "by", false },
	[HISTORY_DELETED] = { "deleted from the queue for", "by", false },
	[HISTORY_REDIRECTED] = { "redirected for", "to", false },
	[HISTORY_DISCARDED] = { "thrown away for", "by", false },
	[HISTORY_QUARANTINED] = { "put into quarantine for", "by", false },
};

struct story {
	struct slice queue_id; /* empty: a refusal, which never got one; then event is all there is */
	struct history_row event;
};

struct telling {
	struct admin_call *c;
	struct db_conn *conn;
	struct slice address;  /* asked for; empty: all recipients are told of */
	size_t limit;
	struct story *stories; /* newest first */
	size_t count;
	struct map seen;       /* queue ids */
	struct json json;
	struct slice told;     /* the queue id whose head was printed */
	bool any;
};

static struct history_row keep_row(struct arena *mem, const struct history_row *row) {
	struct history_row r = *row;
	struct slice *texts[] = { &r.queue_id, &r.sender, &r.recipient, &r.peer, &r.status, &r.text, &r.message_id };
	for (size_t i = 0; i < LEN(texts); i++) *texts[i] = arena_slice(mem, *texts[i]);
	return r;
}

static int find_story(void *ctx, const struct history_row *row) {
	struct telling *t = ctx;
	if (row->queue_id.len != 0 && map_get(&t->seen, row->queue_id) != NULL) return 0;
	if (t->count == t->limit) return 1;
	struct history_row event = keep_row(t->c->mem, row);
	if (event.queue_id.len != 0) map_put(&t->seen, event.queue_id, t);
	t->stories[t->count++] = (struct story){ event.queue_id, event };
	return 0;
}

/* Telling. */

static void put_peer(struct buf *line, const struct history_row *row) {
	if (row->peer.len == 0 || slice_eq(row->peer, S("none"))) return;
	buf_addf(line, " (%s %.*s)", tales[row->kind].peer, SLICE_ARG(row->peer));
}

static bool known_kind(const struct history_row *row) {
	return (size_t)row->kind < LEN(tales) && tales[row->kind].words != NULL;
}

static const char *hint_of(const struct history_row *row) {
	return known_kind(row) && tales[row->kind].advise
		       ? hint_for(row->status, row->text, row->kind == HISTORY_REJECTED)
		       : NULL;
}

static void put_event(struct telling *t, const struct history_row *row) {
	struct buf *out = t->c->out;
	AUTO_BUF struct buf line = BUF(KIB(8));
	buf_add(out, S("  "));
	text_time(out, row->time_us);
	buf_add(out, S("  "));
	buf_addf(&line, "%s", known_kind(row) ? tales[row->kind].words : history_kind_name(row->kind));
	if (row->kind != HISTORY_ACCEPTED)
		buf_addf(&line, " %.*s", SLICE_ARG(row->recipient.len != 0 ? row->recipient : S("all recipients")));
	if (row->kind == HISTORY_REJECTED) buf_addf(&line, ", from <%.*s>", SLICE_ARG(row->sender));
	if (known_kind(row)) put_peer(&line, row);
	if (row->count > 1) buf_addf(&line, ", %llu times", (unsigned long long)row->count);
	text_clean(out, buf_slice(&line));
	buf_byte(out, '\n');
	if (row->text.len != 0) text_wrap(out, row->text, TEXT_INDENT, t->c->width);
	const char *hint = hint_of(row);
	if (hint != NULL) text_wrap(out, slice_of(hint), TEXT_INDENT, t->c->width);
}

static void put_json(struct telling *t, const struct history_row *row) {
	struct json *j = &t->json;
	const char *hint = hint_of(row);
	const struct { const char *key; struct slice text;
	} texts[] = {
		{ "id", row->queue_id },    { "recipient", row->recipient }, { "peer", row->peer },
		{ "status", row->status },  { "text", row->text },           { "message_id", row->message_id },
		{ "hint", slice_of(hint) },
	};
	json_open(j, NULL, '{');
	json_time(j, "time", row->time_us);
	json_text(j, "event", slice_of(history_kind_name(row->kind)));
	json_text(j, "sender", row->sender);
	for (size_t i = 0; i < LEN(texts); i++)
		json_text(j, texts[i].key, texts[i].text.len != 0 ? texts[i].text : SLICE_NONE);
	json_number(j, "count", (int64_t)row->count);
	json_close(j, '}');
}

static void put_head(struct telling *t, struct slice id, struct slice sender, struct slice message_id) {
	struct buf *out = t->c->out;
	AUTO_BUF struct buf line = BUF(KIB(8));
	if (t->any) buf_byte(out, '\n');
	buf_addf(&line, "%.*s", SLICE_ARG(id));
	if (sender.len != 0) buf_addf(&line, "  from %.*s", SLICE_ARG(sender));
	else buf_addf(&line, "  from the mail system itself (<>)");
	if (message_id.len != 0) buf_addf(&line, "  %.*s", SLICE_ARG(message_id));
	text_clean(out, buf_slice(&line));
	buf_byte(out, '\n');
	t->told = arena_slice(t->c->mem, id);
	t->any = true;
}

/* Of a message to many, only what concerns the address; everything when that is the sender's. */
static bool concerns(const struct telling *t, const struct history_row *row) {
	return t->address.len == 0 || row->recipient.len == 0 || row->kind == HISTORY_ACCEPTED ||
	       slice_same(row->recipient, t->address) || slice_same(row->sender, t->address);
}

static int tell_event(void *ctx, const struct history_row *row) {
	struct telling *t = ctx;
	if (!concerns(t, row)) return t->c->out->full;
	if (t->c->json) {
		put_json(t, row);
		t->any = true;
	} else {
		if (t->told.at == NULL || !slice_eq(t->told, row->queue_id))
			put_head(t, row->queue_id, row->sender, row->message_id);
		put_event(t, row);
	}
	return t->c->out->full;
}

/* What still waits in the queue. */
static int tell_waiting(struct telling *t, struct slice id) {
	struct queue_message m;
	int r = queue_show(t->conn, t->c->mem, id, &m);
	if (r != 0) return r < 0 ? r : 0;
	if (t->told.at == NULL || !slice_eq(t->told, id)) put_head(t, id, m.sender, m.message_id);
	for (size_t i = 0; i < m.recipient_count; i++) {
		const struct queue_recipient *to = &m.recipients[i];
		if (t->address.len != 0 && !slice_same(t->address, to->address) &&
		    !slice_same(t->address, to->original) && !slice_same(t->address, m.sender))
			continue;
		AUTO_BUF struct buf line = BUF(KIB(4));
		buf_addf(&line, "in the queue for %.*s, ", SLICE_ARG(to->address));
		if (m.held) buf_addf(&line, "on hold (hato queue release %.*s)", SLICE_ARG(id));
		else buf_add(&line, S("next try "));
		if (!m.held && to->due_us > wall_us()) {
			buf_add(&line, S("in "));
			text_span(&line, to->due_us - wall_us() + 999999);
		} else if (!m.held) {
			buf_add(&line, S("now"));
		}
		buf_add(t->c->out, S("  now                  "));
		text_clean(t->c->out, buf_slice(&line));
		buf_byte(t->c->out, '\n');
	}
	return 0;
}

static int tell_story(struct telling *t, const struct story *s) {
	if (s->queue_id.len == 0) {
		if (!t->c->json && t->any && t->told.at != NULL)
			buf_byte(t->c->out, '\n'); /* refusals stand together, without a head */
		t->told = SLICE_NONE;
		t->any = true;
		if (t->c->json) put_json(t, &s->event);
		else put_event(t, &s->event);
		return 0;
	}
	int r = history_find(t->conn, &(struct history_query){ .queue_id = s->queue_id, .limit = ROWS_MOST },
			     tell_event, t);
	return r < 0 || t->c->json ? r : tell_waiting(t, s->queue_id);
}

/* A recipient to whom nothing has happened yet stands in the queue only. */
static int find_waiting(void *ctx, const struct queue_message *m) {
	struct telling *t = ctx;
	if (t->count == t->limit) return 1;
	if (map_get(&t->seen, m->id) != NULL) return 0;
	for (size_t i = 0; i < m->recipient_count; i++) {
		if (!slice_same(m->recipients[i].address, t->address) &&
		    !slice_same(m->recipients[i].original, t->address))
			continue;
		t->stories[t->count++] = (struct story){ .queue_id = arena_slice(t->c->mem, m->id) };
		return 0;
	}
	return 0;
}

/* Finding: the word may be any of the three. */

static int find(struct telling *t, struct history_query query) {
	query.limit = ROWS_MOST;
	return history_find(t->conn, &query, find_story, t);
}

static int find_stories(struct telling *t, struct slice word) {
	struct arena *mem = t->c->mem;
	bool bracketed = word.len > 2 && word.at[0] == '<' && word.at[word.len - 1] == '>';
	struct slice bare = bracketed ? slice_from(word.at + 1, word.len - 2) : word;
	if (slice_find(word, '@') == word.len) {
		t->stories[t->count++] = (struct story){ .queue_id = word };
		return 0;
	}
	if (!bracketed) {
		t->address = bare;
		int r = find(t, (struct history_query){ .address = bare });
		if (r >= 0) r = queue_each(t->conn, find_waiting, t);
		if (r < 0 || t->count != 0) return r;
		t->address = SLICE_NONE;
	}
	int r = find(t, (struct history_query){ .message_id = arena_fmt(mem, "<%.*s>", SLICE_ARG(bare)) });
	return r < 0 || t->count != 0 ? r : find(t, (struct history_query){ .message_id = bare });
}

static int tell_all(struct telling *t, struct slice word) {
	int r = find_stories(t, word);
	if (t->c->json) json_open(&t->json, NULL, '[');
	for (size_t i = t->count; i > 0 && r >= 0; i--) r = tell_story(t, &t->stories[i - 1]);
	if (t->c->json) json_close(&t->json, ']');
	return r;
}

static int same_alias(void *ctx, struct slice address, struct slice target) {
	(void)target;
	return slice_same(address, *(const struct slice *)ctx);
}

static bool word_is_alias(struct db_conn *conn, struct slice word) {
	return user_alias_each(conn, slice_skip(word, slice_find(word, '@') + 1), same_alias, &word) == 1;
}

int verb_why(struct admin_call *c) {
	struct slice limit, word = slice_trim(c->args[0]);
	uint64_t most = MESSAGES_DEFAULT;
	if (call_option(c, "limit", &limit) && (!slice_number(limit, MESSAGES_MOST, &most) || most == 0))
		return refuse(c, EX_USAGE, "--limit needs a number from 1 to %d", MESSAGES_MOST);
	if (word.len == 0) return refuse(c, EX_USAGE, "what about? (a queue id, an address, or a Message-ID)");
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	struct telling t = { .c = c, .conn = conn, .limit = most, .json = { .out = c->out } };
	t.stories = arena_array(c->mem, most, sizeof *t.stories);
	int r = tell_all(&t, word);
	map_done(&t.seen, NULL);
	if (r < 0) return broken(c);
	if (!t.any && word_is_alias(conn, word))
		return refuse(c, EX_NOUSER, "%.*s: an alias; the history knows its targets (hato alias list)",
			      SLICE_ARG(word));
	if (!t.any)
		return refuse(c, EX_NOUSER, "%.*s: nothing is known about that (as far back as the history is kept)",
			      SLICE_ARG(word));
	if (t.count == t.limit && t.limit > 1) remark(c, "the latest %zu messages (--limit N shows more)", t.limit);
	return EX_OK;
}
