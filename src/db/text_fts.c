/* SPDX-License-Identifier: Apache-2.0 */
/* Our tokens as a tokenizer of FTS5. Of a document each token is told once: the index only keeps that it is there
 * (detail=none), and finding that out here is ten times cheaper than in FTS5. */
#include "db/inside.h"
#include "db/text_token.h"

typedef int token_fn(void *ctx, int flags, const char *token, int len, int start, int end);

static int make(void *ctx UNUSED, const char **args UNUSED, int count UNUSED, Fts5Tokenizer **out) {
	*out = mem_get(1);
	return SQLITE_OK;
}

static void unmake(Fts5Tokenizer *t) {
	free(t);
}

/* FTS5's hash table mixes little: three letters leave most of it empty and its lists long. A byte of ours behind each
 * token, made of all of it, spreads them; it costs a byte a term, not a document. */
static int tell_token(const struct text_token *t, void *ctx, token_fn *tell) {
	char token[16];
	memcpy(token, t->text.at, t->text.len);
	token[t->text.len] = (char)((t->key * UINT64_C(0x9E3779B97F4A7C15) >> 40) % 255 +
				    1); /* it is told a length, but believes in NUL */
	return tell(ctx, 0, token, (int)t->text.len + 1, 0, 0);
}

/* True when key was not there. */
static bool set_add(uint64_t *slots, size_t mask, uint64_t key) {
	for (size_t i = (size_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 32) & mask;; i = (i + 1) & mask) {
		if (slots[i] == key) return false;
		if (slots[i] != 0) continue;
		slots[i] = key;
		return true;
	}
}

static int tokenize(Fts5Tokenizer *self UNUSED, void *ctx, int flags, const char *text, int len, token_fn *tell) {
	struct slice rest = slice_from(text, (size_t)len);
	struct text_token t;
	if ((flags & FTS5_TOKENIZE_QUERY) != 0) /* the query names tokens one by one */
		return text_token_next(&rest, &t) ? tell_token(&t, ctx, tell) : SQLITE_OK;
	size_t room = 256;
	while (room < (size_t)len * 2) room *= 2;
	AUTO_FREE uint64_t *slots = mem_get(room * sizeof *slots);
	int r = SQLITE_OK;
	while (r == SQLITE_OK && text_token_next(&rest, &t))
		if (set_add(slots, room - 1, t.key)) r = tell_token(&t, ctx, tell);
	return r;
}

int text_fts_register(struct db_conn *c) {
	static fts5_tokenizer tokenizer = { make, unmake, tokenize };
	fts5_api *api = NULL;
	sqlite3_stmt *s = NULL;
	if (sqlite3_prepare_v2(c->sqlite, "SELECT fts5(?1)", -1, &s, NULL) == SQLITE_OK) {
		sqlite3_bind_pointer(s, 1, &api, "fts5_api_ptr", NULL);
		sqlite3_step(s);
	}
	sqlite3_finalize(s);
	if (api == NULL)
		return cause_fail(DB_CAUSE_OTHER, "full-text search: this SQLite has no FTS5 (install one that has)");
	return api->xCreateTokenizer(api, "hato", NULL, &tokenizer, NULL) == SQLITE_OK ? 0 : conn_fail(c, "tokenizer");
}
