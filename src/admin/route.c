/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody can keep six tables and four address classes in mind: this shows what they make of one address. */
#include "admin/inside.h"
#include "admin/json.h"
#include "admin/text.h"
#include "base/fail.h"

#include <sysexits.h>

struct telling {
	struct admin_call *call;
	struct json json;
	bool ends; /* the steps are over */
};

static void put(struct admin_call *c, const char *format, ...) PRINTF_LIKE(2, 3);
static void put(struct admin_call *c, const char *format, ...) {
	AUTO_BUF struct buf line = BUF(KIB(64));
	va_list args;
	va_start(args, format);
	buf_addv(&line, format, args);
	va_end(args);
	text_clean(c->out, buf_slice(&line));
	buf_byte(c->out, '\n');
}

static void step(void *ctx, const char *what, struct slice key, struct slice value, const char *table) {
	struct telling *t = ctx;
	if (t->call->json) {
		json_open(&t->json, NULL, '{');
		json_text(&t->json, "what", slice_of(what));
		json_text(&t->json, "key", key);
		json_text(&t->json, "value", value);
		json_text(&t->json, "table", slice_of(table));
		json_close(&t->json, '}');
		return;
	}
	put(t->call, "  %-24s %.*s%s%.*s%s%s%s", what, SLICE_ARG(key), key.len != 0 ? " -> " : "", SLICE_ARG(value),
	    table != NULL ? "  (" : "", table != NULL ? table : "", table != NULL ? ")" : "");
}

static void begin_ends(struct telling *t) {
	if (t->ends) return;
	t->ends = true;
	if (!t->call->json) return;
	json_close(&t->json, ']');
	json_open(&t->json, "ends", '[');
}

static void end(void *ctx, const char *kind, struct slice address, struct slice text) {
	struct telling *t = ctx;
	begin_ends(t);
	if (t->call->json) {
		json_open(&t->json, NULL, '{');
		json_text(&t->json, "kind", slice_of(kind));
		json_text(&t->json, "address", address);
		json_text(&t->json, "text", text);
		json_close(&t->json, '}');
		return;
	}
	put(t->call, "%s: %.*s%s%.*s", kind, SLICE_ARG(address), text.len != 0 ? ", " : "", SLICE_ARG(text));
}

/* asked: the sender, or what was found about a message. */
static int explain(struct admin_call *c, struct slice sender,
		   int (*op)(void *ctx, struct slice address, struct slice asked, const struct admin_way *way),
		   struct slice asked) {
	struct telling t = { .call = c, .json = { .out = c->out } };
	if (op == NULL) return refuse(c, EX_UNAVAILABLE, "not to be had here (start the server)");
	if (c->json) {
		json_open(&t.json, NULL, '{');
		json_text(&t.json, "address", c->args[0]);
		json_text(&t.json, "from", sender);
		json_open(&t.json, "steps", '[');
	}
	int r = op(c->a->ctx, c->args[0], asked, &(struct admin_way){ step, end, &t });
	begin_ends(&t);
	if (c->json) {
		json_close(&t.json, ']');
		json_close(&t.json, '}');
	}
	if (r < 0) return broken(c);
	return r == 0 ? EX_OK : refuse(c, EX_TEMPFAIL, "mail for this address waits: %s", fail_text());
}

int verb_route(struct admin_call *c) {
	struct slice sender = SLICE_NONE;
	call_option(c, "from", &sender);
	return explain(c, sender, c->a->ops->route, sender);
}

int verb_forward_check(struct admin_call *c) {
	struct slice sender = SLICE_NONE;
	call_option(c, "mail-from", &sender);
	return explain(c, sender, c->a->ops->forward, c->input);
}
