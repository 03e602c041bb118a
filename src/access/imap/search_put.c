/* SPDX-License-Identifier: Apache-2.0 */
/* Results go out as they are asked for: the plain list, or ESEARCH with just what RETURN names. Sorted results keep
 * their order inside a set, with ranges only where numbers happen to rise by one (RFC 5267 §3.2). */
#include "access/imap/search.h"

enum { SAVED_RANGES_MAX = 1 << 20 };

static uint32_t told_as(struct imap_session *s, bool uid, const struct search_found *f) {
	return uid ? f->uid : view_number(&s->box.view, f->uid);
}

void search_put_numbers(struct imap_session *s, const char *name, bool uid, const struct search_result *r) {
	buf_addf(imap_out(s), "* %s", name);
	for (size_t i = 0; i < r->count && imap_drain(s); i++) buf_addf(imap_out(s), " %u", told_as(s, uid, &r->at[i]));
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
	int64_t from = ask->partial_from, to = ask->partial_to, count = (int64_t)r->count;
	buf_addf(imap_out(s), " PARTIAL (%lld:%lld ", (long long)from, (long long)to);
	if (from < 0) {
		from += count + 1;
		to += count + 1;
	}
	int64_t low = MAX_OF(MIN_OF(from, to), (int64_t)1), high = MIN_OF(MAX_OF(from, to), count);
	if (low > high) buf_add(imap_out(s), S("NIL"));
	else put_set(s, uid, r->at + low - 1, (size_t)(high - low + 1));
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

/* MIN and MAX alone save just these; with ALL, COUNT or nothing else everything; PARTIAL, what it shows (RFC 9394 §3.4). */
bool search_save(struct imap_session *s, const struct search_ask *ask, const struct search_result *r) {
	unsigned kinds = ask->returns & RETURN_RESULTS;
	search_save_nothing(s);
	if (r->count == 0) return true;
	if (kinds == 0 || (kinds & (RETURN_ALL | RETURN_COUNT)) != 0) return save(s, r->at, r->count);
	if ((kinds & RETURN_PARTIAL) != 0) {
		int64_t from = ask->partial_from, to = ask->partial_to, count = (int64_t)r->count;
		if (from < 0) {
			from += count + 1;
			to += count + 1;
		}
		int64_t low = MAX_OF(MIN_OF(from, to), (int64_t)1), high = MIN_OF(MAX_OF(from, to), count);
		if (low <= high && !save(s, r->at + low - 1, (size_t)(high - low + 1))) return false;
	}
	if ((kinds & RETURN_MIN) != 0 && !save(s, &r->at[0], 1)) return false;
	return (kinds & RETURN_MAX) == 0 || save(s, &r->at[r->count - 1], 1);
}
