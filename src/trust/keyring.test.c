/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in a folder of their own: made, chosen, changed, read again. */
#include "trust/keyring.h"
#include "base/clock.h"
#include "base/fail.h"

#include <ftw.h>

#include "base/test.h"

static char folder[64];
static struct keyring *ring;
static struct arena mem;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static int setup(void **state) {
	(void)state;
	snprintf(folder, sizeof folder, "/tmp/hato-keyring-XXXXXX");
	return mkdtemp(folder) == NULL || keyring_open(folder, &ring) < 0 ? -1 : 0;
}

static int teardown(void **state) {
	(void)state;
	keyring_close(&ring);
	arena_done(&mem);
	return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct keyring_wish wish(struct slice domain, struct slice selector) {
	return (struct keyring_wish){
		.domain = domain, .selector = selector, .rsa = true, .ed25519 = true, .bits = 1024
	};
}

/* "selector selector" of those that sign for an author. */
static struct slice signers(struct slice author, bool subdomains) {
	struct dkim_key *keys;
	size_t count;
	struct slice text = S("");
	keyring_find(ring, author, subdomains, &mem, &keys, &count);
	for (size_t i = 0; i < count; i++)
		text = arena_fmt(&mem, "%.*s%s%.*s", SLICE_ARG(text), i == 0 ? "" : " ", SLICE_ARG(keys[i].selector));
	return text;
}

static void check_signers(struct slice author, bool subdomains, struct slice wanted) {
	assert_true(slice_eq(signers(author, subdomains), wanted));
}

static void life(void **state) {
	(void)state;
	struct keyring_wish w = wish(S("Example.org"), S("hato#"));
	struct keyring_key *keys;
	size_t count;
	assert_int_equal(keyring_rotate(ring, &w), KEYRING_UNKNOWN);
	assert_int_equal(keyring_make(ring, &w), 0);
	assert_int_equal(keyring_make(ring, &w), KEYRING_EXISTS);
	check_signers(S("a@example.org"), false, S("hato1r hato1e"));
	check_signers(S("a@deep.example.org"), false, S(""));
	check_signers(S("a@deep.example.org"), true, S("hato1r hato1e"));
	check_signers(S("a@badexample.org"), true, S(""));
	assert_int_equal(keyring_rotate(ring, &w), 0);
	assert_int_equal(keyring_rotate(ring, &w), KEYRING_HAS_WAITING);
	check_signers(S("a@example.org"), false, S("hato1r hato1e"));
	keyring_list(ring, S("example.org"), &mem, &keys, &count);
	assert_int_equal(count, 4);
	for (size_t i = 0; i < count; i++)
		if (slice_eq(keys[i].selector, S("hato2r"))) assert_int_equal(keyring_seen(ring, keys[i].id), 0);
	check_signers(S("a@example.org"), false, S("hato2r hato1e"));
	keyring_close(&ring);
	assert_int_equal(keyring_open(folder, &ring), 0);
	check_signers(S("a@example.org"), false, S("hato2r hato1e"));
	assert_int_equal(keyring_tidy(ring, wall_s() - 100), 0);
	assert_int_equal(keyring_tidy(ring, wall_s() + 100), 1);
	assert_int_equal(keyring_remove(ring, S("example.org"), S("hato1r")), KEYRING_UNKNOWN);
}

static void names(void **state) {
	(void)state;
	static const char *const bad[] = { "", "../x", "a/b", "a..b", ".a", "a b", "a\n" };
	for (size_t i = 0; i < LEN(bad); i++) {
		struct keyring_wish w = wish(slice_of(bad[i]), S("s"));
		assert_int_equal(keyring_make(ring, &w), KEYRING_BAD_NAME);
		assert_int_equal(keyring_import(ring, slice_of(bad[i]), S("s"), S("x")), KEYRING_BAD_NAME);
		assert_int_equal(keyring_import(ring, S("example.org"), slice_of(bad[i]), S("x")), KEYRING_BAD_NAME);
	}
	assert_int_equal(keyring_import(ring, S("example.org"), S("s"), S("no key")), KEYRING_BAD_KEY);
}

static void given(void **state) {
	(void)state;
	AUTO_BUF struct buf pem = BUF(KIB(64));
	AUTO_BUF struct buf public_key = BUF(KIB(16));
	assert_int_equal(keyring_generate(true, 0, &pem, &public_key), 0);
	struct keyring_file files[] = {
		{ S("k1"), S("one.test"), S("s1"), buf_slice(&pem), S("/k1") },
		{ S("k2"), S("%"), S("s2"), buf_slice(&pem), S("/k2") },
		{ S(""), S("plain.test"), S("s3"), buf_slice(&pem), S("/k3") },
		{ S(""), S("broken.test"), S("s4"), S("no key"), S("/k4") },
	};
	struct keyring_rule rules[] = { { S("*@one.test"), S("k1"), true },
					{ S(".two.test"), S("k2"), false },
					{ S("boss@three.test"), S("k1"), false } };
	struct keyring_given g = { files, LEN(files), rules, LEN(rules), false };
	struct dkim_key *keys;
	size_t count;
	keyring_give(ring, &g);
	check_signers(S("a@one.test"), false, S("s1"));
	check_signers(S("a@two.test"), false, S(""));
	check_signers(S("boss@three.test"), false, S("s1"));
	check_signers(S("a@three.test"), false, S(""));
	check_signers(S("a@plain.test"), false, S("s3"));
	keyring_find(ring, S("a@deep.two.test"), false, &mem, &keys, &count);
	assert_int_equal(count, 1);
	assert_true(slice_eq(keys[0].domain, S("deep.two.test")));
	AUTO_BUF struct buf signature = BUF(KIB(2));
	char digest[32] = { 1 };
	assert_int_equal(keyring_sign(ring, keys[0].id, slice_from(digest, sizeof digest), &signature), 0);
	assert_int_equal(signature.len, 64);
	keyring_find(ring, S("a@broken.test"), false, &mem, &keys, &count);
	assert_int_equal(count, 1); /* it is known, and cannot sign: such mail waits */
	assert_true(keyring_sign(ring, keys[0].id, slice_from(digest, sizeof digest), &signature) < 0);
	keyring_give(ring, &(struct keyring_given){ 0 });
	check_signers(S("a@plain.test"), false, S(""));
}

/* RFC 8301 §3.2: it must not sign; the domain's other keys do. */
static void weak(void **state) {
	(void)state;
	AUTO_BUF struct buf pem = BUF(KIB(64));
	AUTO_BUF struct buf good = BUF(KIB(64));
	AUTO_BUF struct buf public_key = BUF(KIB(16));
	assert_int_equal(keyring_generate(false, 768, &pem, &public_key), 0);
	assert_int_equal(keyring_generate(false, 1024, &good, &public_key), 0);
	assert_int_equal(keyring_import(ring, S("own.test"), S("w"), buf_slice(&pem)), KEYRING_BAD_KEY);
	assert_int_equal(keyring_import(ring, S("own.test"), S("g"), buf_slice(&good)), 0);
	struct keyring_file files[] = { { S(""), S("own.test"), S("w"), buf_slice(&pem), S("/w") },
					{ S(""), S("other.test"), S("w"), buf_slice(&pem), S("/w") },
					{ S("t"), S("table.test"), S("w"), buf_slice(&pem), S("/w") } };
	struct keyring_rule rules[] = { { S("*@table.test"), S("t"), true } };
	keyring_give(ring, &(struct keyring_given){ files, LEN(files), rules, LEN(rules), false });
	check_signers(S("a@own.test"), false, S("g"));
	check_signers(S("a@other.test"), false, S(""));
	check_signers(S("a@table.test"), false, S(""));
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(life, setup, teardown),
					    cmocka_unit_test_setup_teardown(names, setup, teardown),
					    cmocka_unit_test_setup_teardown(given, setup, teardown),
					    cmocka_unit_test_setup_teardown(weak, setup, teardown) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
