/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/dkim.h"
/* A key record as people publish it, and as DNS gives it back. */
struct dkim_record_text {
	struct slice domain, selector;
	enum dkim_algorithm algorithm;
	struct slice public_key;   /* SubjectPublicKeyInfo in DER */
	struct slice hashes;       /* h=, "sha256"; empty: no such tag */
	struct slice note;         /* n= */
	bool testing, no_subdomains, email_only;
	bool full_name;            /* the owner name with its domain and a dot */
};
/* What stands in p=: RSA's SubjectPublicKeyInfo, Ed25519's 32 bytes (RFC 8463 §4); base64. */
struct slice dkim_public_text(struct slice public_key, enum dkim_algorithm algorithm, struct arena *mem);
/* "v=DKIM1; h=sha256; k=rsa; p=…", one line without quotes, for a web form. */
struct slice dkim_record_line(const struct dkim_record_text *r, struct arena *mem);
/* As opendkim-genkey writes it, byte for byte: a zone file's entry, its strings of 250 characters at most. */
void dkim_record_zone(struct buf *out, const struct dkim_record_text *r);
/* The line in strings of at most 255 bytes, each quoted: "…" "…". */
struct slice dkim_record_strings(struct slice line, struct arena *mem);

enum dkim_publication {
	DKIM_PUBLISHED,     /* the record is in DNS and holds this key */
	DKIM_NOT_PUBLISHED, /* no record of that name */
	DKIM_DIFFERENT,     /* a record that is broken, or holds another key: *reason */
	DKIM_UNKNOWN_YET,   /* DNS cannot say now: *reason */
};
/* Waits for DNS until the deadline. */
enum dkim_publication dkim_published(struct dns *dns, struct slice selector, struct slice domain,
				     struct slice public_key, int64_t deadline, struct arena *mem,
				     struct slice *reason);
