/* SPDX-License-Identifier: Apache-2.0 */
/* Bcc recipients are recipients like all others, but for two things: nobody is told about them (NOTIFY=NEVER), and one
 * who is there already is not added. */
#include "flow/envelope.h"
#include "base/fail.h"

/* The first part's Return-Path line is replaced by these lines, of which the first return_path bytes are the new one.
 */
static int begin_with(struct post *post, struct slice lines, uint64_t return_path, struct summary *summary,
		      struct arena *mem) {
	struct blob_source *body = &post->body;
	struct slice *parts = arena_array(mem, body->part_count + 1, sizeof *parts);
	parts[0] = lines;
	parts[1] = slice_skip(body->parts[0], (size_t)post->return_path);
	for (size_t i = 1; i < body->part_count; i++) parts[i + 1] = body->parts[i];
	summary_shift(summary, (int64_t)lines.len - (int64_t)post->return_path);
	AUTO_BUF struct buf packed = BUF(MIB(8));
	summary_pack(&packed, summary);
	post->summary = arena_slice(mem, buf_slice(&packed));
	body->parts = parts;
	body->part_count++;
	post->return_path = return_path;
	return 0;
}

static int read_summary(const struct post *post, struct arena *mem, struct summary *out) {
	struct unwire in = UNWIRE(post->summary, mem);
	must(post->body.part_count > 0 && post->body.parts[0].len >= post->return_path);
	summary_unpack(&in, out);
	return in.bad ? fail("broken summary") : 0;
}

int envelope_sender(struct post *post, struct slice sender, struct arena *mem) {
	struct summary summary;
	struct slice line = arena_fmt(mem, "Return-Path: <%.*s>\r\n", SLICE_ARG(sender));
	if (read_summary(post, mem, &summary) < 0) return -1;
	post->sender = sender;
	return begin_with(post, line, line.len, &summary, mem);
}

int envelope_prepend(struct post *post, struct slice delivered_to, struct arena *mem) {
	struct summary summary;
	if (read_summary(post, mem, &summary) < 0) return -1;
	struct summary_text *seen = arena_array(mem, summary.delivered_to_count + 1, sizeof *seen);
	for (size_t i = 0; i < summary.delivered_to_count; i++) {
		if (slice_same(summary.delivered_to[i].text, delivered_to)) return ENVELOPE_LOOPS;
		seen[i + 1] = summary.delivered_to[i];
	}
	seen[0].text = delivered_to;
	summary.delivered_to = seen;
	summary.delivered_to_count = MIN_OF(summary.delivered_to_count + 1, (size_t)100);
	struct slice old = slice_head(post->body.parts[0], (size_t)post->return_path);
	struct slice lines = arena_fmt(mem, "%.*sDelivered-To: %.*s\r\n", SLICE_ARG(old), SLICE_ARG(delivered_to));
	return begin_with(post, lines, post->return_path, &summary, mem);
}

struct cleaning {
	struct post *post;
	const struct deliver_params *params;
	struct arena *mem;
	struct accept_recipient *list;
	size_t count, room;
};

static void add(struct cleaning *c, struct accept_recipient to) {
	if (c->count == c->room) {
		c->room = MAX_OF(c->room * 2, c->post->count + 4);
		struct accept_recipient *more = arena_array(c->mem, c->room, sizeof *more);
		if (c->count != 0) memcpy(more, c->list, c->count * sizeof *more);
		c->list = more;
	}
	c->list[c->count++] = to;
}

static void add_copy(struct cleaning *c, struct slice address) {
	for (size_t i = 0; i < c->count; i++)
		if (slice_same(c->list[i].address, address)) return;
	add(c, (struct accept_recipient){ .address = address, .notify = NOTIFY_NEVER });
}

/* Each address that a table names for the key. */
static int add_from(struct cleaning *c, const struct lookup *maps, struct slice key) {
	const struct rewrite_params *rewrite = &c->params->route->rewrite;
	struct lookup_hit hit;
	struct slice *results;
	int r = rewrite_find(rewrite, maps, key, c->mem, &hit);
	if (r != TABLE_FOUND) return r == TABLE_LATER ? DELIVER_LATER : 0;
	size_t n = rewrite_results(rewrite, &hit, key, false, 1, c->mem, &results);
	if (n != 0) add_copy(c, results[0]);
	return 0;
}

static int clean_recipients(struct cleaning *c) {
	const struct post *post = c->post;
	const struct rewrite_params *rewrite = &c->params->route->rewrite;
	bool bcc = (post->flags & (ACCEPT_NO_MAPPINGS | ACCEPT_NO_BCC)) == 0;
	for (size_t i = 0; i < post->count; i++) {
		struct accept_recipient to = post->recipients[i];
		if (to.original.len == 0) to.original = to.address;
		if (to.address.len == 0) to.address = c->params->route->empty_recipient;
		if ((post->flags & ACCEPT_NO_MAPPINGS) == 0 &&
		    rewrite_address(rewrite, REWRITE_ENVELOPE_RECIPIENT, to.address, c->mem, &to.address) ==
			    REWRITE_LATER)
			return DELIVER_LATER;
		add(c, to);
	}
	if (!bcc) return 0;
	size_t given = c->count;
	int r = c->params->sender_bcc.count != 0 ? add_from(c, &c->params->sender_bcc, post->sender) : 0;
	if (c->params->always_bcc.len != 0) add_copy(c, c->params->always_bcc);
	for (size_t i = 0; i < given && r == 0 && c->params->recipient_bcc.count != 0; i++)
		r = add_from(c, &c->params->recipient_bcc, c->list[i].address);
	return r;
}

int envelope_clean(struct post *post, const struct deliver_params *params, struct arena *mem) {
	const struct rewrite_params *rewrite = &params->route->rewrite;
	struct cleaning c = { .post = post, .params = params, .mem = mem };
	struct slice sender;
	if (post->rewritten) return 0;
	if ((post->flags & ACCEPT_NO_MAPPINGS) == 0) {
		if (rewrite_address(rewrite, REWRITE_ENVELOPE_SENDER, post->sender, mem, &sender) == REWRITE_LATER)
			return DELIVER_LATER;
		if (!slice_eq(sender, post->sender) && envelope_sender(post, sender, mem) < 0) return -1;
	}
	if (post->redirect.len != 0) {
		struct accept_recipient *to = arena_get(mem, sizeof *to);
		*to = (struct accept_recipient){ .address = post->redirect, .original = post->recipients[0].address };
		post->recipients = to;
		post->count = 1;
	}
	int r = clean_recipients(&c);
	if (r != 0) return r;
	post->recipients = c.list;
	post->count = c.count;
	post->rewritten = true;
	return 0;
}
