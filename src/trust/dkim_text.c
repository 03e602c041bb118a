/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/dkim_text.h"
#include "base/encode.h"
#include "base/fail.h"

enum { PIECE = 250, STRING_MAX = 255, RECORD_MAX = 16 << 10, ED25519_BYTES = 32 };

struct slice dkim_public_text(struct slice public_key, enum dkim_algorithm algorithm, struct arena *mem) {
	AUTO_BUF struct buf text = BUF(RECORD_MAX);
	if (algorithm == DKIM_ED25519_SHA256 && public_key.len > ED25519_BYTES)
		public_key = slice_skip(public_key, public_key.len - ED25519_BYTES);
	base64_add(&text, public_key);
	return arena_slice(mem, buf_slice(&text));
}

/* All before p=, each tag with its blank. */
static void tags_add(struct buf *out, const struct dkim_record_text *r, bool zone) {
	const char *quote = zone ? "\\\"" : "\"";
	buf_add(out, S("v=DKIM1; "));
	if (r->note.len != 0) buf_addf(out, "n=%s%.*s%s; ", quote, SLICE_ARG(r->note), quote);
	if (r->hashes.len != 0) buf_addf(out, "h=%.*s; ", SLICE_ARG(r->hashes));
	buf_addf(out, "k=%s; ", r->algorithm == DKIM_ED25519_SHA256 ? "ed25519" : "rsa");
	if (r->testing || r->no_subdomains)
		buf_addf(out, "t=%s%s%s; ", r->testing ? "y" : "", r->testing && r->no_subdomains ? ":" : "",
			 r->no_subdomains ? "s" : "");
	if (r->email_only) buf_add(out, S("s=email; "));
}

struct slice dkim_record_line(const struct dkim_record_text *r, struct arena *mem) {
	AUTO_BUF struct buf text = BUF(RECORD_MAX);
	tags_add(&text, r, false);
	buf_addf(&text, "p=%.*s", SLICE_ARG(dkim_public_text(r->public_key, r->algorithm, mem)));
	return arena_slice(mem, buf_slice(&text));
}

void dkim_record_zone(struct buf *out, const struct dkim_record_text *r) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice key = dkim_public_text(r->public_key, r->algorithm, &mem);
	buf_addf(out, "%.*s._domainkey", SLICE_ARG(r->selector));
	if (r->full_name) buf_addf(out, ".%.*s.", SLICE_ARG(r->domain));
	buf_add(out, S("\tIN\tTXT\t( \""));
	tags_add(out, r, true);
	buf_add(out, S("\"\n\t  \"p="));
	for (; key.len >= PIECE; key = slice_skip(key, PIECE))
		buf_addf(out, "%.*s\"\n\t  \"", SLICE_ARG(slice_head(key, PIECE)));
	buf_add(out, key);
	buf_addf(out, "\" )  ; ----- DKIM key %.*s for %.*s\n", SLICE_ARG(r->selector), SLICE_ARG(r->domain));
}

struct slice dkim_record_strings(struct slice line, struct arena *mem) {
	AUTO_BUF struct buf text = BUF(RECORD_MAX);
	for (size_t at = 0; at < line.len; at += STRING_MAX) {
		buf_add(&text, at == 0 ? S("\"") : S(" \""));
		buf_add(&text, slice_head(slice_skip(line, at), STRING_MAX));
		buf_byte(&text, '"');
	}
	return arena_slice(mem, buf_slice(&text));
}

/* p= of RSA: the whole SubjectPublicKeyInfo, by some the bare RSAPublicKey at its end. */
static bool same_key(const struct dkim_record *record, struct slice public_key) {
	struct slice there = record->public_key;
	return there.len >= ED25519_BYTES && there.len <= public_key.len &&
	       slice_eq(slice_skip(public_key, public_key.len - there.len), there);
}

static enum dkim_publication compare(struct slice text, struct slice public_key, struct arena *mem,
				     struct slice *reason) {
	struct dkim_record record;
	if (!dkim_record_parse(text, mem, &record, reason)) return DKIM_DIFFERENT;
	if (record.revoked) *reason = S("the record has an empty p=: the key is revoked");
	else if (!same_key(&record, public_key))
		*reason = S("the record holds another key (or a part of this one is missing)");
	else return DKIM_PUBLISHED;
	return DKIM_DIFFERENT;
}

enum dkim_publication dkim_published(struct dns *dns, struct slice selector, struct slice domain,
				     struct slice public_key, int64_t deadline, struct arena *mem,
				     struct slice *reason) {
	struct slice name = arena_fmt(mem, "%.*s._domainkey.%.*s", SLICE_ARG(selector), SLICE_ARG(domain)), *texts;
	size_t count;
	*reason = SLICE_NONE;
	int r = dns_txt(dns, name, deadline, mem, &texts, &count, NULL);
	if (r == DNS_LATER || r < 0) {
		*reason = arena_slice(mem, slice_of(fail_text()));
		return DKIM_UNKNOWN_YET;
	}
	if (r != DNS_OK || count == 0) return DKIM_NOT_PUBLISHED;
	enum dkim_publication best = DKIM_DIFFERENT;
	for (size_t i = 0; i < count && best != DKIM_PUBLISHED; i++) best = compare(texts[i], public_key, mem, reason);
	if (best == DKIM_PUBLISHED && count > 1) {
		*reason = S("there is more than one record of that name: receivers may take the other");
		best = DKIM_DIFFERENT;
	}
	return best;
}
