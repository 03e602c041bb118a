/* SPDX-License-Identifier: Apache-2.0 */
#include "local/forward.h"
#include "base/test.h"

/* Kinds as letters (a address, s self, c command, f file, i include), texts between |. */
static struct slice told(const char *text, struct arena *mem) {
	struct forward_list l = forward_parse(slice_of(text), mem);
	AUTO_BUF struct buf b = BUF(MIB(1));
	for (size_t i = 0; i < l.count; i++)
		buf_addf(&b, "%c<%.*s>", "ascfi"[l.at[i].kind], SLICE_ARG(l.at[i].text));
	return arena_slice(mem, buf_slice(&b));
}

static const struct {
	const char *in, *out;
} cases[] = {
	{ "", "" },
	{ "\n\n# nothing\n  \n", "" },
	{ "bob@example.org\n", "a<bob@example.org>" },
	{ "bob, ann@x ,carl\r\ndora", "a<bob>a<ann@x>a<carl>a<dora>" },
	{ "\\ann, bob@x", "s<ann>a<bob@x>" },
	{ "\"|/usr/bin/procmail\"", "c</usr/bin/procmail>" },
	{ "\"|IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #ann\"",
	  "c<IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #ann>" },
	{ "|/usr/bin/vacation ann", "c</usr/bin/vacation ann>" },
	{ "|\"/usr/bin/vacation ann, bob\"", "c</usr/bin/vacation ann, bob>" },
	{ "/home/ann/mail, /home/ann/Maildir/", "f</home/ann/mail>f</home/ann/Maildir/>" },
	{ "\"/home/ann/my mail\"", "f</home/ann/my mail>" },
	{ ":include:/home/ann/list", "i</home/ann/list>" },
	{ "Bob B <bob@x>, carl@x (Carl, the other)", "a<bob@x>a<carl@x>" },
	{ "bob@x # not a comment", "a<bob@x # not a comment>" },
	{ " # indented\nbob", "a<bob>" },
	{ "\"unclosed, bob\ncarl", "a<unclosed, bob>a<carl>" },
	{ "<>", "" },
	{ ",,,", "" },
};

static void table(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	for (size_t i = 0; i < LEN(cases); i++) {
		struct slice got = told(cases[i].in, &mem);
		if (!slice_eq(got, slice_of(cases[i].out)))
			print_message("%s → %.*s, wanted %s\n", cases[i].in, SLICE_ARG(got), cases[i].out);
		assert_true(slice_eq(got, slice_of(cases[i].out)));
	}
}

static void many(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf b = BUF(MIB(1));
	for (int i = 0; i < 3000; i++) buf_addf(&b, "u%d,", i);
	struct forward_list l = forward_parse(buf_slice(&b), &mem);
	assert_int_equal(l.count, LOCAL_TARGETS_MAX);
	assert_true(l.too_many);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(table), cmocka_unit_test(many) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
