/* SPDX-License-Identifier: Apache-2.0 */
/* What a handshake agreed on, in the words that Postfix logs and its users grep for. */
#include "base/fail.h"
#include "net/tls_private.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>

#define SIGNATURE_ROOM sizeof(((struct tls_info *)0)->server_signature)
#define DIGEST_ROOM sizeof(((struct tls_info *)0)->server_digest)

static void name_key_exchange(SSL *ssl, char *to, size_t room) {
	EVP_PKEY *key = NULL;
	char group[32] = "";
	to[0] = '\0';
#if OPENSSL_VERSION_NUMBER >= 0x30200000
	const char *agreed = SSL_get0_group_name(ssl); /* of these one side has no key, the other forgot it */
	if (agreed != NULL && strstr(agreed, "MLKEM") != NULL) {
		snprintf(to, room, "%s", agreed);
		return;
	}
#endif
	if (SSL_get_peer_tmp_key(ssl, &key) != 1 || key == NULL) return;
	if (EVP_PKEY_is_a(key, "EC")) {
		EVP_PKEY_get_group_name(key, group, sizeof group, NULL);
		snprintf(to, room, "ECDHE (%s)", group);
	} else if (EVP_PKEY_is_a(key, "DH")) {
		snprintf(to, room, "DHE (%d bits)", EVP_PKEY_get_bits(key));
	} else {
		snprintf(to, room, "%s", EVP_PKEY_get0_type_name(key));
	}
	EVP_PKEY_free(key);
}

static void name_signature(const EVP_PKEY *key, int type_nid, char *to, size_t room) {
	char group[32] = "";
	if (EVP_PKEY_is_a(key, "RSA")) {
		snprintf(to, room, "%s (%d bits)", type_nid == EVP_PKEY_RSA_PSS ? "RSA-PSS" : "RSA",
			 EVP_PKEY_get_bits(key));
	} else if (EVP_PKEY_is_a(key, "EC")) {
		EVP_PKEY_get_group_name(key, group, sizeof group, NULL);
		snprintf(to, room, "ECDSA (%s)", group);
	} else {
		snprintf(to, room, "%s", OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
	}
}

/* The signature that one side made in this handshake, with its certificate's key. */
static void name_signature_of(struct tls *t, bool own, char signature[SIGNATURE_ROOM], char digest[DIGEST_ROOM]) {
	const X509 *cert = own ? SSL_get_certificate(t->ssl) : SSL_get0_peer_certificate(t->ssl);
	int type = NID_undef, hash = NID_undef;
	if (cert == NULL || !(own ? SSL_get_signature_type_nid : SSL_get_peer_signature_type_nid)(t->ssl, &type))
		return;
	name_signature(X509_get0_pubkey(cert), type, signature, SIGNATURE_ROOM);
	bool known = own ? SSL_get_signature_nid(t->ssl, &hash) : SSL_get_peer_signature_nid(t->ssl, &hash);
	if (known && hash != NID_undef) snprintf(digest, DIGEST_ROOM, "%s", OBJ_nid2sn(hash));
}

/* Only TLS 1.3: what Postfix logs. */
static void name_handshake(struct tls *t, struct tls_info *i) {
	if (SSL_version(t->ssl) < TLS1_3_VERSION) return;
	name_key_exchange(t->ssl, i->key_exchange, sizeof i->key_exchange);
	if (i->resumed) return; /* nobody signed */
	name_signature_of(t, t->is_server, i->server_signature, i->server_digest);
	name_signature_of(t, !t->is_server, i->client_signature, i->client_digest);
}

static void judge_peer(struct tls *t, struct tls_info *i) {
	long verified = SSL_get_verify_result(t->ssl);
	i->peer_has_cert = SSL_get0_peer_certificate(t->ssl) != NULL;
	if (!i->peer_has_cert) return;
	i->trusted = verified == X509_V_OK || t->digest_matched;
	i->why_not = i->trusted ? NULL : X509_verify_cert_error_string(verified);
	i->dane = t->dane && verified == X509_V_OK && SSL_get0_dane_authority(t->ssl, NULL, NULL) >= 0;
	i->verified = i->trusted && (t->verify == TLS_VERIFY_NAME || i->dane || t->digest_matched);
}

void tls_info(struct tls *t, struct tls_info *out) {
	struct tls_info i = {0};
	const unsigned char *alpn;
	unsigned alpn_len;
	i.protocol = SSL_get_version(t->ssl);
	i.cipher = SSL_get_cipher_name(t->ssl);
	i.bits_used = SSL_CIPHER_get_bits(SSL_get_current_cipher(t->ssl), &i.bits_all);
	i.resumed = SSL_session_reused(t->ssl);
	i.sni = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
	name_handshake(t, &i);
	judge_peer(t, &i);
	SSL_get0_alpn_selected(t->ssl, &alpn, &alpn_len);
	snprintf(i.alpn, sizeof i.alpn, "%.*s", (int)alpn_len, alpn_len != 0 ? (const char *)alpn : "");
	ERR_clear_error();
	*out = i;
}

void tls_info_line(struct buf *out, const struct tls_info *i, bool is_server, struct slice who) {
	const char *level = i->trusted ? "Trusted" : "Untrusted";
	if (!i->peer_has_cert) level = "Anonymous";
	else if (i->verified && !is_server) level = "Verified";
	buf_addf(out, "%s TLS connection established %s %.*s: %s with cipher %s (%d/%d bits)", level,
		is_server ? "from" : "to", SLICE_ARG(who), i->protocol, i->cipher, i->bits_used, i->bits_all);
	const struct { const char *key, *value; } parts[] = {
		{ "key-exchange", i->key_exchange }, { "server-signature", i->server_signature },
		{ "server-digest", i->server_digest }, { "client-signature", i->client_signature },
		{ "client-digest", i->client_digest } };
	for (size_t n = 0; n < LEN(parts); n++)
		if (parts[n].value[0] != '\0') buf_addf(out, " %s %s", parts[n].key, parts[n].value);
}

bool tls_binding_exporter(struct tls *t, struct buf *out) {
	static const char label[] = "EXPORTER-Channel-Binding";
	unsigned char bytes[32];
	/* before TLS 1.3 the secret is bound to the connection only with RFC 7627 */
	if (SSL_in_init(t->ssl) || (SSL_version(t->ssl) < TLS1_3_VERSION && SSL_get_extms_support(t->ssl) != 1))
		return false;
	return SSL_export_keying_material(t->ssl, bytes, sizeof bytes, label, sizeof label - 1, NULL, 0, 0) == 1 &&
	       buf_add(out, slice_from(bytes, sizeof bytes));
}

bool tls_binding_end_point(struct tls *t, struct buf *out) {
	X509 *cert = t->is_server ? SSL_get_certificate(t->ssl) : SSL_get0_peer_certificate(t->ssl);
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	int nid = NID_undef;
	/* RFC 5929 4.1: the digest of the certificate's own signature, SHA-256 for the weak ones; none for Ed25519 */
	if (cert == NULL || X509_get_signature_info(cert, &nid, NULL, NULL, NULL) != 1 || nid == NID_undef)
		return false;
	const EVP_MD *md = nid == NID_md5 || nid == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(nid);
	return md != NULL && X509_digest(cert, md, bytes, &len) == 1 && buf_add(out, slice_from(bytes, len));
}

bool tls_peer_digest(struct tls *t, const char *digest_name, bool of_public_key, struct buf *out) {
	X509 *cert = SSL_get0_peer_certificate(t->ssl);
	const EVP_MD *md = EVP_get_digestbyname(digest_name);
	unsigned char bytes[EVP_MAX_MD_SIZE], *der = NULL;
	unsigned len = 0;
	if (cert == NULL || md == NULL) return false;
	if (!of_public_key) return X509_digest(cert, md, bytes, &len) == 1 && buf_add(out, slice_from(bytes, len));
	int der_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	bool ok = der_len > 0 && EVP_Digest(der, (size_t)der_len, bytes, &len, md, NULL) == 1 &&
	          buf_add(out, slice_from(bytes, len));
	OPENSSL_free(der);
	return ok;
}

static void add_cn(const X509_NAME *name, struct buf *out) {
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	unsigned char *utf8 = NULL;
	int len = at < 0 ? -1 : ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	for (int i = 0; i < len && i < 256; i++) buf_byte(out, ascii_control((char)utf8[i]) ? '?' : (char)utf8[i]);
	OPENSSL_free(utf8);
}

bool tls_peer_names(struct tls *t, struct buf *subject, struct buf *issuer) {
	X509 *cert = SSL_get0_peer_certificate(t->ssl);
	if (cert == NULL) return false;
	AUTO_BUF struct buf names = BUF(KIB(64));
	add_cn(X509_get_subject_name(cert), subject);
	tls_cert_names(cert, &names);
	if (subject->len == 0) buf_add(subject, slice_head(buf_slice(&names), slice_find(buf_slice(&names), ' ')));
	add_cn(X509_get_issuer_name(cert), issuer);
	return true;
}
