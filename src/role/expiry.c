/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever renews certificates does so long before their end; who reads one of these lines has a renewal that fails. */
#include "role/expiry.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "net/tls.h"

enum { LOOK_MS = 3600 * 1000, DAY_S = 86400 };

static bool facts_of(const char *chain, struct buf *names, int64_t *ends, char day[32]) {
	struct tm t;
	if (tls_cert_facts(slice_of(chain), ends, names) < 0) return false;
	time_t at = (time_t)*ends;
	return gmtime_r(&at, &t) != NULL && strftime(day, 32, "%Y-%m-%d", &t) != 0;
}

static int stage_of(int64_t left_s) {
	static const int stages[] = { 0, 1, 7, 21 };
	for (size_t i = 0; i < LEN(stages); i++)
		if (left_s <= (int64_t)stages[i] * DAY_S) return stages[i];
	return -1;
}

static void tell(const char *names, int64_t left_s, const char *day) {
	long long days = (left_s + DAY_S - 1) / DAY_S;
	if (left_s > 0)
		say(L_WARN, "master", "certificate for %s: expires in %lld day%s, on %s (is it being renewed?)", names,
		    days, days == 1 ? "" : "s", day);
	else
		say(L_WARN, "master", "certificate for %s: expired on %s: mail programs refuse it", names, day);
}

/* Was this stage told of this chain? From now on it was. */
static bool was_told(struct expiry *e, uint64_t chain, int stage) {
	size_t i = 0;
	while (i < e->count && e->told[i].chain != chain) i++;
	if (i < e->count && e->told[i].left == stage) return true;
	if (i == e->count && e->count == LEN(e->told)) e->count = i = 0; /* certificates of old: forgotten */
	e->told[i].chain = chain;
	e->told[i].left = stage;
	e->count = MAX_OF(e->count, i + 1);
	return false;
}

void expiry_look(struct expiry *e, const struct identities *all) {
	int64_t now = clock_ms();
	if (now < e->next_ms) return;
	e->next_ms = now + LOOK_MS;
	for (size_t i = 0; i < all->count; i++) {
		AUTO_BUF struct buf names = BUF(KIB(64));
		int64_t ends;
		char day[32];
		if (!facts_of(all->at[i].chain, &names, &ends, day)) continue;
		int64_t left = ends - wall_s();
		int stage = stage_of(left);
		if (stage >= 0 && !was_told(e, hash_bytes(slice_of(all->at[i].chain)), stage))
			tell(buf_text(&names), left, day);
	}
}

static bool has(const struct identities *all, const char *chain) {
	for (size_t i = 0; i < all->count; i++)
		if (strcmp(all->at[i].chain, chain) == 0) return true;
	return false;
}

void expiry_tell_new(const struct identities *now, const struct identities *before) {
	for (size_t i = 0; i < now->count; i++) {
		AUTO_BUF struct buf names = BUF(KIB(64));
		int64_t ends;
		char day[32];
		if (!has(before, now->at[i].chain) && facts_of(now->at[i].chain, &names, &ends, day))
			say(L_INFO, "master", "certificate reloaded: %s, expires %s", buf_text(&names), day);
	}
}
