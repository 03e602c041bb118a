/* SPDX-License-Identifier: Apache-2.0 */
/* One connection. OpenSSL's own socket BIO is not used, for two reasons: it writes without MSG_NOSIGNAL, and it sends
 * TLS 1.3's session tickets at once, in a packet of their own, though the client cannot do anything with them before
 * our first reply. Ours holds them back until that reply. */
#include "base/fail.h"
#include "net/tls_private.h"
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define HELD_MOST KIB(16)

static BIO_METHOD *wire_method; /* written once */
static pthread_once_t wire_once = PTHREAD_ONCE_INIT;

/* ---- the wire ---- */

static int wire_read(BIO *bio, char *to, size_t room, size_t *got) {
	struct tls *t = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	ssize_t n;
	do n = recv(t->fd, to, room, 0); while (n < 0 && errno == EINTR);
	if (n > 0) {
		*got = (size_t)n;
		return 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) BIO_set_retry_read(bio);
	else BIO_set_flags(bio, BIO_FLAGS_IN_EOF); /* a reset ends the connection as a close does */
	return 0;
}

static bool is_ticket(const struct tls *t) {
	return t->is_server && SSL_get_state(t->ssl) == TLS_ST_SW_SESSION_TICKET &&
	       SSL_version(t->ssl) == TLS1_3_VERSION;
}

static int wire_write(BIO *bio, const char *from, size_t len, size_t *put) {
	struct tls *t = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (is_ticket(t) && len <= HELD_MOST - t->held.len && buf_add(&t->held, slice_from(from, len))) {
		*put = len;
		return 1;
	}
	struct iovec parts[] = { { t->held.at, t->held.len }, { (void *)from, len } };
	size_t skipped = t->held.len == 0; /* of parts */
	struct msghdr message = { .msg_iov = parts + skipped, .msg_iovlen = 2 - skipped };
	ssize_t n;
	do n = sendmsg(t->fd, &message, MSG_NOSIGNAL); while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK) BIO_set_retry_write(bio);
		return 0;
	}
	size_t of_held = MIN_OF((size_t)n, t->held.len);
	buf_eat(&t->held, of_held);
	if (t->held.len == 0) buf_done(&t->held);
	*put = (size_t)n - of_held;
	if (*put != 0 || len == 0) return 1;
	BIO_set_retry_write(bio);
	return 0;
}

static long wire_ctrl(BIO *bio, int command, long number UNUSED, void *pointer UNUSED) {
	if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_PUSH || command == BIO_CTRL_POP;
}

static void wire_make(void) {
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
	must(m != NULL && BIO_meth_set_read_ex(m, wire_read) && BIO_meth_set_write_ex(m, wire_write) &&
		 BIO_meth_set_ctrl(m, wire_ctrl));
	wire_method = m;
}

/* ---- life ---- */

static struct tls *tls_new(SSL *ssl, int fd) {
	must(ssl != NULL);
	pthread_once(&wire_once, wire_make);
	struct tls *t = mem_get(sizeof *t);
	t->ssl = ssl;
	t->fd = fd;
	t->held = BUF(HELD_MOST);
	BIO *bio = BIO_new(wire_method);
	must(bio != NULL);
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	return t;
}

struct tls *tls_accept(struct tls_server *s, int fd) {
	struct tls *t = tls_new(tls_server_ssl(s), fd);
	t->server = tls_server_ref(s);
	t->is_server = true;
	SSL_set_accept_state(t->ssl);
	return t;
}

void tls_verify(struct tls *t, enum tls_verify how) {
	t->verify = how;
	SSL_set_verify(t->ssl, how == TLS_VERIFY_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	/* Who takes any certificate gains nothing from refusing weak ones: the other choice is plain text. */
	SSL_set_security_level(t->ssl,
			       how == TLS_VERIFY_NONE ? 0 : MIN_OF(2, SSL_CTX_get_security_level(t->client->ctx)));
}

static bool is_literal(const char *name) {
	unsigned char bytes[16];
	return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

struct tls *tls_connect(struct tls_client *c, int fd, const char *server_name) {
	struct tls *t = tls_new(SSL_new(c->ctx), fd);
	t->client = tls_client_ref(c);
	SSL_set_connect_state(t->ssl);
	SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
					  (c->wildcard_labels ? X509_CHECK_FLAG_MULTI_LABEL_WILDCARDS : 0u));
	if (server_name != NULL) t->server_name = mem_text(server_name);
	if (server_name != NULL && !is_literal(server_name)) SSL_set_tlsext_host_name(t->ssl, server_name);
	tls_verify(t, c->verify);
	ERR_clear_error();
	return t;
}

void tls_free(struct tls **tp) {
	struct tls *t = TAKE(*tp);
	if (t == NULL) return;
	SSL_free(t->ssl);
	tls_server_unref(&t->server);
	tls_client_unref(&t->client);
	for (struct tls_digest *d = t->digests, *next; d != NULL; d = next) {
		next = d->next;
		free(d);
	}
	buf_done(&t->held);
	free(t->server_name);
	free(t);
}

/* ---- what the certificate must be ---- */

int tls_expect_name(struct tls *t, const char *name) {
	int r = t->names == 0 ? SSL_set1_host(t->ssl, name) : SSL_add1_host(t->ssl, name);
	if (t->names != UINT8_MAX) t->names++;
	return r == 1 ? 0 : fail("TLS: \"%s\" is not a name", name);
}

int tls_expect_tlsa(struct tls *t, uint8_t usage, uint8_t selector, uint8_t matching, struct slice data) {
	if (usage < 2) return 1; /* RFC 7672 3.1.3 */
	if (!t->dane) {
		const char *name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
		if (SSL_dane_enable(t->ssl, name) != 1) return fail("DANE: cannot be started");
		SSL_dane_set_flags(t->ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS); /* RFC 7672 3.1.1 */
	}
	t->dane = true;
	int r = SSL_dane_tlsa_add(t->ssl, usage, selector, matching, (const unsigned char *)data.at, data.len);
	ERR_clear_error();
	if (r <= 0) return 1;
	tls_verify(t, TLS_VERIFY_NAME);
	return 0;
}

/* One block of PEM as a DANE-TA record of ours: certificate or public key. 1: something else. */
static int expect_anchor(struct tls *t, const char *title, struct slice der) {
	int selector = strcmp(title, PEM_STRING_X509) == 0 || strcmp(title, PEM_STRING_X509_TRUSTED) == 0 ? 0
	             : strcmp(title, PEM_STRING_PUBLIC) == 0 ? 1 : -1;
	return selector < 0 ? 1 : tls_expect_tlsa(t, 2, (uint8_t)selector, 0, der);
}

int tls_expect_anchors(struct tls *t, struct slice pem) {
	BIO *bio = BIO_new_mem_buf(pem.at, (int)MIN_OF(pem.len, MIB(16)));
	char *title = NULL, *header = NULL;
	unsigned char *der = NULL;
	long len = 0;
	size_t usable = 0;
	while (PEM_read_bio(bio, &title, &header, &der, &len) == 1) {
		usable += expect_anchor(t, title, slice_from(der, (size_t)len)) == 0;
		OPENSSL_free(title);
		OPENSSL_free(header);
		OPENSSL_free(der);
	}
	BIO_free(bio);
	ERR_clear_error();
	return usable != 0 ? 0 : fail("TLS trust anchors: neither a certificate nor a public key among them");
}

int tls_expect_digest(struct tls *t, const char *digest_name, struct slice digest) {
	const EVP_MD *md = EVP_get_digestbyname(digest_name);
	if (md == NULL || digest.len != (size_t)EVP_MD_get_size(md))
		return fail("TLS fingerprint: \"%s\" is unknown or its length is wrong", digest_name);
	struct tls_digest *d = mem_get(sizeof *d);
	*d = (struct tls_digest){ t->digests, md, digest.len, {0} };
	memcpy(d->bytes, digest.at, digest.len);
	t->digests = d;
	return 0;
}

static int check_digests(struct tls *t) {
	for (const struct tls_digest *d = t->digests; d != NULL && !t->digest_matched; d = d->next) {
		for (int of_key = 0; of_key < 2; of_key++) {
			AUTO_BUF struct buf have = BUF(EVP_MAX_MD_SIZE);
			if (tls_peer_digest(t, EVP_MD_get0_name(d->md), of_key, &have) &&
				slice_eq(buf_slice(&have), slice_from(d->bytes, d->len)))
				t->digest_matched = true;
		}
	}
	if (t->digests == NULL || t->digest_matched) return TLS_OK;
	return fail("TLS handshake: certificate has none of the expected fingerprints");
}

/* ---- work ---- */

const char *tls_error_words(char *room, size_t len) {
	static const struct { int lib, reason; const char *words;
	} known[] = {
		{ ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER, "the other side does not speak TLS" },
		{ ERR_LIB_SSL, SSL_R_HTTP_REQUEST, "the other side speaks HTTP, not TLS" },
		{ ERR_LIB_SSL, SSL_R_UNSUPPORTED_PROTOCOL,
		  "the other side offers no version of TLS that is allowed here" },
		{ ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER, "no cipher in common" },
	};
	unsigned long first = 0, e;
	const char *data;
	int flags;
	snprintf(room, len, "failed");
	while ((e = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
		int lib = ERR_GET_LIB(e), reason = ERR_GET_REASON(e);
		if (lib == ERR_LIB_USER && (flags & ERR_TXT_STRING) != 0)
			snprintf(room, len, "%s", data); /* of remote_key.c: better than the rest */
		if (lib == ERR_LIB_USER) break;
		if (first != 0) continue;
		first = e;
		const char *words = ERR_reason_error_string(e);
		for (size_t i = 0; i < LEN(known); i++)
			if (known[i].lib == lib && known[i].reason == reason) words = known[i].words;
		if (lib == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET)
			snprintf(room, len, "the other side refused: %s",
				SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
		else if (words != NULL)
			snprintf(room, len, "%s", words);
	}
	ERR_clear_error();
	return room;
}

static int result(struct tls *t, int r, const char *doing) {
	int error = SSL_get_error(t->ssl, r);
	char words[300];
	long verified;
	switch (error) {
	case SSL_ERROR_NONE: return TLS_OK;
	case SSL_ERROR_WANT_READ: return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE: return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN: return TLS_CLOSED;
	case SSL_ERROR_SYSCALL:
		if (ERR_peek_error() == 0) return TLS_CLOSED; /* the socket is gone, for whatever reason */
	}
	verified = SSL_get_verify_result(t->ssl);
	bool by_certificate =
		ERR_GET_REASON(ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK;
	tls_error_words(words, sizeof words);
	return fail("%s: %s", doing, by_certificate ? X509_verify_cert_error_string(verified) : words);
}

/* Late, because until the first step tls_verify and tls_expect_… may still change what is asked for. */
static int expect_server_name(struct tls *t) {
	if (t->is_server || t->verify != TLS_VERIFY_NAME || t->dane || t->names != 0 || !SSL_in_before(t->ssl))
		return 0;
	if (t->server_name == NULL)
		return fail("TLS: the certificate's name is to be checked, but there is none to compare with");
	if (!is_literal(t->server_name)) return tls_expect_name(t, t->server_name);
	return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), t->server_name) == 1 ? 0
											  : fail("TLS: bad address");
}

/* OpenSSL 3.5 keeps the client's ML-KEM key for as long as the connection: 7 KB that nobody needs any more. A key that
 * is given another type loses what it holds. */
static void forget_share(struct tls *t) {
	EVP_PKEY *key = NULL;
	if (!t->is_server || SSL_version(t->ssl) < TLS1_3_VERSION || SSL_get_peer_tmp_key(t->ssl, &key) != 1) return;
	const char *name = EVP_PKEY_get0_type_name(key);
	if (name != NULL && strstr(name, "MLKEM") != NULL) EVP_PKEY_set_type(key, EVP_PKEY_X25519);
	EVP_PKEY_free(key);
}

int tls_handshake(struct tls *t) {
	if (expect_server_name(t) < 0) return -1;
	ERR_clear_error();
	int r = result(t, SSL_do_handshake(t->ssl), "TLS handshake");
	if (r != TLS_OK) return r;
	forget_share(t);
	return check_digests(t);
}

int tls_read(struct tls *t, void *to, size_t room, size_t *got) {
	size_t n = 0;
	ERR_clear_error();
	int r = result(t, SSL_read_ex(t->ssl, to, room, &n), "TLS");
	if (r == TLS_OK) *got = n;
	return r;
}

int tls_write(struct tls *t, const void *from, size_t len, size_t *put) {
	size_t n = 0;
	if (len == 0) {
		*put = 0;
		return TLS_OK;
	}
	ERR_clear_error();
	int r = result(t, SSL_write_ex(t->ssl, from, len, &n), "TLS");
	if (r == TLS_OK) *put = n;
	return r;
}

bool tls_pending(const struct tls *t) {
	return SSL_pending(t->ssl) > 0;
}

int tls_shutdown(struct tls *t) {
	if (SSL_in_init(t->ssl)) return TLS_OK; /* nobody to say goodbye to */
	ERR_clear_error();
	int r = SSL_shutdown(t->ssl);
	if (r >= 0) return TLS_OK;
	r = result(t, r, "TLS");
	return r == TLS_WANT_READ ? TLS_OK : r;
}
