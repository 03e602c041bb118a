/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wire.h"

#include <setjmp.h>
#include <cmocka.h>

struct point {
	int64_t x;
	int y;
};
#define POINT_FIELDS(F) F(i64, x) F(int_, y)
WIRE_DECLARE(point)
WIRE_STRUCT(point, POINT_FIELDS)

struct figure {
	struct slice name;
	uint64_t id;
	uint32_t colour;
	bool closed;
	struct point origin, *points;
	size_t points_count;
};
#define FIGURE_FIELDS(F) \
	F(text, name) F(u64, id) F(u32, colour) F(bool_, closed) F(part, origin, point) F(list, points, point)
WIRE_DECLARE(figure)
WIRE_STRUCT(figure, FIGURE_FIELDS)

static struct point corners[] = { { INT64_MIN, INT_MIN }, { INT64_MAX, INT_MAX }, { 0, 0 }, { -1, 1 } };
static const struct figure sample = { .name = { "a\0b", 3 }, .id = UINT64_MAX, .colour = UINT32_MAX, .closed = true,
	.origin = { -5, 5 }, .points = corners, .points_count = LEN(corners) };

static void there_and_back(void **state) {
	(void)state;
	AUTO_BUF struct buf b = BUF(KIB(4));
	AUTO_ARENA struct arena mem = { 0 };
	figure_pack(&b, &sample);
	struct unwire w = UNWIRE(buf_slice(&b), &mem);
	struct figure f = { 0 };
	figure_unpack(&w, &f);
	assert_false(w.bad);
	assert_int_equal(w.rest.len, 0);
	assert_true(slice_eq(f.name, sample.name));
	assert_true(f.id == sample.id && f.colour == sample.colour && f.closed);
	assert_int_equal(f.origin.x, -5);
	assert_int_equal(f.points_count, LEN(corners));
	for (size_t i = 0; i < LEN(corners); i++)
		assert_true(f.points[i].x == corners[i].x && f.points[i].y == corners[i].y);
}

static void every_cut_is_an_error(void **state) {
	(void)state;
	AUTO_BUF struct buf b = BUF(KIB(4));
	AUTO_ARENA struct arena mem = { 0 };
	figure_pack(&b, &sample);
	for (size_t len = 0; len < b.len; len++) {
		AUTO_FREE char *copy =
			slice_text(slice_head(buf_slice(&b), len)); /* its own block: reading behind it shows */
		struct unwire w = UNWIRE(slice_from(copy, len), &mem);
		struct figure f = { 0 };
		figure_unpack(&w, &f);
		assert_true(w.bad);
		assert_int_equal(f.points_count, 0);
		arena_reset(&mem);
	}
}

static void numbers(void **state) {
	(void)state;
	static const struct { struct slice bytes; bool ok; uint64_t value;
	} cases[] = {
		{ S("\0"), true, 0 },
		{ S("\x7f"), true, 127 },
		{ S("\x80\x01"), true, 128 },
		{ S("\x80"), false, 0 },
		{ S(""), false, 0 },
		{ S("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), true, UINT64_MAX },
		{ S("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), false, 0 },
		{ S("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), false, 0 },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct unwire w = UNWIRE(cases[i].bytes, NULL);
		assert_int_equal(wire_get_u64(&w), cases[i].value);
		assert_int_equal(w.bad, !cases[i].ok);
	}
	static const int64_t signs[] = { 0, 1, -1, 63, -64, INT64_MAX, INT64_MIN };
	for (size_t i = 0; i < LEN(signs); i++) {
		AUTO_BUF struct buf b = BUF(16);
		wire_put_i64(&b, signs[i]);
		struct unwire w = UNWIRE(buf_slice(&b), NULL);
		assert_int_equal(wire_get_i64(&w), signs[i]);
	}
}

static void ranges_are_checked(void **state) {
	(void)state;
	AUTO_BUF struct buf b = BUF(64);
	wire_put_u64(&b, (uint64_t)UINT32_MAX + 1);
	struct unwire w = UNWIRE(buf_slice(&b), NULL);
	uint32_t u = 1;
	wire_get_u32_to(&w, &u);
	assert_true(w.bad && u == 0);
	buf_clear(&b);
	wire_put_i64(&b, (int64_t)INT_MIN - 1);
	w = UNWIRE(buf_slice(&b), NULL);
	int i = 1;
	wire_get_int_to(&w, &i);
	assert_true(w.bad && i == 0);
	w = UNWIRE(S("\x02"), NULL);
	bool truth = true;
	wire_get_bool_to(&w, &truth);
	assert_true(w.bad && !truth);
	w = UNWIRE(S("\xff\xff\xff\x7f"), NULL); /* a count that no bytes stand behind */
	assert_int_equal(wire_get_count(&w, 1), 0);
	assert_true(w.bad);
	assert_int_equal(wire_get_text(&w).len, 0); /* and the error sticks */
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back), cmocka_unit_test(every_cut_is_an_error), cmocka_unit_test(numbers),
		cmocka_unit_test(ranges_are_checked),
	};
	return cmocka_run_group_tests_name("base-wire", tests, NULL, NULL);
}
