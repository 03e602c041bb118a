/* SPDX-License-Identifier: Apache-2.0 */
/* Values come from addresses, which strangers choose: what could mean something to a shell or a folder is taken away.
 */
#include "local/names.h"
#include "conf/expand.h"

struct expansion {
	const struct names *names;
	const char *filter;
};

static int value(void *ctx, struct slice name, struct buf *out) {
	const struct expansion *e = ctx;
	const struct names *n = e->names;
	const struct {
		struct slice name, value;
		bool safe;
	} all[] = {
		{ S("user"), n->user, false },           { S("home"), n->home, true },
		{ S("shell"), n->shell, true },          { S("recipient"), n->recipient, false },
		{ S("extension"), n->extension, false }, { S("domain"), n->domain, false },
		{ S("local"), n->local, false },         { S("recipient_delimiter"), n->delimiter, true },
	};
	for (size_t i = 0; i < LEN(all); i++) {
		if (!slice_eq(all[i].name, name)) continue;
		if (all[i].safe) buf_add(out, all[i].value);
		for (size_t k = 0; !all[i].safe && k < all[i].value.len; k++) {
			char c = all[i].value.at[k];
			buf_byte(out, c == '\0' || (e->filter != NULL && strchr(e->filter, c) == NULL) ? '_' : c);
		}
		return EXPAND_KNOWN;
	}
	return EXPAND_UNKNOWN;
}

int names_expand(const struct names *n, struct slice text, const char *filter, struct buf *out) {
	unsigned depth = 0;
	struct expansion e = { n, filter };
	return expand(text, &(struct expand_ops){ value, &e, &depth }, out);
}

bool names_lack(const struct names *n, struct slice text) {
	static const struct slice words[] = { S("extension"), S("recipient_delimiter") };
	if (n->extension.len != 0) return false;
	while (text.len != 0) {
		text = slice_skip(text, slice_find(text, '$'));
		text = slice_skip(text, 1);
		bool closed = text.len != 0 && (text.at[0] == '{' || text.at[0] == '(');
		if (closed) text = slice_skip(text, 1);
		for (size_t i = 0; i < LEN(words); i++) {
			if (!slice_starts(text, words[i])) continue;
			struct slice rest = slice_skip(text, words[i].len);
			if (closed ? rest.len != 0 && (rest.at[0] == '}' || rest.at[0] == ')')
				   : rest.len == 0 || (!ascii_alpha(rest.at[0]) && rest.at[0] != '_'))
				return true;
		}
	}
	return false;
}
