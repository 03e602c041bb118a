/* SPDX-License-Identifier: Apache-2.0 */
/* The examples of RFC 5092 and RFC 4469, and what is none. */
#include "access/imap/url.h"

#include "base/test.h"

static struct imap_url parsed(struct arena *mem, const char *text) {
	struct imap_url u;
	if (!imap_url_parse(mem, slice_of(text), &u)) fail_msg("not read: %s", text);
	return u;
}

static void good(void **state) {
	AUTO_ARENA struct arena mem = { 0 };
	(void)state;
	struct imap_url u = parsed(&mem, "/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER");
	assert_true(slice_eq(u.mailbox, S("Drafts")) && u.uidvalidity == 385759045 && u.uid == 20 && !u.absolute);
	assert_true(slice_eq(u.section, S("HEADER")) && !u.partial);
	u = parsed(&mem, "imap://joe;AUTH=*@mail.example.test:143/G%C3%B6del/Sub/;uid=7/"
			 ";section=1.2.HEADER.FIELDS%20(To)/;partial=10.20");
	assert_true(u.absolute && slice_eq(u.user, S("joe")) && slice_eq(u.host, S("mail.example.test")));
	assert_true(slice_eq(u.mailbox, S("G\xc3\xb6" "del/Sub")) && u.uid == 7 && u.uidvalidity == 0);
	assert_true(slice_eq(u.section, S("1.2.HEADER.FIELDS (To)")) && u.partial && u.from == 10 && u.count == 20);
	u = parsed(&mem, ";UID=3");
	assert_true(u.uid == 3 && u.mailbox.len == 0);
	u = parsed(&mem, "/;UID=3/;SECTION=TEXT");
	assert_true(u.uid == 3 && u.mailbox.len == 0 && slice_eq(u.section, S("TEXT")));
	u = parsed(&mem, "imap://a%40b.test@[::1]/INBOX/;UID=1");
	assert_true(slice_eq(u.user, S("a@b.test")) && slice_eq(u.host, S("[::1]")));
}

static void bad(void **state) {
	static const char *const texts[] = { "",
					     "/",
					     "/INBOX",
					     "/INBOX/;UID=0",
					     "/INBOX/;UID=x",
					     "/INBOX/;UID=1/;section=",
					     "/IN%0dBOX/;UID=1",
					     "/%ff/;UID=1",
					     "/%4/;UID=1",
					     "imap:///INBOX/;UID=1",
					     "imap://h/;UID=1",
					     "http://h/INBOX/;UID=1",
					     "/INBOX;UIDVALIDITY=0/;UID=1",
					     "/INBOX/;UID=1/;PARTIAL=x",
					     "/INBOX/;UID=1/;PARTIAL=1.0",
					     "/INBOX/;UID=1;URLAUTH=submit+fred:internal:91354",
					     "/INBOX/;UID=99999999999" };
	AUTO_ARENA struct arena mem = { 0 };
	struct imap_url u;
	(void)state;
	for (size_t i = 0; i < LEN(texts); i++)
		if (imap_url_parse(&mem, slice_of(texts[i]), &u)) fail_msg("read: %s", texts[i]);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(good), cmocka_unit_test(bad) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
