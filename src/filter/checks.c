/* SPDX-License-Identifier: Apache-2.0 */
/* What stands on the right side of header_checks(5) and body_checks(5). */
#include "filter/checks.h"
#include "base/fail.h"

bool checks_wanted(const struct checks_params *p) {
	return p->convert || p->strict_end || p->strict_header || p->strict_body || p->strict_encoding ||
	       p->header.count + p->mime.count + p->nested.count + p->body.count != 0;
}

static const struct {
	struct slice name;
	enum checks_action action;
	const char *word;
	bool outgoing, needs_text;
} actions[] = {
	{ S("REJECT"), CHECKS_REJECT, "reject", false, false },
	{ S("IGNORE"), CHECKS_DROP, "ignore", true, false },
	{ S("WARN"), CHECKS_WARN, "warning", true, false },
	{ S("INFO"), CHECKS_INFO, "info", true, false },
	{ S("STRIP"), CHECKS_STRIP, "strip", true, false },
	{ S("REPLACE"), CHECKS_REPLACE, "replace", true, true },
	{ S("PREPEND"), CHECKS_PREPEND, "prepend", true, true },
	{ S("HOLD"), CHECKS_HOLD, "hold", false, false },
	{ S("DISCARD"), CHECKS_DISCARD, "discard", false, false },
	{ S("FILTER"), CHECKS_FILTER, "filter", false, true },
	{ S("REDIRECT"), CHECKS_REDIRECT, "redirect", false, true },
	{ S("BCC"), CHECKS_BCC, "bcc", false, true },
	{ S("PASS"), CHECKS_PASS, "pass", false, false },
	{ S("DUNNO"), CHECKS_NOTHING, "", true, false },
	{ S("OK"), CHECKS_NOTHING, "", true, false },
};

static struct checks_hit wrong(const char *why, const char *name, struct slice value, struct arena *mem) {
	return (struct checks_hit){ .action = CHECKS_WRONG,
				    .word = "warning",
				    .text = arena_fmt(mem, "%s in %s map: %.*s", why, name, SLICE_ARG(value)) };
}

static struct checks_hit parse(struct slice value, const char *name, bool outgoing, struct arena *mem) {
	struct slice text = value, word = slice_word(&text, " \t");
	text = slice_trim(text);
	for (size_t i = 0; i < LEN(actions); i++) {
		if (!slice_same(word, actions[i].name)) continue;
		enum checks_action a = actions[i].action;
		if (outgoing && !actions[i].outgoing) return wrong("unsupported command", name, value, mem);
		if (actions[i].needs_text && text.len == 0)
			return wrong("missing argument of the command", name, value, mem);
		if (a == CHECKS_FILTER && slice_find(text, ':') == text.len)
			return wrong("bad FILTER command", name, value, mem);
		if ((a == CHECKS_REDIRECT || a == CHECKS_BCC) && slice_find(text, '@') == text.len)
			return wrong("bad address of the command", name, value, mem);
		return (struct checks_hit){ .action = a, .word = actions[i].word, .text = text };
	}
	return wrong("unknown command", name, value, mem);
}

void checks_find(const struct lookup *l, const char *name, struct slice subject, bool outgoing, struct arena *mem,
		 struct checks_hit *out) {
	struct lookup_hit found;
	*out = (struct checks_hit){ .action = CHECKS_NOTHING, .word = "" };
	if (l->count == 0) return;
	int r = lookup_key(l, subject, mem, &found);
	if (r == TABLE_FOUND) *out = parse(found.value, name, outgoing, mem);
	if (r == TABLE_LATER) *out = (struct checks_hit){ .action = CHECKS_LATER, .word = "warning",
		.text = arena_fmt(mem, "%s map lookup problem: %s", name, fail_text()) };
	out->subject = subject;
}
