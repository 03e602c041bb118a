/* SPDX-License-Identifier: Apache-2.0 */
/* The examples of the RFCs, and servers that lie. */
#include "smtp/client_sasl.h"
#include "base/test.h"

static const struct {
	const char *what;
	enum smtp_mechanism m;
	const char *user, *password, *nonce;
	const char *first;               /* NULL: nothing goes with the command */
	const char *talk[4];             /* challenge, answer, …; answer NULL: refused */
	bool proved;
} cases[] = {
	{ "PLAIN", SMTP_MECHANISM_PLAIN, "user", "secret", "", "-user-secret", { "", "-user-secret" }, true },
	{ "PLAIN, asked twice", SMTP_MECHANISM_PLAIN, "u", "p", "", "-u-p", { "", "-u-p", "", NULL }, true },
	{ "LOGIN",
	  SMTP_MECHANISM_LOGIN,
	  "user",
	  "secret",
	  "",
	  NULL,
	  { "Username:", "user", "Password:", "secret" },
	  true },
	{ "CRAM-MD5, RFC 2195",
	  SMTP_MECHANISM_CRAM_MD5,
	  "tim",
	  "tanstaaftanstaaf",
	  "",
	  NULL,
	  { "<1896.697170952@postoffice.reston.mci.net>", "tim b913a602c7eda7a495b4e6e7334d3890", "again", NULL },
	  true },
	{ "SCRAM-SHA-1, RFC 5802",
	  SMTP_MECHANISM_SCRAM_SHA_1,
	  "user",
	  "pencil",
	  "fyko+d2lbbFgONRv9qkxdawL",
	  "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
	  { "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
	    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
	    "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", "" },
	  true },
	{ "SCRAM-SHA-256, RFC 7677",
	  SMTP_MECHANISM_SCRAM_SHA_256,
	  "user",
	  "pencil",
	  "rOprNGfwEbeRWgbNEkqO",
	  "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
	  { "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+"
	    "Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "" },
	  true },
	{ "the wrong verifier",
	  SMTP_MECHANISM_SCRAM_SHA_1,
	  "user",
	  "pencil",
	  "fyko+d2lbbFgONRv9qkxdawL",
	  "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
	  { "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
	    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
	    "v=rmF9pqV8S7suAoZWja4dJRkFsKZ=", NULL },
	  false },
	{ "a nonce of somebody else",
	  SMTP_MECHANISM_SCRAM_SHA_1,
	  "u",
	  "p",
	  "mine",
	  "n,,n=u,r=mine",
	  { "r=yours3rfc,s=QSXCR+Q6sek8bf92,i=4096", NULL },
	  false },
	{ "a nonce without a part of the server's",
	  SMTP_MECHANISM_SCRAM_SHA_1,
	  "u",
	  "p",
	  "mine",
	  "n,,n=u,r=mine",
	  { "r=mine,s=QSXCR+Q6sek8bf92,i=4096", NULL },
	  false },
	{ "no salt",
	  SMTP_MECHANISM_SCRAM_SHA_1,
	  "u",
	  "p",
	  "mine",
	  "n,,n=u,r=mine",
	  { "r=mine2,s=,i=4096", NULL },
	  false },
	{ "rounds for years",
	  SMTP_MECHANISM_SCRAM_SHA_1,
	  "u",
	  "p",
	  "mine",
	  "n,,n=u,r=mine",
	  { "r=mine2,s=QSXC,i=4000000000", NULL },
	  false },
	{ "no rounds",
	  SMTP_MECHANISM_SCRAM_SHA_1,
	  "u",
	  "p",
	  "mine",
	  "n,,n=u,r=mine",
	  { "r=mine2,s=QSXC,i=0", NULL },
	  false },
	{ "an extension that must be understood",
	  SMTP_MECHANISM_SCRAM_SHA_1,
	  "u",
	  "p",
	  "mine",
	  "n,,n=u,r=mine",
	  { "m=x,r=mine2,s=QSXC,i=1", NULL },
	  false },
	{ "v= before anything",
	  SMTP_MECHANISM_SCRAM_SHA_256,
	  "u",
	  "p",
	  "mine",
	  "n,,n=u,r=mine",
	  { "v=QSXC", NULL },
	  false },
	{ "an error",
	  SMTP_MECHANISM_SCRAM_SHA_256,
	  "u",
	  "p",
	  "mine",
	  "n,,n=u,r=mine",
	  { "r=mine2,s=QSXC,i=1", "*", "e=invalid-proof", NULL },
	  false },
	{ "a name with signs",
	  SMTP_MECHANISM_SCRAM_SHA_256,
	  "a,b=c",
	  "p",
	  "mine",
	  "n,,n=a=2Cb=3Dc,r=mine",
	  { NULL },
	  false },
};

/* "-" stands for NUL; "*": anything. */
static bool is(const struct buf *have, const char *want) {
	AUTO_FREE char *text = slice_text(buf_slice(have));
	for (size_t i = 0; i < have->len; i++)
		if (have->at[i] == '\0') text[i] = '-';
	return strcmp(want, "*") == 0 || slice_eq(slice_from(text, have->len), slice_of(want));
}

static void test_dialogues(void **state UNUSED) {
	for (size_t i = 0; i < LEN(cases); i++) {
		struct sasl_client s;
		AUTO_BUF struct buf out = BUF(KIB(16));
		sasl_client_init(&s, cases[i].m, slice_of(cases[i].user), slice_of(cases[i].password),
				 slice_of(cases[i].nonce));
		bool first = sasl_client_first(&s, &out),
		     good = first == (cases[i].first != NULL) && (!first || is(&out, cases[i].first));
		for (size_t k = 0; k < LEN(cases[i].talk) && cases[i].talk[k] != NULL && good; k += 2) {
			buf_clear(&out);
			int r = sasl_client_answer(&s, slice_of(cases[i].talk[k]), &out);
			good = cases[i].talk[k + 1] == NULL ? r < 0 : r == 0 && is(&out, cases[i].talk[k + 1]);
		}
		good = good && s.proved == cases[i].proved;
		if (!good) print_error("%s\n", cases[i].what);
		assert_true(good);
		sasl_client_done(&s);
		sasl_client_done(&s);
	}
}

static void test_names(void **state UNUSED) {
	assert_int_equal(smtp_mechanism_of(S("scram-sha-256")), SMTP_MECHANISM_SCRAM_SHA_256);
	assert_int_equal(smtp_mechanism_of(S("GSSAPI")), 0);
	assert_int_equal(smtp_mechanism_best(SMTP_MECHANISMS_ALL), SMTP_MECHANISM_SCRAM_SHA_256);
	assert_int_equal(smtp_mechanism_best(SMTP_MECHANISM_LOGIN | SMTP_MECHANISM_PLAIN | SMTP_MECHANISM_CRAM_MD5),
			 SMTP_MECHANISM_CRAM_MD5);
	assert_int_equal(smtp_mechanism_best(SMTP_MECHANISM_LOGIN | SMTP_MECHANISM_PLAIN), SMTP_MECHANISM_PLAIN);
	assert_int_equal(smtp_mechanism_best(0), 0);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_dialogues), cmocka_unit_test(test_names) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
