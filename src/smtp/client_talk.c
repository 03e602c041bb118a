/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the postmaster wants to read a conversation is known only when it is over: so it is written down while it
 * lasts. */
#include "smtp/client_private.h"

enum { LINE_MOST = 1000 };

void smtp_talk_begin(struct smtp_client *c, struct smtp_talk *talk) {
	c->talk = talk != NULL && !talk->over ? talk : NULL;
	if (c->talk != NULL) buf_clear(&talk->text);
}

void smtp_talk_end(struct smtp_client *c) {
	if (c->talk != NULL && c->talk->troubles != 0) c->talk->over = true;
	c->talk = NULL;
}

static void add(struct buf *out, const char *who, struct slice line) {
	struct slice shown = slice_head(line, LINE_MOST);
	buf_add(out, slice_of(who));
	for (size_t i = 0; i < shown.len; i++) buf_byte(out, ascii_control(shown.at[i]) ? '?' : shown.at[i]);
	buf_byte(out, '\n');
}

void smtp_talk_said(struct smtp_client *c, struct slice lines) {
	if (c->talk == NULL || lines.len == 0) return;
	if (c->hushed) return;
	while (lines.len != 0) {
		struct slice line = slice_cut(&lines, '\n');
		if (slice_ends_same(line, S("\r"))) line.len--;
		add(&c->talk->text, "Out: ", line);
	}
}

void smtp_talk_heard(struct smtp_client *c, struct slice line) {
	if (c->talk != NULL) add(&c->talk->text, "In:  ", line);
}

void smtp_talk_trouble(struct smtp_client *c, enum smtp_trouble trouble) {
	if (c->talk == NULL) return;
	c->talk->troubles |= trouble;
	snprintf(c->talk->with, sizeof c->talk->with, "%.*s", SLICE_ARG(c->relay));
}

/* RFC 5321 §4.2.1: x0z is about syntax, and 555 about parameters. */
void smtp_talk_code(struct smtp_client *c, int code) {
	if (code == 555 || (code >= 500 && code < 510)) smtp_talk_trouble(c, SMTP_TROUBLE_PROTOCOL);
}
