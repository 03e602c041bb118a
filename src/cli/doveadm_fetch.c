/* SPDX-License-Identifier: Apache-2.0 */
/* fetch: the fields, each with what IMAP calls it. Text comes with LF, as Dovecot prints what its Maildirs hold. */
#include "base/fail.h"
#include "cli/doveadm_search.h"
#include "mime/date.h"

#include <sysexits.h>

enum { FIELDS_MAX = 60, COMMAND_MAX = 64 * 1024, TEXT_MAX = 256 << 20 };
enum how {
	PLAIN,
	USER,
	MAILBOX,
	MAILBOX_GUID,
	SEQ,
	UNWRAPPED /* without brackets */,
	LINES,
	HEADER,
	DATE,
	SENT,
	UNIX,
	SENT_UNIX
};

static const struct known { const char *name, *item; enum how how; } known[] = {
	{ "user", "", USER },
	{ "mailbox", "", MAILBOX },
	{ "mailbox-guid", "", MAILBOX_GUID },
	{ "seq", "", SEQ },
	{ "uid", "UID", PLAIN },
	{ "guid", "EMAILID", UNWRAPPED },
	{ "flags", "FLAGS", UNWRAPPED },
	{ "modseq", "MODSEQ", UNWRAPPED },
	{ "hdr", "BODY.PEEK[HEADER]", LINES },
	{ "body", "BODY.PEEK[TEXT]", LINES },
	{ "body.preview", "PREVIEW", PLAIN },
	{ "body.snippet", "PREVIEW", PLAIN },
	{ "text", "BODY.PEEK[]", LINES },
	{ "size.physical", "RFC822.SIZE", PLAIN },
	{ "size.virtual", "RFC822.SIZE", PLAIN },
	{ "date.received", "INTERNALDATE", DATE },
	{ "date.sent", "ENVELOPE", SENT },
	{ "date.saved", "SAVEDATE", DATE },
	{ "date.received.unixtime", "INTERNALDATE", UNIX },
	{ "date.sent.unixtime", "ENVELOPE", SENT_UNIX },
	{ "date.saved.unixtime", "SAVEDATE", UNIX },
	{ "imap.envelope", "ENVELOPE", UNWRAPPED },
	{ "imap.body", "BODY", UNWRAPPED },
	{ "imap.bodystructure", "BODYSTRUCTURE", UNWRAPPED },
};

struct field {
	struct slice name, item; /* item: what is asked; the answer is without ".PEEK" */
	enum how how;
	struct slice value;      /* of the message at hand */
};

struct fetch {
	const struct dove_query *query;
	struct field fields[FIELDS_MAX];
	size_t count;
	struct slice command;    /* "UID (…)", behind the set */
	struct doveadm *d;
	const struct dove_box *box;
	struct arena mem;        /* of a message */
};

static int unknown(struct doveadm *d, struct slice name) {
	fputs("Available fetch fields: hdr.<name> body.<section> binary.<section>", stderr);
	for (size_t i = 0; i < LEN(known); i++) fprintf(stderr, " %s", known[i].name);
	fputc('\n', stderr);
	return dove_fatal(d, EX_TEMPFAIL, "Unknown fetch field: %.*s", SLICE_ARG(name));
}

static bool good_part(struct slice s, const char *more) {
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_alpha(s.at[i]) && !ascii_digit(s.at[i]) && strchr(more, s.at[i]) == NULL) return false;
	return s.len != 0;
}

static bool read_field(struct doveadm *d, struct slice name, struct field *out) {
	struct slice rest = name, kind = slice_cut(&rest, '.');
	*out = (struct field){ .name = arena_slice(&d->mem, name) };
	for (size_t i = 0; i < LEN(known); i++) {
		if (!slice_eq(name, slice_of(known[i].name))) continue;
		out->item = slice_of(known[i].item);
		out->how = known[i].how;
		return true;
	}
	if (rest.at == NULL) return false;
	if (slice_eq(kind, S("hdr")) && good_part(rest, "-_!#$&'*+^`|~")) {
		out->item = arena_fmt(&d->mem, "BODY.PEEK[HEADER.FIELDS (%.*s)]", SLICE_ARG(rest));
		out->how = HEADER;
		return true;
	}
	if (!good_part(rest, ".")) return false;
	if (slice_eq(kind, S("body"))) out->item = arena_fmt(&d->mem, "BODY.PEEK[%.*s]", SLICE_ARG(rest));
	else if (slice_eq(kind, S("binary"))) out->item = arena_fmt(&d->mem, "BINARY.PEEK[%.*s]", SLICE_ARG(rest));
	out->how = LINES;
	return out->item.len != 0;
}

int dove_fetch_prepare(struct doveadm *d, void **state) {
	struct fetch *f = *state = arena_get(&d->mem, sizeof *f);
	AUTO_BUF struct buf command = BUF(COMMAND_MAX);
	struct slice rest = dove_word(d, 0);
	f->d = d;
	buf_add(&command, S(" (UID"));
	for (struct slice word; (word = slice_word(&rest, " ")).len != 0;) {
		if (f->count == FIELDS_MAX) return dove_fatal(d, EX_USAGE, "too many fields");
		struct field *field = &f->fields[f->count++];
		if (!read_field(d, word, field)) return unknown(d, word);
		if (field->item.len != 0) buf_addf(&command, " %.*s", SLICE_ARG(field->item));
	}
	buf_byte(&command, ')');
	f->command = arena_slice(&d->mem, buf_slice(&command));
	int code = dove_query_of(d, 1, &f->query);
	if (code == EX_OK) code = dove_print_begin(d);
	for (size_t i = 0; i < f->count && code == EX_OK; i++)
		dove_print_header(d->out, f->fields[i].name.at, f->fields[i].name.at, 0);
	return code;
}

/* Values. */

static struct slice with_lf(struct arena *mem, struct slice s) {
	char *out = arena_get(mem, s.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] != '\r' || i + 1 == s.len || s.at[i + 1] != '\n') out[n++] = s.at[i];
	return slice_from(out, n);
}

/* "Subject: a\r\n b\r\n\r\n" → "a b" */
static struct slice header_value(struct arena *mem, struct slice s) {
	struct slice lines = slice_trim(slice_skip(s, slice_find(s, ':') + 1));
	char *out = arena_get(mem, lines.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < lines.len; i++)
		if (lines.at[i] != '\r' && lines.at[i] != '\n') out[n++] = lines.at[i] == '\t' ? ' ' : lines.at[i];
	return slice_from(out, n);
}

static struct slice local_time(struct arena *mem, int64_t utc) {
	char text[64] = "";
	struct tm tm;
	time_t at = (time_t)utc;
	if (localtime_r(&at, &tm) != NULL) strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
	return arena_slice(mem, slice_of(text));
}

/* The first word of ENVELOPE is the Date field. */
static struct slice sent_date(struct arena *mem, struct slice envelope, bool unix_time) {
	struct slice rest = slice_skip(envelope, 1);
	struct dove_word word;
	struct date date;
	if (!dove_next(&rest, &word) || date_parse(dove_unescape(mem, &word), &date) != DATE_OK) return S("");
	if (unix_time) return arena_fmt(mem, "%lld", (long long)date.utc);
	int zone = abs(date.zone);
	return arena_fmt(mem, "%.*s (%c%02d%02d)", SLICE_ARG(local_time(mem, date.utc)), date.zone < 0 ? '-' : '+',
			 zone / 60, zone % 60);
}

static struct slice value_of(struct fetch *f, const struct field *field, const struct dove_word *w) {
	struct slice text = dove_unescape(&f->mem, w);
	struct date date;
	switch (field->how) {
	case LINES: return with_lf(&f->mem, text);
	case HEADER: return header_value(&f->mem, text);
	case UNWRAPPED:
		return slice_starts(text, S("(")) ? slice_head(slice_skip(text, 1), text.len - 2) : text;
	case SENT:
	case SENT_UNIX: return sent_date(&f->mem, text, field->how == SENT_UNIX);
	case DATE:
	case UNIX:
		if (date_parse_internal(slice_trim(text), &date) != DATE_OK) return S("");
		return field->how == UNIX ? arena_fmt(&f->mem, "%lld", (long long)date.utc)
					  : local_time(&f->mem, date.utc);
	default: return text;
	}
}

/* BODY.PEEK[x] is answered as BODY[x], perhaps in other case. */
static bool answers(struct slice asked, struct slice name) {
	size_t peek = slice_search(asked, S(".PEEK"));
	if (peek == asked.len) return slice_same(asked, name);
	return slice_starts_same(name, slice_head(asked, peek)) &&
	       slice_same(slice_skip(asked, peek + 5), slice_skip(name, peek));
}

static void print_message(struct fetch *f) {
	dove_row(f->d);
	for (size_t i = 0; i < f->count; i++) {
		const struct field *field = &f->fields[i];
		if (field->how == LINES) dove_print_text(f->d->out, field->value);
		else dove_print_value(f->d->out, field->value);
	}
}

/* 7 FETCH (UID 12 FLAGS (\Seen) …) */
static void take_message(void *ctx, struct slice rest) {
	struct fetch *f = ctx;
	struct dove_word seq, word, list, item, value;
	bool whole = false; /* others may change flags meanwhile: that has no UID of ours */
	if (!dove_next(&rest, &seq) || !dove_next(&rest, &word) || !slice_same(word.text, S("FETCH")) ||
	    !dove_next(&rest, &list) || list.text.len < 2)
		return;
	arena_reset(&f->mem);
	struct slice items = slice_head(slice_skip(list.text, 1), list.text.len - 2);
	for (size_t i = 0; i < f->count; i++) {
		struct field *field = &f->fields[i];
		field->value = field->how == USER	   ? f->d->user
			       : field->how == MAILBOX	   ? f->box->name
			       : field->how == MAILBOX_GUID ? f->box->guid
			       : field->how == SEQ	   ? seq.text
							   : S("");
	}
	while (dove_next(&items, &item) && dove_next(&items, &value)) {
		whole = whole || slice_same(item.text, S("UID"));
		for (size_t i = 0; i < f->count; i++)
			if (f->fields[i].item.len != 0 && answers(f->fields[i].item, item.text))
				f->fields[i].value = value_of(f, &f->fields[i], &value);
	}
	if (whole) print_message(f);
}

static int fetch_found(struct doveadm *d, const struct dove_box *b, const uint32_t *uids, size_t count, void *state) {
	struct fetch *f = state;
	f->box = b;
	for (size_t at = 0; at < count;) {
		AUTO_BUF struct buf command = BUF(COMMAND_MAX * 2);
		buf_add(&command, S("UID FETCH "));
		at += dove_set_put(&command, uids + at, count - at);
		buf_add(&command, f->command);
		int r = dove_command_run(d, buf_slice(&command), take_message, f);
		if (r < 0) return EX_TEMPFAIL;
		if (r != DOVE_OK) return dove_refused(d, "fetch from %.*s", SLICE_ARG(b->name));
	}
	return EX_OK;
}

int dove_fetch(struct doveadm *d, void *state) {
	struct fetch *f = state;
	int code = dove_each_found(d, f->query, false, fetch_found, f);
	arena_done(&f->mem);
	return code;
}
