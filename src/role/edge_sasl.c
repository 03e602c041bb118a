/* SPDX-License-Identifier: Apache-2.0 */
/* What a word of smtpd_sasl_security_options forbids, it forbids by the properties that Cyrus gives to a mechanism;
 * Dovecot's only say "plaintext" and the like, and mean the same. */
#include "role/edge_sasl.h"
#include "base/log.h"

enum { SECRET_GIVEN = SASL_PLAIN | SASL_LOGIN, ALL = SASL_USUAL | SASL_EXTERNAL | SASL_OAUTHBEARER | SASL_XOAUTH2 };

static unsigned forbidden(const struct conf_view *v, struct slice word) {
	bool cyrus = slice_same(conf_text(v, SET_smtpd_sasl_type), S("cyrus"));
	if (slice_same(word, S("noplaintext"))) return SECRET_GIVEN;
	if (slice_same(word, S("mutual_auth"))) return ALL & ~(unsigned)SASL_SCRAM;
	if (slice_same(word, S("forward_secrecy"))) return ALL;
	if (slice_same(word, S("noactive"))) return cyrus ? ALL & ~(unsigned)SASL_SCRAM : 0;
	if (slice_same(word, S("nodictionary"))) return cyrus ? SECRET_GIVEN | SASL_SCRAM : 0;
	return 0;
}

/* The words that one entry of the filter is about. */
static unsigned meant(enum setting_id id, struct slice word) {
	if (slice_same(word, S("static:rest")) || slice_same(word, S("static:all")) ||
	    slice_same(word, S("static:any")))
		return ALL;
	if (slice_find(word, ':') < word.len || slice_find(word, '/') < word.len)
		say(L_WARN, "edge",
		    "%s: %.*s is passed over: tables are not looked into here (write the names of the mechanisms)",
		    setting_of(id)->name, SLICE_ARG(word));
	return sasl_word(word);
}

unsigned sasl_mechanisms(const struct conf_view *v, enum setting_id filter, enum setting_id options) {
	unsigned decided = 0, in = 0;
	size_t n;
	const struct slice *words = conf_list(v, filter, &n);
	for (size_t i = 0; i < n; i++) {
		bool not = words[i].len > 1 && words[i].at[0] == '!';
		unsigned these = meant(filter, not ? slice_skip(words[i], 1) : words[i]) & ~decided;
		decided |= these;
		if (!not) in |= these;
	}
	if (n == 0) in = ALL & ~(unsigned)SASL_EXTERNAL;
	if (options != SETTINGS_COUNT) {
		words = conf_list(v, options, &n);
		for (size_t i = 0; i < n; i++) in &= ~forbidden(v, words[i]);
	}
	if (!conf_bool(v, SET_sasl_channel_binding)) in &= ~(unsigned)SASL_BINDING;
	if (conf_text(v, SET_sasl_oauth2_introspection_url).len == 0) /* nobody can judge a token */
		in &= ~(unsigned)(SASL_OAUTHBEARER | SASL_XOAUTH2);
	return in;
}
