/* SPDX-License-Identifier: Apache-2.0 */
/* What the dialogues (tests/data/imap/search/thread.txt) cannot reach: long chains, random tangles, and that order is
 * order. */
#include "access/imap/order.h"
#include "access/imap/thread.h"
#include "base/wire.h"
#include "base/test.h"

static uint64_t seed = 12345;
static uint64_t dice(uint64_t sides) {
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (seed >> 33) % sides;
}

/* Every message stands in the forest once; a missing one leads at least two. Returns the depth. */
static size_t check(const struct thread_forest *f, size_t count) {
	AUTO_FREE bool *seen = mem_array(count + 1, sizeof *seen);
	size_t found = 0, deepest = 0, depth = 1;
	for (uint32_t root = f->first; root != 0; root = f->nodes[root].next) {
		for (uint32_t n = root;;) {
			uint32_t number = f->nodes[n].number, child = f->nodes[n].child;
			if (number == 0) assert_true(n == root && child != 0 && f->nodes[child].next != 0);
			if (number != 0) assert_false(seen[number]);
			seen[number] = number != 0;
			found += number != 0;
			deepest = MAX_OF(deepest, depth);
			if (child != 0) {
				assert_int_equal(f->nodes[child].parent, n);
				n = child;
				depth++;
				continue;
			}
			while (n != root && f->nodes[n].next == 0) {
				n = f->nodes[n].parent;
				depth--;
			}
			if (n == root) break;
			n = f->nodes[n].next;
		}
	}
	assert_int_equal(found, count);
	return deepest;
}

static void test_chain(void **state) {
	enum { COUNT = 50000 };
	AUTO_FREE struct thread_message *m = mem_array(COUNT, sizeof *m);
	AUTO_BUF struct buf ids = BUF(MIB(4));
	AUTO_FREE size_t *at = mem_array(COUNT + 1, sizeof *at);
	struct thread_forest f;
	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		at[i] = ids.len;
		if (i != 0) wire_put_u64(&ids, i);
		m[i] = (struct thread_message){
			.number = (uint32_t)i + 1, .id = i + 1, .date = (int64_t)i, .subject = S("X"), .reply = i != 0
		};
	}
	at[COUNT] = ids.len;
	for (size_t i = 0; i < COUNT; i++) m[i].references = slice_from(ids.at + at[i], at[i + 1] - at[i]);
	thread_build(m, COUNT, THREAD_REFERENCES, &f);
	assert_int_equal(check(&f, COUNT), COUNT);
	thread_forest_done(&f);
	thread_build(m, COUNT, THREAD_ORDEREDSUBJECT, &f);
	assert_int_equal(check(&f, COUNT), 2);
	thread_forest_done(&f);
	thread_build(m, 0, THREAD_REFERENCES, &f);
	assert_int_equal(f.first, 0);
	thread_forest_done(&f);
}

static void test_tangles(void **state) {
	enum { COUNT = 60 };
	static const struct slice subjects[] = { S(""), S("A"), S("B"), S("C") };
	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct thread_message m[COUNT];
		struct buf ids[COUNT];
		struct thread_forest f;
		for (uint32_t i = 0; i < COUNT; i++) {
			ids[i] = BUF(1000);
			for (uint64_t n = dice(6); n != 0; n--) wire_put_u64(&ids[i], dice(80) + 1);
			m[i] = (struct thread_message){ .number = i + 1,
							.id = dice(5) == 0 ? 0 : dice(80) + 1,
							.date = (int64_t)dice(20),
							.reply = dice(2) == 0,
							.subject = subjects[dice(LEN(subjects))],
							.references = buf_slice(&ids[i]) };
		}
		for (int kind = THREAD_ORDEREDSUBJECT; kind <= THREAD_REFS; kind++) {
			thread_build(m, COUNT, (enum thread_kind)kind, &f);
			check(&f, COUNT);
			thread_forest_done(&f);
		}
		for (int i = 0; i < COUNT; i++) buf_done(&ids[i]);
	}
}

static int by_second(const void *ctx, const void *a, const void *b) {
	const uint64_t *x = a, *y = b;
	(void)ctx;
	return (x[1] > y[1]) - (x[1] < y[1]);
}

static void test_order(void **state) {
	(void)state;
	for (size_t round = 0; round < 500; round++) {
		uint64_t things[200][3];
		struct order_entry at[200];
		size_t count = dice(200);
		for (size_t i = 0; i < count; i++) {
			things[i][0] = round % 3 == 0 ? i / 7 : round % 3 == 1 ? 200 - i : dice(20);
			things[i][1] = dice(3);
			things[i][2] = i;
			at[i] = (struct order_entry){ things[i][0], things[i] };
		}
		order_sort(at, count, by_second, NULL);
		for (size_t i = 1; i < count; i++) {
			const uint64_t *x = at[i - 1].thing, *y = at[i].thing;
			assert_true(x[0] < y[0] || (x[0] == y[0] && (x[1] < y[1] || (x[1] == y[1] && x[2] < y[2]))));
		}
	}
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_chain), cmocka_unit_test(test_tangles),
					    cmocka_unit_test(test_order) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
