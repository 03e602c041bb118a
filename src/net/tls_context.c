/* SPDX-License-Identifier: Apache-2.0 */
/* What all connections of one server or client have in common. Each set of names has its own SSL_CTX, and SNI switches
 * between them; session tickets stay with the first one, so that a client may come back whatever name it says. */
#include "base/fail.h"
#include "net/tls_private.h"
#include <openssl/err.h>
#include <pthread.h>

/* RSA key exchange (kRSA) would need the key to decrypt, and has no forward secrecy. */
#define SERVER_CIPHERS "DEFAULT:!kRSA:!PSK:!SRP:!aDSS"
#define CLIENT_CIPHERS "DEFAULT:!PSK:!SRP"
#define TICKET_KEYS_LEN 80 /* OpenSSL 3: name 16, HMAC 32, AES 32 */

/* One for all servers of the process, so that tickets survive a reload; written once. */
static unsigned char ticket_keys[TICKET_KEYS_LEN];
static pthread_once_t ticket_keys_once = PTHREAD_ONCE_INIT;

static void ticket_keys_make(void) {
	random_fill(ticket_keys, sizeof ticket_keys);
}

static int openssl_failed(const char *what) {
	char words[200];
	return fail("%s: %s", what, tls_error_words(words, sizeof words));
}

/* ---- settings of both sides ---- */

static int set_ciphers(SSL_CTX *ctx, const struct tls_common *c, bool is_server) {
	AUTO_BUF struct buf list = BUF(KIB(8));
	if (c->ciphers == NULL || c->ciphers[0] == '\0')
		buf_addf(&list, "%s", is_server ? SERVER_CIPHERS : CLIENT_CIPHERS);
	else buf_addf(&list, "%s%s", c->ciphers, is_server ? ":!kRSA:!PSK:!SRP" : ":!PSK:!SRP");
	if (SSL_CTX_set_cipher_list(ctx, buf_text(&list)) != 1)
		return fail("TLS cipher list \"%s\": no usable cipher in it", buf_text(&list));
	if (c->suites != NULL && SSL_CTX_set_ciphersuites(ctx, c->suites) != 1)
		return fail("TLS 1.3 cipher suites \"%s\": not known", c->suites);
	if (c->groups != NULL && SSL_CTX_set1_groups_list(ctx, c->groups) != 1)
		return fail("TLS groups \"%s\": not known", c->groups);
	return 0;
}

static int context_new(const struct tls_common *c, bool is_server, SSL_CTX **out) {
	OSSL_LIB_CTX *library = remote_key_library();
	if (library == NULL) return -1;
	SSL_CTX *ctx =
		SSL_CTX_new_ex(library, "?provider=default", is_server ? TLS_server_method() : TLS_client_method());
	if (ctx == NULL) return openssl_failed("TLS");
	int min = c->min == TLS_VERSION_DEFAULT ? TLS_1_2 : (int)c->min;
	SSL_CTX_set_min_proto_version(ctx, min);
	SSL_CTX_set_max_proto_version(ctx, (int)c->max);
	/* what is older than TLS 1.2 signs with SHA-1, which every higher level forbids */
	if (min < TLS_1_2) SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(
		ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_read_ahead(ctx, 0);
	if (c->server_order) SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	if (set_ciphers(ctx, c, is_server) < 0) {
		SSL_CTX_free(ctx);
		return -1;
	}
	*out = ctx;
	return 0;
}

static int use_roots(SSL_CTX *ctx, const char *file, const char *path, bool system, unsigned depth) {
	if (depth != 0) SSL_CTX_set_verify_depth(ctx, (int)MIN_OF(depth, (unsigned)INT_MAX));
	if (file != NULL && file[0] != '\0' && SSL_CTX_load_verify_file(ctx, file) != 1) return openssl_failed(file);
	if (path != NULL && path[0] != '\0' && SSL_CTX_load_verify_dir(ctx, path) != 1) return openssl_failed(path);
	if (system) SSL_CTX_set_default_verify_paths(ctx);
	ERR_clear_error();
	return 0;
}

static EVP_PKEY *identity_key(const struct tls_identity *id, X509 *leaf) {
	if (id->key_pem.len == 0) return remote_key_new(&id->remote, X509_get0_pubkey(leaf));
	struct private_key *checked = NULL; /* for its texts */
	if (private_key_load(id->key_pem, &checked) < 0) return NULL;
	private_key_free(&checked);
	BIO *bio = BIO_new_mem_buf(id->key_pem.at, (int)MIN_OF(id->key_pem.len, MIB(1)));
	EVP_PKEY *key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, remote_key_library(), NULL);
	BIO_free(bio);
	return key;
}

static int use_identity(SSL_CTX *ctx, const struct tls_identity *id, STACK_OF(X509) *chain) {
	X509 *leaf = sk_X509_value(chain, 0);
	EVP_PKEY *key = identity_key(id, leaf);
	if (key == NULL) return -1;
	STACK_OF(X509) *rest = sk_X509_new_null();
	for (int i = 1; i < sk_X509_num(chain); i++) sk_X509_push(rest, sk_X509_value(chain, i));
	int r = SSL_CTX_use_cert_and_key(ctx, leaf, key, rest, 1);
	if (r == 1 && SSL_CTX_check_private_key(ctx) != 1) r = 0;
	sk_X509_free(rest);
	EVP_PKEY_free(key);
	return r == 1 ? 0 : openssl_failed("certificate and key");
}

/* "a,b" as length-prefixed names. */
static int alpn_wire(const char *list, unsigned char **out, size_t *len) {
	AUTO_BUF struct buf wire = BUF(255);
	struct slice rest = slice_of(list);
	while (rest.at != NULL) {
		struct slice name = slice_cut(&rest, ',');
		if (name.len == 0 || name.len > 15) return fail("ALPN \"%s\": bad name in the list", list);
		buf_byte(&wire, (char)name.len);
		buf_add(&wire, name);
	}
	if (wire.full) return fail("ALPN \"%s\": too long", list);
	*out = mem_get(wire.len);
	memcpy(*out, wire.at, wire.len);
	*len = wire.len;
	return 0;
}

/* ---- server ---- */

/* room: a byte, then the name, whose letters are left as they were. */
static SSL_CTX *given_context(const struct tls_server *s, char *room, struct slice name) {
	char parent[260];
	room[0] = '=';
	SSL_CTX *ctx = map_get(&s->names, slice_from(room, name.len + 1));
	for (size_t dot = slice_find(name, '.'); ctx == NULL && dot < name.len;
	     dot += 1 + slice_find(slice_skip(name, dot + 1), '.')) {
		int n = snprintf(parent, sizeof parent, "=*%.*s", SLICE_ARG(slice_skip(name, dot)));
		ctx = map_get(&s->names, slice_from(parent, (size_t)n));
	}
	return ctx;
}

static SSL_CTX *context_for_name(const struct tls_server *s, struct slice name) {
	char room[256], *lower = room + 1;
	if (name.len == 0 || name.len >= sizeof room - 1) return NULL;
	for (size_t i = 0; i < name.len; i++) lower[i] = ascii_lower(name.at[i]);
	struct slice key = slice_from(lower, name.len - (lower[name.len - 1] == '.'));
	SSL_CTX *ctx = given_context(s, room, key);
	if (ctx != NULL) return ctx;
	ctx = map_get(&s->names, key);
	size_t dot = slice_find(key, '.');
	if (ctx != NULL || dot == 0 || dot >= key.len) return ctx;
	lower[dot - 1] = '*';
	return map_get(&s->names, slice_skip(key, dot - 1));
}

static int choose_by_name(SSL *ssl, int *alert UNUSED, void *server) {
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	SSL_CTX *ctx = name != NULL ? context_for_name(server, slice_of(name)) : NULL;
	if (ctx != NULL && ctx != SSL_get_SSL_CTX(ssl)) SSL_set_SSL_CTX(ssl, ctx);
	return SSL_TLSEXT_ERR_OK;
}

static int choose_alpn(SSL *ssl UNUSED, const unsigned char **out, unsigned char *len, const unsigned char *offer,
	unsigned offer_len, void *server) {
	const struct tls_server *s = server;
	int r = SSL_select_next_proto((unsigned char **)out, len, s->alpn, (unsigned)s->alpn_len, offer, offer_len);
	/* RFC 7301 3.2; this also stops ALPACA */
	return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Any client certificate is let in: the caller asks tls_info() and tls_peer_digest() what it is worth. */
static int let_in(int ok UNUSED, X509_STORE_CTX *store UNUSED) {
	return 1;
}

static int server_context(struct tls_server *s, const struct tls_server_params *p, SSL_CTX **out) {
	static const unsigned char session_context[] = "hato";
	SSL_CTX *ctx = NULL;
	if (context_new(&p->common, true, &ctx) < 0) return -1;
	*out = ctx;
	SSL_CTX_set_dh_auto(ctx, 1);
	SSL_CTX_set_num_tickets(ctx, p->no_tickets ? 0 : 1);
	if (p->no_tickets) SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	pthread_once(&ticket_keys_once, ticket_keys_make);
	SSL_CTX_set_tlsext_ticket_keys(ctx, ticket_keys, sizeof ticket_keys);
	SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1);
	SSL_CTX_set_tlsext_servername_callback(ctx, choose_by_name);
	SSL_CTX_set_tlsext_servername_arg(ctx, s);
	if (s->alpn != NULL) SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, s);
	if (p->client_cert == TLS_CLIENT_CERT_NONE) return 0;
	int mode = SSL_VERIFY_PEER | (p->client_cert != TLS_CLIENT_CERT_ASK ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
	SSL_CTX_set_verify(ctx, mode, p->client_cert == TLS_CLIENT_CERT_TRUSTED ? NULL : let_in);
	/* many clients show a certificate only to who names its issuer */
	if (p->ca_file != NULL) SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(p->ca_file));
	return use_roots(ctx, p->ca_file, p->ca_path, p->system_roots, p->depth);
}

/* Has the context a key of this kind? */
static bool context_has_kind(SSL_CTX *ctx, X509 *leaf) {
	bool found = false;
	const EVP_PKEY *want = X509_get0_pubkey(leaf);
	for (long set = SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_FIRST); set == 1 && !found;
	     set = SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_NEXT))
		found = EVP_PKEY_get_base_id(X509_get0_pubkey(SSL_CTX_get0_certificate(ctx))) ==
			EVP_PKEY_get_base_id(want);
	return found;
}

/* Names that were given go before those in certificates: "=" marks their own places. */
static int server_add_named(struct tls_server *s, const struct tls_server_params *p, const struct tls_identity *id) {
	STACK_OF(X509) *chain = tls_chain_read(id->chain_pem);
	AUTO_BUF struct buf key = BUF(300);
	if (chain == NULL) return -1;
	buf_addf(&key, slice_starts(id->server_name, S(".")) ? "=*" : "=");
	for (size_t i = 0; i < id->server_name.len; i++) buf_byte(&key, ascii_lower(id->server_name.at[i]));
	SSL_CTX *ctx = map_get(&s->names, buf_slice(&key));
	int r = 0;
	if (ctx == NULL || context_has_kind(ctx, sk_X509_value(chain, 0))) {
		ctx = NULL;
		r = server_context(s, p, &ctx);
		if (ctx != NULL) s->contexts[s->contexts_count++] = ctx;
	}
	if (r == 0) r = use_identity(ctx, id, chain);
	if (r == 0) map_put(&s->names, buf_slice(&key), ctx);
	sk_X509_pop_free(chain, X509_free);
	return r;
}

static int server_add(struct tls_server *s, const struct tls_server_params *p, const struct tls_identity *id) {
	if (id->server_name.len != 0) return server_add_named(s, p, id);
	STACK_OF(X509) *chain = tls_chain_read(id->chain_pem);
	if (chain == NULL) return -1;
	X509 *leaf = sk_X509_value(chain, 0);
	AUTO_BUF struct buf names = BUF(KIB(64));
	tls_cert_names(leaf, &names);
	struct slice rest = buf_slice(&names), first = slice_head(rest, slice_find(rest, ' '));
	/* beside a key of another kind for the same name, or in a place of its own */
	SSL_CTX *ctx = map_get(&s->names, first);
	int r = 0;
	if (ctx == NULL || context_has_kind(ctx, leaf)) {
		ctx = NULL;
		r = server_context(s, p, &ctx);
		if (ctx != NULL) s->contexts[s->contexts_count++] = ctx;
	}
	if (r == 0) r = use_identity(ctx, id, chain);
	for (struct slice name = slice_word(&rest, " "); r == 0 && name.len != 0; name = slice_word(&rest, " "))
		if (map_get(&s->names, name) == NULL) map_put(&s->names, name, ctx);
	sk_X509_pop_free(chain, X509_free);
	return r;
}

int tls_server_new(const struct tls_server_params *p, struct tls_server **out) {
	if (p->identities_count == 0) return fail("TLS server: no certificate");
	struct tls_server *s = mem_get(sizeof *s);
	s->refs = 1;
	s->contexts = mem_array(p->identities_count, sizeof *s->contexts);
	int r = p->common.alpn != NULL ? alpn_wire(p->common.alpn, &s->alpn, &s->alpn_len) : 0;
	for (size_t i = 0; i < p->identities_count && r == 0; i++) r = server_add(s, p, &p->identities[i]);
	if (r < 0) {
		tls_server_unref(&s);
		return -1;
	}
	*out = s;
	return 0;
}

SSL *tls_server_ssl(struct tls_server *s) {
	return SSL_new(s->contexts[0]);
}

struct tls_server *tls_server_ref(struct tls_server *s) {
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void tls_server_unref(struct tls_server **sp) {
	struct tls_server *s = TAKE(*sp);
	if (s == NULL || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) != 0) return;
	for (size_t i = 0; i < s->contexts_count; i++) SSL_CTX_free(s->contexts[i]);
	map_done(&s->names, NULL);
	free(s->contexts);
	free(s->alpn);
	free(s);
}

/* ---- client ---- */

/* A record with a digest is passed over where there is one with a better digest (RFC 7671 §9). */
static int set_dane_digests(SSL_CTX *ctx, struct slice words) {
	static const struct {
		struct slice name;
		uint8_t matching;
	} known[] = { { { "sha256", 6 }, 1 }, { { "sha512", 6 }, 2 } };
	struct slice word;
	uint8_t rank = LEN(known);
	for (size_t i = 0; i < LEN(known); i++) SSL_CTX_dane_mtype_set(ctx, NULL, known[i].matching, 0);
	while ((word = slice_word(&words, ", \t")).len != 0) {
		size_t i = 0;
		while (i < LEN(known) && !slice_same(word, known[i].name)) i++;
		if (i == LEN(known))
			return fail("tls_dane_digests: \"%.*s\" is no digest of DANE's (sha256, sha512)",
				    SLICE_ARG(word));
		const EVP_MD *digest = known[i].matching == 1 ? EVP_sha256() : EVP_sha512();
		if (rank != 0) SSL_CTX_dane_mtype_set(ctx, digest, known[i].matching, rank--);
	}
	return 0;
}

static int client_context(const struct tls_client_params *p, SSL_CTX *ctx) {
	AUTO_FREE unsigned char *alpn = NULL;
	size_t alpn_len = 0;
	if (SSL_CTX_dane_enable(ctx) != 1) return openssl_failed("DANE");
	if (p->dane_digests != NULL && set_dane_digests(ctx, slice_of(p->dane_digests)) < 0) return -1;
	bool system = p->system_roots || (p->ca_file == NULL && p->ca_path == NULL);
	if (use_roots(ctx, p->ca_file, p->ca_path, system, p->depth) < 0) return -1;
	if (p->common.alpn != NULL) {
		if (alpn_wire(p->common.alpn, &alpn, &alpn_len) < 0) return -1;
		SSL_CTX_set_alpn_protos(ctx, alpn, (unsigned)alpn_len);
	}
	int r = 0;
	for (size_t i = 0; i < p->identities_count && r == 0; i++) {
		STACK_OF(X509) *chain = tls_chain_read(p->identities[i].chain_pem);
		r = chain == NULL ? -1 : use_identity(ctx, &p->identities[i], chain);
		sk_X509_pop_free(chain, X509_free);
	}
	return r;
}

int tls_client_new(const struct tls_client_params *p, struct tls_client **out) {
	struct tls_client *c = mem_get(sizeof *c);
	c->refs = 1;
	c->verify = p->verify;
	c->wildcard_labels = p->wildcard_labels;
	if (context_new(&p->common, false, &c->ctx) < 0 || client_context(p, c->ctx) < 0) {
		tls_client_unref(&c);
		return -1;
	}
	*out = c;
	return 0;
}

struct tls_client *tls_client_ref(struct tls_client *c) {
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void tls_client_unref(struct tls_client **cp) {
	struct tls_client *c = TAKE(*cp);
	if (c == NULL || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) != 0) return;
	SSL_CTX_free(c->ctx);
	free(c);
}
