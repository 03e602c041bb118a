/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_peer.h"
#include "net/tls_private.h"

#include <openssl/x509v3.h>

bool tls_peer_trusted(const struct tls *t) {
	return t != NULL && !SSL_in_init(t->ssl) && SSL_get0_peer_certificate(t->ssl) != NULL &&
	       SSL_get_verify_result(t->ssl) == X509_V_OK;
}

bool tls_peer_shown(const struct tls *t) {
	return t != NULL && !SSL_in_init(t->ssl) && SSL_get0_peer_certificate(t->ssl) != NULL;
}

bool tls_peer_emails(const struct tls *t, struct buf *out) {
	if (!tls_peer_trusted(t)) return false;
	size_t before = out->len;
	GENERAL_NAMES *names = X509_get_ext_d2i(SSL_get0_peer_certificate(t->ssl), NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_EMAIL) continue;
		struct slice email = slice_from(ASN1_STRING_get0_data(name->d.rfc822Name),
						(size_t)ASN1_STRING_length(name->d.rfc822Name));
		bool clean = email.len != 0 && slice_is_ascii(email);
		for (size_t k = 0; k < email.len; k++) clean = clean && email.at[k] > ' ' && email.at[k] < 127;
		if (clean) buf_addf(out, "%s%.*s", out->len != before ? " " : "", SLICE_ARG(email));
	}
	GENERAL_NAMES_free(names);
	return out->len != before;
}
