/* SPDX-License-Identifier: Apache-2.0 */
/* Watches hang in a table by account: a change visits only those of its account. One lock for all is enough, because
 * what is called under it only wakes somebody. */
#include "store/change.h"
#include "base/map.h"

#include <pthread.h>

struct change_watch {
	struct change_watch *next;
	int64_t account, mailbox;
	void (*fn)(void *ctx, const struct change *change);
	void *ctx;
};

struct change_hub {
	struct db *db;
	pthread_mutex_t lock;
	struct map accounts; /* id → first struct change_watch */
};

static struct slice key_of(const int64_t *account) {
	return slice_from(account, sizeof *account);
}

struct change_hub *change_hub_open(struct db *db) {
	struct change_hub *hub = mem_get(sizeof *hub);
	hub->db = db;
	pthread_mutex_init(&hub->lock, NULL);
	db_attach(db, hub);
	return hub;
}

void change_hub_close(struct change_hub **hubp) {
	struct change_hub *hub = TAKE(*hubp);
	if (hub == NULL) return;
	must(hub->accounts.count == 0);
	db_attach(hub->db, NULL);
	map_done(&hub->accounts, NULL);
	pthread_mutex_destroy(&hub->lock);
	free(hub);
}

struct change_watch *change_watch(struct change_hub *hub, int64_t account, int64_t mailbox,
                                  void (*fn)(void *ctx, const struct change *change), void *ctx) {
	struct change_watch *w = mem_get(sizeof *w);
	*w = (struct change_watch){ .account = account, .mailbox = mailbox, .fn = fn, .ctx = ctx };
	pthread_mutex_lock(&hub->lock);
	w->next = map_put(&hub->accounts, key_of(&account), w);
	pthread_mutex_unlock(&hub->lock);
	return w;
}

void change_unwatch(struct change_hub *hub, struct change_watch **wp) {
	struct change_watch *w = TAKE(*wp);
	if (w == NULL) return;
	pthread_mutex_lock(&hub->lock);
	struct change_watch *first = map_get(&hub->accounts, key_of(&w->account)), **at = &first;
	while (*at != w) at = &(*at)->next;
	*at = w->next;
	if (first != NULL) map_put(&hub->accounts, key_of(&w->account), first);
	else map_take(&hub->accounts, key_of(&w->account));
	pthread_mutex_unlock(&hub->lock);
	free(w);
}

struct announcement {
	struct change_hub *hub;
	struct change change;
};

static void publish(void *arg) {
	const struct announcement *a = arg;
	pthread_mutex_lock(&a->hub->lock);
	for (struct change_watch *w = map_get(&a->hub->accounts, key_of(&a->change.account)); w != NULL; w = w->next)
		if (w->mailbox == 0 || w->mailbox == a->change.mailbox) w->fn(w->ctx, &a->change);
	pthread_mutex_unlock(&a->hub->lock);
}

void change_announce(struct db_conn *tx, const struct change *change) {
	struct change_hub *hub = db_attached(tx);
	if (hub == NULL) return;
	struct announcement *a = arena_get(db_memory(tx), sizeof *a);
	*a = (struct announcement){ hub, *change };
	db_after_commit(tx, publish, a);
}
