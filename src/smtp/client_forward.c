/* SPDX-License-Identifier: Apache-2.0 */
/* XFORWARD (XFORWARD_README): a filter behind us logs the client that the message came from, not us. A server that
 * refuses it gets the message all the same. */
#include "smtp/client_private.h"
#include "smtp/dsn.h"

enum { VALUE_MAX = 255 };

static void add_value(struct buf *to, const char *name, struct slice value) {
	buf_addf(to, " %s=", name);
	if (value.len == 0) value = S("[UNAVAILABLE]");
	xtext_add(to, slice_head(value, VALUE_MAX));
}

static bool say_line(struct smtp_client *c, struct buf *line, struct arena *mem) {
	struct smtp_heard heard;
	if (line->len == 0) return true;
	bool on = smtp_client_ask(c, c->params.timeouts.xforward, mem, &heard, "XFORWARD%s", buf_text(line));
	if (on && heard.reply.code == 421) smtp_client_lose(c, STREAM_CLOSED);
	return !c->over;
}

bool smtp_client_forward(struct smtp_client *c, const struct smtp_message *m, struct arena *mem) {
	const struct smtp_origin *o = m->origin;
	if (!c->params.xforward || o == NULL) return true;
	const struct {
		unsigned offer, line;
		const char *name;
		struct slice value;
	} all[] = {
		{ SMTP_OFFERS_XFORWARD_NAME, 0, "NAME", slice_same(o->name, S("unknown")) ? SLICE_NONE : o->name },
		{ SMTP_OFFERS_XFORWARD_ADDR, 0, "ADDR", o->address },
		{ SMTP_OFFERS_XFORWARD_PORT, 0, "PORT", o->port },
		{ SMTP_OFFERS_XFORWARD_PROTO, 1, "PROTO", o->protocol },
		{ SMTP_OFFERS_XFORWARD_HELO, 1, "HELO", o->helo },
		{ SMTP_OFFERS_XFORWARD_IDENT, 1, "IDENT", slice_of(m->id != NULL ? m->id : "") },
		{ SMTP_OFFERS_XFORWARD_SOURCE, 1, "SOURCE", o->local ? S("LOCAL") : S("REMOTE") },
	};
	for (unsigned line = 0; line < 2; line++) {
		AUTO_BUF struct buf text = BUF(KIB(8));
		for (size_t i = 0; i < LEN(all); i++)
			if (all[i].line == line && (c->offers & all[i].offer) != 0)
				add_value(&text, all[i].name, all[i].value);
		if (!say_line(c, &text, mem)) return false;
	}
	return true;
}
