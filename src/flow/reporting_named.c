/* SPDX-License-Identifier: Apache-2.0 */
/* Our own domains say in DNS where reports about them go (rua, ruf). Addresses named there take reports, whatever they
 * are called. */
#include "base/fail.h"
#include "base/log.h"
#include "flow/reporting_private.h"
#include "user/user.h"

enum { FIRST_MS = 5000, EVERY_MS = 6 * 3600 * 1000, DOMAINS_MAX = 1000, ADDRESSES_MAX = 1000 };

struct looking {
	struct reporter *r;
	struct arena mem;      /* of what is found */
	struct slice *at;
	size_t count, asked;
	bool later;
};

static void add(struct looking *l, struct slice address) {
	for (size_t i = 0; i < l->count; i++)
		if (slice_same(l->at[i], address)) return;
	if (l->count < ADDRESSES_MAX) l->at[l->count++] = arena_slice(&l->mem, address);
}

static int look(void *ctx, struct slice domain) {
	struct looking *l = ctx;
	AUTO_ARENA struct arena mem = { 0 };
	struct targets_answer answer;
	if (l->later || slice_find(domain, '.') == domain.len || l->asked++ == DOMAINS_MAX) return 0;
	if (ask_targets(l->r->relay, &(struct targets_ask){ domain }, &mem, &answer) != ASK_OK) l->later = true;
	for (size_t i = 0; i < answer.addresses_count && !l->later; i++) add(l, answer.addresses[i].text);
	return 0;
}

/* The database is not held while DNS is asked. */
struct domain_list {
	struct arena *mem;
	struct slice *at;
	size_t count;
};
static int note_domain(void *ctx, struct slice domain) {
	struct domain_list *d = ctx;
	if (d->count < DOMAINS_MAX) d->at[d->count++] = arena_slice(d->mem, domain);
	return 0;
}

static int stored_domains(struct reporter *r, struct domain_list *out) {
	AUTO_READ struct db_conn *c = db_read(r->db);
	return c != NULL ? user_domain_each(c, note_domain, out) : -1;
}

void reporting_look_named(struct reporter *r, const struct flow_settings *s) {
	if (r->named_at == 0) r->named_at = deadline_in(FIRST_MS);
	if (clock_ms() < r->named_at || !s->reporting.look_named) return;
	AUTO_ARENA struct arena mem = { 0 };
	struct domain_list domains = { .mem = &mem, .at = arena_array(&mem, DOMAINS_MAX, sizeof *domains.at) };
	struct looking l = { .r = r };
	l.at = arena_array(&l.mem, ADDRESSES_MAX, sizeof *l.at);
	if (stored_domains(r, &domains) < 0) say(L_WARN, "report", "%s", fail_text());
	for (size_t i = 0; i < LEN(s->reporting.domains); i++)
		for (struct slice rest = s->reporting.domains[i], word;
		     (word = slice_word(&rest, " \t\r\n,")).len != 0;)
			if (slice_find(word, ':') == word.len && slice_find(word, '/') == word.len &&
			    slice_find(word, '$') == word.len)
				note_domain(&domains, word);
	for (size_t i = 0; i < domains.count; i++) (void)look(&l, domains.at[i]);
	r->named_at = deadline_in(l.later ? FIRST_MS : EVERY_MS);
	if (l.later) {
		arena_done(&l.mem);
		return;
	}
	pthread_mutex_lock(&r->waiting);
	struct arena old = r->named_mem;
	r->named_mem = l.mem;
	r->named = l.at;
	r->named_count = l.count;
	pthread_mutex_unlock(&r->waiting);
	arena_done(&old);
}

bool reporting_is_named(struct reporter *r, struct slice address) {
	bool found = false;
	if (r == NULL) return false;
	pthread_mutex_lock(&r->waiting);
	for (size_t i = 0; i < r->named_count && !found; i++) found = slice_same(r->named[i], address);
	pthread_mutex_unlock(&r->waiting);
	return found;
}
