/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doveadm_query.h"

#include "base/test.h"

enum { NOW = 1800000000 };

/* The IMAP search for mailbox "Lists/hato"; "ALL", "NONE", or what is wrong. */
static void expect(const char *query, const char *wanted) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf out = BUF(KIB(64));
	struct slice words[32], rest = slice_of(query);
	const char *problem = NULL;
	size_t count = 0;
	while (rest.at != NULL && count < LEN(words)) words[count++] = slice_cut(&rest, '|');
	const struct dove_query *q = dove_query_read(words, count, NOW, &mem, &problem);
	if (q == NULL) {
		assert_string_equal(problem, wanted);
		return;
	}
	switch (dove_query_put(q, S("Lists/hato"), S("00ff"), &out)) {
	case DOVE_ALL: assert_string_equal("ALL", wanted); break;
	case DOVE_NONE: assert_string_equal("NONE", wanted); break;
	default: assert_string_equal(buf_text(&out), wanted);
	}
}

static void becomes_imap(void **state) {
	(void)state;
	expect("ALL", "ALL");
	expect("seen|from|a \"b\"", "(SEEN FROM \"a \\\"b\\\"\")");
	expect("mailbox|Lists/*|unseen", "UNSEEN");
	expect("mailbox|INBOX|unseen", "NONE");
	expect("mailbox-guid|00FF", "ALL");
	expect("(|mailbox|INBOX|OR|uid|1:5|)", "UID 1:5");
	expect("NOT|mailbox|INBOX", "ALL");
	expect("uid|1|OR|uid|2|OR|NOT|deleted", "OR NOT DELETED OR UID 2 UID 1");
	expect("not|(|seen|flagged|)", "NOT (SEEN FLAGGED)");
	expect("larger|50k|smaller|1M", "(LARGER 51200 SMALLER 1048576)");
	expect("before|30d", "OLDER 2592001");
	expect("since|1h", "YOUNGER 3600");
	expect("savedbefore|2w", "X-SAVEDOLDER 1209601");
	expect("savedsince|2026-11-23", "SAVEDSINCE 23-Nov-2026");
	expect("on|1799913600", "YOUNGER 86400");
	expect("on|1799900000", "(YOUNGER 100000 OLDER 13601)");
	expect("since|1900000000", "NONE");
	expect("before|1900000000", "ALL");
	expect("sentbefore|1-Jan-2027", "SENTBEFORE 1-Jan-2027");
}

static void says_what_is_wrong(void **state) {
	(void)state;
	expect("bogus", "Unknown argument BOGUS");
	expect("seen|OR|flagged|deleted", "Use parenthesis when mixing ANDs and ORs");
	expect("seen|deleted|OR|flagged", "Use parenthesis when mixing ANDs and ORs");
	expect("(|seen", "Missing ')'");
	expect("from", "Missing argument for search key FROM");
	expect("uid|x", "Invalid UID set: X");
	expect("keyword|a b", "Invalid keyword: A B");
	expect("since|soon", "Invalid search date parameter: SOON");
}

static void nothing_is_expunged_by_accident(void **state) {
	static const struct { const char *query; bool names; } all[] = {
		{ "ALL", false },
		{ "mailbox|x|ALL", true },
		{ "mailbox|x|OR|seen", false },
		{ "mailbox|x|OR|mailbox-guid|y", true },
		{ "NOT|mailbox|x", false },
	};
	(void)state;
	for (size_t i = 0; i < LEN(all); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct slice words[8], rest = slice_of(all[i].query);
		const char *problem;
		size_t count = 0;
		while (rest.at != NULL) words[count++] = slice_cut(&rest, '|');
		const struct dove_query *q = dove_query_read(words, count, NOW, &mem, &problem);
		assert_non_null(q);
		assert_int_equal(dove_query_names_mailbox(q), all[i].names);
	}
	assert_true(dove_wild_match(S("a*c?"), S("abbcd")) && !dove_wild_match(S("a*c"), S("abbcd")));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(becomes_imap),
		cmocka_unit_test(says_what_is_wrong),
		cmocka_unit_test(nothing_is_expunged_by_accident),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
