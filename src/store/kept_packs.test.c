/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "store/kept_packs.h"

#include <pthread.h>

enum { PACK = 1000 /* bytes */, EACH = 10 /* uids */, ROOM = 20 /* packs */ };

/* What is in a pack says which it is. */
static bool is_right(const struct kept_pack *p, enum blob_kept kind, struct box box, uint32_t uid) {
	AUTO_BUF struct buf want = BUF(PACK);
	buf_addf(&want, "%d %d %d %u", (int)kind, (int)box.account, (int)box.id, p->first);
	return uid >= p->first && uid <= p->last && slice_starts(buf_slice(&p->plain), buf_slice(&want));
}

static struct kept_pack *made(enum blob_kept kind, struct box box, uint32_t first) {
	struct kept_pack *p = mem_get(sizeof *p);
	*p = (struct kept_pack){ .holders = 1, .kind = kind, .box = box, .first = first, .last = first + EACH - 1,
				 .plain = BUF(PACK) };
	buf_room(&p->plain, PACK);
	buf_addf(&p->plain, "%d %d %d %u", (int)kind, (int)box.account, (int)box.id, first);
	return p;
}

/* As a walk does; returns how many were there. */
static size_t walk(struct kept_packs *k, enum blob_kept kind, struct box box, size_t packs) {
	size_t found = 0;
	for (uint32_t i = 0; i < packs; i++) {
		uint32_t first = i * EACH + 1, uid = first + i % EACH;
		struct kept_pack *p = kept_packs_find(k, kind, box, uid);
		found += p != NULL;
		if (p == NULL) kept_packs_keep(k, p = made(kind, box, first));
		if (!is_right(p, kind, box, uid)) return SIZE_MAX;
		kept_packs_release(k, &p);
	}
	return found;
}

static const struct box one = { 1, 1 }, two = { 1, 2 };

static void who_stays(void **state UNUSED) {
	struct kept_packs *k = kept_packs_new(ROOM * (PACK + 100));
	assert_int_equal(walk(k, BLOB_SUMMARY, one, ROOM), 0);
	assert_int_equal(walk(k, BLOB_SUMMARY, one, ROOM), ROOM);
	assert_int_equal(walk(k, BLOB_SUMMARY, one, ROOM * 5), ROOM); /* larger than the room: the first stay */
	assert_in_range(walk(k, BLOB_SUMMARY, one, ROOM * 5), ROOM - 2, ROOM);
	assert_int_equal(walk(k, BLOB_DIGEST, one, ROOM / 2), 0);
	assert_int_equal(walk(k, BLOB_DIGEST, one, ROOM / 2), ROOM / 2);
	assert_int_equal(walk(k, BLOB_SUMMARY, two, ROOM), 0); /* all others left for them */
	assert_int_equal(walk(k, BLOB_SUMMARY, two, ROOM), ROOM);
	assert_int_equal(walk(k, BLOB_DIGEST, one, ROOM / 2), 0);
	kept_packs_free(&k);
}

/* One that is too large is the walk's alone. */
static void too_large(void **state UNUSED) {
	struct kept_packs *k = kept_packs_new(PACK * 4);
	assert_int_equal(walk(k, BLOB_SUMMARY, one, 3), 0);
	assert_int_equal(walk(k, BLOB_SUMMARY, one, 3), 0);
	struct kept_pack *none = NULL;
	kept_packs_release(k, &none);
	kept_packs_free(&k);
}

struct walker { struct kept_packs *k; struct box box; pthread_t thread; bool wrong; };

static void *walk_on(void *arg) {
	struct walker *w = arg;
	for (size_t i = 0; i < 200; i++)
		w->wrong |= walk(w->k, i % 3 != 0 ? BLOB_SUMMARY : BLOB_DIGEST, w->box, ROOM + i % 7) == SIZE_MAX;
	return NULL;
}

static void many_at_once(void **state UNUSED) {
	struct kept_packs *k = kept_packs_new(ROOM * PACK);
	struct walker walkers[4];
	for (size_t i = 0; i < LEN(walkers); i++) {
		walkers[i] = (struct walker){ .k = k, .box = i % 2 != 0 ? one : two };
		assert_int_equal(pthread_create(&walkers[i].thread, NULL, walk_on, &walkers[i]), 0);
	}
	for (size_t i = 0; i < LEN(walkers); i++) {
		pthread_join(walkers[i].thread, NULL);
		assert_false(walkers[i].wrong);
	}
	kept_packs_free(&k);
}

int main(void) {
	static const struct CMUnitTest tests[] = { cmocka_unit_test(who_stays), cmocka_unit_test(too_large),
						   cmocka_unit_test(many_at_once) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
