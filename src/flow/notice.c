/* SPDX-License-Identifier: Apache-2.0 */
/* A stranger who makes errors decides what stands in this mail and how often it is sent. So every line of his gets a
 * blank in front, length and number are limited, and it is sent from an address that is never answered. */
#include "flow/notice.h"
#include "base/clock.h"
#include "mime/compose.h"

#include <pthread.h>

enum { LINE = 78, INDENT = 4, LEAD = 5, LINE_MOST = 1000 }; /* LEAD: "In:  " */

struct notice_memory {
	pthread_mutex_t lock;
	int64_t hour;
	unsigned sent, left_out;
};

struct notice_memory *notice_memory_new(void) {
	struct notice_memory *m = mem_get(sizeof *m);
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

void notice_memory_free(struct notice_memory **m) {
	if (*m == NULL) return;
	pthread_mutex_destroy(&(*m)->lock);
	free(*m);
	*m = NULL;
}

bool notice_memory_may(struct notice_memory *m, unsigned hourly, unsigned *left_out) {
	int64_t hour = wall_s() / 3600;
	pthread_mutex_lock(&m->lock);
	if (m->hour != hour) m->sent = 0;
	m->hour = hour;
	bool may = m->sent < hourly;
	if (may) {
		*left_out = m->left_out;
		m->sent++;
		m->left_out = 0;
	} else {
		m->left_out++;
	}
	pthread_mutex_unlock(&m->lock);
	return may;
}

unsigned notice_class_of(struct slice reply) {
	uint64_t code;
	struct slice rest = reply, word = slice_head(reply, 3), status;
	if (word.len != 3 || !slice_number(word, 599, &code) || code < 400) return 0;
	rest = slice_skip(reply, 4);
	status = slice_word(&rest, " ");
	struct slice kind =
		status.len >= 5 && status.at[1] == '.' ? slice_skip(status, 2) : SLICE_NONE; /* "7.1" of "5.7.1" */
	if (slice_eq(kind, S("1.1")) || slice_eq(kind, S("1.6"))) return NOTICE_BOUNCE;
	if (slice_eq(kind, S("3.1"))) return NOTICE_RESOURCE;
	if (slice_eq(kind, S("3.0")) || slice_eq(kind, S("3.5"))) return NOTICE_SOFTWARE;
	if (slice_starts(kind, S("5.")) && !slice_eq(kind, S("5.3")))
		return NOTICE_PROTOCOL; /* 4.5.3: too many recipients */
	if (kind.len == 0 && code >= 500 && code < 510) return NOTICE_PROTOCOL;
	if (slice_eq(kind, S("1.3")) || slice_eq(kind, S("1.7"))) return NOTICE_PROTOCOL;
	return NOTICE_POLICY;
}

struct slice notice_recipient(const struct notice_params *p, const struct notice *n) {
	return (n->troubles & NOTICE_BOUNCE) != 0 ? p->bounce_to : p->to;
}

/* What follows the method is a password, or half of one. */
static struct slice without_secret(struct slice line) {
	struct slice rest = line, word = slice_word(&rest, " ");
	if (!slice_same(word, S("AUTH"))) return line;
	slice_word(&rest, " ");
	return rest.len == 0 ? line : slice_head(line, line.len - rest.len);
}

void notice_talk(struct buf *talk, bool leaves, struct slice line) {
	struct slice shown = slice_head(leaves ? line : without_secret(line), LINE_MOST);
	buf_add(talk, leaves ? S("Out: ") : S("In:  "));
	for (size_t i = 0; i < shown.len; i++) buf_byte(talk, ascii_control(shown.at[i]) ? '?' : shown.at[i]);
	if (shown.len < line.len) buf_add(talk, S(" ..."));
	buf_byte(talk, '\n');
}

/* Broken at blanks, what follows indented; a word that is longer stays whole. */
static void add_wrapped(struct buf *out, struct slice line) {
	for (size_t indent = 0; line.len != 0; indent = INDENT) {
		size_t most = LINE - indent, end = line.len;
		if (end > most) {
			end = slice_find_last(slice_head(line, most + 1), ' ');
			if (end > most || end <= LEAD)
				end = MIN_OF(slice_find(slice_skip(line, LEAD), ' ') + LEAD, line.len);
		}
		buf_addf(out, " %*s%.*s\n", (int)indent, "", (int)end, line.at);
		line = slice_skip(line, end);
		while (slice_starts(line, S(" "))) line = slice_skip(line, 1);
	}
}

static void words(struct buf *out, const struct notice *n) {
	if (n->client) buf_addf(out, "Unexpected response from %.*s.\n\n", SLICE_ARG(n->peer));
	buf_add(out, S("Transcript of session follows.\n\n"));
	for (struct slice rest = n->talk; rest.len != 0;) add_wrapped(out, slice_cut(&rest, '\n'));
	if (n->cut) buf_add(out, S("\n(The session went on; the rest is left out.)\n"));
	if (n->reason.len != 0) buf_addf(out, "\nSession aborted, reason: %.*s\n", SLICE_ARG(n->reason));
	if (n->left_out != 0)
		buf_addf(out, "\n%u notices were left out before this one (error_notice_hourly_limit).\n", n->left_out);
	buf_add(out, S("\nFor other details, see the local mail logfile\n"));
}

static struct mailbox mailbox_of(struct slice address) {
	size_t at = slice_find_last(address, '@');
	return (struct mailbox){ slice_head(address, at), slice_skip(address, at + 1) };
}

void notice_compose(struct buf *out, const struct notice_params *p, const struct notice *n, struct slice id) {
	AUTO_BUF struct buf text = BUF(4 * NOTICE_TALK_MAX);
	AUTO_ARENA struct arena mem = { 0 };
	const char *protocol = n->lmtp ? "LMTP" : "SMTP", *side = n->client ? "client" : "server";
	struct slice name = p->mail_name, peer = slice_head(n->peer, 400);
	compose_date_field(out, date_local(wall_s()));
	compose_mailbox_field(out, "From", S("Mail Delivery System"),
			      (struct mailbox){ S("MAILER-DAEMON"), p->origin });
	compose_mailbox_field(out, "To", S("Postmaster"), mailbox_of(notice_recipient(p, n)));
	compose_text_field(
		out, "Subject",
		arena_fmt(&mem, "%.*s %s %s: errors from %.*s", SLICE_ARG(name), protocol, side, SLICE_ARG(peer)));
	compose_field(out, "Message-ID", arena_fmt(&mem, "<%.*s@%.*s>", SLICE_ARG(id), SLICE_ARG(p->host)));
	compose_field(out, "Auto-Submitted", S("auto-generated"));
	compose_field(out, "MIME-Version", S("1.0"));
	words(&text, n);
	compose_text(out, "plain", buf_slice(&text), true);
}
