/* SPDX-License-Identifier: Apache-2.0 */
/* What a word of smtpd_sasl_security_options forbids, it forbids by the properties that Cyrus gives to a mechanism;
 * Dovecot's only say "plaintext" and the like, and mean the same. */
#include "role/edge_sasl.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/login.h"
#include "net/sasl_dovecot.h"
#include "role/edge_settings.h"
#include "role/routing_settings.h"

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

/* Dovecot. */

enum { DOVECOT_MS = 30000 }; /* it may have to start first, on a busy machine */

static const struct dovecot_wish *wish_of(const struct conf_view *v, enum setting_id options, struct arena *mem) {
	static const struct { const char *word; unsigned forbidden, needed; } words[] = {
		{ "noanonymous", DOVECOT_ANONYMOUS, 0 },
		{ "noplaintext", DOVECOT_PLAINTEXT, 0 },
		{ "nodictionary", DOVECOT_DICTIONARY, 0 },
		{ "noactive", DOVECOT_ACTIVE, 0 },
		{ "forward_secrecy", 0, DOVECOT_FORWARD_SECRECY },
		{ "mutual_auth", 0, DOVECOT_MUTUAL_AUTH },
	};
	struct dovecot_wish *w = arena_get(mem, sizeof *w);
	size_t n;
	const struct slice *list = conf_list(v, options, &n);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < LEN(words); k++)
			if (slice_same(list[i], slice_of(words[k].word)))
				w->forbidden |= words[k].forbidden, w->needed |= words[k].needed;
	w->filter = conf_list(v, SET_smtpd_sasl_mechanism_filter, &w->filter_count);
	return w;
}

/* Services that ask the same Dovecot share its connections. */
static int find_dovecot(struct edge_settings *s, const struct conf_view *v, const struct edge_outside *outside,
			struct dovecot **out) {
	struct slice place = conf_text(v, SET_smtpd_sasl_path), service = conf_text(v, SET_smtpd_sasl_service);
	struct slice key = arena_fmt(&s->mem, "%.*s %.*s", SLICE_ARG(place), SLICE_ARG(service));
	for (struct edge_dovecot *d = s->dovecots; d != NULL; d = d->next)
		if (slice_eq(d->key, key)) return *out = d->dovecot, 0;
	const struct dovecot_params params = { .place = place,
					       .queue_directory = conf_text(v, SET_queue_directory).at,
					       .service = service.at,
					       .dns = outside->dns,
					       .timeout_ms = DOVECOT_MS };
	struct edge_dovecot *made = arena_get(&s->mem, sizeof *made);
	if (dovecot_open(&params, &made->dovecot) < 0)
		return fail_add("smtpd_sasl_path: %.*s", SLICE_ARG(place));
	int absent = dovecot_absent(made->dovecot);
	if (absent != 0)
		say(absent == EACCES ? L_WARN : L_INFO, "auth",
		    "smtpd_sasl_path = %.*s: %s: SMTP log-ins are by hato's own accounts%s", SLICE_ARG(place),
		    strerror(absent),
		    absent == EACCES ? " (give Dovecot a unix_listener that this process can reach, or an "
				       "inet_listener)"
				     : " until a Dovecot listens there");
	made->key = key;
	made->next = s->dovecots;
	s->dovecots = made;
	*out = made->dovecot;
	return 0;
}

int edge_sasl_make(struct edge_settings *s, struct service *sv, const struct conf_view *v,
		   const struct edge_outside *outside) {
	struct certificate_map *map = arena_get(&s->mem, sizeof *map);
	map->maps = tables_of_list(s->tables, v, SET_sasl_external_cert_maps, 0, &s->mem);
	map->digest = conf_text(v, SET_smtpd_tls_fingerprint_digest).at;
	sv->certificates = map->maps.count != 0 ? map : NULL;
	if (sv->protocol != SERVES_SMTP) {
		sv->gate.any_certificate = sv->certificates != NULL;
		return 0;
	}
	sv->admit.certificates = sv->certificates;
	sv->smtp.auth_any_certificate = sv->certificates != NULL;
	sv->smtp.auth_tls_only = conf_bool(v, SET_smtpd_tls_auth_only);
	if (!slice_same(conf_text(v, SET_smtpd_sasl_type), S("dovecot")) || !conf_bool(v, SET_smtpd_sasl_auth_enable))
		return 0;
	sv->admit.dovecot_clear = wish_of(v, SET_smtpd_sasl_security_options, &s->mem);
	sv->admit.dovecot_tls = wish_of(v, SET_smtpd_sasl_tls_security_options, &s->mem);
	return find_dovecot(s, v, outside, &sv->admit.dovecot);
}
