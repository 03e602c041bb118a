/* SPDX-License-Identifier: Apache-2.0 */
/* SEARCH. What the answer is made of stands in search_*.c. */
#include "access/imap/limit.h"
#include "access/imap/live.h"
#include "access/imap/search.h"

struct imap_answer imap_search_end(struct imap_session *s, struct imap_call *call, const struct search_ask *ask,
				   const struct search_result *found, const char *plain) {
	bool saved = (ask->returns & RETURN_SAVE) == 0 || search_save(s, ask, found);
	if (!ask->extended) search_put_numbers(s, plain, call->uid, ask, found);
	else if (ask->returns != RETURN_SAVE) search_put_extended(s, call->tag, call->uid, ask, found, SLICE_NONE);
	if (!saved) return imap_no("[NOTSAVED] Too many messages to keep as $.");
	return imap_ok("Search completed.");
}

IMAP_COMMAND(imap_do_search) {
	AUTO(search_scan_done) struct search_scan scan = { .parts = NULL };
	AUTO(search_result_done) struct search_result found = SEARCH_RESULT;
	struct search_ask ask = { 0 };
	struct slice words = call->p.rest;
	if (!imap_load(s)) return imap_no("");
	if (!search_parse(s, &call->p, &ask)) return imap_bad(&call->p);
	call->numbers = ask.numbers;
	if ((ask.returns & RETURN_UPDATE) != 0 && live_find(s, call->tag)) return live_tag_taken();
	if (!ask.extended && imap_enabled(s, IMAP_REV2)) { /* RFC 9051 §6.4.4: ESEARCH always */
		ask.extended = true;
		ask.returns = RETURN_ALL;
	}
	if (ask.bad_charset) {
		if ((ask.returns & RETURN_SAVE) != 0) search_save_nothing(s);
		return search_bad_charset();
	}
	search_scan_selected(&scan, s, ask.root);
	uint32_t lowest = imap_limit_set(s, imap_messages_limit(s), &scan.set);
	int r = search_find(&scan, &found);
	if (r != 0) {
		if ((ask.returns & RETURN_SAVE) != 0) search_save_nothing(s);
		return imap_refused(s, r, "search");
	}
	struct imap_answer a = imap_search_end(s, call, &ask, &found, "SEARCH");
	if ((ask.returns & RETURN_UPDATE) != 0) live_start(s, call, LIVE_SEARCH, words, &found);
	search_digests_store(&scan);
	return imap_limit_answer(s, lowest, a);
}
