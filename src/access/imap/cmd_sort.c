/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/live.h"
#include "access/imap/sort.h"

IMAP_COMMAND(imap_do_sort) {
	AUTO(search_scan_done) struct search_scan scan = { .parts = NULL };
	AUTO(search_result_done) struct search_result found = SEARCH_RESULT;
	struct imap_parse *p = &call->p;
	struct search_ask ask = { 0 };
	struct sort_keys keys;
	struct slice words = p->rest;
	if (!imap_load(s)) return imap_no("");
	if (!search_parse_return(p, &ask) || !sort_parse(p, &keys) || !search_parse_charset(p, &ask) ||
	    !search_parse_keys(s, p, &ask))
		return imap_bad(p);
	call->numbers = ask.numbers;
	if ((ask.returns & RETURN_UPDATE) != 0 && live_find(s, call->tag)) return live_tag_taken();
	bool saves = (ask.returns & RETURN_SAVE) != 0;
	if (ask.bad_charset) {
		if (saves) search_save_nothing(s);
		return search_bad_charset();
	}
	search_scan_selected(&scan, s, ask.root);
	int r = sort_find(&scan, &keys, &found);
	if (r != 0) {
		if (saves) search_save_nothing(s);
		return imap_refused(s, r, "sort");
	}
	struct imap_answer a = imap_search_end(s, call, &ask, &found, "SORT");
	if ((ask.returns & RETURN_UPDATE) != 0) live_start(s, call, LIVE_SORT, words, &found);
	search_digests_store(&scan);
	return a;
}
