/* SPDX-License-Identifier: Apache-2.0 */
/* Results go out as they are asked for: the plain list, or ESEARCH with just what RETURN names. Sorted results keep
 * their order inside a set, with ranges only where numbers happen to rise by one (RFC 5267 §3.2). */
#include "access/imap/search.h"

enum { SAVED_RANGES_MAX = 1 << 20 };

static uint32_t told_as(struct imap_session *s, bool uid, const struct search_found *f) {
	return uid ? f->uid : view_number(&s->box.view, f->uid);
}

/* The results that PARTIAL asks for: from *low on, so many. */
static size_t search_window(const struct search_ask *ask, const struct search_result *r, size_t *low) {
	int64_t from = ask->partial_from, to = ask->partial_to, count = (int64_t)r->count;
	if (from < 0) {
		from += count + 1;
		to += count + 1;
	}
	int64_t first = MAX_OF(MIN_OF(from, to), (int64_t)1), last = MIN_OF(MAX_OF(from, to), count);
	*low = (size_t)(first - 1);
	return first <= last ? (size_t)(last - first + 1) : 0;
}

static uint64_t highest(const struct search_found *at, size_t count) {
	uint64_t modseq = 0;
	for (size_t i = 0; i < count; i++) modseq = MAX_OF(modseq, at[i].modseq);
	return modseq;
}

/* Of those that are told (RFC 7162 §3.1.6, RFC 9394 §3.2). */
static uint64_t modseq_of(const struct search_ask *ask, const struct search_result *r) {
	size_t low, count = search_window(ask, r, &low);
	uint64_t modseq = 0;
	if ((ask->returns & (RETURN_ALL | RETURN_COUNT)) != 0) return highest(r->at, r->count);
	if ((ask->returns & RETURN_PARTIAL) != 0) modseq = highest(r->at + low, count);
	if ((ask->returns & RETURN_MIN) != 0 && r->count != 0) modseq = MAX_OF(modseq, r->at[0].modseq);
	if ((ask->returns & RETURN_MAX) != 0 && r->count != 0) modseq = MAX_OF(modseq, r->at[r->count - 1].modseq);
	return modseq;
}

void search_put_numbers(struct imap_session *s, const char *name, bool uid, const struct search_ask *ask,
			const struct search_result *r) {
	buf_addf(imap_out(s), "* %s", name);
	for (size_t i = 0; i < r->count && imap_drain(s); i++) {
		buf_byte(imap_out(s), ' ');
		buf_number(imap_out(s), told_as(s, uid, &r->at[i]));
	}
	if (ask->modseq && r->count != 0)
		buf_addf(imap_out(s), " (MODSEQ %llu)", (unsigned long long)highest(r->at, r->count));
	buf_add(imap_out(s), S("\r\n"));
}

static void put_set(struct imap_session *s, bool uid, const struct search_found *at, size_t count) {
	for (size_t i = 0; i < count && imap_drain(s);) {
		uint32_t first = told_as(s, uid, &at[i]), last = first;
		struct buf *out = imap_out(s);
		if (i != 0) buf_byte(out, ',');
		while (++i < count && told_as(s, uid, &at[i]) == last + 1) last++;
		buf_addf(out, first == last ? "%u" : "%u:%u", first, last);
	}
}

static void put_partial(struct imap_session *s, bool uid, const struct search_ask *ask, const struct search_result *r) {
	size_t low, count = search_window(ask, r, &low);
	buf_addf(imap_out(s), " PARTIAL (%lld:%lld ", (long long)ask->partial_from, (long long)ask->partial_to);
	if (count == 0) buf_add(imap_out(s), S("NIL"));
	else put_set(s, uid, r->at + low, count);
	buf_byte(imap_out(s), ')');
}

void search_put_extended(struct imap_session *s, struct slice tag, bool uid, const struct search_ask *ask,
			 const struct search_result *r, struct slice source) {
	struct buf *out = imap_out(s);
	buf_add(out, S("* ESEARCH (TAG "));
	imap_put_string(out, tag);
	buf_add(out, source);
	buf_add(out, uid ? S(") UID") : S(")"));
	if (r->count != 0) {
		if ((ask->returns & RETURN_MIN) != 0) buf_addf(out, " MIN %u", told_as(s, uid, &r->at[0]));
		if ((ask->returns & RETURN_MAX) != 0) buf_addf(out, " MAX %u", told_as(s, uid, &r->at[r->count - 1]));
	}
	if ((ask->returns & RETURN_COUNT) != 0) buf_addf(out, " COUNT %zu", r->count);
	if ((ask->returns & RETURN_RELEVANCY) != 0 && r->count != 0) {
		for (size_t i = 0; i < r->count && imap_drain(s); i++)
			buf_addf(imap_out(s), "%s%u", i == 0 ? " RELEVANCY (" : " ", r->at[i].relevance);
		buf_byte(imap_out(s), ')');
	}
	if ((ask->returns & RETURN_PARTIAL) != 0) put_partial(s, uid, ask, r);
	if ((ask->returns & RETURN_ALL) != 0 && r->count != 0) {
		buf_add(imap_out(s), S(" ALL "));
		put_set(s, uid, r->at, r->count);
	}
	if (ask->modseq && r->count != 0)
		buf_addf(imap_out(s), " MODSEQ %llu", (unsigned long long)modseq_of(ask, r));
	buf_add(imap_out(s), S("\r\n"));
}

/* SAVE. */

static bool save(struct imap_session *s, const struct search_found *at, size_t count) {
	struct imap_set_builder *saved = &s->box.saved;
	for (size_t i = 0; i < count; i++) {
		imap_set_append(saved, at[i].uid, at[i].uid);
		if (saved->set.count <= SAVED_RANGES_MAX) continue;
		imap_set_builder_done(saved);
		return false;
	}
	imap_set_settle(&saved->set, 0);
	return true;
}

void search_save_nothing(struct imap_session *s) {
	imap_set_builder_done(&s->box.saved);
}

/* MIN and MAX alone save just these; with ALL, COUNT or nothing else everything; PARTIAL, what it shows (RFC 9394
 * §3.4). */
bool search_save(struct imap_session *s, const struct search_ask *ask, const struct search_result *r) {
	unsigned kinds = ask->returns & RETURN_RESULTS;
	search_save_nothing(s);
	if (r->count == 0) return true;
	if (kinds == 0 || (kinds & (RETURN_ALL | RETURN_COUNT)) != 0) return save(s, r->at, r->count);
	if ((kinds & RETURN_PARTIAL) != 0) {
		size_t low, count = search_window(ask, r, &low);
		if (!save(s, r->at + low, count)) return false;
	}
	if ((kinds & RETURN_MIN) != 0 && !save(s, &r->at[0], 1)) return false;
	return (kinds & RETURN_MAX) == 0 || save(s, &r->at[r->count - 1], 1);
}
