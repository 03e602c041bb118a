/* SPDX-License-Identifier: Apache-2.0 */
/* The table is made from settings.def. It stays in the order of the manual, so a second, sorted index serves look-ups.
 */
#include "conf/setting.h"
#include <pthread.h>

#define WORD_TEXT(id, text) text,
#define WORDS_TABLE(name, list) static const char *const name##_words[] = { list(WORD_TEXT) NULL };
ALL_WORDS(WORDS_TABLE)

#define COMPUTED NULL
#define MOST INT_MAX
#define TEXT .kind = KIND_TEXT
#define RAW .kind = KIND_RAW
#define LEVEL .kind = KIND_LEVEL
#define ORIGIN .kind = KIND_ORIGIN
#define BOOL .kind = KIND_BOOL
#define NUMBER(least_, most_) .kind = KIND_NUMBER, .least = least_, .most = most_
#define TIME(unit_) .kind = KIND_TIME, .unit = unit_
#define SIZE .kind = KIND_SIZE
#define WORDS(set) .kind = KIND_WORDS, .words = set##_words
#define LIST .kind = KIND_LIST
#define NETWORKS .kind = KIND_NETWORKS
#define DOMAINS .kind = KIND_DOMAINS

static const struct setting settings[] = {
#define GROUP(title)
#define SETTING(state_, name_, kind_, fallback_, doc_) \
	{ .name = #name_, .state = state_, kind_, .fallback = fallback_, .doc = doc_ },
#include "conf/settings.def"
#undef SETTING
#undef GROUP
};

/* Written once under pthread_once and only read after that. */
static pthread_once_t sort_once = PTHREAD_ONCE_INIT;
static uint16_t sorted[SETTINGS_COUNT];

static int by_name(const void *a, const void *b) {
	return strcmp(settings[*(const uint16_t *)a].name, settings[*(const uint16_t *)b].name);
}

static void sort_settings(void) {
	for (size_t i = 0; i < LEN(sorted); i++) sorted[i] = (uint16_t)i;
	qsort(sorted, LEN(sorted), sizeof(sorted[0]), by_name);
}

const struct setting *setting_of(enum setting_id id) {
	must((size_t)id < LEN(settings));
	return &settings[id];
}

enum setting_id setting_id_of(const struct setting *s) { return (enum setting_id)(s - settings); }

enum setting_id setting_in_order(size_t i) {
	pthread_once(&sort_once, sort_settings);
	must(i < LEN(sorted));
	return (enum setting_id)sorted[i];
}

const struct setting *setting_find(struct slice name) {
	pthread_once(&sort_once, sort_settings);
	for (size_t low = 0, high = LEN(sorted); low < high;) {
		size_t middle = low + (high - low) / 2;
		const struct setting *s = &settings[sorted[middle]];
		int order = slice_order(name, slice_of(s->name));
		if (order == 0) return s;
		if (order < 0) high = middle;
		else low = middle + 1;
	}
	return NULL;
}

#define WORD_MOST 64 /* bytes of a word that we correct */

size_t word_distance(struct slice a, struct slice b, size_t limit) {
	if (a.len > WORD_MOST || b.len > WORD_MOST || a.len > b.len + limit || b.len > a.len + limit) return limit + 1;
	/* optimal string alignment: three rows of the table are enough, for a swap looks two rows back; and of each row
	 * what is no further than the limit from its middle, for every step aside costs one */
	size_t rows[3][WORD_MOST + 2], least_above = 0;
	for (size_t j = 0; j <= b.len; j++) rows[0][j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
		size_t first = i > limit ? i - limit : 1, last = MIN_OF(i + limit, b.len), least = limit + 1;
		row[first - 1] = first == 1 ? i : limit + 1;
		if (last == i + limit) above[last] = limit + 1;
		for (size_t j = first; j <= last; j++) {
			size_t cost = a.at[i - 1] == b.at[j - 1] ? 0 : 1;
			size_t best = MIN_OF(MIN_OF(above[j] + 1, row[j - 1] + 1), above[j - 1] + cost);
			if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1])
				best = MIN_OF(best, above2[j - 2] + 1);
			row[j] = best;
			least = MIN_OF(least, best);
		}
		if (least > limit && least_above >= limit) return limit + 1; /* and no swap leads back */
		least_above = least;
	}
	return MIN_OF(rows[a.len % 3][b.len], limit + 1);
}

const struct setting *setting_nearest(struct slice name) {
	size_t best = (name.len < 6 ? 1 : 2) + 1;
	const struct setting *nearest = NULL;
	for (size_t i = 0; i < LEN(settings) && best > 0; i++) {
		size_t distance = word_distance(name, slice_of(settings[i].name), best - 1);
		if (distance >= best) continue;
		best = distance;
		nearest = &settings[i];
	}
	return nearest;
}
