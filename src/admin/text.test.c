/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/json.h"
#include "admin/table.h"
#include "admin/text.h"

#include "base/test.h"

static void cleans(void **state) {
	(void)state;
	static const struct { struct slice in; const char *line, *lines; } cases[] = {
		{ S("plain text"), "plain text", "plain text" },
		{ S("a\r\nb\tc\n"), "a??b?c?", "a\nb\tc\n" },
		{ S("\x1b[31mred\x07\x7f\0end"), "?[31mred???end", "?[31mred???end" },
		{ S("\xc2\x9b" "31m"), "?31m", "?31m" },                     /* C1 CSI */
		{ S("a\xe2\x80\xae" "b\xe2\x81\xa6"), "a?b?", "a?b?" },      /* right-to-left override, isolate */
		{ S("\xff\xc3"), "??", "??" },
		{ S("\xe9\xb3\xa9 caf\xc3\xa9"), "\xe9\xb3\xa9 caf\xc3\xa9", "\xe9\xb3\xa9 caf\xc3\xa9" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf line = BUF(1000);
		AUTO_BUF struct buf lines = BUF(1000);
		text_clean(&line, cases[i].in);
		text_clean_lines(&lines, cases[i].in);
		assert_string_equal(buf_text(&line), cases[i].line);
		assert_string_equal(buf_text(&lines), cases[i].lines);
	}
	assert_int_equal(text_width(S("\xe9\xb3\xa9 caf\xc3\xa9")), 7);
}

static void wraps(void **state) {
	(void)state;
	static const struct { size_t indent, width; const char *out; } cases[] = {
		{ 2, 0, "  one two three fourfive\n" },
		{ 2, 10, "  one two\n  three\n  fourfive\n" },
		{ 0, 3, "one\ntwo\nthree\nfourfive\n" },
		{ 4, 15, "    one two\n    three\n    fourfive\n" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf out = BUF(1000);
		text_wrap(&out, S("one two  three fourfive"), cases[i].indent, cases[i].width);
		assert_string_equal(buf_text(&out), cases[i].out);
	}
}

static void sizes_and_spans(void **state) {
	(void)state;
	static const struct { uint64_t bytes; const char *out;
	} sizes[] = {
		{ 0, "0" },
		{ 1023, "1023" },
		{ 1024, "1.0K" },
		{ 1500, "1.5K" },
		{ 10239, "10K" },
		{ 1048576, "1.0M" },
		{ 1023 * 1024, "1.0M" },
		{ UINT64_C(5) << 30, "5.0G" },
		{ UINT64_MAX, "16E" },
	};
	for (size_t i = 0; i < LEN(sizes); i++) {
		AUTO_BUF struct buf out = BUF(100);
		text_size(&out, sizes[i].bytes);
		assert_string_equal(buf_text(&out), sizes[i].out);
	}
	static const struct { int64_t s; const char *out;
	} spans[] = {
		{ -5, "0s" },     { 0, "0s" },    { 119, "119s" },   { 120, "2m" },
		{ 7199, "119m" }, { 7200, "2h" }, { 172799, "47h" }, { 172800, "2d" },
	};
	for (size_t i = 0; i < LEN(spans); i++) {
		AUTO_BUF struct buf out = BUF(100);
		text_span(&out, spans[i].s * 1000000);
		assert_string_equal(buf_text(&out), spans[i].out);
	}
	AUTO_BUF struct buf stamp = BUF(100);
	text_stamp(&stamp, INT64_C(1795321899) * 1000000);
	assert_string_equal(buf_text(&stamp), "2026-11-22T04:31:39Z");
}

static void reads_sizes(void **state) {
	(void)state;
	static const struct { struct slice in; bool good; uint64_t out;
	} cases[] = {
		{ S("none"), true, 0 },
		{ S("0"), true, 0 },
		{ S("1000"), true, 1000 },
		{ S("10k"), true, 10240 },
		{ S("500M"), true, UINT64_C(500) << 20 },
		{ S("2GB"), true, UINT64_C(2) << 30 },
		{ S("1.5G"), true, (UINT64_C(3) << 30) / 2 },
		{ S(""), false, 0 },
		{ S("M"), false, 0 },
		{ S("-1"), false, 0 },
		{ S("1.5"), false, 0 },
		{ S("1.55G"), false, 0 },
		{ S("99999999999T"), false, 0 },
		{ S("5x"), false, 0 },
		{ S("1 G"), false, 0 },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		uint64_t out = 77;
		assert_int_equal(text_read_size(cases[i].in, &out), cases[i].good);
		assert_int_equal(out, cases[i].good ? cases[i].out : 77);
	}
}

static void writes_json(void **state) {
	(void)state;
	AUTO_BUF struct buf out = BUF(1000);
	struct json j = { .out = &out };
	json_open(&j, NULL, '[');
	json_open(&j, NULL, '{');
	json_text(&j, "a", S("q\"\\\x1b\n\xff\xc2\x9b"));
	json_text(&j, "b", SLICE_NONE);
	json_open(&j, "c", '[');
	json_number(&j, NULL, -1);
	json_bool(&j, NULL, true);
	json_close(&j, ']');
	json_time(&j, "d", 0);
	json_close(&j, '}');
	json_text(&j, NULL, S(""));
	json_close(&j, ']');
	assert_string_equal(buf_text(&out), "[\n{\"a\":\"q\\\"\\\\\\u001b\\u000a\xef\xbf\xbd\\u009b\",\"b\":null,\"c\":"
					    "[-1,true],\"d\":null},\n\"\"\n]\n");
	buf_clear(&out);
	j = (struct json){ .out = &out };
	json_open(&j, NULL, '[');
	json_close(&j, ']');
	assert_string_equal(buf_text(&out), "[]\n");
}

static void prints_tables(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = {0};
	static const struct column columns[] = { { "NAME", "name", COLUMN_TEXT },
						 { "SIZE", "bytes", COLUMN_SIZE },
						 { "OFF", "off", COLUMN_YES } };
	struct table t = { .mem = &mem, .columns = columns, .width = LEN(columns) };
	AUTO_BUF struct buf out = BUF(10000);
	table_print(&t, 0, &out);
	assert_int_equal(out.len, 0);
	table_text(&t, S("a\x1b"));
	table_number(&t, 2048);
	table_number(&t, 1);
	table_text(&t, S("longer"));
	table_number(&t, 5);
	table_number(&t, 0);
	table_print(&t, 0, &out);
	assert_string_equal(buf_text(&out), "NAME    SIZE  OFF\na?      2.0K  yes\nlonger     5  no\n");
	buf_clear(&out);
	table_print(&t, 12, &out);
	assert_string_equal(buf_text(&out), "a?\n    size 2.0K, off yes\nlonger\n    size 5, off no\n");
	buf_clear(&out);
	table_json(&t, &out);
	assert_string_equal(buf_text(&out), "[\n{\"name\":\"a\\u001b\",\"bytes\":2048,\"off\":true},\n{\"name\":"
					    "\"longer\",\"bytes\":5,\"off\":false}\n]\n");
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cleans),      cmocka_unit_test(wraps),       cmocka_unit_test(sizes_and_spans),
		cmocka_unit_test(reads_sizes), cmocka_unit_test(writes_json), cmocka_unit_test(prints_tables),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
