/* SPDX-License-Identifier: Apache-2.0 */
/* Grades of ciphers are OpenSSL's lists under Postfix's names. As long as nobody asks for anything, net/tls keeps its own list,
 * which leaves out more than Postfix's. */
#include "role/edge_tls.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/ask.h"

/* The private keys are vault's: a handshake asks it for each signature. */
static int sign_by_vault(void *ctx, uint64_t key, const struct remote_sign_request *request, struct buf *signature) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf packed = BUF(REMOTE_TBS_MAX * 2);
	remote_sign_request_pack(&packed, request);
	struct sign_answer answer;
	int r = ask_sign(ctx, &(struct sign_ask){ .key = key, .request = buf_slice(&packed) }, &mem, &answer);
	if (r != ASK_OK) return r < 0 ? r : fail("vault does not answer");
	if (answer.signature.len == 0) return fail("vault could not sign");
	return buf_add(signature, answer.signature) ? 0 : fail("signature too long");
}

static void set_versions(struct tls_common *c, const struct conf_view *v, enum setting_id id) {
	unsigned versions = conf_tls_versions(v, id);
	for (enum tls_version version = TLS_1_0; version <= TLS_1_3; version++) {
		if ((versions & 1u << (version - TLS_1_0)) == 0) continue;
		if (c->min == 0) c->min = version;
		c->max = version;
	}
}

static bool is_default(const struct conf_view *v, enum setting_id id) {
	return slice_eq(conf_text(v, id), slice_of(setting_of(id)->fallback));
}

/* ":!X" for each word. */
static void add_excluded(struct buf *out, const struct conf_view *v, enum setting_id id) {
	size_t count;
	const struct slice *words = conf_list(v, id, &count);
	for (size_t i = 0; i < count; i++) buf_addf(out, ":!%.*s", SLICE_ARG(words[i]));
}

/* NULL: nobody asks for anything. */
static const char *ciphers_of(const struct conf_view *v, bool required, struct arena *mem) {
	static const enum setting_id lists[] = {
		[TLS_GRADE_MEDIUM] = SET_tls_medium_cipherlist, [TLS_GRADE_HIGH] = SET_tls_high_cipherlist, [TLS_GRADE_LOW] = SET_tls_medium_cipherlist,
		[TLS_GRADE_EXPORT] = SET_tls_medium_cipherlist, [TLS_GRADE_NULL] = SET_tls_null_cipherlist,
	};
	AUTO_BUF struct buf list = BUF(KIB(8));
	enum setting_id id = lists[conf_enum(v, required ? SET_smtpd_tls_mandatory_ciphers : SET_smtpd_tls_ciphers)];
	bool own = id == SET_tls_medium_cipherlist && is_default(v, id);
	if (own) buf_addf(&list, "DEFAULT:!aDSS");
	else buf_add(&list, conf_text(v, id));
	size_t base = list.len;
	add_excluded(&list, v, SET_smtpd_tls_exclude_ciphers);
	if (required) add_excluded(&list, v, SET_smtpd_tls_mandatory_exclude_ciphers);
	return own && list.len == base ? NULL : arena_slice(mem, buf_slice(&list)).at;
}

/* Curves, then groups; NULL when both are as they were. */
static const char *groups_of(const struct conf_view *v, struct arena *mem) {
	static const enum setting_id ids[] = { SET_tls_eecdh_auto_curves, SET_tls_ffdhe_auto_groups };
	AUTO_BUF struct buf list = BUF(KIB(4));
	bool asked = false;
	for (size_t i = 0; i < LEN(ids); i++) {
		asked = asked || !is_default(v, ids[i]);
		struct slice rest = conf_text(v, ids[i]);
		for (struct slice word; (word = slice_word(&rest, ", \t\r\n:")).len != 0;) buf_addf(&list, "%s%.*s", list.len != 0 ? ":" : "", SLICE_ARG(word));
	}
	return asked && list.len != 0 ? arena_slice(mem, buf_slice(&list)).at : NULL;
}

/* Compression and renegotiation are never done. */
static void set_options(struct tls_server_params *p, const struct conf_view *v) {
	size_t count;
	const struct slice *words = conf_list(v, SET_tls_ssl_options, &count);
	for (size_t i = 0; i < count; i++) {
		if (slice_same(words[i], S("NO_TICKET"))) p->no_tickets = true;
		else if (!slice_same(words[i], S("NO_COMPRESSION")) && !slice_same(words[i], S("NO_RENEGOTIATION")))
			say(L_WARN, "smtpd", "tls_ssl_options: %.*s is left out (known here: NO_TICKET, NO_COMPRESSION, NO_RENEGOTIATION)", SLICE_ARG(words[i]));
	}
}

static const char *path_of(const struct conf_view *v, enum setting_id id) {
	struct slice path = conf_text(v, id);
	return path.len != 0 ? path.at : NULL;
}

static void wish(struct tls_server_params *p, const struct conf_view *v, bool required, struct arena *mem) {
	set_versions(&p->common, v, required ? SET_smtpd_tls_mandatory_protocols : SET_smtpd_tls_protocols);
	p->common.ciphers = ciphers_of(v, required, mem);
	p->common.groups = groups_of(v, mem);
	p->common.server_order = conf_bool(v, SET_tls_preempt_cipherlist);
	set_options(p, v);
	bool demands = conf_bool(v, SET_smtpd_tls_req_ccert), asks = demands || conf_bool(v, SET_smtpd_tls_ask_ccert);
	p->client_cert = demands && required ? TLS_CLIENT_CERT_TRUSTED : asks ? TLS_CLIENT_CERT_ASK : TLS_CLIENT_CERT_NONE;
	p->ca_file = path_of(v, SET_smtpd_tls_CAfile);
	p->ca_path = path_of(v, SET_smtpd_tls_CApath);
}

/* Two services with the same one can share. */
static struct slice key_of(const struct tls_server_params *p, struct arena *mem) {
#define TEXT_OR(s) ((s) != NULL ? (s) : "-")
	return arena_fmt(mem, "%d %d %d %d %d %s %s %s %s", (int)p->common.min, (int)p->common.max, p->common.server_order, p->no_tickets,
	                 (int)p->client_cert, TEXT_OR(p->common.ciphers), TEXT_OR(p->common.groups), TEXT_OR(p->ca_file), TEXT_OR(p->ca_path));
#undef TEXT_OR
}

int edge_tls_choose(struct edge_settings *s, struct service *sv, const struct conf_view *v, bool required, const struct boot *b,
		    const struct edge_outside *outside) {
	struct tls_identity list[IDENTITIES_MAX] = { 0 };
	struct tls_server_params p = { .identities = list, .identities_count = b->identity_count };
	if (b->identity_count == 0) return 0;
	wish(&p, v, required, &s->mem);
	struct slice key = key_of(&p, &s->mem);
	for (struct tls_variant *t = s->tls; t != NULL && sv->tls == NULL; t = t->next)
		if (slice_eq(t->key, key)) sv->tls = t->server;
	if (sv->tls != NULL) return 0;
	for (size_t i = 0; i < b->identity_count; i++) {
		list[i].chain_pem = slice_of(b->identities[i]);
		list[i].remote = (struct remote_key){ .sign = sign_by_vault, .ctx = outside->vault, .id = i };
	}
	struct tls_variant *made = arena_get(&s->mem, sizeof *made);
	if (tls_server_new(&p, &made->server) < 0) return -1;
	made->key = key;
	made->next = s->tls;
	s->tls = made;
	sv->tls = made->server;
	return 0;
}
