/* SPDX-License-Identifier: Apache-2.0 */
/* Templates of database tables: %s %u %d for a key (or for a result, then %S %U %D are the key's), %1…%9 for the labels
 * of the key's domain from its end. A template that asks for what is not there makes no question and no result. */
#include "conf/table/template.h"

struct address {
	struct slice whole, local, domain;
	bool qualified;
};

static struct address split(struct slice text) {
	size_t at = slice_find_last(text, '@');
	struct address a = { .whole = text,
			     .local = slice_head(text, at),
			     .domain = slice_skip(text, at + 1),
			     .qualified = at < text.len };
	return a;
}

/* Label n, from 1 at the domain's end. */
static bool label(struct slice domain, int n, struct slice *out) {
	for (;; n--) {
		if (domain.len == 0) return false;
		size_t dot = slice_find_last(domain, '.');
		*out = dot == domain.len ? domain : slice_skip(domain, dot + 1);
		if (n == 1) return true;
		if (dot == domain.len) return false;
		domain = slice_head(domain, dot);
	}
}

static bool part(char letter, const struct address *a, struct slice *out) {
	if (letter == 's') return *out = a->whole, true;
	if (letter == 'u') return *out = a->local, !a->qualified || a->local.len > 0;
	return *out = a->domain, a->qualified && a->domain.len > 0;
}

int template_expand(struct slice template, struct slice key, const struct slice *value, quote_text *quote, void *ctx,
		    struct buf *out) {
	const struct address of_key = split(key), of_value = split(value != NULL ? *value : key);
	if (of_value.whole.len == 0) return TEMPLATE_SKIP;
	for (size_t i = 0; i < template.len; i++) {
		struct slice text;
		char c = template.at[i];
		if (c != '%' || i + 1 == template.len) {
			buf_byte(out, c);
			continue;
		}
		c = template.at[++i];
		if (c == '%') {
			buf_byte(out, '%');
			continue;
		}
		bool known = true, there = false;
		if (c == 's' || c == 'u' || c == 'd') there = part(c, &of_value, &text);
		else if (c == 'S' || c == 'U' || c == 'D') there = part(ascii_lower(c), &of_key, &text);
		else if (c >= '1' && c <= '9') there = of_key.qualified && label(of_key.domain, c - '0', &text);
		else known = false;
		if (!known) return TEMPLATE_BAD;
		if (!there) return TEMPLATE_SKIP;
		if (quote != NULL) quote(ctx, out, text);
		else buf_add(out, text);
	}
	return out->full ? TEMPLATE_LONG : TEMPLATE_DONE;
}
