/* SPDX-License-Identifier: Apache-2.0 */
/* Large receivers refuse mail for this, and who shows one author may be read as another. */
#include "trust/form.h"
#include "mime/header.h"

static const struct { struct slice name; bool must; } fields[] = {
	{ S("From"), true }, { S("Date"), true }, { S("Sender"), false }, { S("Reply-To"), false }, { S("To"), false },
	{ S("Cc"), false }, { S("Bcc"), false }, { S("Message-ID"), false }, { S("In-Reply-To"), false },
	{ S("References"), false }, { S("Subject"), false },
};

struct slice form_wrong(struct slice header, struct arena *mem) {
	unsigned seen[LEN(fields)] = { 0 };
	struct fields walk = { .block = header };
	for (struct field one; fields_next(&walk, &one);)
		for (size_t i = 0; i < LEN(fields); i++) seen[i] += slice_same(one.name, fields[i].name);
	for (size_t i = 0; i < LEN(fields); i++) {
		if (seen[i] > 1) return arena_fmt(mem, "%u %.*s header fields", seen[i], SLICE_ARG(fields[i].name));
		if (seen[i] == 0 && fields[i].must)
			return arena_fmt(mem, "no %.*s header field", SLICE_ARG(fields[i].name));
	}
	return SLICE_NONE;
}
