/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "base/clock.h"
#include "user/secret.h"

/* Made with Perl's crypt, doveadm's formulas and openssl for the password "secret" (salt "salt" where there is one). */
static void test_schemes(void **state UNUSED) {
	static const struct { const char *hash; int want; } cases[] = {
		{ "{PLAIN}secret", 0 },
		{ "{plain}Secret", SECRET_WRONG },
		{ "{CLEARTEXT}secret", 0 },
		{ "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", 0 },
		{ "{SHA.HEX}e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4", 0 },
		{ "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=", 0 },
		{ "{PLAIN-MD5}5ebe2294ecd0e0f08eab7690d2a6ee69", 0 },
		{ "{SHA256.HEX}2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", 0 },
		{ "{LDAP-MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==", 0 },
		{ "{SHA256}AAAA", SECRET_BAD_HASH },
		{ "{ARGON2ID}$argon2id$v=19$m=65536$x", SECRET_BAD_HASH },
		{ "{SHA", SECRET_BAD_HASH },
		{ "", SECRET_BAD_HASH },
		{ "{SHA.ROT13}x", SECRET_BAD_HASH },
		{ "secret", SECRET_BAD_HASH },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		int r = secret_check(slice_of(cases[i].hash), S("secret"));
		if (r != cases[i].want) failed("%s: %d", cases[i].hash, r);
	}
}

static void test_crypt(void **state UNUSED) {
	static const char *const prefixes[] = { "$6$", "$5$", "$2b$", "$1$", "$y$", "" };
	for (size_t i = 0; i < LEN(prefixes); i++) {
		char command[200], hash[300] = "{CRYPT}";
		if (prefixes[i][0] == '\0')
			snprintf(command, sizeof command, "perl -e 'print crypt(\"secret\", \"ab\")'");
		else if (prefixes[i][1] == '2')
			snprintf(command, sizeof command,
				 "perl -e 'print crypt(\"secret\", q($2b$04$abcdefghijklmnopqrstuu))'");
		else if (prefixes[i][1] == 'y')
			snprintf(command, sizeof command, "perl -e 'print crypt(\"secret\", q($y$j75$abcdefgh))'");
		else snprintf(command, sizeof command, "perl -e 'print crypt(\"secret\", q(%ssaltsalt))'", prefixes[i]);
		FILE *f = popen(command, "r");
		size_t n = fread(hash + 7, 1, sizeof hash - 8, f);
		pclose(f);
		if (n == 0) continue; /* no perl here, or a crypt(3) without this one */
		if (secret_check(slice_of(hash), S("secret")) != 0) failed("%s", hash);
		assert_int_equal(secret_check(slice_of(hash + 7), S("secret")), 0);
		assert_int_equal(secret_check(slice_of(hash + 7), S("secreT")), SECRET_WRONG);
		assert_int_equal(secret_check(slice_of(hash + 7), S("")), SECRET_WRONG);
	}
}

static void test_store(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct secrets *s = NULL;
	assert_done(secrets_open(dir, &s));
	assert_int_equal(secret_verify(s, S("a@b.example"), S("x")), SECRET_WRONG);
	assert_int_equal(secret_exists(s, S("a@b.example")), SECRET_UNKNOWN);
	assert_done(secret_set(s, S("a@b.example"), S("right horse")));
	assert_int_equal(secret_exists(s, S("a@b.example")), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(secret_verify(s, S("a@b.example"), S("right horse")), 0);
		assert_int_equal(secret_verify(s, S("a@b.example"), S("wrong horse")), SECRET_WRONG);
	}
	assert_done(secret_set(s, S("a@b.example"), S("new horse"))); /* what was remembered is forgotten */
	assert_int_equal(secret_verify(s, S("a@b.example"), S("right horse")), SECRET_WRONG);
	assert_int_equal(secret_verify(s, S("a@b.example"), S("new horse")), 0);
	assert_int_equal(secret_set_hash(s, S("a@b.example"), S("{WHAT}ever")), SECRET_BAD_HASH);
	assert_int_equal(secret_set_hash(s, S("a@b.example"), S("no scheme")), SECRET_BAD_HASH);
	assert_done(secret_set_hash(s, S("c@b.example"), S("{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=")));
	assert_true(secret_set(s, S("a@b.example"), S("")) < 0);
	char nul[] = { 'a', '\0', 'b' }, longest[600];
	memset(longest, 'x', sizeof longest);
	assert_true(secret_set(s, S("a@b.example"), slice_from(nul, 3)) < 0);
	assert_true(secret_set(s, S("a@b.example"), slice_from(longest, sizeof longest)) < 0);
	assert_int_equal(secret_verify(s, S("a@b.example"), slice_from(longest, sizeof longest)), SECRET_WRONG);
	secrets_close(&s);
	assert_done(secrets_open(dir, &s));
	assert_int_equal(secret_verify(s, S("c@b.example"), S("secret")), 0);
	assert_int_equal(secret_verify(s, S("a@b.example"), S("new horse")), 0);
	assert_done(secret_delete(s, S("a@b.example")));
	assert_int_equal(secret_verify(s, S("a@b.example"), S("new horse")), SECRET_WRONG);
	assert_int_equal(secret_delete(s, S("a@b.example")), SECRET_UNKNOWN);
	secrets_close(&s);
}

static int64_t time_of(struct secrets *s, struct slice account, struct slice password) {
	int64_t best = INT64_MAX;
	for (int i = 0; i < 25; i++) {
		int64_t start = clock_us();
		secret_verify(s, account, password);
		best = MIN_OF(best, clock_us() - start);
	}
	return best;
}

static void test_times(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct secrets *s = NULL;
	assert_done(secrets_open(dir, &s));
	assert_done(secret_set(s, S("a@b.example"), S("right")));
	int64_t known = time_of(s, S("a@b.example"), S("wrong")), unknown = time_of(s, S("z@b.example"), S("wrong"));
	int64_t again = time_of(s, S("a@b.example"), S("right"));
	print_message("wrong password %lld us, unknown user %lld us, remembered %lld us\n", (long long)known,
	              (long long)unknown, (long long)again);
	assert_true(unknown * 2 > known && known * 2 > unknown);
	assert_true(again * 4 < known);
	secrets_close(&s);
}

static int first_app(void *ctx, const struct secret_app *app) {
	buf_addf(ctx, "%.*s%s ", SLICE_ARG(app->name), app->used_us != 0 ? " used" : "");
	return 0;
}

static void test_app_passwords(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	AUTO_BUF struct buf phone = BUF(64), laptop = BUF(64), list = BUF(256);
	struct secrets *s = NULL;
	const struct slice ann = S("a@b.example");
	assert_done(secrets_open(dir, &s));
	assert_int_equal(secret_app_add(s, ann, S("phone"), &phone), SECRET_UNKNOWN);
	assert_done(secret_set(s, ann, S("right")));
	assert_done(secret_app_add(s, ann, S("Phone"), &phone));
	assert_done(secret_app_add(s, ann, S("laptop"), &laptop));
	assert_int_equal(secret_app_add(s, ann, S("PHONE"), &list), SECRET_EXISTS);
	assert_true(secret_app_add(s, ann, S(""), &list) < 0);
	assert_int_equal(secret_verify(s, S("z@b.example"), buf_slice(&phone)), SECRET_WRONG);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(secret_verify(s, ann, buf_slice(&phone)), 0);
		assert_int_equal(secret_verify(s, ann, S("right")), 0);
	}
	secrets_app_only(s, true);
	assert_int_equal(secret_verify(s, ann, S("right")), SECRET_WRONG);
	assert_int_equal(secret_verify(s, ann, buf_slice(&phone)), 0);
	assert_done(secret_app_each(s, ann, first_app, &list));
	assert_string_equal(buf_text(&list), "laptop Phone used ");
	assert_done(secret_app_delete(s, ann, S("phone")));
	assert_int_equal(secret_verify(s, ann, buf_slice(&phone)), SECRET_WRONG);
	assert_int_equal(secret_app_delete(s, ann, S("phone")), SECRET_UNKNOWN);
	assert_done(secret_app_delete(s, ann, S("laptop")));
	assert_int_equal(secret_verify(s, ann, S("right")), 0); /* there are none any more */
	secrets_close(&s);
}

/* A database of the first version gets the tables of SCRAM, and verifiers at the first log-in. */
static void test_older_database(void **state UNUSED) {
	static const struct db_schema first = {
		.sql = "CREATE TABLE secret (account TEXT PRIMARY KEY, hash TEXT NOT NULL, changed_us INTEGER NOT "
		       "NULL) WITHOUT ROWID;"
		       "INSERT INTO secret VALUES ('a@b.example', '{PLAIN}right', 1);"
	};
	AUTO_TESTING_DIR char *dir = testing_dir();
	AUTO_BUF struct buf signature = BUF(SCRAM_SIGNATURE_MAX);
	unsigned char before[SCRAM_SALT], again[SCRAM_SALT], after[SCRAM_SALT];
	uint64_t rounds;
	struct db *db = NULL;
	struct secrets *s = NULL;
	assert_done(db_open(dir, &(struct db_params){ .file = "vault.db", .schema = &first }, &db));
	db_close(&db);
	assert_done(secrets_open(dir, &s));
	assert_done(secret_scram_salt(s, S("a@b.example"), true, before, &rounds));
	assert_done(secret_scram_salt(s, S("a@b.example"), true, again, &rounds));
	assert_memory_equal(before, again, sizeof before);
	assert_int_equal(rounds, SCRAM_ROUNDS);
	assert_int_equal(secret_verify(s, S("a@b.example"), S("right")), 0);
	assert_done(secret_scram_salt(s, S("a@b.example"), true, after, &rounds));
	assert_memory_not_equal(before, after, sizeof before);
	char proof[32] = { 0 };
	assert_int_equal(secret_scram_prove(s, S("a@b.example"), true, slice_from(proof, 32), S("x"), &signature),
			 SECRET_WRONG);
	assert_int_equal(secret_scram_prove(s, S("z@b.example"), false, slice_from(proof, 20), S("x"), &signature),
			 SECRET_WRONG);
	assert_int_equal(secret_scram_prove(s, S("a@b.example"), true, S("short"), S("x"), &signature), SECRET_WRONG);
	assert_int_equal(signature.len, 0);
	secrets_close(&s);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schemes),
		cmocka_unit_test(test_crypt),
		cmocka_unit_test(test_store),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_app_passwords),
		cmocka_unit_test(test_older_database),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
