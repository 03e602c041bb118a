/* SPDX-License-Identifier: Apache-2.0 */
/* Not a reader of UCL: no includes, macros or numbers. What it does not know it passes over. */
#include "conf/ucl.h"
#include "base/base.h"

#include <string.h>

/* UCL, as far as dkim_signing.conf has it: words, quoted or not, with = { } [ ] ; , between them. */
struct ucl {
	struct slice rest;
	struct slice word;         /* of the token; a mark is one byte */
	bool quoted;
};

static bool ucl_next(struct ucl *u) {
	for (;;) {
		while (u->rest.len != 0 && ascii_space(u->rest.at[0])) u->rest = slice_skip(u->rest, 1);
		if (!slice_starts(u->rest, S("#"))) break;
		slice_cut(&u->rest, '\n');
	}
	if (u->rest.at == NULL || u->rest.len == 0) return false;
	u->quoted = u->rest.at[0] == '"' || u->rest.at[0] == '\'';
	if (u->quoted) {
		char mark = u->rest.at[0];
		u->rest = slice_skip(u->rest, 1);
		u->word = slice_cut(&u->rest, mark);
		return true;
	}
	size_t n = 0;
	while (n < u->rest.len && memchr(" \t\r\n={}[];,\"'#", u->rest.at[n], 14) == NULL) n++;
	if (u->rest.at[0] == ':') n = 1;
	else if (n > 1 && u->rest.at[n - 1] == ':') n--; /* path: "x" */
	u->word = slice_head(u->rest, MAX_OF(n, (size_t)1));
	u->rest = slice_skip(u->rest, u->word.len);
	return true;
}

static bool ucl_is(const struct ucl *u, char mark) {
	return !u->quoted && u->word.len == 1 && u->word.at[0] == mark;
}

void ucl_keys_each(struct slice text, void (*each)(void *ctx, const struct ucl_key *key), void *ctx) {
	struct ucl u = { .rest = text };
	struct slice domain = SLICE_NONE, path = SLICE_NONE, selector = SLICE_NONE, last = SLICE_NONE, key = SLICE_NONE;
	while (ucl_next(&u)) {
		if (ucl_is(&u, '{')) {
			if (last.len != 0 && slice_find(last, '.') < last.len) domain = last;
			path = selector = last = SLICE_NONE;
		} else if (ucl_is(&u, '}')) {
			if (path.len != 0 && selector.len != 0 && domain.len != 0)
				each(ctx, &(struct ucl_key){ domain, selector, path });
			path = selector = last = SLICE_NONE;
		} else if (ucl_is(&u, '=') || ucl_is(&u, ':')) {
			key = last;
			last = SLICE_NONE;
			if (!ucl_next(&u) || ucl_is(&u, '{') || ucl_is(&u, '[')) continue;
			if (slice_same(key, S("path"))) path = u.word;
			else if (slice_same(key, S("selector"))) selector = u.word;
		} else if (u.quoted || strchr("[];,", u.word.at[0]) == NULL) {
			last = u.word;
		}
	}
}
