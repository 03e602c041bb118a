/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the tests of signatures share: records of a name server, and keys. */
#include "base/clock.h"
#include "base/encode.h"
#include "trust/dkim_private.h"
#include "trust/dns_fake.test.h"
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include "base/test.h"

#define FAIL_WITH(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

/* Added before the server starts. Text "!": the server fails. */
static struct fake_record test_records[256];
static size_t test_records_count;
static struct fake_dns test_fake;

UNUSED static void test_record_add(const char *name, const char *text) {
	must(test_records_count < LEN(test_records));
	test_records[test_records_count++] = (struct fake_record){ mem_text(name), mem_text(text) };
}

UNUSED static int test_dns_start(void **state UNUSED) {
	return fake_dns_start(&test_fake, test_records, test_records_count) ? 0 : -1;
}

UNUSED static int test_dns_stop(void **state UNUSED) {
	fake_dns_stop(&test_fake);
	for (size_t i = 0; i < test_records_count; i++) {
		free((char *)(uintptr_t)test_records[i].name);
		free((char *)(uintptr_t)test_records[i].text);
	}
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

UNUSED static int test_sign(void *ctx UNUSED, uint64_t id, enum dkim_algorithm algorithm, struct slice tbs,
			    struct buf *signature) {
	size_t len = 512;
	char *room = buf_room(signature, len);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = room != NULL && md != NULL &&
		  EVP_DigestSignInit(md, NULL, algorithm == DKIM_RSA_SHA256 ? EVP_sha256() : NULL, NULL,
				     test_keys[id]) == 1 &&
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
	if (test_keys[id] == NULL)
		test_keys[id] = bits != 0 ? EVP_RSA_gen((unsigned)bits) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
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
