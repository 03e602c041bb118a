/* SPDX-License-Identifier: Apache-2.0 */
/* Real handshakes, both ends in one thread over a socket pair; many at once in threads; and openssl s_client from
 * outside. */
#include "base/clock.h"
#include "base/fail.h"
#include "net/tls.h"
#include <fcntl.h>
#include <malloc.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "net/addr.h"

/* ---- identities ---- */

struct pair {
	struct buf cert, key;
	struct private_key *private;
	char file[64]; /* the certificate, for ca_file */
	unsigned signed_count;
};
enum kind { RSA_2048, EC_P256, EC_P384, ED25519, KINDS };
static const char *const kind_names[] = { "RSA", "P-256", "P-384", "Ed25519" };
static struct pair pairs[KINDS], other, expired;

static EVP_PKEY *make_key(enum kind kind) {
	if (kind == RSA_2048) return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	if (kind == ED25519) return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	return EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind_names[kind]);
}

static void take(BIO *bio, struct buf *out) {
	char *at;
	long len = BIO_get_mem_data(bio, &at);
	*out = BUF(KIB(16));
	assert_true(buf_add(out, slice_from(at, (size_t)len)));
	BIO_free(bio);
}

static void make_pair(struct pair *p, enum kind kind, const char *san, int from_day, int to_day) {
	EVP_PKEY *key = make_key(kind);
	X509 *cert = X509_new();
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1 + (long)kind);
	X509_time_adj_ex(X509_getm_notBefore(cert), from_day, 0, NULL);
	X509_time_adj_ex(X509_getm_notAfter(cert), to_day, 0, NULL);
	X509_NAME_add_entry_by_txt(
		X509_get_subject_name(cert), "CN", MBSTRING_UTF8, (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_set_pubkey(cert, key);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
	X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
	assert_true(X509_sign(cert, key, kind == ED25519 ? NULL : EVP_sha256()) > 0);
	BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(cert_bio, cert);
	PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL);
	take(cert_bio, &p->cert);
	take(key_bio, &p->key);
	X509_free(cert);
	EVP_PKEY_free(key);
	assert_int_equal(private_key_load(buf_slice(&p->key), &p->private), 0);
	snprintf(p->file, sizeof p->file, "/tmp/hato-tls-test-XXXXXX");
	AUTO_FD int fd = mkstemp(p->file);
	assert_int_equal(write(fd, p->cert.at, p->cert.len), (ssize_t)p->cert.len);
}

static void drop_pair(struct pair *p) {
	unlink(p->file);
	buf_done(&p->cert);
	buf_done(&p->key);
	private_key_free(&p->private);
}

static int make_pairs(void **state UNUSED) {
	for (int k = 0; k < KINDS; k++)
		make_pair(&pairs[k], (enum kind)k, "DNS:mx.example.org,DNS:*.wild.example.org", -1, 30);
	make_pair(&other, EC_P256, "DNS:Other.example.net", -1, 30);
	make_pair(&expired, EC_P256, "DNS:mx.example.org", -30, -1);
	return 0;
}

static int drop_pairs(void **state UNUSED) {
	for (int k = 0; k < KINDS; k++) drop_pair(&pairs[k]);
	drop_pair(&other);
	drop_pair(&expired);
	return 0;
}

/* The vault, so to speak: the request goes through its packed form. */
static int sign_as_vault(void *ctx, uint64_t id, const struct remote_sign_request *request, struct buf *signature) {
	struct pair *p = ctx;
	if (id != 7) return (fail)("vault: no such key");
	AUTO_BUF struct buf packed = BUF(KIB(80));
	AUTO_ARENA struct arena mem = {0};
	remote_sign_request_pack(&packed, request);
	struct unwire w = UNWIRE(buf_slice(&packed), &mem);
	struct remote_sign_request again = {0};
	remote_sign_request_unpack(&w, &again);
	if (w.bad || w.rest.len != 0) return (fail)("vault: bad request");
	__atomic_add_fetch(&p->signed_count, 1, __ATOMIC_RELAXED);
	return private_key_sign(p->private, &again, signature);
}

static struct tls_identity identity(struct pair *p, bool remote) {
	struct tls_identity id = { .chain_pem = buf_slice(&p->cert) };
	if (remote) id.remote = (struct remote_key){ sign_as_vault, p, 7 };
	else id.key_pem = buf_slice(&p->key);
	return id;
}

static struct tls_server *server_of(const struct tls_identity *ids, size_t count, struct tls_server_params params) {
	struct tls_server *s = NULL;
	params.identities = ids;
	params.identities_count = count;
	if (tls_server_new(&params, &s) != 0) fail_msg("%s", fail_text());
	return s;
}

static struct tls_client *client_of(struct tls_client_params params) {
	struct tls_client *c = NULL;
	if (tls_client_new(&params, &c) != 0) fail_msg("%s", fail_text());
	return c;
}

/* ---- talking ---- */

struct talk {
	int fds[2];
	struct tls *server, *client;
	int server_result, client_result;
	char server_text[300], client_text[300];
};

static void talk_open(struct talk *t, struct tls_server *s, struct tls_client *c, const char *name) {
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, t->fds), 0);
	t->server = tls_accept(s, t->fds[0]);
	t->client = tls_connect(c, t->fds[1], name);
}

static bool waits(int result) {
	return result == TLS_WANT_READ || result == TLS_WANT_WRITE;
}

static void talk_shake(struct talk *t) {
	t->server_result = t->client_result = TLS_WANT_READ;
	for (int i = 0; i < 20 && (waits(t->server_result) || waits(t->client_result)); i++) {
		if (waits(t->client_result) && (t->client_result = tls_handshake(t->client)) < 0) {
			snprintf(t->client_text, sizeof t->client_text, "%s", fail_text());
			shutdown(t->fds[1], SHUT_WR);
		}
		if (waits(t->server_result) && (t->server_result = tls_handshake(t->server)) < 0) {
			snprintf(t->server_text, sizeof t->server_text, "%s", fail_text());
			shutdown(t->fds[0], SHUT_WR);
		}
	}
}

static void talk_close(struct talk *t) {
	tls_free(&t->server);
	tls_free(&t->client);
	close(t->fds[0]);
	close(t->fds[1]);
}

static void echo(struct talk *t, size_t len) {
	AUTO_FREE char *sent = mem_get(len), *got = mem_get(len);
	for (size_t i = 0; i < len; i++) sent[i] = (char)(i * 7 + i / 256);
	for (int way = 0; way < 2; way++) {
		struct tls *from = way ? t->server : t->client, *to = way ? t->client : t->server;
		size_t out = 0, in = 0, n;
		for (int rounds = 0; in < len && rounds < 100000; rounds++) {
			int r = out < len ? tls_write(from, sent + out, len - out, &n) : TLS_WANT_READ;
			if (r == TLS_OK) out += n;
			else assert_true(waits(r));
			do r = tls_read(to, got + in, MIN_OF(len - in, (size_t)1000), &n);
			while (r == TLS_OK && (in += n) < len);
			assert_true(r == TLS_OK || waits(r));
		}
		assert_int_equal(in, len);
		assert_memory_equal(sent, got, len);
	}
}

/* ---- tests ---- */

static void all_kinds(void **state UNUSED) {
	for (int k = 0; k < KINDS; k++)
		for (int remote = 0; remote < 2; remote++)
			for (int version = TLS_1_2; version <= TLS_1_3; version++) {
				struct pair *p = &pairs[k];
				struct tls_identity id = identity(p, remote);
				struct tls_server *s = server_of(
					&id, 1, (struct tls_server_params){ .common.max = (enum tls_version)version });
				struct tls_client *c = client_of(
					(struct tls_client_params){ .verify = TLS_VERIFY_NAME, .ca_file = p->file });
				struct talk t = { 0 };
				unsigned before = p->signed_count;
				talk_open(&t, s, c, "mx.example.org");
				talk_shake(&t);
				if (t.client_result != TLS_OK || t.server_result != TLS_OK)
					fail_msg("%s remote=%d %x: client %s, server %s", kind_names[k], remote,
						 version, t.client_text, t.server_text);
				assert_int_equal(p->signed_count - before, remote);
				struct tls_info i;
				tls_info(t.client, &i);
				assert_true(i.trusted && i.verified && i.peer_has_cert && i.why_not == NULL);
				assert_string_equal(i.protocol, version == TLS_1_3 ? "TLSv1.3" : "TLSv1.2");
				echo(&t, 100000);
				AUTO_BUF struct buf a = BUF(64), b = BUF(64);
				assert_true(tls_binding_exporter(t.server, &a) && tls_binding_exporter(t.client, &b));
				assert_true(a.len == 32 && slice_eq(buf_slice(&a), buf_slice(&b)));
				buf_clear(&a);
				buf_clear(&b);
				assert_int_equal(tls_binding_end_point(t.server, &a), k != ED25519);
				assert_int_equal(tls_binding_end_point(t.client, &b), k != ED25519);
				assert_true(slice_eq(buf_slice(&a), buf_slice(&b)));
				talk_close(&t);
				tls_server_unref(&s);
				tls_client_unref(&c);
			}
}

static void old_versions(void **state UNUSED) {
	for (int k = 0; k < 2; k++) for (int version = TLS_1_0; version <= TLS_1_1; version++) {
		struct tls_identity id = identity(&pairs[k], true);
		struct tls_server *s = server_of(&id, 1, (struct tls_server_params){ .common.min = TLS_1_0 });
		struct tls_server *strict = server_of(&id, 1, (struct tls_server_params){0});
		struct tls_client *c = client_of((struct tls_client_params){
			.common = { .min = TLS_1_0, .max = (enum tls_version)version }, .ca_file = "" });
		struct talk t = {0};
		talk_open(&t, s, c, NULL);
		talk_shake(&t);
		if (t.client_result != TLS_OK || t.server_result != TLS_OK)
			fail_msg("client %s, server %s", t.client_text, t.server_text);
		talk_close(&t);
		talk_open(&t, strict, c, NULL);
		talk_shake(&t);
		assert_true(t.server_result < 0);
		assert_string_equal(
			t.server_text, "TLS handshake: the other side offers no version of TLS that is allowed here");
		assert_string_equal(t.client_text, "TLS handshake: the other side refused: protocol version");
		talk_close(&t);
		tls_server_unref(&s);
		tls_server_unref(&strict);
		tls_client_unref(&c);
	}
}

static void says_what_was_agreed(void **state UNUSED) {
	static const char *const signatures[] = { "RSA-PSS (2048 bits)", "ECDSA (prime256v1)", "ECDSA (secp384r1)",
		"ED25519" };
	static const char *const digests[] = { " server-digest SHA256", " server-digest SHA256",
					       " server-digest SHA384", "" };
	for (int k = 0; k < KINDS; k++) {
		struct tls_identity id = identity(&pairs[k], false);
		const char *group = OPENSSL_VERSION_NUMBER >= 0x30500000 && k == 1 ? "X25519MLKEM768" : "X25519";
		struct tls_server *s =
			server_of(&id, 1, (struct tls_server_params){ .common.groups = k == 0 ? "P-256" : group });
		struct tls_client *c = client_of((struct tls_client_params){ .ca_file = "" });
		struct talk t = {0};
		struct tls_info i;
		AUTO_BUF struct buf line = BUF(KIB(1)), want = BUF(KIB(1));
		talk_open(&t, s, c, "mx.example.org");
		talk_shake(&t);
		tls_info(t.server, &i);
		assert_string_equal(i.sni, "mx.example.org");
		tls_info_line(&line, &i, true, S("mail.example.net[192.0.2.7]"));
		const char *tail = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange";
		const char *kex = k == 0 ? "ECDHE (prime256v1)" : group;
		buf_addf(&want,
			 "Anonymous TLS connection established from mail.example.net[192.0.2.7]: "
			 "%s %s server-signature %s%s", tail, kex, signatures[k], digests[k]);
		assert_string_equal(buf_text(&line), buf_text(&want));
		buf_clear(&line), buf_clear(&want);
		tls_info(t.client, &i);
		assert_false(i.trusted);
		assert_string_equal(i.why_not, "self-signed certificate");
		tls_info_line(&line, &i, false, S("mx.example.org[192.0.2.8]:25"));
		buf_addf(&want,
			 "Untrusted TLS connection established to mx.example.org[192.0.2.8]:25: "
			 "%s %s server-signature %s%s", tail, kex, signatures[k], digests[k]);
		assert_string_equal(buf_text(&line), buf_text(&want));
		talk_close(&t);
		tls_server_unref(&s);
		tls_client_unref(&c);
	}
}

static void chooses_by_name(void **state UNUSED) {
	struct tls_identity ids[] = { identity(&pairs[EC_P256], true), identity(&pairs[RSA_2048], true),
		identity(&other, true) };
	struct tls_server *s = server_of(ids, LEN(ids), (struct tls_server_params){0});
	static const struct { const char *name, *suites12; struct pair *want; } cases[] = {
		{ "mx.example.org", NULL, &pairs[EC_P256] },
		{ "other.example.net", NULL, &other },
		{ "OTHER.example.NET", NULL, &other },
		{ "a.wild.example.org", NULL, &pairs[EC_P256] },
		{ "unknown.example.com", NULL, &pairs[EC_P256] },
		{ NULL, NULL, &pairs[EC_P256] },
		{ "192.0.2.1", NULL, &pairs[EC_P256] },
		{ "mx.example.org", "ECDHE-RSA-AES128-GCM-SHA256", &pairs[RSA_2048] },
	};
	for (size_t n = 0; n < LEN(cases); n++) {
		enum tls_version max = cases[n].suites12 != NULL ? TLS_1_2 : TLS_VERSION_DEFAULT;
		struct tls_client *c = client_of((struct tls_client_params){ .verify = TLS_VERIFY_CA,
			.ca_file = cases[n].want->file,
			.common = { .ciphers = cases[n].suites12, .max = max } });
		struct talk t = {0};
		talk_open(&t, s, c, cases[n].name);
		talk_shake(&t);
		if (t.client_result != TLS_OK) fail_msg("%s: %s", cases[n].name, t.client_text);
		assert_int_equal(tls_handshake(t.server), TLS_OK);
		AUTO_BUF struct buf have = BUF(64), subject = BUF(256), issuer = BUF(256);
		assert_true(tls_peer_digest(t.client, "sha256", false, &have) && have.len == 32);
		assert_true(tls_peer_names(t.client, &subject, &issuer));
		assert_string_equal(buf_text(&subject), "test");
		talk_close(&t);
		tls_client_unref(&c);
	}
	tls_server_unref(&s);
}

static void refused(
	struct pair *who, struct tls_client_params params, const char *name, const char *expect, const char *want) {
	struct tls_identity id = identity(who, false);
	struct tls_server *s = server_of(&id, 1, (struct tls_server_params){0});
	struct tls_client *c = client_of(params);
	struct talk t = {0};
	talk_open(&t, s, c, name);
	if (expect != NULL) assert_int_equal(tls_expect_name(t.client, expect), 0);
	talk_shake(&t);
	assert_string_equal(t.client_text, want);
	assert_int_equal(t.client_result < 0, want[0] != '\0');
	talk_close(&t);
	tls_server_unref(&s);
	tls_client_unref(&c);
}

static void refuses_certificates(void **state UNUSED) {
	struct pair *p = &pairs[EC_P256];
	struct tls_client_params ca = { .verify = TLS_VERIFY_CA, .ca_file = p->file },
							 name = { .verify = TLS_VERIFY_NAME, .ca_file = p->file };
	refused(p, name, "mx.example.org", NULL, "");
	refused(p, name, "a.wild.example.org", NULL, "");
	refused(p, name, "a.b.wild.example.org", NULL, "TLS handshake: hostname mismatch");
	refused(p, name, "wrong.example.org", NULL, "TLS handshake: hostname mismatch");
	refused(p, name, "wrong.example.org", "mx.example.org", "");
	refused(p, name, "wrong.example.org", ".example.org", "");
	refused(p, name, NULL, NULL, "TLS: the certificate's name is to be checked, but there is none to compare with");
	refused(p, name, "192.0.2.1", NULL, "TLS handshake: IP address mismatch");
	refused(p, ca, "wrong.example.org", NULL, "");
	refused(&other, ca, "other.example.net", NULL, "TLS handshake: self-signed certificate");
	ca.ca_file = expired.file;
	refused(&expired, ca, "mx.example.org", NULL, "TLS handshake: certificate has expired");
	ca.ca_file = "/nonexistent";
	struct tls_client *c;
	assert_true(tls_client_new(&ca, &c) < 0);
}

static void dane_and_digests(void **state UNUSED) {
	struct tls_identity id = identity(&pairs[EC_P256], true);
	struct tls_server *s = server_of(&id, 1, (struct tls_server_params){0});
	struct tls_client *c = client_of((struct tls_client_params){ .ca_file = "" });
	AUTO_BUF struct buf key = BUF(64), cert = BUF(64);
	struct talk t = {0};
	talk_open(&t, s, c, "mx.example.org");
	talk_shake(&t);
	assert_true(tls_peer_digest(t.client, "sha256", true, &key) &&
		    tls_peer_digest(t.client, "sha256", false, &cert));
	talk_close(&t);
	static const char zeros[32] = {0};
	const struct { unsigned char usage, selector, matching; struct slice data; int add; bool ok, dane; } cases[] = {
		{ 3, 1, 1, buf_slice(&key), 0, true, true },
		{ 3, 0, 1, buf_slice(&cert), 0, true, true },
		{ 3, 1, 1, { zeros, 32 }, 0, false, false },
		{ 1, 1, 1, { zeros, 32 }, 1, true, false },
		{ 3, 1, 99, { zeros, 32 }, 1, true, false },
		{ 3, 1, 1, { zeros, 3 }, 1, true, false },
		{ 2, 0, 1, { zeros, 32 }, 0, false, false },
	};
	for (size_t n = 0; n < LEN(cases); n++) {
		struct tls_info i;
		talk_open(&t, s, c, "other-name.example.org"); /* DANE-EE takes no names */
		assert_int_equal(
			tls_expect_tlsa(t.client, cases[n].usage, cases[n].selector, cases[n].matching, cases[n].data),
			cases[n].add);
		talk_shake(&t);
		assert_int_equal(t.client_result == TLS_OK, cases[n].ok);
		if (cases[n].ok) {
			tls_info(t.client, &i);
			assert_true(i.dane == cases[n].dane && i.verified == cases[n].dane);
		}
		talk_close(&t);
	}
	for (int good = 0; good < 2; good++) {
		talk_open(&t, s, c, NULL);
		assert_int_equal(tls_expect_digest(t.client, "sha256", slice_from(zeros, 32)), 0);
		assert_true(tls_expect_digest(t.client, "sha256", slice_from(zeros, 31)) < 0);
		if (good) assert_int_equal(tls_expect_digest(t.client, "sha256", buf_slice(&cert)), 0);
		talk_shake(&t);
		assert_int_equal(t.client_result == TLS_OK, good);
		talk_close(&t);
	}
	tls_server_unref(&s);
	tls_client_unref(&c);
}

static void client_certificates(void **state UNUSED) {
	struct tls_identity id = identity(&pairs[EC_P256], true);
	for (int k = 0; k < KINDS; k++)
		for (int version = TLS_1_2; version <= TLS_1_3; version++)
			for (int known = 0; known < 2; known++) {
				struct tls_identity own = identity(&pairs[k], true);
				struct tls_server *s = server_of(
					&id, 1,
					(struct tls_server_params){ .client_cert = TLS_CLIENT_CERT_REQUIRE,
								    .ca_file = known ? pairs[k].file : NULL });
				struct tls_client *c = client_of(
					(struct tls_client_params){ .ca_file = "",
								    .identities = &own,
								    .identities_count = 1,
								    .common.max = (enum tls_version)version });
				struct talk t = { 0 };
				struct tls_info i;
				talk_open(&t, s, c, NULL);
				talk_shake(&t);
				if (t.server_result != TLS_OK)
					fail_msg("%s %x: %s / %s", kind_names[k], version, t.server_text,
						 t.client_text);
				tls_info(t.server, &i);
				assert_true(i.peer_has_cert && i.trusted == known);
				assert_int_equal(i.client_signature[0] != '\0', version == TLS_1_3);
				echo(&t, 10);
				talk_close(&t);
				tls_server_unref(&s);
				tls_client_unref(&c);
			}
}

static int refuse_to_sign(
	void *ctx UNUSED, uint64_t id UNUSED, const struct remote_sign_request *r UNUSED, struct buf *out UNUSED) {
	return (fail)("the vault is closed");
}

static int sign_rubbish(
	void *ctx UNUSED, uint64_t id UNUSED, const struct remote_sign_request *r UNUSED, struct buf *out) {
	buf_addf(out, "rubbish");
	return 0;
}

static void signer_fails(void **state UNUSED) {
	remote_sign signs[] = { refuse_to_sign, sign_rubbish };
	for (size_t n = 0; n < LEN(signs); n++) for (int version = TLS_1_2; version <= TLS_1_3; version++) {
		struct tls_identity id = identity(&pairs[RSA_2048], true);
		id.remote.sign = signs[n];
		struct tls_server *s =
			server_of(&id, 1, (struct tls_server_params){ .common.max = (enum tls_version)version });
		struct tls_client *c = client_of((struct tls_client_params){ .ca_file = "" });
		struct talk t = {0};
		talk_open(&t, s, c, NULL);
		talk_shake(&t);
		assert_true(t.client_result != TLS_OK);
		if (n == 0) assert_string_equal(t.server_text, "TLS handshake: the vault is closed");
		talk_close(&t);
		tls_server_unref(&s);
		tls_client_unref(&c);
	}
}

static void ends(void **state UNUSED) {
	struct tls_identity id = identity(&pairs[EC_P256], false);
	struct tls_server *s = server_of(&id, 1, (struct tls_server_params){ .common.alpn = "imap" });
	struct tls_client *c = client_of((struct tls_client_params){ .ca_file = "", .common.alpn = "h2,imap" });
	struct tls_client *web = client_of((struct tls_client_params){ .ca_file = "", .common.alpn = "h2" });
	char byte[8];
	size_t n = 77;
	struct talk t = {0};
	talk_open(&t, s, c, NULL);
	talk_shake(&t);
	struct tls_info i;
	tls_info(t.client, &i);
	assert_string_equal(i.alpn, "imap");
	/* tickets wait for our first bytes */
	struct pollfd p = { t.fds[1], POLLIN, 0 };
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(tls_read(t.client, byte, sizeof byte, &n), TLS_WANT_READ);
	assert_int_equal(n, 77);
	assert_int_equal(tls_write(t.server, "hello", 5, &n), TLS_OK);
	assert_int_equal(tls_read(t.client, byte, 2, &n), TLS_OK);
	assert_int_equal(n, 2);
	assert_true(tls_pending(t.client));
	assert_int_equal(tls_read(t.client, byte, 8, &n), TLS_OK);
	assert_false(tls_pending(t.client));
	assert_int_equal(tls_shutdown(t.server), TLS_OK);
	assert_int_equal(tls_read(t.client, byte, 8, &n), TLS_CLOSED);
	talk_close(&t);
	/* no goodbye; then writing into the void, which must not raise SIGPIPE */
	talk_open(&t, s, c, NULL);
	talk_shake(&t);
	shutdown(t.fds[1], SHUT_RDWR);
	assert_int_equal(tls_read(t.server, byte, 8, &n), TLS_CLOSED);
	int r = TLS_OK;
	for (int k = 0; k < 3 && r == TLS_OK; k++) r = tls_write(t.server, "x", 1, &n);
	assert_true(r == TLS_CLOSED || r < 0);
	talk_close(&t);
	/* not TLS at all; gone in the middle; the wrong protocol */
	talk_open(&t, s, c, NULL);
	assert_int_equal(write(t.fds[1], "EHLO there.example.org\r\n", 24), 24);
	assert_true(tls_handshake(t.server) < 0);
	assert_string_equal(fail_text(), "TLS handshake: the other side does not speak TLS");
	talk_close(&t);
	talk_open(&t, s, c, NULL);
	assert_int_equal(tls_handshake(t.client), TLS_WANT_READ);
	shutdown(t.fds[1], SHUT_RDWR);
	assert_int_not_equal(tls_handshake(t.server), TLS_OK);
	assert_int_equal(tls_handshake(t.server) == TLS_WANT_READ, 0);
	assert_int_equal(tls_shutdown(t.server), TLS_OK);
	talk_close(&t);
	talk_open(&t, s, web, NULL);
	talk_shake(&t);
	assert_string_equal(t.client_text, "TLS handshake: the other side refused: no application protocol");
	talk_close(&t);
	/* a server object may go before its connections */
	talk_open(&t, s, c, NULL);
	tls_server_unref(&s);
	tls_client_unref(&c);
	talk_shake(&t);
	echo(&t, 1000);
	talk_close(&t);
	tls_client_unref(&web);
}

/* ---- many at once ---- */

struct crowd { struct tls_server *s; struct tls_client *c; unsigned failed; };

static void *crowd_member(void *arg) {
	struct crowd *crowd = arg;
	for (int n = 0; n < 40; n++) {
		struct talk t = {0};
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, t.fds) != 0) continue;
		t.server = tls_accept(crowd->s, t.fds[0]);
		t.client = tls_connect(crowd->c, t.fds[1], "mx.example.org");
		talk_shake(&t);
		if (t.client_result != TLS_OK || t.server_result != TLS_OK)
			__atomic_add_fetch(&crowd->failed, 1, __ATOMIC_RELAXED);
		talk_close(&t);
	}
	return NULL;
}

static void many_threads(void **state UNUSED) {
	struct tls_identity ids[] = { identity(&pairs[EC_P256], true), identity(&pairs[RSA_2048], true) };
	struct crowd crowd = { server_of(ids, 2, (struct tls_server_params){ 0 }),
		client_of((struct tls_client_params){ .verify = TLS_VERIFY_NAME, .ca_file = pairs[EC_P256].file }), 0 };
	pthread_t threads[8];
	for (size_t i = 0; i < LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, crowd_member, &crowd), 0);
	for (size_t i = 0; i < LEN(threads); i++) pthread_join(threads[i], NULL);
	assert_int_equal(crowd.failed, 0);
	tls_server_unref(&crowd.s);
	tls_client_unref(&crowd.c);
}

/* ---- files ---- */

static void makes_and_checks(void **state UNUSED) {
	AUTO_BUF struct buf cert = BUF(KIB(8)), key = BUF(KIB(8)), names = BUF(KIB(1)), both = BUF(KIB(32));
	int64_t end = 0;
	assert_int_equal(tls_make_self_signed("mail.example.org", &cert, &key), 0);
	assert_int_equal(tls_check_identity(buf_slice(&cert), buf_slice(&key), "mail.crt"), TLS_CHECK_OK);
	assert_int_equal(tls_cert_facts(buf_slice(&cert), &end, &names), 0);
	assert_string_equal(buf_text(&names), "mail.example.org");
	assert_true(end > wall_s() + 3649 * 86400LL && end < wall_s() + 3651 * 86400LL);
	assert_true(tls_make_self_signed("a,DNS:b", &cert, &key) < 0 && tls_make_self_signed("", &cert, &key) < 0);
	struct pair *p = &pairs[RSA_2048];
	buf_clear(&names);
	assert_int_equal(tls_cert_facts(buf_slice(&other.cert), &end, &names), 0);
	assert_string_equal(buf_text(&names), "other.example.net");
	static const char encrypted[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
		"MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBAQ\n-----END ENCRYPTED PRIVATE KEY-----\n";
	buf_add(&both, buf_slice(&p->key));
	buf_add(&both, buf_slice(&p->cert));
	buf_add(&both, buf_slice(&other.cert));
	const struct { struct slice cert, key; int want; const char *text;
	} cases[] = {
		{ buf_slice(&p->cert), buf_slice(&p->key), TLS_CHECK_OK, NULL },
		{ buf_slice(&p->cert), SLICE_NONE, TLS_CHECK_OK, NULL },
		{ buf_slice(&both), buf_slice(&both), TLS_CHECK_OK, NULL },
		{ S(""), buf_slice(&p->key), -1, "x.crt: no certificate in it (PEM: \"-----BEGIN CERTIFICATE-----\")" },
		{ buf_slice(&p->key), buf_slice(&p->key), -1,
		  "x.crt: no certificate in it (PEM: \"-----BEGIN CERTIFICATE-----\")" },
		{ S("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), SLICE_NONE, -1,
		  "x.crt: a certificate in it is damaged" },
		{ buf_slice(&p->cert), buf_slice(&other.key), -1,
		  "x.crt: the private key does not match the certificate (or the certificate is not the first in its "
		  "file)" },
		{ buf_slice(&p->cert), buf_slice(&p->cert), -1,
		  "x.crt: no private key in it (PEM: \"-----BEGIN PRIVATE KEY-----\")" },
		{ buf_slice(&expired.cert), buf_slice(&expired.key), TLS_CHECK_EXPIRED, NULL },
		{ buf_slice(&p->cert), slice_of(encrypted), -1, NULL },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		int r = tls_check_identity(cases[i].cert, cases[i].key, "x.crt");
		if (r != cases[i].want) fail_msg("%zu: %d %s", i, r, fail_text());
		if (cases[i].text != NULL) assert_string_equal(fail_text(), cases[i].text);
	}
	EVP_PKEY *k = make_key(EC_P256);
	BIO *bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, k, EVP_aes_128_cbc(), (const unsigned char *)"x", 1, NULL, NULL);
	struct buf locked;
	struct private_key *loaded;
	take(bio, &locked);
	EVP_PKEY_free(k);
	assert_true(private_key_load(buf_slice(&locked), &loaded) < 0);
	assert_non_null(strstr(fail_text(), "encrypted"));
	buf_done(&locked);
	/* what is wrong is told when a server is made */
	struct tls_identity id = { .chain_pem = buf_slice(&p->cert), .key_pem = buf_slice(&other.key) };
	struct tls_server_params params = { .identities = &id, .identities_count = 1 };
	struct tls_server *s;
	assert_true(tls_server_new(&params, &s) < 0);
	params.common.ciphers = "NO-SUCH";
	assert_true(tls_server_new(&params, &s) < 0);
	assert_non_null(strstr(fail_text(), "NO-SUCH"));
}

static void signer_is_strict(void **state UNUSED) {
	AUTO_BUF struct buf out = BUF(REMOTE_SIGNATURE_MAX);
	const struct { enum kind kind; struct remote_sign_request request; bool ok;
	} cases[] = {
		{ RSA_2048, { S("SHA256"), REMOTE_PADDING_PKCS1, 0, S("x") }, true },
		{ RSA_2048, { S("SHA256"), REMOTE_PADDING_PSS, 32, S("x") }, true },
		{ RSA_2048, { S("SHA256"), REMOTE_PADDING_NONE, 0, S("x") }, false },
		{ RSA_2048, { S("SHA256"), 9, 0, S("x") }, false },
		{ RSA_2048, { S("SHA256"), REMOTE_PADDING_PSS, 4000000000, S("x") }, false },
		{ RSA_2048, { S("NOPE"), REMOTE_PADDING_PKCS1, 0, S("x") }, false },
		{ EC_P256, { S("SHA256"), REMOTE_PADDING_NONE, 0, S("x") }, true },
		{ EC_P256, { S("SHA256"), REMOTE_PADDING_PSS, 32, S("x") }, false },
		{ ED25519, { S(""), REMOTE_PADDING_NONE, 0, S("x") }, true },
		{ ED25519, { S("SHA256"), REMOTE_PADDING_NONE, 0, S("x") }, false },
		{ EC_P256,
		  { { "SHA256xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 39 }, REMOTE_PADDING_NONE, 0, S("x") },
		  false },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		int r = private_key_sign(pairs[cases[i].kind].private, &cases[i].request, &out);
		if ((r == 0) != cases[i].ok) fail_msg("%zu: %d %s", i, r, fail_text());
	}
}

/* ---- from outside ---- */

static pid_t s_client(int port, const char *const *more, int *out) {
	int pipes[2];
	char to[32];
	snprintf(to, sizeof to, "127.0.0.1:%d", port);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		const char *argv[16] = { "openssl", "s_client", "-connect", to, "-CAfile", pairs[EC_P256].file,
			"-verify_return_error", "-brief" };
		for (size_t i = 0; more[i] != NULL; i++) argv[8 + i] = more[i];
		dup2(open("/dev/null", O_RDONLY), 0);
		dup2(pipes[1], 1);
		dup2(pipes[1], 2);
		execvp("openssl", (char *const *)argv);
		_exit(127);
	}
	close(pipes[1]);
	*out = pipes[0];
	return pid;
}

static void serve_one(struct tls_server *s, int listener) {
	struct pollfd p = { listener, POLLIN, 0 };
	if (poll(&p, 1, 10000) != 1) return;
	AUTO_FD int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct tls *t = tls_accept(s, fd);
	int r;
	p.fd = fd;
	while ((r = tls_handshake(t)) == TLS_WANT_READ && poll(&p, 1, 5000) == 1) {}
	size_t n;
	if (r == TLS_OK) tls_write(t, "220 hello\r\n", 11, &n);
	tls_shutdown(t);
	tls_free(&t);
}

static void outside_client(void **state UNUSED) {
	struct tls_identity ids[] = { identity(&pairs[EC_P256], true), identity(&pairs[RSA_2048], true),
		identity(&other, true) };
	struct tls_server *s = server_of(ids, LEN(ids), (struct tls_server_params){0});
	AUTO_FD int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct addr at;
	addr_parse(S("127.0.0.1"), &at);
	assert_int_equal(bind(listener, &at.any, at.len), 0);
	assert_int_equal(listen(listener, 5), 0);
	addr_of_socket(listener, &at);
	static const struct { const char *args[6]; const char *want[2]; } cases[] = {
		{ { "-tls1_3", "-servername", "mx.example.org" }, { "Protocol version: TLSv1.3", "Verification: OK" } },
		{ { "-tls1_2", "-servername", "mx.example.org" }, { "Protocol version: TLSv1.2", "Verification: OK" } },
		{ { "-tls1_3", "-servername", "mx.example.org", "-groups", "P-384" },
			{ "Signature type: ECDSA", "secp384r1" } },
		{ { "-tls1_3", "-servername", "other.example.net" }, { "self-signed", "self-signed" } },
		{ { "-tls1_2", "-cipher", "AES128-SHA" }, { "handshake failure", "" } },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		int out;
		pid_t pid = s_client(addr_port(&at), cases[i].args, &out);
		serve_one(s, listener);
		char said[8192];
		size_t len = 0;
		for (ssize_t n; len < sizeof said - 1 && (n = read(out, said + len, sizeof said - 1 - len)) > 0;)
			len += (size_t)n;
		said[len] = '\0';
		close(out);
		int status;
		waitpid(pid, &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
			print_message("no openssl program here\n");
			break;
		}
		for (size_t w = 0; w < 2; w++)
			if (strcasestr(said, cases[i].want[w]) == NULL) /* OpenSSL 3.5: ecdsa_secp256r1_… */
				fail_msg("%zu: no \"%s\" in: %s", i, cases[i].want[w], said);
	}
	tls_server_unref(&s);
}

/* ---- cost ---- */

static void costs(void **state UNUSED) {
	enum { MANY = 500 };
	static struct talk talks[MANY];
	for (int remote = 0; remote < 2; remote++) {
		struct tls_identity id = identity(&pairs[EC_P256], remote);
		struct tls_server *s = server_of(&id, 1, (struct tls_server_params){0});
		struct tls_client *c = client_of((struct tls_client_params){ .ca_file = "" });
		struct talk warm = {0};
		int64_t in_server = 0;
		talk_open(&warm, s, c, "mx.example.org");
		talk_shake(&warm);
		echo(&warm, 100);
		for (size_t i = 0; i < MANY; i++) {
			struct talk *t = &talks[i];
			talk_open(t, s, c, "mx.example.org");
			t->client_result = tls_handshake(t->client);
			int64_t start = clock_us();
			assert_int_equal(tls_handshake(t->server), TLS_WANT_READ);
			in_server += clock_us() - start;
			assert_int_equal(tls_handshake(t->client), TLS_OK);
			start = clock_us();
			assert_int_equal(tls_handshake(t->server), TLS_OK);
			in_server += clock_us() - start;
			echo(t, 100);
		}
		for (size_t i = 0; i < MANY; i++) tls_free(&talks[i].client); /* what remains are idle servers */
		size_t before = mallinfo2().uordblks;
		for (size_t i = 0; i < MANY; i++) tls_free(&talks[i].server);
		size_t bytes = (before - mallinfo2().uordblks) / MANY;
		print_message(
			"%s key, P-256, TLS 1.3: %zu bytes an idle server connection, %d server handshakes/s a core\n",
			remote ? "remote" : "local", bytes, (int)(MANY * 1000000LL / in_server));
#if !defined(__SANITIZE_ADDRESS__)
		assert_true(bytes < (OpenSSL_version_num() < 0x30200000 ? 16000 : 32000)); /* newer ones take more */
#endif
		for (size_t i = 0; i < MANY; i++) talk_close(&talks[i]);
		talk_close(&warm);
		tls_server_unref(&s);
		tls_client_unref(&c);
	}
}

int main(void) {
	signal(SIGPIPE, SIG_DFL);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds),
		cmocka_unit_test(old_versions),
		cmocka_unit_test(says_what_was_agreed),
		cmocka_unit_test(chooses_by_name),
		cmocka_unit_test(refuses_certificates),
		cmocka_unit_test(dane_and_digests),
		cmocka_unit_test(client_certificates),
		cmocka_unit_test(signer_fails),
		cmocka_unit_test(ends),
		cmocka_unit_test(many_threads),
		cmocka_unit_test(makes_and_checks),
		cmocka_unit_test(signer_is_strict),
		cmocka_unit_test(outside_client), cmocka_unit_test(costs),
	};
	return cmocka_run_group_tests(tests, make_pairs, drop_pairs);
}
