/* SPDX-License-Identifier: Apache-2.0 */
#include "role/relay_sign.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/map.h"
#include "trust/dkim_text.h"

enum {
	FIRST_MS = 2000,
	LOOKUP_MS = 20000,
	DAY_MS = 86400000,
	FAILURES_MOST = 3,
	LATER_ROUNDS = 6, /* of every_ms; also between looks at a record that was there */
	EACH_MS = 500     /* with ten thousand keys, two look-ups a second at most */
};

/* ---- settings ---- */

struct name_list {
	struct slice *at;
	size_t count;
};

static void add_name(struct name_list *l, struct slice name) {
	for (size_t i = 0; i < l->count; i++)
		if (slice_same(l->at[i], name)) return;
	l->at[l->count++] = name;
}

static void drop_name(struct name_list *l, struct slice name) {
	for (size_t i = 0; i < l->count; i++)
		if (slice_same(l->at[i], name)) l->at[i--] = l->at[--l->count];
}

static size_t default_count(void) {
	size_t n = 0;
	while (dkim_default_headers[n] != NULL) n++;
	return n;
}

/* "*,+Name,-Name" changes the usual list; without signs it is the list; "." is none. */
static struct name_list names_of(const struct conf_view *v, enum setting_id id, bool defaults, struct arena *mem) {
	size_t n;
	const struct slice *words = conf_list(v, id, &n);
	struct name_list l = { .at = arena_array(mem, n + default_count() + 1, sizeof *l.at) };
	bool plain = false;
	for (size_t i = 0; i < n; i++) plain |= strchr("*+-.", words[i].at[0]) == NULL;
	if (defaults && !plain)
		for (size_t i = 0; i < default_count(); i++) add_name(&l, slice_of(dkim_default_headers[i]));
	for (size_t i = 0; i < n; i++) {
		struct slice word = words[i];
		if (slice_eq(word, S("*")) || slice_eq(word, S("."))) continue;
		if (word.at[0] == '-') drop_name(&l, slice_skip(word, 1));
		else add_name(&l, word.at[0] == '+' ? slice_skip(word, 1) : word);
	}
	return l;
}

static void canonical_forms(const struct conf_view *v, struct dkim_sign_params *form) {
	struct slice body = conf_text(v, SET_dkim_canonicalization), header = slice_cut(&body, '/');
	form->header = slice_same(slice_trim(header), S("relaxed")) ? DKIM_RELAXED : DKIM_SIMPLE;
	form->body = slice_same(slice_trim(body), S("relaxed")) ? DKIM_RELAXED : DKIM_SIMPLE;
}

void signing_settings_make(const struct conf_view *v, size_t line_limit, const char *tag, struct arena *mem,
			   struct signing_params *out) {
	*out = (struct signing_params){
		.sign = conf_bool(v, SET_dkim_sign),
		.seal = conf_bool(v, SET_arc_seal),
		.subdomains = conf_bool(v, SET_dkim_subdomains),
		.unsigned_if_late = conf_enum(v, SET_dkim_on_error) == DKIM_ON_ERROR_ACCEPT,
		.log_why = conf_bool(v, SET_dkim_log_why),
		.remove_old = conf_bool(v, SET_dkim_remove_old_signatures),
		.authserv_id = conf_text(v, SET_authserv_id),
		.seal_domain = conf_text(v, SET_mydomain),
		.line_limit = line_limit,
		.tag = tag,
	};
	out->author_fields = conf_list(v, SET_dkim_sender_headers, &out->author_fields_count);
	struct name_list sign = names_of(v, SET_dkim_sign_headers, true, mem),
			 omit = names_of(v, SET_dkim_omit_headers, false, mem),
			 over = names_of(v, SET_dkim_oversign_headers, false, mem);
	for (size_t i = 0; i < omit.count; i++) drop_name(&sign, omit.at[i]);
	out->form.sign_headers = sign.at;
	out->form.sign_headers_count = sign.count;
	out->form.oversign_headers = over.at;
	out->form.oversign_headers_count = over.count;
	out->form.request_reports = conf_bool(v, SET_dkim_request_reports);
	out->form.lifetime_s = conf_time_ms(v, SET_dkim_signature_lifetime) / 1000;
	canonical_forms(v, &out->form);
}

/* ---- rotation ---- */

struct key_watch {
	struct task task;
	struct dns *dns;
	struct link *vault;
	_Atomic int64_t every_ms;
	struct map looked; /* by the key's id: struct looked */
};
struct looked { int64_t next, tell_at; };

/* Its entry, if it is to be looked for now; NULL: not yet. first_ms: how long a key waits that was not seen before. */
static struct looked *due(struct key_watch *w, uint64_t id, int64_t first_ms) {
	struct slice name = slice_from((const char *)&id, sizeof id);
	struct looked *l = map_get(&w->looked, name);
	if (l == NULL) {
		l = mem_get(sizeof *l);
		*l = (struct looked){ deadline_in(first_ms), deadline_in(w->every_ms / 2) };
		map_put(&w->looked, name, l);
	}
	return clock_ms() < l->next ? NULL : l;
}

/* DNS did not answer: others have their turn first. False: it was so often so that the round ends, for each costs its
 * time-out. */
static bool later(struct key_watch *w, struct looked *l, unsigned *failures) {
	l->next = deadline_in(LATER_ROUNDS * w->every_ms);
	return ++*failures < FAILURES_MOST;
}

/* False: DNS does not answer. */
static bool look_for(struct key_watch *w, const struct keyring_key *key, struct arena *mem) {
	struct slice reason;
	enum dkim_publication found = dkim_published(w->dns, key->selector, key->domain, key->public_key,
						     deadline_in(LOOKUP_MS), mem, &reason);
	if (found != DKIM_PUBLISHED) return found != DKIM_UNKNOWN_YET;
	say(L_INFO, "/opendkim", "the record %.*s._domainkey.%.*s is in DNS: its key signs from now on",
	    SLICE_ARG(key->selector), SLICE_ARG(key->domain));
	ask_dkim_seen(w->vault, &(struct dkim_seen_ask){ key->id, KEYRING_DNS_PUBLISHED }, mem);
	return true;
}

static void look(struct key_watch *w) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dkim_list_answer waiting;
	unsigned failures = 0;
	if (ask_dkim_list(w->vault, &(struct dkim_list_ask){ .waiting = true }, &mem, &waiting) != ASK_OK) return;
	for (size_t i = 0; i < waiting.keys_count; i++) {
		struct looked *l = due(w, waiting.keys[i].id, 0);
		if (l != NULL && !look_for(w, &waiting.keys[i], &mem) && !later(w, l, &failures)) return;
	}
}

/* A signature whose key nobody finds in DNS is of no use: its owner hears of it once a day, with the record to publish.
 */
static void tell_missing(const struct keyring_key *key, enum dkim_publication found, struct slice reason,
			 struct arena *mem) {
	struct dkim_record_text r = { .domain = key->domain,
				      .selector = key->selector,
				      .algorithm = (enum dkim_algorithm)key->algorithm,
				      .public_key = key->public_key,
				      .hashes = S("sha256") };
	struct slice line = dkim_record_line(&r, mem), shown = slice_head(line, 900);
	say(L_WARN, "/opendkim",
	    "%.*s._domainkey.%.*s: %s%s%.*s: mail of %.*s is signed, and nobody can verify it. Publish this TXT record "
	    "(hato dkim show %.*s): %.*s%s",
	    SLICE_ARG(key->selector), SLICE_ARG(key->domain),
	    found == DKIM_NOT_PUBLISHED ? "there is no such record in DNS" : "the record in DNS is another one",
	    reason.len != 0 ? ": " : "", SLICE_ARG(reason), SLICE_ARG(key->domain), SLICE_ARG(key->domain),
	    SLICE_ARG(shown), shown.len < line.len ? "..." : "");
}

/* What DNS says of each key that signs is told to vault, for `hato dkim list` and `hato status`. Who has not published
 * its record hears of it in the log, when there was time to do so, then once a day; whose record is gone, at once.
 * count: of all keys. False: DNS does not answer. */
static bool look_at(struct key_watch *w, struct looked *l, const struct keyring_key *key, size_t count,
		    struct arena *mem) {
	static const uint32_t told[] = { [DKIM_PUBLISHED] = KEYRING_DNS_PUBLISHED,
					 [DKIM_NOT_PUBLISHED] = KEYRING_DNS_MISSING,
					 [DKIM_DIFFERENT] = KEYRING_DNS_OTHER };
	struct slice reason = SLICE_NONE;
	enum dkim_publication found = dkim_published(w->dns, key->selector, key->domain, key->public_key,
						     deadline_in(LOOKUP_MS), mem, &reason);
	if (found == DKIM_UNKNOWN_YET) return false;
	ask_dkim_seen(w->vault, &(struct dkim_seen_ask){ key->id, told[found] }, mem);
	int64_t again = MIN_OF(w->every_ms, (int64_t)DAY_MS);
	if (found == DKIM_PUBLISHED) again = MAX_OF(LATER_ROUNDS * again, (int64_t)count * EACH_MS);
	l->next = deadline_in(MIN_OF(again, (int64_t)DAY_MS));
	if (found == DKIM_PUBLISHED) l->tell_at = clock_ms();
	if (found == DKIM_PUBLISHED || clock_ms() < l->tell_at) return true;
	l->tell_at = deadline_in(DAY_MS);
	tell_missing(key, found, reason, mem);
	return true;
}

static void look_for_missing(struct key_watch *w) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dkim_list_answer all;
	unsigned failures = 0;
	if (ask_dkim_list(w->vault, &(struct dkim_list_ask){ 0 }, &mem, &all) != ASK_OK) return;
	for (size_t i = 0; i < all.keys_count; i++) {
		const struct keyring_key *key = &all.keys[i];
		bool signs = (key->state == KEYRING_ACTIVE || key->state == KEYRING_GIVEN) && !keyring_is_weak(key);
		if (!signs || key->public_key.len == 0 || slice_find(key->domain, '%') < key->domain.len) continue;
		/* not at once: until something asks, DNS costs no memory */
		struct looked *l = due(w, key->id, w->every_ms / 4);
		if (l != NULL && !look_at(w, l, key, all.keys_count, &mem) && !later(w, l, &failures)) return;
	}
}

static void watch_step(struct task *t, enum wake why) {
	struct key_watch *w = OWNER_OF(t, struct key_watch, task);
	if (why == WAKE_STOP) {
		map_done(&w->looked, free);
		task_end(t);
		return;
	}
	if (why == WAKE_DEADLINE) look(w);
	if (why == WAKE_DEADLINE) look_for_missing(w);
	task_park(t, 0, 0, deadline_in(why == WAKE_DEADLINE ? w->every_ms : MIN_OF(w->every_ms, (int64_t)FIRST_MS)));
}

struct key_watch *key_watch_start(struct pool *pool, struct dns *dns, struct link *vault) {
	struct key_watch *w = mem_get(sizeof *w);
	*w = (struct key_watch){ .task.step = watch_step, .dns = dns, .vault = vault, .every_ms = MINUTES(10) };
	pool_add(pool, &w->task, -1, -1);
	return w;
}

void key_watch_set(struct key_watch *w, int64_t every_ms) {
	w->every_ms = MAX_OF(every_ms, (int64_t)1000);
}
