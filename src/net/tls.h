/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "net/remote_key.h"
/* TLS (RFC 8446, RFC 5246) over a non-blocking socket, both sides. OpenSSL is started at the first tls_server_new or
 * tls_client_new of the process: who needs no TLS pays nothing. A server or client object may be used by many threads;
 * a connection by one at a time. Never raises SIGPIPE; never renegotiates. */
struct tls_server;
struct tls_client;
struct tls; /* one connection; does not own its socket */

enum tls_version { TLS_VERSION_DEFAULT, TLS_1_0 = 0x0301, TLS_1_1, TLS_1_2, TLS_1_3 }; /* default: from 1.2, to 1.3 */

/* Who we are: a certificate chain, leaf first, and its key: as PEM here, or held by another process. */
struct tls_identity {
	struct slice chain_pem;
	struct slice key_pem;     /* empty: remote.sign makes the signatures */
	struct remote_key remote;
	struct slice server_name; /* who asks for this name is shown it, whatever names it holds; ".domain": names
				     below; empty: its own */
};

/* What both sides can set; zero and empty mean the default. Text is copied. */
struct tls_common {
	enum tls_version min, max;
	const char *ciphers;      /* TLS 1.2 and older, OpenSSL's cipher list syntax */
	const char *suites;       /* TLS 1.3 */
	const char *groups;       /* "X25519:P-256:…" */
	bool server_order;        /* of a server: its order of ciphers counts, not the client's */
	const char *alpn;         /* "imap" or "h2,http/1.1", in order of preference; NULL: not used */
};

/* REQUIRE: any; TRUSTED: one that leads to ca_file or ca_path, else the handshake fails. */
enum tls_client_cert { TLS_CLIENT_CERT_NONE, TLS_CLIENT_CERT_ASK, TLS_CLIENT_CERT_REQUIRE, TLS_CLIENT_CERT_TRUSTED };
struct tls_server_params {
	/* Chosen by SNI among the names in the certificates (SAN, wildcards match one label); the first one is used
	 * when no name fits. Several identities may hold the same names with keys of different kinds (RSA beside
	 * ECDSA). */
	const struct tls_identity *identities;
	size_t identities_count;
	struct tls_common common;
	enum tls_client_cert client_cert; /* checked by the caller: tls_info().trusted, tls_peer_digest() */
	const char *ca_file, *ca_path; /* whom to trust for client certificates; both NULL: nobody */
	bool system_roots;        /* … and the system's roots */
	unsigned depth;           /* certificates between the client's own and a root; 0: OpenSSL's limit */
	bool no_tickets;          /* default: stateless session tickets with a key made by this process */
};
int tls_server_new(const struct tls_server_params *params, struct tls_server **out); /* 0, or <0 fail() */
struct tls_server *tls_server_ref(struct tls_server *s) NONNULL_RESULT;
void tls_server_unref(struct tls_server **s); /* connections hold their own reference */

enum tls_verify {
	TLS_VERIFY_NONE, /* any certificate will do; whether it is trusted is still found out and told by tls_info() */
	TLS_VERIFY_CA,   /* chain leads to a trusted root; the name does not count */
	TLS_VERIFY_NAME, /* that, and the name fits: server_name, or those given with tls_expect_name */
};
struct tls_client_params {
	struct tls_common common;
	enum tls_verify verify;
	const char *ca_file, *ca_path; /* both NULL: the system's roots. "" as ca_file: none */
	bool system_roots;             /* … in addition to those files */
	unsigned depth;                /* certificates between the server's own and a root; 0: OpenSSL's limit */
	bool wildcard_labels;          /* *.example.org stands for a.b.example.org, too */
	const char *dane_digests;      /* "sha512 sha256", the best first: only its records count; NULL: that */
	const struct tls_identity *identities; /* our client certificates, of different kinds: the server chooses */
	size_t identities_count;
};
int tls_client_new(const struct tls_client_params *params, struct tls_client **out);
struct tls_client *tls_client_ref(struct tls_client *c) NONNULL_RESULT;
void tls_client_unref(struct tls_client **c);

struct tls *tls_accept(struct tls_server *s, int fd) NONNULL_RESULT;
/* server_name: sent as SNI and checked with TLS_VERIFY_NAME; NULL or an address literal: no SNI. */
struct tls *tls_connect(struct tls_client *c, int fd, const char *server_name) NONNULL_RESULT;
void tls_free(struct tls **t); /* says no goodbye: that is tls_shutdown */

/* Before the handshake of a client, to ask for more than its tls_client does: */
void tls_verify(struct tls *t, enum tls_verify how);
/* Another name that the certificate may have (".example.org": any name below). The first call replaces server_name. */
int tls_expect_name(struct tls *t, const char *name);
/* DANE (RFC 7672): one call for each usable TLSA record. From the first on, only these count, whatever verify says. 1:
 * the record is not usable (unknown parameters) and was passed over. Usages 0 and 1 are not usable for SMTP. */
int tls_expect_tlsa(struct tls *t, uint8_t usage, uint8_t selector, uint8_t matching, struct slice data);
/* Only chains that lead to one of these certificates, or to a certificate with one of these public keys (PEM), are
 * trusted; the tls_client's roots do not count. Before tls_expect_name. */
int tls_expect_anchors(struct tls *t, struct slice pem);
/* A certificate or public key with this digest is trusted, nothing else (Postfix's fingerprint level). */
int tls_expect_digest(struct tls *t, const char *digest_name, struct slice digest);

/* Each returns one of these, or <0 with fail() in words: "TLS handshake: certificate has expired". */
enum tls_result {
	TLS_OK,
	TLS_WANT_READ,  /* wait until the socket can be read, then call again with the same arguments … */
	TLS_WANT_WRITE, /* … or written; the buffer may have moved, its content may not have changed */
	TLS_CLOSED,     /* the other side ended: with close_notify, or by closing its socket between two records */
};
int tls_handshake(struct tls *t);
int tls_read(struct tls *t, void *to, size_t room, size_t *got);          /* *got > 0 with TLS_OK */
int tls_write(struct tls *t, const void *from, size_t len, size_t *put);  /* may take less than len */
bool tls_pending(const struct tls *t); /* bytes are decrypted and waiting: the poller would not tell */
int tls_shutdown(struct tls *t);       /* sends close_notify once, does not wait for the other's; WANT_READ never */

/* What was agreed, for log lines in Postfix's form. Text is valid as long as the connection. */
struct tls_info {
	const char *protocol, *cipher;         /* "TLSv1.3", "TLS_AES_256_GCM_SHA384" */
	int bits_used, bits_all;
	char key_exchange[48];                 /* "X25519", "ECDHE (prime256v1)" as Postfix writes it */
	char server_signature[48],
		server_digest[16]; /* "ECDSA (prime256v1)", "SHA256"; "" when a session was resumed */
	char client_signature[48], client_digest[16];
	bool resumed, peer_has_cert;
	bool trusted; /* the peer's chain leads to a trusted root (or DANE, or a digest, holds) */
	bool verified;                         /* and its name was asked for and fits */
	bool dane;                             /* verified by a TLSA record */
	const char *why_not;                   /* when not trusted: "certificate has expired", …; else NULL */
	const char *sni;                       /* what the client asked for, or NULL */
	char alpn[16];
};
void tls_info(struct tls *t, struct tls_info *out);
/* "Anonymous TLS connection established from|to WHO: TLSv1.3 with cipher … (256/256 bits) key-exchange X25519 …" */
void tls_info_line(struct buf *out, const struct tls_info *info, bool is_server, struct slice who);

/* Channel bindings for SCRAM-…-PLUS: RFC 9266 (32 bytes) and RFC 5929. False: not to be had. */
bool tls_binding_exporter(struct tls *t, struct buf *out);
bool tls_binding_end_point(struct tls *t, struct buf *out);
/* Digest of the peer's certificate, or of its public key; false when it sent none. */
bool tls_peer_digest(struct tls *t, const char *digest_name, bool of_public_key, struct buf *out);
/* The CN or first SAN of the peer's and its issuer's names, for logs and ccert maps; "" when there is none. */
bool tls_peer_names(struct tls *t, struct buf *subject, struct buf *issuer);

/* A P-256 key and a certificate for hostname that it signs itself, good for 10 years: what a server starts with. */
int tls_make_self_signed(const char *hostname, struct buf *cert_pem, struct buf *key_pem);

/* Looks at a pair before it is used. what names it in the texts: "mail.crt". */
enum tls_check { TLS_CHECK_OK, TLS_CHECK_EXPIRED, TLS_CHECK_NOT_YET_VALID }; /* the last two: usable, see fail_text() */
/* key_pem empty: not compared. */
int tls_check_identity(struct slice chain_pem, struct slice key_pem, const char *what);
/* When the leaf certificate ends, seconds since 1970; the names it holds, separated by blanks. <0: no certificate. */
int tls_cert_facts(struct slice chain_pem, int64_t *not_after, struct buf *names);
