/* SPDX-License-Identifier: Apache-2.0 */
#include "role/core_care.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/map.h"

#include <pthread.h>

enum { NOTES_MAX = 100000, REMOTE_ROOM = 48 };

struct logins {
	pthread_mutex_t lock;
	struct map notes; /* account → struct one */
};
struct one {
	int64_t account, time_us;
	const char *protocol;
	char remote[REMOTE_ROOM];
};

void care_levels(const struct conf_view *v, uint8_t levels[2]) {
	size_t count;
	const struct slice *list = conf_list(v, SET_quota_warning_levels, &count);
	levels[0] = levels[1] = 0;
	for (size_t i = 0, n = 0; i < count && n < 2; i++) {
		uint64_t percent;
		if (slice_number(list[i], 100, &percent) && percent > 0) levels[n++] = (uint8_t)percent;
		else say(L_WARN, "core", "quota_warning_levels: %.*s: not a number from 1 to 100", SLICE_ARG(list[i]));
	}
	if (levels[1] != 0 && levels[1] < levels[0]) {
		uint8_t first = levels[0];
		levels[0] = levels[1];
		levels[1] = first;
	}
}

void care_settings_make(struct care_settings *out, const struct conf_view *v, struct deliver_params *deliver) {
	*out = (struct care_settings){
		.warn = { conf_text(v, SET_quota_warning_sender), conf_text(v, SET_quota_warning_subject),
			  conf_text(v, SET_quota_warning_text) },
		.rules = { { USE_TRASH, conf_time_ms(v, SET_autoexpunge_trash) * 1000 },
			   { USE_JUNK, conf_time_ms(v, SET_autoexpunge_junk) * 1000 } },
		.masters = conf_text(v, SET_auth_master_users),
		.separator = conf_text(v, SET_auth_master_user_separator),
	};
	deliver->autocreate = conf_bool(v, SET_deliver_mailbox_autocreate);
	deliver->autosubscribe = conf_bool(v, SET_deliver_mailbox_autosubscribe);
	deliver->public_account = conf_text(v, SET_imapd_public_account);
	deliver->quota_grace = (uint32_t)conf_number(v, SET_quota_grace);
	deliver->full_reject = conf_bool(v, SET_quota_full_reject);
	care_levels(v, deliver->quota_levels);
}

/* Log-ins. */

struct logins *logins_new(void) {
	struct logins *l = mem_get(sizeof *l);
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void logins_free(struct logins **lp) {
	struct logins *l = TAKE(*lp);
	if (l == NULL) return;
	map_done(&l->notes, free);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static struct slice key_of(const int64_t *account) {
	return slice_from(account, sizeof *account);
}

void logins_note(struct logins *l, int64_t account, const char *protocol, struct slice remote) {
	pthread_mutex_lock(&l->lock);
	struct one *o = map_get(&l->notes, key_of(&account));
	if (o == NULL && l->notes.count < NOTES_MAX) {
		o = mem_get(sizeof *o);
		map_put(&l->notes, key_of(&account), o);
	}
	if (o != NULL) {
		size_t len = MIN_OF(remote.len, (size_t)REMOTE_ROOM - 1);
		*o = (struct one){ .account = account, .time_us = wall_us(), .protocol = protocol };
		if (len != 0) memcpy(o->remote, remote.at, len);
	}
	pthread_mutex_unlock(&l->lock);
}

struct writing { struct db_conn *tx; const struct map *notes; int result; };

static bool write_one(void *ctx, struct slice key, void *value) {
	struct writing *w = ctx;
	const struct one *o = value;
	(void)key;
	w->result = user_login_note(w->tx, o->account,
				    &(struct login_note){ o->time_us, slice_of(o->protocol), slice_of(o->remote) });
	return w->result == 0;
}

static int write_notes(struct db_conn *tx, void *arg) {
	struct writing w = { .tx = tx, .notes = arg };
	map_each(w.notes, write_one, &w);
	return w.result;
}

int logins_flush(struct logins *l, struct db *db) {
	pthread_mutex_lock(&l->lock);
	struct map notes = l->notes;
	l->notes = (struct map){ 0 };
	pthread_mutex_unlock(&l->lock);
	int r = notes.count != 0 ? db_write(db, write_notes, &notes) : 0;
	map_done(&notes, free);
	return r;
}

/* Administrators. */

bool care_is_master(const struct care_settings *s, struct slice address) {
	struct slice rest = s->masters;
	for (struct slice word; (word = slice_word(&rest, " ,\t\n")).len != 0;)
		if (slice_same(word, address)) return true;
	return false;
}

bool care_master(const struct care_settings *s, struct slice login, struct slice *user, struct slice *master) {
	if (s->separator.len == 0 || s->masters.len == 0) return false;
	size_t at = slice_search(login, s->separator);
	if (at == 0 || at == login.len) return false;
	*user = slice_head(login, at);
	*master = slice_skip(login, at + s->separator.len);
	return care_is_master(s, *master);
}

/* Now and then. */

void care_step(const struct care_settings *s, const struct deliver_params *deliver, struct db *db, bool hourly) {
	size_t sent;
	uint64_t gone = 0;
	if (warn_all(db, deliver, &s->warn, &sent) < 0) say(L_WARN, "quota", "%s", fail_text());
	if (!hourly) return;
	if (store_autoexpunge(db, s->rules, LEN(s->rules), &gone) < 0) say(L_WARN, "autoexpunge", "%s", fail_text());
	if (gone != 0) say(L_INFO, "autoexpunge", "%llu old messages removed", (unsigned long long)gone);
}
