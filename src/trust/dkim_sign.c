/* SPDX-License-Identifier: Apache-2.0 */
/* The signer. Its field is written as it will stand, with nothing behind b=, before it is signed: so it verifies with
 * the simple form too. Blanks and folds inside b= do not count (RFC 6376 §3.7). */
#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "trust/dkim_private.h"

enum { LINE = 76, BASE64 = 72, NAMES_MAX = 500 /* h= stays a field that others accept, whatever the message has */ };

/* RFC 6376 §5.4.1, and what else people and programs act on. */
const char *const dkim_default_headers[] = {
	"From",
	"Sender",
	"Reply-To",
	"Subject",
	"Date",
	"Message-ID",
	"To",
	"Cc",
	"MIME-Version",
	"Content-Type",
	"Content-Transfer-Encoding",
	"Content-Disposition",
	"Content-ID",
	"Content-Description",
	"In-Reply-To",
	"References",
	"Resent-Date",
	"Resent-From",
	"Resent-Sender",
	"Resent-To",
	"Resent-Cc",
	"Resent-Message-ID",
	"List-Id",
	"List-Help",
	"List-Unsubscribe",
	"List-Unsubscribe-Post",
	"List-Subscribe",
	"List-Post",
	"List-Owner",
	"List-Archive",
	"Autocrypt",
	NULL,
};

struct dkim_signer {
	struct dkim_sign_params params;
	const struct dkim_key *keys;
	size_t keys_count;
	struct slice names;   /* h=, folded */
	struct slice fields;  /* what it names, canonical */
	struct canon_body *body;
	struct arena *mem;
};

/* ---- begin ---- */

struct names {
	struct buf *text;
	size_t count, column;
};

static void name_add(struct names *n, struct slice name) {
	if (n->count == NAMES_MAX) return;
	if (n->count++ != 0) {
		buf_byte(n->text, ':');
		n->column++;
	}
	if (n->column + name.len >= LINE) {
		buf_add(n->text, S("\r\n\t"));
		n->column = 8;
	}
	buf_add(n->text, name);
	n->column += name.len;
}

static bool among(const struct slice *list, size_t count, struct slice name) {
	for (size_t i = 0; i < count; i++)
		if (slice_same(list[i], name)) return true;
	return false;
}

/* Every field of that name, and one that is not there when none shall be added. */
static void sign_all(struct names *n, struct header_index *x, const struct dkim_sign_params *p, struct slice name) {
	size_t left = header_index_left(x, name);
	bool once_more = among(p->oversign_headers, p->oversign_headers_count, name) ||
			 (left == 0 && slice_same(name, S("From")));
	for (left += once_more; left != 0; left--) name_add(n, name);
}

void signed_names_add(struct buf *text, struct header_index *x, const struct dkim_sign_params *p) {
	struct names n = { .text = text, .column = 10 };
	size_t given = p->sign_headers_count, count = 0;
	while (given == 0 && dkim_default_headers[count] != NULL) count++;
	struct slice *list = mem_array(MAX_OF(given, count) + 1, sizeof *list);
	for (size_t i = 0; i < count; i++) list[i] = slice_of(dkim_default_headers[i]);
	if (given != 0 && !among(p->sign_headers, given, S("From")))
		list[count++] = S("From"); /* §5.4: must be signed */
	for (size_t i = 0; i < given; i++) list[count++] = p->sign_headers[i];
	for (size_t i = 0; i < count; i++)
		if (!among(list, i, list[i])) sign_all(&n, x, p, list[i]);
	for (size_t i = 0; i < p->oversign_headers_count; i++) {
		struct slice name = p->oversign_headers[i];
		if (!among(list, count, name) && !among(p->oversign_headers, i, name)) sign_all(&n, x, p, name);
	}
	free(list);
}

struct dkim_signer *dkim_sign_begin(const struct dkim_sign_params *p, const struct dkim_key *keys, size_t count,
				    struct slice header, struct arena *mem) {
	AUTO_ARENA struct arena scratch = { 0 };
	AUTO_BUF struct buf names = BUF(KIB(256));
	AUTO_BUF struct buf fields = BUF(3 * header.len + KIB(64));
	struct dkim_signer *s = arena_get(mem, sizeof *s);
	struct header_index *x = header_index_new(header, &scratch);
	struct signature h = { .header = p->header == DKIM_RELAXED ? CANON_RELAXED : CANON_SIMPLE };
	signed_names_add(&names, x, p);
	h.names = buf_slice(&names);
	signed_fields_add(&fields, &h, x);
	s->params = *p;
	s->keys = keys;
	s->keys_count = count;
	s->names = arena_slice(mem, h.names);
	s->fields = arena_slice(mem, buf_slice(&fields));
	s->body = canon_body_new(p->body == DKIM_RELAXED ? CANON_RELAXED : CANON_SIMPLE, -1, mem);
	s->mem = mem;
	return s;
}

void dkim_sign_body(struct dkim_signer *s, struct slice bytes) {
	canon_body_bytes(s->body, bytes);
}

/* ---- end ---- */

static void field_write(struct buf *out, const struct dkim_signer *s, const struct dkim_key *key,
			const uint8_t digest[32]) {
	static const char *const forms[] = { [DKIM_SIMPLE] = "simple", [DKIM_RELAXED] = "relaxed" };
	const struct dkim_sign_params *p = &s->params;
	int64_t now = p->now_s != 0 ? p->now_s : wall_s();
	buf_addf(out, "DKIM-Signature: v=1; a=%s; c=%s/%s;\r\n\td=%.*s; s=%.*s;\r\n\tt=%lld;",
		 dkim_algorithm_name(key->algorithm), forms[p->header], forms[p->body], SLICE_ARG(key->domain),
		 SLICE_ARG(key->selector), (long long)now);
	if (p->lifetime_s > 0) buf_addf(out, " x=%lld;", (long long)(now + p->lifetime_s));
	if (p->identity.len != 0) buf_addf(out, " i=%.*s;", SLICE_ARG(p->identity));
	if (p->request_reports) buf_add(out, S(" r=y;"));
	buf_addf(out, "\r\n\th=%.*s;\r\n\tbh=", SLICE_ARG(s->names));
	base64_add(out, slice_from(digest, 32));
	buf_add(out, S(";\r\n\tb="));
}

/* What the key is given: Ed25519 signs a digest (RFC 8463 §3). */
static int tbs_make(const struct dkim_key *key, struct slice text, struct arena *mem, struct dkim_tbs *out) {
	uint8_t digest[32];
	*out = (struct dkim_tbs){ key->id, key->algorithm, text };
	if (key->algorithm == DKIM_ED25519_SHA256) {
		sha256(text, digest);
		out->bytes = arena_slice(mem, slice_from(digest, sizeof digest));
	} else if (key->algorithm != DKIM_RSA_SHA256) {
		return fail("DKIM signature: %s is not for signing", dkim_algorithm_name(key->algorithm));
	}
	return 0;
}

static int tbs_sign(const struct dkim_sign_params *p, const struct dkim_tbs *t, struct buf *signature) {
	int r = p->sign(p->ctx, t->key, t->algorithm, t->bytes, signature);
	if (r == 0 && signature->len == 0) return fail("DKIM signature: the key gave none");
	return r;
}

int key_sign(const struct dkim_sign_params *p, const struct dkim_key *key, struct slice text, struct buf *signature) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dkim_tbs t;
	int r = tbs_make(key, text, &mem, &t);
	return r == 0 ? tbs_sign(p, &t, signature) : r;
}

/* All that a signature covers: the fields it names, and its own field before b= has its value. */
static int field_tbs(const struct dkim_signer *s, const struct dkim_key *key, struct slice field,
		     struct dkim_tbs *out) {
	AUTO_BUF struct buf text = BUF(s->fields.len + field.len + KIB(1));
	buf_add(&text, s->fields);
	signed_self_add(&text, s->params.header == DKIM_RELAXED ? CANON_RELAXED : CANON_SIMPLE, field,
			slice_skip(field, field.len));
	if (text.full) return fail("DKIM signature: the header is too long");
	return tbs_make(key, arena_slice(s->mem, buf_slice(&text)), s->mem, out);
}

void folded_base64_add(struct buf *out, struct slice bytes) {
	AUTO_BUF struct buf text = BUF(2 * bytes.len + 8);
	base64_add(&text, bytes);
	struct slice rest = buf_slice(&text);
	for (size_t room = BASE64 - 2; rest.len != 0; room = BASE64) { /* behind b= */
		buf_add(out, slice_head(rest, room));
		rest = slice_skip(rest, room);
		if (rest.len != 0) buf_add(out, S("\r\n\t"));
	}
}

static int field_begin(const struct dkim_signer *s, const struct dkim_key *key, const uint8_t digest[32],
		       struct slice *field, struct dkim_tbs *tbs) {
	AUTO_BUF struct buf text = BUF(KIB(300));
	field_write(&text, s, key, digest);
	if (text.full) return fail("DKIM signature: the field is too long");
	*field = arena_slice(s->mem, buf_slice(&text));
	return field_tbs(s, key, *field, tbs);
}

int dkim_sign_end(struct dkim_signer *s, struct buf *out) {
	AUTO_BUF struct buf all = BUF(s->keys_count * KIB(512));
	AUTO_BUF struct buf signature = BUF(KIB(4));
	struct slice *fields = arena_array(s->mem, s->keys_count + 1, sizeof *fields);
	struct dkim_tbs *tbs = arena_array(s->mem, s->keys_count + 1, sizeof *tbs);
	uint8_t digest[32];
	int r = 0;
	canon_body_end(s->body, digest);
	for (size_t i = 0; i < s->keys_count && r == 0; i++)
		r = field_begin(s, &s->keys[i], digest, &fields[i], &tbs[i]);
	if (r == 0 && s->keys_count > 1 && s->params.soon != NULL) s->params.soon(s->params.ctx, tbs, s->keys_count);
	for (size_t i = 0; i < s->keys_count && r == 0; i++) {
		buf_clear(&signature);
		r = tbs_sign(&s->params, &tbs[i], &signature);
		buf_add(&all, fields[i]);
		folded_base64_add(&all, buf_slice(&signature));
		buf_add(&all, S("\r\n"));
	}
	if (r < 0) return r;
	return !all.full && buf_add(out, buf_slice(&all)) ? 0 : fail("DKIM signature: no room for it");
}
