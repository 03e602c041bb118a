/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners and their certificates. Without a certificate a listener that merely offers TLS still serves, in the clear;
 * one that demands it would turn everybody away, which is better told at the start than to each client. */
#include "role/identity.h"

static const enum setting_id files[] = {
	SET_smtpd_tls_chain_files, SET_smtpd_tls_cert_file,  SET_smtpd_tls_key_file, SET_smtpd_tls_eccert_file,
	SET_smtpd_tls_eckey_file,
};

struct slice identity_set_of(const struct conf *c, const struct conf_view *v, struct arena *mem) {
	AUTO_BUF struct buf name = BUF(KIB(32));
	bool same = true;
	for (size_t i = 0; i < LEN(files); i++) {
		struct slice text = conf_text(v, files[i]);
		same = same && slice_eq(text, conf_text(conf_main(c), files[i]));
		buf_addf(&name, "%s%.*s", i != 0 ? "|" : "", SLICE_ARG(text));
	}
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] == '\n' || name.at[i] == '\r') name.at[i] = ' ';
	return same ? S("") : arena_slice(mem, buf_slice(&name));
}

/* What differs between the protocols is only the names of the settings. */
static bool needs_tls(const struct conf_view *v, enum service_role role) {
	enum setting_id wrapper = SET_smtpd_tls_wrappermode, level = SET_smtpd_tls_security_level,
			auth_only = SET_smtpd_tls_auth_only;
	if (role == SERVICE_IMAPD) {
		wrapper = SET_imapd_tls_wrappermode;
		level = SET_imapd_tls_security_level;
		auth_only = SET_imapd_tls_auth_only;
	} else if (role == SERVICE_POP3D) {
		wrapper = SET_pop3d_tls_wrappermode;
		level = SET_pop3d_tls_security_level;
		auth_only = SET_pop3d_tls_auth_only;
	}
	bool logs_in = role != SERVICE_SMTPD || conf_bool(v, SET_smtpd_sasl_auth_enable);
	if (conf_bool(v, wrapper) || conf_enum(v, level) == SERVER_TLS_ENCRYPT) return true;
	return conf_enum(v, level) != SERVER_TLS_NONE && logs_in && conf_bool(v, auth_only);
}

bool identity_set_needed(const struct conf *c, struct slice set, struct slice *who) {
	AUTO_ARENA struct arena mem = { 0 };
	size_t n;
	const struct conf_service *services = conf_services(c, &n);
	for (size_t i = 0; i < n; i++) {
		enum service_role role = services[i].role;
		if (role != SERVICE_SMTPD && role != SERVICE_IMAPD && role != SERVICE_POP3D) continue;
		const struct conf_view *v = conf_service_view(c, &services[i]);
		if (!slice_eq(identity_set_of(c, v, &mem), set) || !needs_tls(v, role)) continue;
		*who = services[i].name;
		return true;
	}
	return false;
}
