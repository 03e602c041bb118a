/* SPDX-License-Identifier: Apache-2.0 */
/* Every token of any part of a text is one of the whole. */
#include "db/text_token.h"
#include "base/encode.h"

static bool has(struct slice text, const struct text_token *wanted) {
	struct text_token t;
	while (text_token_next(&text, &t)) {
		if (t.text.at == wanted->text.at) return t.key == wanted->key && slice_eq(t.text, wanted->text);
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size < 2) return 0;
	struct slice text = slice_from(data + 2, MIN_OF(size - 2, (size_t)300));
	size_t from = MIN_OF((size_t)data[0], text.len), len = MIN_OF((size_t)data[1], text.len - from);
	struct slice part = slice_head(slice_skip(text, from), len), rest = part;
	struct text_token t;
	if (!utf8_valid(text) || !utf8_valid(part)) { /* only whole characters are promised to agree */
		while (text_token_next(&text, &t)) must(t.key != 0 && t.text.len != 0);
		return 0;
	}
	while (text_token_next(&rest, &t)) must(t.key != 0 && has(text, &t));
	return 0;
}
