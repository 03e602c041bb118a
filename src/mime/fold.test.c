/* SPDX-License-Identifier: Apache-2.0 */
#include "base/encode.h"
#include "mime/fold.h"
#include "mime/test.h"

#include <unicase.h>
#include <uninorm.h>

static const struct { const char *in, *want; } cases[] = {
	{ "", "" },
	{ "Hello, WORLD 42", "HELLO, WORLD 42" },
	{ "CAF\xc3\xa9 \xc3\x9f", "CAFE\xcc\x81 \xc3\x9f" },
	{ "Cafe\xcc\x81!", "CAFE\xcc\x81!" },                             /* a joining accent */
	{ "\xef\xbc\xa8\xef\xbd\x81to", "HATO" },                         /* full width */
	{ "\xe9\xb3\xa9\xe3\x81\xae\xe5\xb7\xa3", "\xe9\xb3\xa9\xe3\x81\xae\xe5\xb7\xa3" },
	{ "\xe3\x81\xb0\xe3\x81\xaf", "\xe3\x81\xaf\xe3\x82\x99\xe3\x81\xaf" }, /* ba is ha + voicing mark */
	{ "\xef\xbe\x8a\xef\xbe\x9e\xef\xbe\x84", "\xe3\x83\x8f\xe3\x82\x99\xe3\x83\x88" }, /* half width */
	{ "A\xff" "B\xe9\xb3", "A\xef\xbf\xbd" "B\xef\xbf\xbd\xef\xbf\xbd" },
	{ "\xce\x9f\xce\x94\xce\x9f\xce\xa3 \xcf\x82", "\xce\x9f\xce\x94\xce\x9f\xce\xa3 \xce\xa3" }, /* both sigmas */
	{ "\xc7\x84", "Dz\xcc\x8c" },                                     /* RFC 5051's own example: DZ with caron */
	{ "\xea\xb0\x80", "\xe1\x84\x80\xe1\x85\xa1" },                   /* Hangul */
	{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
};

static void known(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf out = BUF(1000);
		text_fold(&out, slice_of(cases[i].in));
		same_text(buf_slice(&out), cases[i].want);
	}
}

/* It is what the tables make of each character. */
static void as_the_tables_say(void **state) {
	(void)state;
	static const char *const bits[] = { "a",
					    "Z",
					    " ",
					    "\n",
					    "\xcc\x81",
					    					    "\xc3\x89",
					    "\xe3\x81\xaf",
					    "\xe3\x82\x99",
					    "\xe3\x83\x8f",
					    "\xe9\xb3\xa9",
					    "\xea\xb0\x80",
					    "\xe1\x86\xa8",
					    "\xe1\x84\x80",
					    "\xe1\x85\xa1",
					    "\xef\xbd\x81",
					    "\xef\xbe\x9e",
					    "\xe3\x80\x81",
					    "\xe3\x80\x80",
					    "\xff",
					    "\xe9",
					    "\xf0\x9f\x98\x80",
					    "\xc4\xb0",
					    "\xe3\x83\xbc",
					    "\xef\xac\x81" };
	for (int round = 0; round < 20000; round++) {
		AUTO_BUF struct buf in = BUF(1000), clean = BUF(4000), out = BUF(8000);
		for (uint64_t n = random_below(12); n > 0; n--) buf_add(&in, slice_of(bits[random_below(LEN(bits))]));
		if (in.len == 0) continue;
		utf8_add_clean(&clean, buf_slice(&in));
		AUTO_BUF struct buf want = BUF(8000);
		for (struct slice rest = buf_slice(&clean); rest.len != 0;) {
			ucs4_t title = uc_totitle(utf8_next(&rest));
			uint32_t room[64];
			size_t len = LEN(room);
			uint32_t *parts = u32_normalize(UNINORM_NFKD, &title, 1, room, &len);
			for (size_t i = 0; i < len; i++) utf8_add(&want, parts[i]);
		}
		text_fold(&out, buf_slice(&in));
		if (!slice_eq(buf_slice(&out), buf_slice(&want)))
			fail_msg("<%.*s>: <%.*s> is not <%.*s>", SLICE_ARG(buf_slice(&in)), SLICE_ARG(buf_slice(&out)),
				 SLICE_ARG(buf_slice(&want)));
	}
}

static void whole_words(void **state) {
	(void)state;
	assert_int_equal(text_fold_whole(S("some words and a bi")), 17);
	assert_int_equal(text_fold_whole(S("\xe9\xb3\xa9\xe9\xb3\xa9\xe9\xb3\xa9")), 6);
	assert_int_equal(text_fold_whole(S("a")), 1);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(known), cmocka_unit_test(as_the_tables_say),
					    cmocka_unit_test(whole_words) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
