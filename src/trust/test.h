/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the unit tests of this room share: a name server of one thread that knows some TXT records, and keys. */
#include "base/clock.h"
#include "base/encode.h"
#include "net/dns.h"
#include "trust/dkim_private.h"
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include "base/test.h"

#define FAIL_WITH(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

struct test_record {
	char name[128], text[1200]; /* text "later": the server fails */
};
static struct test_record test_records[256];
static size_t test_records_count;
static atomic_int test_asked; /* questions that came */
static int test_socket = -1;
static pthread_t test_thread;
static struct dns *test_dns;

UNUSED static void test_record_add(const char *name, const char *text) {
	must(test_records_count < LEN(test_records));
	struct test_record *r = &test_records[test_records_count++];
	snprintf(r->name, sizeof r->name, "%s", name);
	snprintf(r->text, sizeof r->text, "%s", text);
}

/* The question's name, and where it ends; 0: no question. */
static inline size_t test_question(const unsigned char *q, size_t len, char *name, size_t room) {
	size_t at = 12, n = 0;
	while (at < len && q[at] != 0 && at + 1 + q[at] < len && n + q[at] + 2u < room) {
		for (size_t i = 1; i <= q[at]; i++) name[n++] = ascii_lower((char)q[at + i]);
		name[n++] = '.';
		at += 1u + q[at];
	}
	name[n != 0 ? n - 1 : 0] = '\0';
	return at < len && q[at] == 0 && at + 5 <= len ? at + 5 : 0;
}

static inline size_t test_text_add(unsigned char *out, const char *text) {
	size_t len = strlen(text), n = 0;
	unsigned char *length = out;
	n += 2;
	do {
		size_t piece = MIN_OF(len, (size_t)255);
		out[n++] = (unsigned char)piece;
		memcpy(out + n, text, piece);
		n += piece;
		text += piece;
		len -= piece;
	} while (len != 0);
	length[0] = (unsigned char)((n - 2) >> 8);
	length[1] = (unsigned char)((n - 2) & 0xff);
	return n;
}

static inline void *test_serve(void *nothing) {
	unsigned char q[512], out[16384];
	char name[300];
	for (;;) {
		struct sockaddr_in from;
		socklen_t from_len = sizeof from;
		ssize_t len = recvfrom(test_socket, q, sizeof q, 0, (struct sockaddr *)&from, &from_len);
		if (len <= 12) return nothing; /* a short one ends it */
		size_t end = test_question(q, (size_t)len, name, sizeof name), n = end, answers = 0, known = 0;
		if (end == 0) continue;
		atomic_fetch_add(&test_asked, 1);
		memcpy(out, q, end);
		out[2] = 0x84 | (q[2] & 1);
		out[3] = 0x80;
		for (size_t i = 0; i < test_records_count; i++) {
			const struct test_record *r = &test_records[i];
			if (strcmp(r->name, name) != 0) continue;
			known++;
			if (q[end - 3] != DNS_TXT) continue;
			if (strcmp(r->text, "later") == 0) {
				out[3] = 0x82;
				continue;
			}
			static const unsigned char head[] = { 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60 };
			memcpy(out + n, head, sizeof head);
			n += sizeof head;
			n += test_text_add(out + n, r->text);
			answers++;
		}
		if (known == 0) out[3] |= 3;
		memset(out + 4, 0, 8);
		out[5] = 1;
		out[7] = (unsigned char)answers;
		sendto(test_socket, out, n, 0, (struct sockaddr *)&from, from_len);
	}
}

static struct sockaddr_in test_address;

UNUSED static int test_dns_start(void **state UNUSED) {
	socklen_t len = sizeof test_address;
	char resolver[64];
	test_address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	test_socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(test_socket, (struct sockaddr *)&test_address, sizeof test_address), 0);
	assert_int_equal(getsockname(test_socket, (struct sockaddr *)&test_address, &len), 0);
	assert_int_equal(pthread_create(&test_thread, NULL, test_serve, NULL), 0);
	snprintf(resolver, sizeof resolver, "127.0.0.1:%d", ntohs(test_address.sin_port));
	struct dns_params params = { .resolvers = resolver };
	return dns_open(&params, &test_dns);
}

UNUSED static int test_dns_stop(void **state UNUSED) {
	dns_close(&test_dns);
	AUTO_FD int end = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sendto(end, "end", 3, 0, (struct sockaddr *)&test_address, sizeof test_address);
	pthread_join(test_thread, NULL);
	close(test_socket);
	return 0;
}

/* Bounds on time hold on a busy machine, and under a sanitizer. */
UNUSED static int64_t test_cpu_us(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- keys: their number is their place ---- */

static EVP_PKEY *test_keys[4];

UNUSED static int test_sign(void *ctx UNUSED, uint64_t id, enum dkim_algorithm algorithm, struct slice tbs, struct buf *signature) {
	size_t len = 512;
	char *room = buf_room(signature, len);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = room != NULL && md != NULL &&
		  EVP_DigestSignInit(md, NULL, algorithm == DKIM_RSA_SHA256 ? EVP_sha256() : NULL, NULL, test_keys[id]) == 1 &&
		  EVP_DigestSign(md, (unsigned char *)room, &len, (const unsigned char *)tbs.at, tbs.len) == 1;
	EVP_MD_CTX_free(md);
	if (!ok) return -1;
	signature->len += len;
	return 0;
}

/* Makes a key and publishes it with these tags before p=. */
UNUSED static void test_key_add(size_t id, int bits, const char *name, const char *tags) {
	AUTO_BUF struct buf record = BUF(KIB(4));
	unsigned char *der = NULL, raw[32];
	size_t len = sizeof raw;
	if (test_keys[id] == NULL) test_keys[id] = bits != 0 ? EVP_RSA_gen((unsigned)bits) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_non_null(test_keys[id]);
	buf_addf(&record, "%sp=", tags);
	if (bits != 0) {
		len = (size_t)i2d_PUBKEY(test_keys[id], &der);
		base64_add(&record, slice_from(der, len));
		OPENSSL_free(der);
	} else {
		assert_int_equal(EVP_PKEY_get_raw_public_key(test_keys[id], raw, &len), 1);
		base64_add(&record, slice_from(raw, len));
	}
	test_record_add(name, buf_text(&record));
}

UNUSED static void test_keys_free(void) {
	for (size_t i = 0; i < LEN(test_keys); i++) EVP_PKEY_free(test_keys[i]);
}
