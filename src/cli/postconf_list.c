/* SPDX-License-Identifier: Apache-2.0 */
/* What Postfix tells of how it was built, told of hato. */
#include "cli/postconf.h"
#include "conf/table.h"

#include <openssl/crypto.h>
#include <openssl/opensslv.h>

static int put_lines(const char *const *lines) {
	for (; *lines != NULL; lines++) puts(*lines);
	return POSTCONF_GOOD;
}

static int tls(const struct postconf *p) {
	static const char *const algorithms[] = { "rsa", "ecdsa", "ed25519", "ed448", NULL };
	struct slice mode = slice_of(p->tls_mode);
	if (slice_eq(mode, S("compile-version"))) return puts(OPENSSL_VERSION_TEXT), POSTCONF_GOOD;
	if (slice_eq(mode, S("run-version"))) return puts(OpenSSL_version(OPENSSL_VERSION)), POSTCONF_GOOD;
	if (slice_eq(mode, S("public-key-algorithms"))) return put_lines(algorithms);
	if (!p->quiet) postconf_warn(p, "unknown 'postconf -T' mode: %s", p->tls_mode);
	return POSTCONF_FATAL;
}

int postconf_list(const struct postconf *p) {
	static const char *const server_sasl[] = { "cyrus", "dovecot", NULL }, *const client_sasl[] = { "cyrus", NULL },
		*const locks[] = { "flock", "fcntl", "dotlock", NULL };
	switch (p->list) {
	case 'a': return put_lines(server_sasl);
	case 'A': return put_lines(client_sasl);
	case 'l': return put_lines(locks);
	case 'T': return tls(p);
	case 'm': return put_lines(table_types());
	default: return postconf_templates(p);
	}
}
