/* SPDX-License-Identifier: Apache-2.0 */
/* Mail that cannot be signed although its domain has keys waits: unsigned, it would count as forged where the domain's
 * policy is strict. Mail whose domain has no key here goes as it is, unread but for its header. */
#include "flow/signing.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/map.h"
#include "mime/address.h"
#include "mime/header.h"
#include "smtp/client_body.h"
#include "trust/authres.h"

#include <openssl/evp.h>

enum {
	HEADER_MAX = 1 << 20,
	PIECE = 64 << 10,
	KEYS_KEPT = 256,
	MADE_KEPT = 256,
	KEYS_MS = 3000,
	BEGUN_S = 300,
	SIGNATURE_MAX = 1024
};

/* What vault said about an author. */
struct known_keys {
	char *author;
	int64_t until;
	struct buf packed;
};
/* A signature. The clock of a message's first signature counts for all its copies: else no two were the same. */
struct made {
	uint64_t key;
	unsigned char digest[32];
	unsigned char bytes[SIGNATURE_MAX];
	size_t len;
};
struct begun {
	char id[32];
	int64_t at_s;
};
struct signing {
	struct link *vault;
	pthread_mutex_t lock;
	struct known_keys known[KEYS_KEPT];
	struct made made[MADE_KEPT];
	struct begun begun[MADE_KEPT];
};

struct signing *signing_new(struct link *vault) {
	struct signing *s = mem_get(sizeof *s);
	s->vault = vault;
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

/* ---- keys ---- */

static bool recall_keys(struct signing *s, struct slice author, struct arena *mem, struct dkim_keys_answer *answer) {
	struct known_keys *k = &s->known[hash_bytes(author) % KEYS_KEPT];
	bool found = false;
	pthread_mutex_lock(&s->lock);
	if (k->author != NULL && k->until > clock_ms() && slice_eq(slice_of(k->author), author)) {
		struct unwire in = UNWIRE(arena_slice(mem, buf_slice(&k->packed)), mem);
		dkim_keys_answer_unpack(&in, answer);
		found = !in.bad;
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

/* That there is none is not remembered: a domain that was just added signs at once. */
static void remember_keys(struct signing *s, struct slice author, const struct dkim_keys_answer *answer) {
	struct known_keys *k = &s->known[hash_bytes(author) % KEYS_KEPT];
	if (answer->keys_count == 0) return;
	pthread_mutex_lock(&s->lock);
	free(k->author);
	k->author = slice_text(author);
	k->until = deadline_in(KEYS_MS);
	if (k->packed.limit == 0) k->packed = BUF(KIB(64));
	buf_clear(&k->packed);
	dkim_keys_answer_pack(&k->packed, answer);
	if (k->packed.full) k->until = 0;
	pthread_mutex_unlock(&s->lock);
}

static int ask_keys(struct signing *s, struct slice author, bool subdomains, struct arena *mem,
		    struct dkim_keys_answer *answer) {
	if (recall_keys(s, author, mem, answer)) return 0;
	int r = ask_dkim_keys(s->vault, &(struct dkim_keys_ask){ author, subdomains }, mem, answer);
	if (r == ASK_LATER) return fail("DKIM: the vault process does not answer");
	if (r == ASK_OK) remember_keys(s, author, answer);
	return r;
}

static struct dkim_key *keys_of(const struct dkim_keys_answer *a, struct arena *mem) {
	struct dkim_key *keys = arena_array(mem, a->keys_count + 1, sizeof *keys);
	for (size_t i = 0; i < a->keys_count; i++)
		keys[i] = (struct dkim_key){ a->keys[i].id, a->keys[i].domain, a->keys[i].selector,
					     (enum dkim_algorithm)a->keys[i].algorithm };
	return keys;
}

/* ---- signatures ---- */

/* Each has one place, by what it is found by; the next one there takes it. */
static struct made *made_place(struct signing *s, const unsigned char *digest) {
	return &s->made[digest[0] % MADE_KEPT];
}

static bool recall_made(struct signing *s, uint64_t key, const unsigned char *digest, struct buf *signature) {
	const struct made *m = made_place(s, digest);
	pthread_mutex_lock(&s->lock);
	bool found = m->len != 0 && m->key == key && memcmp(m->digest, digest, sizeof m->digest) == 0;
	if (found) buf_add(signature, slice_from(m->bytes, m->len));
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void remember_made(struct signing *s, uint64_t key, const unsigned char *digest, struct slice signature) {
	struct made *m = made_place(s, digest);
	pthread_mutex_lock(&s->lock);
	m->key = key;
	m->len = signature.len;
	memcpy(m->digest, digest, sizeof m->digest);
	memcpy(m->bytes, signature.at, signature.len);
	pthread_mutex_unlock(&s->lock);
}

/* When the first copy of this message was signed. */
static int64_t begun_at(struct signing *s, const char *id) {
	int64_t now = wall_s(), at = now;
	struct begun *b = &s->begun[hash_bytes(slice_of(id)) % MADE_KEPT];
	pthread_mutex_lock(&s->lock);
	if (strcmp(b->id, id) == 0 && now - b->at_s < BEGUN_S) {
		at = b->at_s;
	} else {
		snprintf(b->id, sizeof b->id, "%s", id);
		b->at_s = now;
	}
	pthread_mutex_unlock(&s->lock);
	return at;
}

static bool digest_of(enum dkim_algorithm algorithm, struct slice tbs, unsigned char digest[32]) {
	if (algorithm == DKIM_ED25519_SHA256 && tbs.len == 32) return memcpy(digest, tbs.at, 32), true;
	return EVP_Digest(tbs.at, tbs.len, digest, NULL, EVP_sha256(), NULL) == 1;
}

/* Asks vault for these; what it made is remembered, and the first is added to *signature, unless that is NULL. */
static int make(struct signing *s, struct dkim_sign_one *wanted, size_t count, struct buf *signature) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dkim_sign_answer answer;
	int r = ask_dkim_sign(s->vault, &(struct dkim_sign_ask){ wanted, count }, &mem, &answer);
	if (r == ASK_LATER) return fail("DKIM: the vault process does not answer");
	if (r < 0) return r;
	if (answer.made_count != count) return fail("DKIM: broken answer");
	for (size_t i = 0; i < count; i++) {
		if (answer.made[i].signature.len == 0) return fail("%.*s", SLICE_ARG(answer.made[i].reason));
		if (answer.made[i].signature.len > SIGNATURE_MAX) return fail("DKIM: the signature is too long");
		remember_made(s, wanted[i].key, (const unsigned char *)wanted[i].digest.at, answer.made[i].signature);
	}
	if (signature == NULL || buf_add(signature, answer.made[0].signature)) return 0;
	return fail("DKIM: the signature is too long");
}

/* One question for all signatures of a message. What failed is asked for again, one by one, and told of there. */
static void soon_op(void *ctx, const struct dkim_tbs *all, size_t count) {
	struct signing *s = ctx;
	unsigned char digests[DKIM_SIGN_MOST][32];
	struct dkim_sign_one wanted[DKIM_SIGN_MOST];
	AUTO_BUF struct buf known = BUF(SIGNATURE_MAX);
	size_t n = 0;
	for (size_t i = 0; i < MIN_OF(count, (size_t)DKIM_SIGN_MOST); i++) {
		if (!digest_of(all[i].algorithm, all[i].bytes, digests[n])) continue;
		buf_clear(&known);
		if (recall_made(s, all[i].key, digests[n], &known)) continue;
		wanted[n] = (struct dkim_sign_one){ all[i].key, slice_from(digests[n], 32) };
		n++;
	}
	if (n > 1) (void)make(s, wanted, n, NULL);
}

static int sign_op(void *ctx, uint64_t key, enum dkim_algorithm algorithm, struct slice tbs, struct buf *signature) {
	struct signing *s = ctx;
	unsigned char digest[32];
	if (!digest_of(algorithm, tbs, digest)) return fail("SHA-256 is not to be had");
	if (recall_made(s, key, digest, signature)) return 0;
	struct dkim_sign_one one = { key, slice_from(digest, sizeof digest) };
	return make(s, &one, 1, signature);
}

/* ---- the text ---- */

struct reading {
	struct signing *s;
	const struct signing_params *params;
	struct smtp_message *m;
	struct arena *mem;
	struct smtp_body_coder coder;
	struct buf text;             /* coded: the header until it is whole, then a piece of the body */
	struct slice header;         /* SLICE_NONE: not yet seen to its end */
	struct dkim_signer *signer;
	struct arc_sealer *sealer;
	bool ours, leave;            /* leave: nothing is to be done with it */
	struct slice forwarder;
	int (*begin)(struct reading *r); /* the header is whole */
};

static void body_bytes(struct reading *r, struct slice bytes) {
	if (r->signer != NULL) dkim_sign_body(r->signer, bytes);
	if (r->sealer != NULL) arc_seal_body(r->sealer, bytes);
}

static int take_header(struct reading *r, bool last) {
	struct slice text = buf_slice(&r->text);
	size_t end = slice_starts(text, S("\r\n")) ? 0 : slice_search(text, S("\r\n\r\n"));
	if (end == text.len && !last) {
		if (text.len <= HEADER_MAX) return 0;
		r->leave = true; /* nobody would verify it */
		return 0;
	}
	size_t length = end == 0 && slice_starts(text, S("\r\n")) ? 0 : MIN_OF(end + 2, text.len);
	r->header = arena_slice(r->mem, slice_head(text, length));
	int answer = r->begin(r);
	if (answer == 0 && !r->leave) body_bytes(r, slice_skip(text, length + 2));
	buf_clear(&r->text);
	return answer;
}

static int take_piece(struct reading *r, struct slice piece, bool last) {
	if (!smtp_body_code(&r->coder, piece, &r->text)) return fail("DKIM: the header is too long");
	if (last) smtp_body_line_end(&r->coder, &r->text);
	if (r->header.at == NULL) return take_header(r, last);
	body_bytes(r, buf_slice(&r->text));
	buf_clear(&r->text);
	return 0;
}

static int read_all(struct reading *r) {
	const struct smtp_body *body = &r->m->body;
	AUTO_FREE char *room = body->text.at == NULL ? mem_get(PIECE) : NULL;
	struct slice piece;
	ssize_t n = 0;
	r->coder.plain = true;
	r->text = BUF(HEADER_MAX + 4 * PIECE);
	int answer = 0;
	for (struct slice rest = body->head; rest.len != 0 && answer == 0 && !r->leave; rest = slice_skip(rest, PIECE))
		answer = take_piece(r, slice_head(rest, PIECE), false);
	for (uint64_t at = 0; answer == 0 && !r->leave; at += (uint64_t)n) {
		if ((n = smtp_body_read(body, at, room, PIECE, &piece)) <= 0) break;
		answer = take_piece(r, piece, false);
	}
	if (n < 0) answer = (int)n;
	if (answer == 0 && !r->leave) answer = take_piece(r, SLICE_NONE, true);
	buf_done(&r->text);
	return answer;
}

static void put_in_front(struct reading *r, const struct buf *fields) {
	struct smtp_body *body = &r->m->body;
	AUTO_BUF struct buf head = BUF(fields->len + body->head.len);
	buf_add(&head, buf_slice(fields));
	buf_add(&head, body->head);
	body->head = arena_slice(r->mem, buf_slice(&head));
}

/* ---- DKIM ---- */

/* "user@example.org" in lower case, of the first author field; empty: there is none. */
static struct slice author_of(const struct reading *r) {
	const struct signing_params *p = r->params;
	struct field field;
	for (size_t i = 0; i < p->author_fields_count; i++) {
		if (!header_find(r->header, p->author_fields[i], &field)) continue;
		struct address_list list = address_list_parse(field.value, r->mem);
		for (size_t k = 0; k < list.count; k++) {
			struct slice domain;
			if (list.at[k].kind != ADDRESS_MAILBOX || !domain_ascii(list.at[k].domain, r->mem, &domain))
				continue;
			struct slice local = arena_lower(r->mem, list.at[k].local);
			return arena_fmt(r->mem, "%.*s@%.*s", SLICE_ARG(local), SLICE_ARG(domain));
		}
	}
	return SLICE_NONE;
}

static struct dkim_sign_params form_of(const struct reading *r) {
	struct dkim_sign_params form = r->params->form;
	form.sign = sign_op;
	form.soon = soon_op;
	form.ctx = r->s;
	form.now_s = begun_at(r->s, r->m->id);
	/* reports and notices ask for no report about themselves, or two servers would write to each other for ever */
	form.request_reports = form.request_reports && r->m->sender.len != 0;
	return form;
}

static int begin_dkim(struct reading *r) {
	struct dkim_keys_answer found;
	struct slice author = author_of(r);
	r->leave = true;
	if (author.len == 0) return 0;
	if (ask_keys(r->s, author, r->params->subdomains, r->mem, &found) < 0) return -1;
	if (found.keys_count == 0) {
		if (r->params->log_why)
			say(L_INFO, "/opendkim", "%s: no signing table match for '%.*s'", r->m->id, SLICE_ARG(author));
		return 0;
	}
	struct dkim_sign_params form = form_of(r);
	r->signer = dkim_sign_begin(&form, keys_of(&found, r->mem), found.keys_count, r->header, r->mem);
	for (size_t i = 0; i < found.keys_count; i++)
		say(L_DEBUG, r->params->tag, "%s: DKIM-Signature field to be added (s=%.*s, d=%.*s)", r->m->id,
		    SLICE_ARG(found.keys[i].selector), SLICE_ARG(found.keys[i].domain));
	r->leave = false;
	return 0;
}

/* The header without the signatures it came with. */
static int drop_old(struct reading *r) {
	struct smtp_body *body = &r->m->body;
	size_t want = (size_t)MIN_OF(smtp_body_size(body), (uint64_t)HEADER_MAX);
	AUTO_FREE char *room = mem_get(want + 1);
	struct slice text;
	if (smtp_body_read(body, 0, room, want, &text) < 0) return -1;
	struct slice blocks[2] = { body->head, slice_head(text, header_length(text)) };
	AUTO_BUF struct buf kept = BUF(body->head.len + text.len + 1);
	bool any = false;
	for (size_t i = 0; i < LEN(blocks); i++) {
		struct fields f = { .block = blocks[i] };
		size_t from = 0;
		for (struct field one; fields_next(&f, &one);) {
			if (!slice_same(one.name, S("DKIM-Signature"))) continue;
			buf_add(&kept, slice_head(slice_skip(blocks[i], from), one.start - from));
			from = one.end;
			any = true;
		}
		buf_add(&kept, slice_skip(blocks[i], from));
	}
	if (!any) return 0;
	body->head = arena_slice(r->mem, buf_slice(&kept));
	body->offset += blocks[1].len;
	body->size -= blocks[1].len;
	return 0;
}

#define SIGNATURE_FIELD S("DKIM-Signature")

static size_t signatures_length(struct slice text) {
	struct fields f = { .block = slice_head(text, header_length(text)) };
	size_t end = 0;
	for (struct field one; fields_next(&f, &one) && slice_same(one.name, SIGNATURE_FIELD);) end = one.end;
	return end;
}

/* Signatures above all other fields are ours, of the copies that stay here (admit_sign_here): they go. */
static int drop_ours(struct reading *r) {
	struct smtp_body *body = &r->m->body;
	char first[32];
	struct slice start;
	body->head = slice_skip(body->head, signatures_length(body->head));
	if (smtp_body_read(body, 0, first, SIGNATURE_FIELD.len, &start) < 0) return -1;
	if (!slice_same(start, SIGNATURE_FIELD)) return 0;
	AUTO_FREE char *room = mem_get(HEADER_MAX);
	if (smtp_body_read(body, 0, room, HEADER_MAX, &start) < 0) return -1;
	size_t ours = signatures_length(start);
	body->offset += ours;
	body->size -= ours;
	return 0;
}

static int sign(struct reading *r) {
	AUTO_BUF struct buf fields = BUF(MIB(1));
	struct smtp_body given = r->m->body;
	r->begin = begin_dkim;
	if (drop_ours(r) < 0) return -1;
	int answer = read_all(r);
	if (answer < 0 || r->signer == NULL || r->leave) {
		r->m->body = given; /* what it was signed with at the door stays */
		return answer;
	}
	if (dkim_sign_end(r->signer, &fields) < 0) return -1;
	if (r->params->remove_old && drop_old(r) < 0) return -1;
	put_in_front(r, &fields);
	return 0;
}

/* ---- ARC ---- */

/* Our own field, which the door put on top: nobody else's can claim our id by then. */
static bool results_of(const struct reading *r, struct slice *value, enum trust_result *chain) {
	struct fields f = { .block = r->header };
	for (struct field one; header_find_from(&f, S("Authentication-Results"), &one);) {
		struct authres a;
		struct slice text = header_unfold(one.value, r->mem);
		if (!authres_parse(text, r->mem, &a) || !authres_is_id(a.id, r->params->authserv_id)) continue;
		*value = text;
		*chain = TRUST_NONE;
		for (size_t i = 0; i < a.methods_count; i++)
			if (slice_same(a.methods[i].method, S("arc"))) trust_result_of(a.methods[i].result, chain);
		return true;
	}
	return false;
}

static int seal_key(struct reading *r, struct dkim_key *out) {
	const struct slice domains[] = { r->forwarder, r->params->seal_domain };
	for (size_t i = 0; i < LEN(domains); i++) {
		struct dkim_keys_answer found;
		if (domains[i].len == 0) continue;
		struct slice lower = arena_lower(r->mem, domains[i]),
			     author = arena_fmt(r->mem, "@%.*s", SLICE_ARG(lower));
		if (ask_keys(r->s, author, true, r->mem, &found) < 0) return -1;
		struct dkim_key *keys = keys_of(&found, r->mem);
		for (size_t k = 0; k < found.keys_count; k++) {
			if (keys[k].algorithm != DKIM_RSA_SHA256) continue;
			*out = keys[k];
			return 1;
		}
	}
	return 0;
}

static int begin_arc(struct reading *r) {
	struct arc_seal_params p = { .sign = form_of(r) };
	p.sign.header = p.sign.body = DKIM_RELAXED;
	r->leave = true;
	if (!results_of(r, &p.results, &p.chain)) return 0;
	int found = seal_key(r, &p.key);
	if (found <= 0) return found;
	r->sealer = arc_seal_begin(&p, r->header, r->mem);
	r->leave = r->sealer == NULL;
	return 0;
}

static int seal(struct reading *r) {
	AUTO_BUF struct buf fields = BUF(MIB(1));
	r->begin = begin_arc;
	int answer = read_all(r);
	if (answer < 0 || r->sealer == NULL || r->leave) return answer;
	if (arc_seal_end(r->sealer, &fields) < 0) return -1;
	put_in_front(r, &fields);
	return 0;
}

int signing_apply(struct signing *s, const struct signing_params *p, bool ours, struct slice forwarder,
		  struct smtp_message *m, struct arena *mem) {
	struct reading base = { .s = s, .params = p, .m = m, .mem = mem, .ours = ours, .forwarder = forwarder };
	base.coder.line_limit = p->line_limit;
	struct reading r = base;
	if (m->probe) return 0;
	int answer = p->sign && ours ? sign(&r) : 0;
	if (answer < 0 && p->unsigned_if_late) {
		say(L_WARN, p->tag, "%s: goes unsigned (dkim_on_error): %s", m->id, fail_text());
		answer = 0;
	}
	r = base;
	if (answer == 0 && p->seal && forwarder.len != 0 &&
	    seal(&r) < 0) /* a seal helps, but nobody refuses mail for want of one */
		say(L_WARN, p->tag, "%s: goes without an ARC seal: %s", m->id, fail_text());
	return answer;
}
