/* SPDX-License-Identifier: Apache-2.0 */
/* What a client calls itself comes back to it in replies and stands in logs: whoever writes a template says which bytes
 * may. */
#include "conf/footer.h"
#include "base/clock.h"

#include <time.h>

/* One byte behind a backslash: \t, \40 and the like (unescape(3) of Postfix). */
static unsigned char escaped(struct slice *rest) {
	static const char letters[] = "abfnrtv", bytes[] = "\a\b\f\n\r\t\v";
	unsigned value = 0, digits = 0;
	while (digits < 3 && digits < rest->len && rest->at[digits] >= '0' && rest->at[digits] <= '7')
		value = value * 8 + (unsigned)(rest->at[digits++] - '0');
	if (digits != 0) {
		*rest = slice_skip(*rest, digits);
		return (unsigned char)value;
	}
	const char *letter = rest->len != 0 && rest->at[0] != '\0' ? strchr(letters, rest->at[0]) : NULL;
	unsigned char c = rest->len == 0   ? '\\'
			  : letter != NULL ? (unsigned char)bytes[letter - letters]
					   : (unsigned char)rest->at[0];
	*rest = slice_skip(*rest, 1);
	return c;
}

void expand_filter_parse(struct expand_filter *f, struct slice text) {
	*f = (struct expand_filter){ 0 };
	while (text.len != 0) {
		unsigned char c = (unsigned char)text.at[0];
		text = slice_skip(text, 1);
		f->allowed[c == '\\' ? escaped(&text) : c] = true;
	}
}

void expand_filtered(struct buf *out, const struct expand_filter *f, struct slice value) {
	for (size_t i = 0; i < value.len; i++)
		buf_byte(out, f == NULL || f->allowed[(unsigned char)value.at[i]] ? value.at[i] : '_');
}

void expand_local_time(struct buf *out) {
	struct tm t;
	time_t now = (time_t)wall_s();
	char text[40];
	strftime(text, sizeof text, "%b %e %T", localtime_r(&now, &t));
	buf_addf(out, "%s", text);
}

struct slice expand_footer(struct slice template, const struct expand_ops *ops, struct arena *mem) {
	AUTO_BUF struct buf text = BUF(KIB(4)), lines = BUF(KIB(4));
	if (template.len == 0 || expand(template, ops, &text) < 0) return SLICE_NONE;
	for (struct slice rest = buf_slice(&text); rest.len != 0;) {
		size_t at = slice_search(rest, S("\\n"));
		buf_add(&lines, slice_head(rest, at));
		rest = slice_skip(rest, at + 2);
		if (rest.len != 0) buf_byte(&lines, '\n');
	}
	return arena_slice(mem, buf_slice(&lines));
}
