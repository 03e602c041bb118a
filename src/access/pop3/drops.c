/* SPDX-License-Identifier: Apache-2.0 */
/* The exclusive lock of RFC 1939 §4 is about two POP3 sessions that would number and delete the same messages; it is
 * kept here and not in the database, so that it ends with the process. */
#include "access/pop3/drops.h"
#include "base/clock.h"
#include "base/map.h"

#include <pthread.h>

enum { REMEMBERED_MAX = 100000 };

struct drop {
	bool open;
	int64_t came; /* clock_ms of the last log-in */
};
struct pop3_drops {
	pthread_mutex_t lock;
	struct map map; /* account → struct drop */
};

struct pop3_drops *pop3_drops_new(void) {
	struct pop3_drops *d = mem_get(sizeof *d);
	pthread_mutex_init(&d->lock, NULL);
	return d;
}

void pop3_drops_free(struct pop3_drops **dp) {
	struct pop3_drops *d = TAKE(*dp);
	if (d == NULL) return;
	map_done(&d->map, free);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static struct slice key_of(const int64_t *account) {
	return slice_from(account, sizeof *account);
}

enum drop_answer drop_open(struct pop3_drops *d, int64_t account, unsigned login_delay_s) {
	enum drop_answer answer = DROP_OPEN;
	int64_t now = clock_ms();
	pthread_mutex_lock(&d->lock);
	struct drop *drop = map_get(&d->map, key_of(&account));
	if (drop == NULL) {
		drop = mem_get(sizeof *drop);
		drop->came = now - INT32_MAX;
		map_put(&d->map, key_of(&account), drop);
	}
	if (drop->open) answer = DROP_IN_USE;
	else if (login_delay_s != 0 && now < drop->came + (int64_t)login_delay_s * 1000) answer = DROP_TOO_SOON;
	if (answer == DROP_OPEN) *drop = (struct drop){ true, now };
	pthread_mutex_unlock(&d->lock);
	return answer;
}

void drop_close(struct pop3_drops *d, int64_t account) {
	pthread_mutex_lock(&d->lock);
	struct drop *drop = map_get(&d->map, key_of(&account));
	if (drop != NULL) drop->open = false;
	if (d->map.count > REMEMBERED_MAX) free(map_take(&d->map, key_of(&account)));
	pthread_mutex_unlock(&d->lock);
}
