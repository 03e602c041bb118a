/* SPDX-License-Identifier: Apache-2.0 */
/* The field of RFC 7208 §9.1. Much in it was said by strangers: what is no plain word is quoted, and cut to a length.
 */
#include "trust/spf_private.h"

enum { VALUE_MAX = 250 };

static bool is_dot_atom(struct slice s) {
	bool dot = true; /* before the first */
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];
		if (c == '.' ? dot
			     : !ascii_alpha(c) && !ascii_digit(c) &&
				       (c == '\0' || strchr("!#$%&'*+-/=?^_`{|}~", c) == NULL))
			return false;
		dot = c == '.';
	}
	return !dot;
}

/* Bytes that may stand in a field; others are "?". */
static void add_clean(struct buf *out, struct slice s, const char *escaped) {
	for (size_t i = 0; i < MIN_OF(s.len, (size_t)VALUE_MAX); i++) {
		char c = s.at[i] >= ' ' && s.at[i] != 127 ? s.at[i] : '?';
		if (strchr(escaped, c) != NULL) buf_byte(out, '\\');
		buf_byte(out, c);
	}
}

static void add_pair(struct buf *out, const char *key, struct slice value) {
	buf_addf(out, "%s\r\n\t%s=", slice_ends(buf_slice(out), S(")")) ? "" : ";", key);
	bool quoted = !is_dot_atom(value);
	if (quoted) buf_byte(out, '"');
	add_clean(out, value, "\"\\");
	if (quoted) buf_byte(out, '"');
}

void spf_received_add(struct buf *out, const struct spf_params *p, const struct spf_question *q,
		      const struct spf_verdict *v) {
	AUTO_BUF struct buf field = BUF(KIB(8));
	char room[ADDR_TEXT_ROOM];
	struct slice receiver = slice_of(p->receiver != NULL ? p->receiver : "unknown");
	buf_addf(&field, "Received-SPF: %s\r\n\t(", trust_word(v->result));
	add_clean(&field, receiver, "()\\");
	buf_add(&field, S(": "));
	add_clean(&field, v->reason, "()\\");
	buf_byte(&field, ')');
	add_pair(&field, "identity", v->identity);
	add_pair(&field, "client-ip", slice_of(addr_text(q->client, room)));
	add_pair(&field, "helo", q->helo);
	if (q->sender.len != 0 && !q->of_helo) add_pair(&field, "envelope-from", q->sender);
	add_pair(&field, "receiver", receiver);
	if (v->mechanism.len != 0) add_pair(&field, "mechanism", v->mechanism);
	if (v->result == TRUST_TEMPERROR || v->result == TRUST_PERMERROR) add_pair(&field, "problem", v->reason);
	buf_add(&field, S("\r\n"));
	buf_add(out, buf_slice(&field));
}
