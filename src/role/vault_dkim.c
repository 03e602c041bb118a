/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that nobody waits for are made by a thread of low priority: a server that has just got a hundred domains goes on
 * serving. The keyring stays open to the end of the process, since that thread may still be at work. */
#include "role/vault_dkim.h"
#include "base/fail.h"
#include "base/log.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { NICE = 10, SELECTOR_MAX = 100 };

struct vault_dkim {
	struct keyring *ring;
	pthread_mutex_t lock; /* of the wish */
	bool rsa, ed25519, wait;
	unsigned bits;
	char selector[SELECTOR_MAX];
	unsigned makers;         /* threads that make keys */
	pthread_cond_t idle;     /* signalled when one of them ends */
	_Atomic bool stopping;
};

int vault_dkim_open(const char *data, struct vault_dkim **out) {
	AUTO_BUF struct buf dir = BUF(PATH_MAX);
	struct vault_dkim *v = mem_get(sizeof *v);
	*v = (struct vault_dkim){ .rsa = true, .ed25519 = true, .bits = 2048, .selector = "hato#" };
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->idle, NULL);
	buf_addf(&dir, "%s/vault/dkim", data);
	if (keyring_open(buf_text(&dir), &v->ring) < 0) {
		free(v);
		return fail_add("DKIM keys");
	}
	*out = v;
	return 0;
}

void vault_dkim_set(struct vault_dkim *v, const struct conf_view *settings, struct slice given) {
	AUTO_ARENA struct arena mem = { 0 };
	size_t n;
	const struct slice *algorithms = conf_list(settings, SET_dkim_algorithms, &n);
	pthread_mutex_lock(&v->lock);
	v->rsa = v->ed25519 = false;
	for (size_t i = 0; i < n; i++) {
		v->rsa |= slice_same(algorithms[i], S("rsa"));
		v->ed25519 |= slice_same(algorithms[i], S("ed25519"));
	}
	v->wait = !conf_bool(settings, SET_dkim_sign_unpublished);
	v->bits = (unsigned)conf_number(settings, SET_dkim_key_bits);
	snprintf(v->selector, sizeof v->selector, "%.*s", SLICE_ARG(conf_text(settings, SET_dkim_selector)));
	pthread_mutex_unlock(&v->lock);
	struct keyring_given g = { 0 };
	struct unwire in = UNWIRE(given, &mem);
	if (given.len != 0) keyring_given_unpack(&in, &g);
	if (in.bad) say(L_ERROR, "/opendkim", "the keys of other programs' files came broken");
	else keyring_give(v->ring, &g);
}

static struct vault_dkim *of(void *ctx) {
	return *(struct vault_dkim **)ctx;
}

void vault_dkim_stop(struct vault_dkim *v) {
	v->stopping = true;
	pthread_mutex_lock(&v->lock);
	while (v->makers != 0) pthread_cond_wait(&v->idle, &v->lock);
	pthread_mutex_unlock(&v->lock);
}

int answer_dkim_keys(void *ctx, struct link_question *q) {
	struct dkim_keys_ask ask;
	dkim_keys_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	struct dkim_key *keys;
	struct dkim_keys_answer answer = { 0 };
	keyring_find(of(ctx)->ring, ask.author, ask.subdomains, q->mem, &keys, &answer.keys_count);
	answer.keys = arena_array(q->mem, answer.keys_count, sizeof *answer.keys);
	for (size_t i = 0; i < answer.keys_count; i++)
		answer.keys[i] =
			(struct dkim_keys_key){ keys[i].id, keys[i].domain, keys[i].selector, keys[i].algorithm };
	dkim_keys_answer_pack(q->answer, &answer);
	return 0;
}

static struct dkim_signed sign_one(struct keyring *ring, const struct dkim_sign_one *one, struct arena *mem) {
	AUTO_BUF struct buf signature = BUF(KIB(2));
	int r = keyring_sign(ring, one->key, one->digest, &signature);
	if (r < 0) say(L_WARN, "/opendkim", "%s", fail_text());
	return (struct dkim_signed){ r < 0 ? SLICE_NONE : arena_slice(mem, buf_slice(&signature)),
				     arena_slice(mem, slice_of(r < 0 ? fail_text() : "")) };
}

int answer_dkim_sign(void *ctx, struct link_question *q) {
	struct dkim_sign_ask ask;
	dkim_sign_ask_unpack(&q->in, &ask);
	if (q->in.bad || ask.wanted_count > DKIM_SIGN_MOST) return fail("broken question");
	struct dkim_sign_answer answer = { arena_array(q->mem, ask.wanted_count + 1, sizeof *answer.made),
					   ask.wanted_count };
	for (size_t i = 0; i < ask.wanted_count; i++)
		answer.made[i] = sign_one(of(ctx)->ring, &ask.wanted[i], q->mem);
	dkim_sign_answer_pack(q->answer, &answer);
	return 0;
}

void vault_dkim_list(struct vault_dkim *v, const struct dkim_list_ask *ask, struct arena *mem,
		     struct dkim_list_answer *answer) {
	size_t kept = 0;
	keyring_list(v->ring, ask->domain, mem, &answer->keys, &answer->keys_count);
	for (size_t i = 0; i < answer->keys_count; i++)
		if (!ask->waiting || answer->keys[i].state == KEYRING_WAITING) answer->keys[kept++] = answer->keys[i];
	answer->keys_count = kept;
}

int answer_dkim_list(void *ctx, struct link_question *q) {
	struct dkim_list_ask ask;
	struct dkim_list_answer answer;
	dkim_list_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	vault_dkim_list(of(ctx), &ask, q->mem, &answer);
	dkim_list_answer_pack(q->answer, &answer);
	return 0;
}

int answer_dkim_seen(void *ctx, struct link_question *q) {
	struct dkim_seen_ask ask;
	dkim_seen_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	keyring_note(of(ctx)->ring, ask.key, (enum keyring_dns)ask.dns);
	if (ask.dns == KEYRING_DNS_PUBLISHED && keyring_seen(of(ctx)->ring, ask.key) < 0) return -1;
	empty_answer_pack(q->answer, &(struct empty_answer){ true });
	return 0;
}

/* ---- changes ---- */

static struct keyring_wish wish_of(struct vault_dkim *v, struct slice domain, struct slice selector,
				   struct arena *mem) {
	pthread_mutex_lock(&v->lock);
	struct keyring_wish w = {
		.domain = domain, .selector = selector, .rsa = v->rsa, .ed25519 = v->ed25519, .bits = v->bits,
		.wait = v->wait
	};
	if (selector.len == 0) w.selector = arena_slice(mem, slice_of(v->selector));
	pthread_mutex_unlock(&v->lock);
	return w;
}

struct making {
	struct vault_dkim *v;
	struct arena mem;
	struct ask_text *domains;
	size_t count;
};

static void make_each(struct vault_dkim *v, const struct ask_text *domains, size_t count, struct arena *mem) {
	for (size_t i = 0; i < count && !v->stopping; i++) {
		struct keyring_wish w = wish_of(v, domains[i].text, SLICE_NONE, mem);
		if (keyring_make(v->ring, &w) < 0)
			say(L_ERROR, "/opendkim", "%.*s: %s", SLICE_ARG(domains[i].text), fail_text());
	}
}

static void *make_quietly(void *arg) {
	struct making *m = arg;
	struct vault_dkim *v = m->v;
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
	make_each(v, m->domains, m->count, &m->mem);
	arena_done(&m->mem);
	free(m);
	pthread_mutex_lock(&v->lock);
	v->makers--;
	pthread_cond_signal(&v->idle);
	pthread_mutex_unlock(&v->lock);
	return NULL;
}

static void make_later(struct vault_dkim *v, const struct dkim_change_ask *ask) {
	struct making *m = mem_get(sizeof *m);
	m->v = v;
	m->count = ask->domains_count;
	m->domains = arena_array(&m->mem, m->count, sizeof *m->domains);
	for (size_t i = 0; i < m->count; i++) m->domains[i].text = arena_slice(&m->mem, ask->domains[i].text);
	pthread_t thread;
	pthread_mutex_lock(&v->lock);
	v->makers++;
	pthread_mutex_unlock(&v->lock);
	if (pthread_create(&thread, NULL, make_quietly, m) == 0) {
		pthread_detach(thread);
		return;
	}
	pthread_mutex_lock(&v->lock);
	v->makers--;
	pthread_mutex_unlock(&v->lock);
	arena_done(&m->mem);
	free(m);
	say(L_ERROR, "/opendkim", "no thread to make keys with");
}

static int make(struct vault_dkim *v, const struct dkim_change_ask *ask, struct arena *mem) {
	if (!ask->now) return make_later(v, ask), 0;
	if (ask->domains_count != 1) return fail("one domain at a time");
	struct keyring_wish w = wish_of(v, ask->domains[0].text, ask->selector, mem);
	return keyring_make(v->ring, &w);
}

static int switch_now(struct vault_dkim *v, struct slice domain, struct arena *mem) {
	struct keyring_key *keys;
	size_t count, switched = 0;
	keyring_list(v->ring, domain, mem, &keys, &count);
	for (size_t i = 0; i < count; i++)
		if (keys[i].state == KEYRING_WAITING && keyring_seen(v->ring, keys[i].id) == 0) switched++;
	return switched != 0 ? 0 : KEYRING_UNKNOWN;
}

static int change(struct vault_dkim *v, const struct dkim_change_ask *ask, struct arena *mem) {
	struct slice domain = ask->domains_count != 0 ? ask->domains[0].text : SLICE_NONE;
	switch (ask->what) {
	case DKIM_MAKE: return make(v, ask, mem);
	case DKIM_ROTATE: {
		struct keyring_wish w = wish_of(v, domain, ask->selector, mem);
		return keyring_rotate(v->ring, &w);
	}
	case DKIM_SWITCH: return switch_now(v, domain, mem);
	case DKIM_IMPORT: return keyring_import(v->ring, domain, ask->selector, ask->pem);
	case DKIM_REMOVE: return keyring_remove(v->ring, domain, ask->selector);
	case DKIM_TIDY: return keyring_tidy(v->ring, ask->before_s), 0;
	}
	return fail("unknown change");
}

void vault_dkim_change(struct vault_dkim *v, const struct dkim_change_ask *ask, struct arena *mem,
		       struct dkim_change_answer *answer) {
	int r = change(v, ask, mem);
	*answer = (struct dkim_change_answer){ r, r < 0 ? arena_slice(mem, slice_of(fail_text())) : SLICE_NONE };
}

int answer_dkim_change(void *ctx, struct link_question *q) {
	struct dkim_change_ask ask;
	struct dkim_change_answer answer;
	dkim_change_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	vault_dkim_change(of(ctx), &ask, q->mem, &answer);
	mem_wipe((void *)(uintptr_t)ask.pem.at, ask.pem.len);
	dkim_change_answer_pack(q->answer, &answer);
	return 0;
}
