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

/* The tokens of a document so far. It grows with them: most texts say the same few again and again, and what is looked
 * into for each letter should stay in the nearest cache. */
struct seen { uint64_t *slots; size_t room, count; };

static uint64_t *slot_for(const struct seen *s, uint64_t key) {
	size_t i = (size_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (s->room - 1);
	while (s->slots[i] != key && s->slots[i] != 0) i = (i + 1) & (s->room - 1);
	return &s->slots[i];
}

static void seen_grow(struct seen *s) {
	struct seen more = { .room = s->room != 0 ? s->room * 4 : 1024 };
	more.slots = mem_array(more.room, sizeof *more.slots);
	for (size_t i = 0; i < s->room; i++)
		if (s->slots[i] != 0) *slot_for(&more, s->slots[i]) = s->slots[i];
	more.count = s->count;
	free(s->slots);
	*s = more;
}

/* True when key was not there. */
static bool seen_add(struct seen *s, uint64_t key) {
	if (s->count >= s->room / 2) seen_grow(s);
	uint64_t *slot = slot_for(s, key);
	if (*slot == key) return false;
	*slot = key;
	s->count++;
	return true;
}

static int tokenize(Fts5Tokenizer *self UNUSED, void *ctx, int flags, const char *text, int len, token_fn *tell) {
	struct slice rest = slice_from(text, (size_t)len);
	struct text_token t;
	if ((flags & FTS5_TOKENIZE_QUERY) != 0) /* the query names tokens one by one */
		return text_token_next(&rest, &t) ? tell_token(&t, ctx, tell) : SQLITE_OK;
	struct seen seen = { 0 };
	int r = SQLITE_OK;
	while (r == SQLITE_OK && text_token_next(&rest, &t))
		if (seen_add(&seen, t.key)) r = tell_token(&t, ctx, tell);
	free(seen.slots);
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
