/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates as files hold them. Whoever sets up a server meets these texts first, so each names the remedy. */
#include "base/fail.h"
#include "net/tls_private.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <arpa/inet.h>

#define CHAIN_MOST 32

static void chain_free(STACK_OF(X509) **chain) {
	sk_X509_pop_free(*chain, X509_free);
}

static void cert_free(X509 **cert) {
	X509_free(*cert);
}

static void bio_free(BIO **bio) {
	BIO_free(*bio);
}

static void pkey_free(EVP_PKEY **pkey) {
	EVP_PKEY_free(*pkey);
}

static void private_free(struct private_key **key) {
	private_key_free(key);
}

static BIO *bio_of(struct slice s) {
	BIO *bio = BIO_new_mem_buf(s.len != 0 ? s.at : "", (int)MIN_OF(s.len, MIB(1)));
	must(bio != NULL);
	return bio;
}

STACK_OF(X509) *tls_chain_read(struct slice pem) {
	OSSL_LIB_CTX *library = remote_key_library();
	if (library == NULL) return NULL;
	AUTO(bio_free) BIO *bio = bio_of(pem);
	STACK_OF(X509) *chain = sk_X509_new_null();
	while (sk_X509_num(chain) < CHAIN_MOST) {
		X509 *cert = X509_new_ex(library, NULL);
		if (PEM_read_bio_X509(bio, &cert, NULL, NULL) == NULL) {
			X509_free(cert);
			break;
		}
		sk_X509_push(chain, cert);
	}
	unsigned long e = ERR_peek_last_error();
	bool end = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	if (sk_X509_num(chain) != 0 && (end || sk_X509_num(chain) == CHAIN_MOST)) return chain;
	fail(end ? "no certificate in it (PEM: \"-----BEGIN CERTIFICATE-----\")" : "a certificate in it is damaged");
	chain_free(&chain);
	return NULL;
}

static void add_name(struct buf *out, const unsigned char *at, int len) {
	if (len <= 0 || len > 255) return;
	for (int i = 0; i < len; i++)
		if (at[i] <= ' ' || at[i] > '~') return;
	if (out->len != 0) buf_byte(out, ' ');
	for (int i = 0; i < len; i++) buf_byte(out, ascii_lower((char)at[i]));
}

void tls_cert_names(X509 *cert, struct buf *out) {
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type == GEN_DNS)
			add_name(out, ASN1_STRING_get0_data(name->d.dNSName), ASN1_STRING_length(name->d.dNSName));
	}
	bool any = names != NULL;
	GENERAL_NAMES_free(names);
	int at = any ? -1 : X509_NAME_get_index_by_NID(X509_get_subject_name(cert), NID_commonName, -1);
	if (at < 0) return;
	const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(X509_get_subject_name(cert), at));
	add_name(out, ASN1_STRING_get0_data(cn), ASN1_STRING_length(cn));
}

static int64_t seconds_of(const ASN1_TIME *t) {
	struct tm tm;
	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int tls_cert_facts(struct slice chain_pem, int64_t *not_after, struct buf *names) {
	AUTO(chain_free) STACK_OF(X509) *chain = tls_chain_read(chain_pem);
	if (chain == NULL) return -1;
	X509 *leaf = sk_X509_value(chain, 0);
	tls_cert_names(leaf, names);
	*not_after = seconds_of(X509_get0_notAfter(leaf));
	return 0;
}

static int check_key(X509 *leaf, struct slice key_pem) {
	AUTO(private_free) struct private_key *key = NULL;
	AUTO_BUF struct buf public = BUF(KIB(16));
	if (private_key_load(key_pem, &key) < 0 || private_key_public(key, &public) < 0) return -1;
	unsigned char *of_cert = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &of_cert);
	bool same = len > 0 && slice_eq(buf_slice(&public), slice_from(of_cert, (size_t)len));
	OPENSSL_free(of_cert);
	if (same) return 0;
	return fail("the private key does not match the certificate (or the certificate is not the first in its file)");
}

int tls_check_identity(struct slice chain_pem, struct slice key_pem, const char *what) {
	AUTO(chain_free) STACK_OF(X509) *chain = tls_chain_read(chain_pem);
	if (chain == NULL) return fail_add("%s", what);
	X509 *leaf = sk_X509_value(chain, 0);
	if (key_pem.len != 0 && check_key(leaf, key_pem) < 0) return fail_add("%s", what);
	const ASN1_TIME *from = X509_get0_notBefore(leaf), *to = X509_get0_notAfter(leaf);
	char day[32] = "";
	struct tm tm;
	bool expired = X509_cmp_current_time(to) < 0, early = X509_cmp_current_time(from) > 0;
	if (!expired && !early) return TLS_CHECK_OK;
	if (ASN1_TIME_to_tm(expired ? to : from, &tm) == 1) strftime(day, sizeof day, "%Y-%m-%d %H:%M UTC", &tm);
	fail(expired ? "%s: certificate expired on %s" : "%s: certificate is not valid before %s (is the clock right?)",
		what, day);
	return expired ? TLS_CHECK_EXPIRED : TLS_CHECK_NOT_YET_VALID;
}

static bool add_extension(X509 *cert, int nid, const char *value) {
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	bool ok = e != NULL && X509_add_ext(cert, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

static bool fill_cert(X509 *cert, EVP_PKEY *key, const char *hostname) {
	unsigned char serial[16], in6[16];
	AUTO_BUF struct buf san = BUF(KIB(1));
	ASN1_INTEGER *number = X509_get_serialNumber(cert);
	X509_NAME *name = X509_get_subject_name(cert);
	bool literal = inet_pton(AF_INET, hostname, in6) == 1 || inet_pton(AF_INET6, hostname, in6) == 1;
	buf_addf(&san, "%s:%s", literal ? "IP" : "DNS", hostname);
	random_fill(serial, sizeof serial);
	serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and never shorter */
	/* a CN holds 64 characters at most; what counts is the SAN */
	const char *cn = strlen(hostname) <= 64 ? hostname : "hato";
	return strpbrk(hostname, ",\n\r\\\" ") == NULL && hostname[0] != '\0' && X509_set_version(cert, 2) &&
	       ASN1_STRING_set(number, serial, sizeof serial) &&
	       X509_gmtime_adj(X509_getm_notBefore(cert), -24 * 3600L) != NULL &&
	       X509_time_adj_ex(X509_getm_notAfter(cert), 3650, 0, NULL) != NULL && X509_set_pubkey(cert, key) &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0) &&
	       X509_set_issuer_name(cert, name) && add_extension(cert, NID_subject_alt_name, buf_text(&san)) &&
	       add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(cert, NID_ext_key_usage, "serverAuth") && X509_sign(cert, key, EVP_sha256()) > 0;
}

static bool take_bio(BIO *bio, struct buf *out) {
	char *at = NULL;
	long len = BIO_get_mem_data(bio, &at);
	return len > 0 && buf_add(out, slice_from(at, (size_t)len));
}

int tls_make_self_signed(const char *hostname, struct buf *cert_pem, struct buf *key_pem) {
	OSSL_LIB_CTX *library = remote_key_library();
	if (library == NULL) return -1;
	AUTO(pkey_free) EVP_PKEY *key = EVP_PKEY_Q_keygen(library, NULL, "EC", "P-256");
	AUTO(cert_free) X509 *cert = X509_new_ex(library, NULL);
	AUTO(bio_free) BIO *cert_bio = BIO_new(BIO_s_mem());
	AUTO(bio_free) BIO *key_bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
	bool ok = key != NULL && cert != NULL && fill_cert(cert, key, hostname) && PEM_write_bio_X509(cert_bio, cert) &&
		  PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) &&
		  take_bio(cert_bio, cert_pem) && take_bio(key_bio, key_pem);
	ERR_clear_error();
	return ok ? 0 : fail("%s: self-signed certificate cannot be made (is that a host name?)", hostname);
}
