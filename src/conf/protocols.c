/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of TLS versions are read here, not where TLS is made: a list that leaves nothing must be found before a server
 * that runs takes it over. */
#include "conf/conf.h"

enum { SSL2, SSL3, TLS1, TLS1_1, TLS1_2, TLS1_3 };
static const struct slice names[] = { S("SSLv2"), S("SSLv3"), S("TLSv1"), S("TLSv1.1"), S("TLSv1.2"), S("TLSv1.3") };

/* -1: a word that check.c complains of, and that means nothing. */
static int version_of(struct slice word) {
	for (int i = 0; i < (int)LEN(names); i++)
		if (slice_same(word, names[i])) return i;
	return -1;
}

unsigned conf_tls_versions(const struct conf_view *v, enum setting_id id) {
	return tls_versions_in(conf_text(v, id));
}

unsigned tls_versions_in(struct slice text) {
	int least = TLS1_2, most = TLS1_3; /* who names no lower end gets TLS 1.2 as the lowest */
	unsigned named = 0, excluded = 0, range = 0;
	for (struct slice word; (word = slice_word(&text, ", \t\r\n:")).len != 0;) {
		bool lower = slice_starts(word, S(">=")), upper = slice_starts(word, S("<=")),
		     out = slice_starts(word, S("!"));
		int version = version_of(slice_skip(word, lower || upper ? 2 : out));
		if (version < 0) continue;
		if (lower) least = version;
		else if (upper) most = version;
		else *(out ? &excluded : &named) |= 1u << version;
	}
	for (int i = least; i <= most; i++) range |= 1u << i;
	return ((named != 0 ? named : range) & ~excluded) >> TLS1;
}
