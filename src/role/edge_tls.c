/* SPDX-License-Identifier: Apache-2.0 */
/* Services with the same wishes share what was made for the first of them. */
#include "role/identity.h"
#include "role/edge_tls.h"
#include "base/fail.h"
#include "base/log.h"
#include "role/tls_settings.h"

/* NULL: nobody asks for anything. */
static const char *ciphers_of(const struct conf_view *v, bool required, struct arena *mem) {
	AUTO_BUF struct buf excluded = BUF(KIB(8));
	tls_excluded_add(&excluded, conf_text(v, SET_smtpd_tls_exclude_ciphers));
	if (required) tls_excluded_add(&excluded, conf_text(v, SET_smtpd_tls_mandatory_exclude_ciphers));
	int grade = conf_enum(v, required ? SET_smtpd_tls_mandatory_ciphers : SET_smtpd_tls_ciphers);
	return tls_cipher_list(v, grade, buf_slice(&excluded), mem);
}

/* Compression and renegotiation are never done. */
static void set_options(struct tls_server_params *p, const struct conf_view *v) {
	size_t count;
	const struct slice *words = conf_list(v, SET_tls_ssl_options, &count);
	for (size_t i = 0; i < count; i++) {
		if (slice_same(words[i], S("NO_TICKET"))) p->no_tickets = true;
		else if (!slice_same(words[i], S("NO_COMPRESSION")) && !slice_same(words[i], S("NO_RENEGOTIATION")))
			say(L_WARN, "smtpd",
			    "tls_ssl_options: %.*s is left out (known here: NO_TICKET, NO_COMPRESSION, "
			    "NO_RENEGOTIATION)",
			    SLICE_ARG(words[i]));
	}
}

static const char *path_of(const struct conf_view *v, enum setting_id id) {
	struct slice path = conf_text(v, id);
	return path.len != 0 ? path.at : NULL;
}

static void wish(struct tls_server_params *p, const struct conf_view *v, bool required, struct arena *mem) {
	tls_versions_set(&p->common,
			 conf_tls_versions(v, required ? SET_smtpd_tls_mandatory_protocols : SET_smtpd_tls_protocols));
	p->common.ciphers = ciphers_of(v, required, mem);
	p->common.groups = tls_group_list(v, mem);
	p->common.server_order = conf_bool(v, SET_tls_preempt_cipherlist);
	set_options(p, v);
	bool demands = conf_bool(v, SET_smtpd_tls_req_ccert), asks = demands || conf_bool(v, SET_smtpd_tls_ask_ccert);
	p->client_cert = demands && required ? TLS_CLIENT_CERT_TRUSTED
			 : asks              ? TLS_CLIENT_CERT_ASK
					     : TLS_CLIENT_CERT_NONE;
	p->ca_file = path_of(v, SET_smtpd_tls_CAfile);
	p->ca_path = path_of(v, SET_smtpd_tls_CApath);
	p->system_roots = conf_bool(v, SET_tls_append_default_CA);
	p->depth = tls_depth(v, SET_smtpd_tls_ccert_verifydepth);
}

/* Two services with the same one can share. */
static struct slice key_of(const struct tls_server_params *p, struct slice set, struct arena *mem) {
#define TEXT_OR(s) ((s) != NULL ? (s) : "-")
	return arena_fmt(mem, "%.*s\n%d %d %d %d %d %d %u %s %s %s %s", SLICE_ARG(set), (int)p->common.min,
			 (int)p->common.max, p->common.server_order, p->no_tickets, (int)p->client_cert,
			 p->system_roots, p->depth,
			 TEXT_OR(p->common.ciphers), TEXT_OR(p->common.groups), TEXT_OR(p->ca_file),
			 TEXT_OR(p->ca_path));
#undef TEXT_OR
}

/* Of all certificates those of one set, and those that are shown to who asks for their name. */
static size_t own_identities(const struct boot *b, struct slice set, const struct edge_outside *outside,
			     struct tls_identity *list) {
	size_t count = 0, of_set = 0;
	for (size_t i = 0; i < b->identity_count; i++) {
		struct slice text = slice_of(b->identities[i]), of = S(""), name = S("");
		if (slice_starts(text, S(IDENTITY_NAME)))
			name = slice_skip(slice_cut(&text, '\n'), sizeof IDENTITY_NAME - 1);
		else if (slice_starts(text, S(IDENTITY_SET)))
			of = slice_skip(slice_cut(&text, '\n'), sizeof IDENTITY_SET - 1);
		if (name.len == 0 && !slice_eq(of, set)) continue;
		of_set += name.len == 0;
		list[count++] =
			(struct tls_identity){ .server_name = name,
					       .chain_pem = text,
					       .remote = { .sign = sign_by_vault, .ctx = outside->vault, .id = i } };
	}
	return of_set != 0 ? count : 0;
}

int edge_tls_choose(struct edge_settings *s, struct service *sv, const struct conf_view *v, bool required,
		    const struct boot *b, const struct edge_outside *outside) {
	struct tls_identity list[IDENTITIES_MAX] = { 0 };
	struct slice set = identity_set_of(s->conf, v, &s->mem);
	struct tls_server_params p = { .identities = list };
	p.identities_count = own_identities(b, set, outside, list);
	if (p.identities_count == 0) return 0;
	wish(&p, v, required, &s->mem);
	struct slice key = key_of(&p, set, &s->mem);
	for (struct tls_variant *t = s->tls; t != NULL && sv->tls == NULL; t = t->next)
		if (slice_eq(t->key, key)) sv->tls = t->server;
	if (sv->tls != NULL) return 0;
	struct tls_variant *made = arena_get(&s->mem, sizeof *made);
	if (tls_server_new(&p, &made->server) < 0) return -1;
	made->key = key;
	made->next = s->tls;
	s->tls = made;
	sv->tls = made->server;
	return 0;
}
