/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <openssl/ssl.h>
#include "base/encode.h"
#include "base/map.h"
#include "net/tls.h"
/* What the tls*.c files share. */

/* Digests of which one must be the peer's. */
struct tls_digest {
	struct tls_digest *next;
	const EVP_MD *md;
	size_t len;
	unsigned char bytes[EVP_MAX_MD_SIZE];
};

struct tls {
	SSL *ssl;
	struct tls_server *server; /* one of the two, with a reference */
	struct tls_client *client;
	int fd;
	bool is_server, dane, digest_matched;
	uint8_t names;             /* how many were expected; 255: many */
	enum tls_verify verify;
	char *server_name;         /* of a client; NULL: none */
	struct tls_digest *digests;
	struct buf held;           /* session tickets that wait for our next bytes */
};

struct tls_server {
	unsigned refs; /* atomic */
	struct map names;          /* name or "*.domain" → SSL_CTX, owned by contexts */
	SSL_CTX **contexts;        /* first: the one when no name fits */
	size_t contexts_count;
	unsigned char *alpn;       /* as on the wire: length, name, … */
	size_t alpn_len;
};

struct tls_client {
	unsigned refs; /* atomic */
	SSL_CTX *ctx;
	enum tls_verify verify;
	bool wildcard_labels;
};

SSL *tls_server_ssl(struct tls_server *s);
/* Certificates from PEM, leaf first; NULL with fail() when there is none. */
STACK_OF(X509) *tls_chain_read(struct slice pem);
void tls_cert_names(X509 *cert, struct buf *out); /* lower case, separated by blanks; CN when there is no SAN */
/* The oldest error in OpenSSL's queue for this thread, in words; empties the queue. */
const char *tls_error_words(char *room, size_t len);
