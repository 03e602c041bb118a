/* SPDX-License-Identifier: Apache-2.0 */
/* Asked for each message, so it is a scan over numbers; a name that has no user yet is looked up again at the next reload. */
#include "flow/submitters.h"

#include <pwd.h>

struct submitters {
	size_t count;
	struct rule {
		bool anyone, allow;
		uid_t uid;
	} rules[];
};

static bool rule_of(struct slice word, struct rule *out) {
	struct rule r = { .allow = !slice_starts(word, S("!")) };
	if (!r.allow) word = slice_skip(word, 1);
	if (slice_starts(word, S("static:"))) {
		r.anyone = true;
		*out = r;
		return true;
	}
	AUTO_FREE char *name = slice_text(word);
	struct passwd *pw = getpwnam(name);
	if (pw == NULL) return false;
	r.uid = pw->pw_uid;
	*out = r;
	return true;
}

const struct submitters *submitters_make(const struct slice *words, size_t count, struct arena *mem, struct slice *problem) {
	struct submitters *s = arena_get(mem, sizeof *s + count * sizeof s->rules[0]);
	*problem = SLICE_NONE;
	for (size_t i = 0; i < count; i++) {
		if (rule_of(words[i], &s->rules[s->count])) s->count++;
		else if (problem->at == NULL) *problem = words[i];
	}
	return s;
}

bool submitters_allow(const struct submitters *s, uid_t uid) {
	if (s == NULL) return true;
	for (size_t i = 0; i < s->count; i++)
		if (s->rules[i].anyone || s->rules[i].uid == uid) return s->rules[i].allow;
	return false;
}
