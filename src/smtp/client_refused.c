/* SPDX-License-Identifier: Apache-2.0 */
/* A table that is full forgets what is over, and if nothing is, all of it: a log-in too many is no harm. */
#include "smtp/client_refused.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"

#include <openssl/evp.h>
#include <pthread.h>

enum { ENTRIES_MAX = 2000, SAID_MAX = 1000 };

struct smtp_refusals {
	pthread_mutex_t lock;
	struct map entries; /* digest → struct entry */
};

struct entry {
	int64_t until;
	int code;
	char status[12];
	char *said;
};

struct key {
	unsigned char at[EVP_MAX_MD_SIZE];
	unsigned len;
};

static struct slice key_of(struct slice host, struct slice user, struct slice password, struct key *out) {
	const struct slice parts[] = { host, user, password };
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	for (size_t i = 0; i < LEN(parts) && ok; i++)
		ok = EVP_DigestUpdate(md, &parts[i].len, sizeof parts[i].len) == 1 &&
		     EVP_DigestUpdate(md, parts[i].at, parts[i].len) == 1;
	must(ok && EVP_DigestFinal_ex(md, out->at, &out->len) == 1);
	EVP_MD_CTX_free(md);
	return slice_from((const char *)out->at, out->len);
}

static void entry_free(void *value) {
	struct entry *e = value;
	if (e == NULL) return;
	free(e->said);
	free(e);
}

struct smtp_refusals *smtp_refusals_new(void) {
	struct smtp_refusals *r = mem_get(sizeof *r);
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void smtp_refusals_free(struct smtp_refusals **rp) {
	struct smtp_refusals *r = TAKE(*rp);
	if (r == NULL) return;
	map_done(&r->entries, entry_free);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void drop(struct smtp_refusals *r, struct slice key) {
	entry_free(map_take(&r->entries, key));
}

bool smtp_refusals_find(struct smtp_refusals *r, struct slice host, struct slice user, struct slice password,
			struct arena *mem, struct smtp_refused *out) {
	struct key room;
	struct slice key = key_of(host, user, password, &room);
	pthread_mutex_lock(&r->lock);
	const struct entry *e = map_get(&r->entries, key);
	bool found = e != NULL && e->until > clock_ms();
	if (found) {
		*out = (struct smtp_refused){ .said = arena_slice(mem, slice_of(e->said)), .code = e->code };
		memcpy(out->status, e->status, sizeof out->status);
	} else if (e != NULL) {
		drop(r, key);
	}
	pthread_mutex_unlock(&r->lock);
	return found;
}

static bool find_over(void *ctx, struct slice key, void *value) {
	struct slice *over = ctx;
	if (((const struct entry *)value)->until <= clock_ms()) *over = key;
	return over->at == NULL;
}

static void make_room(struct smtp_refusals *r) {
	struct slice over = SLICE_NONE;
	if (r->entries.count < ENTRIES_MAX) return;
	map_each(&r->entries, find_over, &over);
	if (over.at != NULL) {
		AUTO_FREE char *copy = mem_get(over.len + 1);
		memcpy(copy, over.at, over.len);
		drop(r, slice_from(copy, over.len));
		return;
	}
	map_done(&r->entries, entry_free);
	r->entries = (struct map){ 0 };
}

void smtp_refusals_keep(struct smtp_refusals *r, struct slice host, struct slice user, struct slice password,
                        const struct smtp_refused *what, int64_t ms) {
	struct key room;
	struct slice key = key_of(host, user, password, &room);
	struct entry *e = mem_get(sizeof *e);
	*e = (struct entry){ .until = deadline_in(ms),
			     .code = what->code,
			     .said = slice_text(slice_head(what->said, SAID_MAX)) };
	memcpy(e->status, what->status, sizeof e->status);
	pthread_mutex_lock(&r->lock);
	drop(r, key);
	make_room(r);
	map_put(&r->entries, key, e);
	pthread_mutex_unlock(&r->lock);
}
