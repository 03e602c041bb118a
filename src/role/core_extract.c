/* SPDX-License-Identifier: Apache-2.0 */
/* Core reads mail and may start no program: agent does, and what it says comes back as an answer. An attachment that
 * has no text is told apart from a program that does not run, so that only the latter is tried again. */
#include "role/core_extract.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "smtp/client.h"

enum { TELL_AGAIN_MS = 600000 };

struct extracting {
	struct extractor extractor;
	struct slice program;
	struct link *agent;
	int64_t told_at; /* when it may be said again that no program runs */
};

static int extract(void *ctx, struct slice type, struct slice name, int fd, struct buf *out) {
	struct extracting *x = ctx;
	AUTO_ARENA struct arena mem = { 0 };
	struct extract_answer a;
	int r = ask_extract(x->agent, &(struct extract_ask){ type, name }, fd, &mem, &a);
	if (r != ASK_OK) return r < 0 ? r : fail("search_text_program: the agent process is not there");
	if (a.fate == SMTP_DELIVERED) {
		buf_add(out, slice_head(a.text, out->limit));
		return EXTRACT_MADE;
	}
	if (a.fate == SMTP_NEVER) {
		say(L_INFO, "search", "search_text_program: no text of %.*s \"%.*s\": %.*s", SLICE_ARG(type),
		    SLICE_ARG(name), SLICE_ARG(a.why));
		return EXTRACT_NONE;
	}
	if (clock_ms() >= x->told_at) {
		x->told_at = deadline_in(TELL_AGAIN_MS);
		say(L_WARN, "search",
		    "search_text_program: %.*s (attachments are indexed without their text; hato index rebuild, when "
		    "it runs)",
		    SLICE_ARG(a.why));
	}
	return EXTRACT_SKIP;
}

static bool same(const struct extracting *a, struct slice program, const struct extractor *e) {
	if (a == NULL) return e->count == 0;
	bool same = slice_eq(a->program, program) && a->extractor.count == e->count &&
		    a->extractor.text_limit == e->text_limit;
	for (size_t i = 0; same && i < e->count; i++) same = slice_eq(a->extractor.types[i], e->types[i]);
	return same;
}

void extracting_set(struct search_index *x, const struct conf_view *v, struct link *agent, struct arena *mem,
		    const struct extracting **now) {
	struct extractor e = { .make = extract };
	struct slice program = conf_text(v, SET_search_text_program);
	if (program.len != 0) e.types = conf_list(v, SET_search_text_types, &e.count);
	e.text_limit = (size_t)MIN_OF((uint64_t)conf_size(v, SET_search_text_size_limit), (uint64_t)EXTRACT_MOST);
	if (same(*now, program, &e)) return;
	struct extracting *fresh = NULL;
	if (e.count != 0) {
		fresh = arena_get(mem, sizeof *fresh);
		struct slice *types = arena_array(mem, e.count, sizeof *types);
		for (size_t i = 0; i < e.count; i++) types[i] = arena_slice(mem, e.types[i]);
		e.types = types;
		e.ctx = fresh;
		*fresh = (struct extracting){ e, arena_slice(mem, program), agent, 0 };
	}
	search_index_stop(x);
	search_index_extractor(x, fresh != NULL ? &fresh->extractor : NULL);
	*now = fresh;
}
