/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts that were just found, and domains that are not ours, because most mail goes to the same few: a delivery
 * would else open a snapshot, and so map the file anew, to learn what it learnt a moment ago. Four places for each
 * hash; a newcomer takes the one that has served longest. What another process changes (nobody should, beside a
 * running server) is seen when a place has been kept for its time. */
#include "base/clock.h"
#include "base/map.h"
#include "user/inside.h"

#include <pthread.h>

enum { ROWS = 256, ROW = 4, LONGEST = 80, LIFE_MS = 2000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct place {
	uint64_t epoch;
	int64_t until, id;
	uint64_t quota_bytes, quota_messages;
	bool foreign; /* a domain */
	size_t len;
	char address[LONGEST];
} places[ROWS][ROW];

static struct place *row_of(struct slice address) {
	return places[hash_bytes(address) % ROWS];
}

static bool is_at(const struct place *p, struct slice address, bool foreign) {
	return p->foreign == foreign && slice_eq(slice_from(p->address, p->len), address);
}

/* Under the lock. NULL: not known, or not any more. */
static const struct place *find(const struct db_conn *c, struct slice address, bool foreign) {
	const struct place *p = row_of(address), *end = p + ROW;
	while (p < end && !is_at(p, address, foreign)) p++;
	return p < end && p->epoch == db_epoch_now(c) && p->until > clock_ms() ? p : NULL;
}

bool recall_foreign(const struct db_conn *c, struct slice domain) {
	pthread_mutex_lock(&lock);
	bool found = find(c, domain, true) != NULL;
	pthread_mutex_unlock(&lock);
	return found;
}

bool recall_account(const struct db_conn *c, struct slice address, struct resolved *out) {
	pthread_mutex_lock(&lock);
	const struct place *p = find(c, address, false);
	bool found = p != NULL;
	if (found) {
		out->account_id = p->id;
		out->quota_bytes = p->quota_bytes;
		out->quota_messages = p->quota_messages;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

void recall_forget(void) {
	pthread_mutex_lock(&lock);
	memset(places, 0, sizeof places);
	pthread_mutex_unlock(&lock);
}

/* Its own place, or the one that would be given up first. */
static struct place *place_for(struct slice address, bool foreign) {
	struct place *row = row_of(address), *best = row;
	for (struct place *p = row; p < row + ROW; p++) {
		if (is_at(p, address, foreign)) return p;
		if (p->until < best->until) best = p;
	}
	return best;
}

static void keep(const struct db_conn *c, struct slice address, struct place kept) {
	kept.epoch = db_epoch_read(c);
	if (kept.epoch == 0 || address.len > LONGEST) return;
	kept.until = deadline_in(LIFE_MS);
	kept.len = address.len;
	pthread_mutex_lock(&lock);
	struct place *p = place_for(address, kept.foreign);
	*p = kept;
	memcpy(p->address, address.at, address.len);
	pthread_mutex_unlock(&lock);
}

void recall_keep_foreign(const struct db_conn *c, struct slice domain) {
	keep(c, domain, (struct place){ .foreign = true });
}

void recall_keep(const struct db_conn *c, struct slice address, const struct resolved *account) {
	keep(c, address, (struct place){ .id = account->account_id,
					 .quota_bytes = account->quota_bytes,
					 .quota_messages = account->quota_messages });
}
