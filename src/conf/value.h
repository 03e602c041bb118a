/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "conf/network.h"
#include "conf/setting.h"
/* The value of a setting, read once from its expanded text. Which members count depends on the kind. */
struct value {
	struct slice text;          /* all kinds; yes, no and words in lower case */
	union {
		int64_t number;         /* BOOL (0, 1), NUMBER, TIME (ms), SIZE, WORDS (index) */
		struct {
			struct slice *words;
			size_t count;
		} list;
		struct networks networks; /* read by the caller, who knows the files */
		struct domains domains;
	};
};
enum { VALUE_GOOD, VALUE_EXTENSION }; /* a form that hato takes and Postfix does not */
/* text must live as long as *out. <0: the text is no such value; fail_text() names it and what was expected. */
int value_read(struct value *out, const struct setting *s, struct slice text, struct arena *mem) MUST_USE;
/* "s, m, h, d, w": the default unit is the setting's. Milliseconds. */
bool time_read(struct slice text, char unit, int64_t *ms);
/* The next word of a list, { text } being one, without its braces; empty: at a break. False: no partner for a brace. */
bool value_word(struct slice *rest, struct slice *out);
