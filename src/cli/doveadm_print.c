/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts cut what they read here at blanks, tabs and form feeds: the forms are Dovecot's to the letter. */
#include "cli/doveadm_print.h"
#include "base/encode.h"

#include <sys/ioctl.h>

enum { HEADERS_MAX = 64, FLUSH_AT = 64 * 1024, LIMIT = 1 << 30, COLUMNS = 80 };
enum form { FORM_TABLE, FORM_FLOW, FORM_TAB, FORM_PAGER, FORM_JSON };

struct header {
	const char *key, *title;
	unsigned how;
	size_t width;
};

struct dove_print {
	enum form form;
	struct header headers[HEADERS_MAX];
	size_t count, at;      /* at: the column of the next value */
	uint64_t values;
	struct buf out;
	struct buf cells;      /* of a table: each with a NUL behind it, to know the widths */
	bool begun;
};

struct dove_print *dove_print_new(struct slice form) {
	static const char *const names[] = { "table", "flow", "tab", "pager", "json" };
	for (size_t i = 0; i < LEN(names); i++) {
		if (!slice_eq(form, slice_of(names[i]))) continue;
		struct dove_print *p = mem_get(sizeof *p);
		*p = (struct dove_print){ .form = (enum form)i, .out = BUF(LIMIT), .cells = BUF(LIMIT) };
		return p;
	}
	return NULL;
}

void dove_print_free(struct dove_print **pp) {
	struct dove_print *p = TAKE(*pp);
	if (p == NULL) return;
	buf_done(&p->out);
	buf_done(&p->cells);
	free(p);
}

void dove_print_header(struct dove_print *p, const char *key, const char *title, unsigned how) {
	must(p->count < HEADERS_MAX);
	p->headers[p->count++] = (struct header){ key, title, how, 0 };
}

static void flush(struct dove_print *p, size_t from) {
	if (p->out.len < from) return;
	fwrite(p->out.at, 1, p->out.len, stdout);
	buf_clear(&p->out);
}

/* Titles, once. */
static void begin(struct dove_print *p) {
	if (p->begun) return;
	p->begun = true;
	if (p->form == FORM_JSON) buf_byte(&p->out, '[');
	for (size_t i = 0; i < p->count && p->form == FORM_TAB; i++)
		buf_addf(&p->out, "%s%s", i != 0 ? "\t" : "", p->headers[i].title);
	if (p->form == FORM_TAB && p->count != 0) buf_byte(&p->out, '\n');
}

static void json_string(struct buf *out, struct slice s) {
	static const char short_for[] = "\bb\ff\nn\rr\tt\"\"\\\\";
	buf_byte(out, '"');
	while (s.len != 0) {
		uint32_t c = utf8_next(&s);
		const char *at = c != 0 && c < 0x80 ? strchr(short_for, (int)c) : NULL;
		if (at != NULL && (at - short_for) % 2 != 0) at = NULL;
		if (at != NULL) buf_addf(out, "\\%c", at[1]);
		else if (c < 0x20 || c == 0x7f) buf_addf(out, "\\u%04x", c);
		else utf8_add(out, c);
	}
	buf_byte(out, '"');
}

static void put_json(struct dove_print *p, struct slice value) {
	const struct header *h = &p->headers[p->at];
	buf_add(&p->out, p->at != 0 ? S(",") : p->values > 1 ? S(",{") : S("{"));
	json_string(&p->out, slice_of(h->key));
	buf_byte(&p->out, ':');
	json_string(&p->out, value);
	if (p->at + 1 == p->count) buf_byte(&p->out, '}');
}

static void put_pager(struct dove_print *p, struct slice value, bool text) {
	const struct header *h = &p->headers[p->at];
	if (p->at == 0 && p->values > 1) buf_add(&p->out, S("\f\n"));
	if ((h->how & DOVE_HIDDEN) == 0) buf_addf(&p->out, text ? "%s:\n" : "%s: ", h->title);
	buf_add(&p->out, value);
	if (!text || !slice_ends(value, S("\n"))) buf_byte(&p->out, '\n');
}

static void put(struct dove_print *p, struct slice value, bool text) {
	const struct header *h = &p->headers[p->at];
	begin(p);
	p->values++;
	switch (p->form) {
	case FORM_JSON: put_json(p, value); break;
	case FORM_PAGER: put_pager(p, value, text); break;
	case FORM_TAB:
		if (p->at != 0) buf_byte(&p->out, '\t');
		buf_add(&p->out, value);
		break;
	case FORM_FLOW:
		if (p->at != 0) buf_byte(&p->out, ' ');
		if ((h->how & DOVE_HIDDEN) == 0) buf_addf(&p->out, "%s=", h->title);
		buf_add(&p->out, value);
		break;
	case FORM_TABLE:
		for (size_t i = 0; i < value.len; i++) buf_byte(&p->cells, value.at[i] != '\0' ? value.at[i] : ' ');
		buf_byte(&p->cells, '\0');
		break;
	}
	if (++p->at == p->count) {
		p->at = 0;
		if (p->form == FORM_TAB || p->form == FORM_FLOW) buf_byte(&p->out, '\n');
	}
	flush(p, FLUSH_AT);
}

void dove_print_value(struct dove_print *p, struct slice value) {
	put(p, value, false);
}

void dove_print_text(struct dove_print *p, struct slice text) {
	put(p, text, true);
}

/* Tables. */

static size_t length(struct slice s) {
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) n += ((unsigned char)s.at[i] & 0xc0) != 0x80;
	return n;
}

static struct slice next_cell(struct slice *rest) {
	struct slice cell = slice_head(*rest, slice_find(*rest, '\0'));
	*rest = slice_skip(*rest, cell.len + 1);
	return cell;
}

/* The widest of each column; half of what the line has left goes to one of them. */
static void set_widths(struct dove_print *p) {
	struct winsize w;
	size_t columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col != 0 ? w.ws_col : COLUMNS, sum = 0,
	       wide = p->count - 1;
	for (size_t i = 0; i < p->count; i++) p->headers[i].width = length(slice_of(p->headers[i].title));
	struct slice rest = buf_slice(&p->cells);
	for (size_t i = 0; rest.len != 0; i = (i + 1) % p->count) {
		size_t n = length(next_cell(&rest));
		p->headers[i].width = MAX_OF(p->headers[i].width, n);
	}
	for (size_t i = 0; i < p->count; i++) {
		sum += p->headers[i].width + (i != 0);
		if ((p->headers[i].how & DOVE_WIDE) != 0) wide = i;
	}
	struct header *last = &p->headers[p->count - 1];
	if (sum < columns) p->headers[wide].width += (columns - sum) / 2;
	else if (sum - columns < last->width) last->width -= sum - columns;
}

static void put_cell(struct dove_print *p, size_t i, struct slice text) {
	const struct header *h = &p->headers[i];
	size_t n = length(text), blanks = n < h->width ? h->width - n : 0;
	if (i != 0) buf_byte(&p->out, ' ');
	if ((h->how & DOVE_RIGHT) == 0) buf_add(&p->out, text);
	while (blanks-- > 0) buf_byte(&p->out, ' ');
	if ((h->how & DOVE_RIGHT) != 0) buf_add(&p->out, text);
	if (i + 1 == p->count) buf_byte(&p->out, '\n');
}

static void put_table(struct dove_print *p) {
	if (p->count == 0) return;
	set_widths(p);
	for (size_t i = 0; i < p->count; i++) put_cell(p, i, slice_of(p->headers[i].title));
	struct slice rest = buf_slice(&p->cells);
	for (size_t i = 0; rest.len != 0; i = (i + 1) % p->count) put_cell(p, i, next_cell(&rest));
}

void dove_print_end(struct dove_print *p) {
	if (p->count != 0) begin(p);
	if (p->form == FORM_JSON && p->count != 0) buf_byte(&p->out, ']');
	if (p->form == FORM_TABLE) put_table(p);
	flush(p, 0);
}
