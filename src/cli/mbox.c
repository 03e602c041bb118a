/* SPDX-License-Identifier: Apache-2.0 */
/* Where a message ends is guesswork that every program does in its own way. We believe a Content-Length only when it
 * leads to a From_ line or the end of the file, and a From_ line only when it has a date; what remains doubtful stays
 * text, so that nothing is lost. */
#include "cli/mbox.h"
#include "base/fail.h"
#include "mime/date.h"
#include "store/store.h"

#include <time.h>
#include <unistd.h>

enum { ROOM = 64 * 1024, HEADER_LIMIT = 4 * 1024 * 1024, FROM_MOST = 1024, LOOK = 1024 };

struct mbox {
	int fd;
	enum mbox_format format;
	mbox_tell *tell;
	void *ctx;
	uint64_t at, line; /* of what is in front; the number of its line */
	char *room;
	size_t from, to;   /* what is in front: room[from, to) */
	bool end, begins;  /* nothing behind it; it begins a line */
	struct buf header; /* as it is said to the caller */
	struct buf words;
	struct mbox_base base;
	bool started, in_body;
	bool sized; /* this body is `size` bytes */
	uint64_t size;
	bool base_read;
};

/* Lines. */

static int fill(struct mbox *m) {
	if (m->from != 0 && m->to != m->from) memmove(m->room, m->room + m->from, m->to - m->from);
	m->to -= m->from;
	m->from = 0;
	while (m->to < ROOM && !m->end) {
		ssize_t n = pread(m->fd, m->room + m->to, ROOM - m->to, (off_t)(m->at + m->to));
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return fail_errno("read");
		m->end = n == 0;
		m->to += (size_t)n;
	}
	return 0;
}

/* What is in front up to its line's end, or a piece of a very long line. 1; 0: the end. */
static int look(struct mbox *m, struct slice *line) {
	const char *nl = m->to > m->from ? memchr(m->room + m->from, '\n', m->to - m->from) : NULL;
	if (nl == NULL && !m->end) {
		if (fill(m) < 0) return -1;
		nl = m->to != 0 ? memchr(m->room, '\n', m->to) : NULL;
	}
	size_t len = nl != NULL ? (size_t)(nl + 1 - (m->room + m->from)) : m->to - m->from;
	*line = slice_from(m->room + m->from, len);
	return len != 0;
}

static void step(struct mbox *m, struct slice line) {
	m->from += line.len;
	m->at += line.len;
	m->begins = line.at[line.len - 1] == '\n';
	if (m->begins) m->line++;
}

static bool is_blank(struct slice line) {
	return slice_eq(line, S("\n")) || slice_eq(line, S("\r\n"));
}

/* From_ lines. */

static bool read_two(struct slice word, uint64_t max, int *out) {
	uint64_t n;
	if (word.len == 0 || word.len > 2 || !slice_number(word, max, &n)) return false;
	*out = (int)n;
	return true;
}

static bool read_clock(struct slice word, struct tm *t) {
	struct slice hour = slice_cut(&word, ':'), minute = slice_cut(&word, ':');
	return read_two(hour, 23, &t->tm_hour) && read_two(minute, 59, &t->tm_min) &&
	       (word.at == NULL || read_two(word, 60, &t->tm_sec));
}

/* Which of the names, each of three letters; -1: none */
static int name_in(struct slice word, const char *names) {
	for (int i = 0; word.len == 3 && names[i * 3] != '\0'; i++)
		if (slice_same(word, slice_from(names + i * 3, 3))) return i;
	return -1;
}

static bool read_year(struct slice word, struct tm *t) {
	uint64_t year;
	if (word.len != 4 || !slice_number(word, 9999, &year) || year < 1900) return false;
	t->tm_year = (int)year - 1900;
	return true;
}

static bool is_zone(struct slice word) {
	if (word.len == 0 || word.len > 6) return false;
	if (word.at[0] == '+' || word.at[0] == '-') return word.len == 5;
	for (size_t i = 0; i < word.len; i++)
		if (!ascii_alpha(word.at[i])) return false;
	return true;
}

/* rest: behind the weekday */
static bool read_date(struct slice rest, int64_t *us) {
	struct tm t = { .tm_isdst = -1 };
	struct slice month = slice_word(&rest, " \t"), day = slice_word(&rest, " \t"), clock = slice_word(&rest, " \t"),
		     word = slice_word(&rest, " \t"), zone = SLICE_NONE;
	t.tm_mon = name_in(month, "JanFebMarAprMayJunJulAugSepOctNovDec");
	if (t.tm_mon < 0 || !read_two(day, 31, &t.tm_mday) || t.tm_mday == 0 || !read_clock(clock, &t)) return false;
	if (!read_year(word, &t)) {
		zone = word;
		if (!is_zone(zone) || !read_year(slice_word(&rest, " \t"), &t)) return false;
	}
	struct slice behind = slice_word(&rest, " \t");
	if (zone.len == 0 && is_zone(behind) && !slice_eq(behind, S("remote"))) zone = behind;
	if (zone.len == 0) {
		*us = (int64_t)mktime(&t) * 1000000;
		return true;
	}
	char text[64];
	struct date d;
	snprintf(text, sizeof text, "%d %.3s %04d %02d:%02d:%02d %.*s", t.tm_mday, month.at, t.tm_year + 1900,
		 t.tm_hour, t.tm_min, t.tm_sec, SLICE_ARG(zone));
	if (date_parse(slice_of(text), &d) != DATE_OK) return false;
	*us = d.utc * 1000000;
	return true;
}

bool mbox_from_read(struct slice line, int64_t *us) {
	if (line.len > FROM_MOST || !slice_starts(line, S("From "))) return false;
	struct slice rest = slice_trim(slice_skip(line, 5));
	while (rest.len != 0) {
		struct slice word = slice_word(&rest, " \t");
		if (word.len == 4 && word.at[3] == ',') word.len--;
		if (name_in(word, "SunMonTueWedThuFriSat") >= 0 && read_date(rest, us)) return true;
	}
	return false;
}

bool mbox_is(struct slice head) {
	return slice_starts(head, S("From "));
}

/* The header. */

static bool is_keyword(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] <= ' ' || s.at[i] >= 127 || strchr("(){%*\"\\]", s.at[i]) != NULL) return false;
	return s.len != 0 && s.len <= 255;
}

static void read_keywords(struct mbox *m, struct slice value) {
	for (struct slice word; (word = slice_word(&value, " \t\r\n")).len != 0;)
		if (is_keyword(word)) buf_addf(&m->words, "%s%.*s", m->words.len != 0 ? " " : "", SLICE_ARG(word));
}

static void read_letters(struct slice value, const char *letters, const uint32_t *flags, uint32_t *out) {
	for (size_t i = 0; i < value.len; i++) {
		const char *at = value.at[i] != '\0' ? strchr(letters, value.at[i]) : NULL;
		if (at != NULL) *out |= flags[at - letters];
	}
}

/* Hexadecimal: 1 read, 2 answered, 4 flagged, 8 expunged, 1000 forwarded (Thunderbird) */
static void read_mozilla(struct mbox *m, struct slice value, struct mbox_message *out) {
	unsigned bits = 0;
	for (size_t i = 0; i < value.len && i < 8; i++) {
		int digit = ascii_hex(value.at[i]);
		if (digit < 0) return;
		bits = bits * 16 + (unsigned)digit;
	}
	out->flags |= (bits & 1 ? FLAG_SEEN : 0) | (bits & 2 ? FLAG_ANSWERED : 0) | (bits & 4 ? FLAG_FLAGGED : 0);
	if ((bits & 8) != 0) out->hidden = true;
	if ((bits & 0x1000) != 0) read_keywords(m, S("$Forwarded"));
}

static uint32_t read_uid(struct slice word) {
	uint64_t n;
	return slice_number(word, UINT32_MAX - 2, &n) ? (uint32_t)n : 0;
}

static void read_base(struct mbox *m, struct slice value) {
	struct mbox_base base;
	base.uidvalidity = read_uid(slice_word(&value, " \t\r\n"));
	base.last_uid = read_uid(slice_word(&value, " \t\r\n"));
	if (!m->base_read && base.uidvalidity != 0) m->base = base;
	m->base_read = true;
}

enum own {
	OWN_NONE,
	OWN_STATUS,
	OWN_X_STATUS,
	OWN_KEYWORDS,
	OWN_UID,
	OWN_BASE,
	OWN_LENGTH,
	OWN_MOZILLA,
	OWN_KEYS,
	OWN_MOZILLA_2
};
static const struct {
	const char *name;
	enum own own;
} own_fields[] = {
	{ "Status", OWN_STATUS },
	{ "X-Status", OWN_X_STATUS },
	{ "X-Keywords", OWN_KEYWORDS },
	{ "X-UID", OWN_UID },
	{ "X-IMAPbase", OWN_BASE },
	{ "X-IMAP", OWN_BASE },
	{ "Content-Length", OWN_LENGTH },
	{ "X-Mozilla-Status", OWN_MOZILLA },
	{ "X-Mozilla-Status2", OWN_MOZILLA_2 },
	{ "X-Mozilla-Keys", OWN_KEYS },
};

static enum own own_of(struct slice name) {
	for (size_t i = 0; i < LEN(own_fields); i++)
		if (slice_same(name, slice_of(own_fields[i].name))) return own_fields[i].own;
	return OWN_NONE;
}

bool mbox_own_field(struct slice name) {
	return own_of(name) != OWN_NONE;
}

struct facts {
	uint64_t length;
	bool has_length;
};

static void read_own(struct mbox *m, enum own own, struct slice value, struct mbox_message *out, struct facts *f) {
	static const uint32_t status[] = { FLAG_SEEN },
			      x_status[] = { FLAG_ANSWERED, FLAG_FLAGGED, FLAG_DRAFT, FLAG_DELETED };
	value = slice_trim(value);
	switch (own) {
	case OWN_STATUS:
		read_letters(value, "R", status, &out->flags);
		break;
	case OWN_X_STATUS:
		read_letters(value, "AFTD", x_status, &out->flags);
		break;
	case OWN_KEYWORDS:
	case OWN_KEYS:
		read_keywords(m, value);
		break;
	case OWN_UID:
		out->uid = read_uid(value);
		break;
	case OWN_BASE:
		read_base(m, value);
		break;
	case OWN_LENGTH:
		f->has_length = slice_number(value, INT64_MAX, &f->length);
		break;
	case OWN_MOZILLA:
		read_mozilla(m, value, out);
		break;
	default:
		break;
	}
}

/* Takes our fields out of what was read; the rest is the message's. */
static void split_header(struct mbox *m, struct buf *raw, struct mbox_message *out, struct facts *f) {
	static const char note[] = "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA";
	struct slice rest = buf_slice(raw);
	while (rest.len != 0) {
		size_t end = 0;
		do end += slice_find(slice_skip(rest, end), '\n') + 1;
		while (end < rest.len && ascii_blank(rest.at[end]));
		struct slice field = slice_head(rest, end), name = slice_head(field, slice_find(field, ':'));
		rest = slice_skip(rest, end);
		enum own own = name.len != field.len ? own_of(slice_trim(name)) : OWN_NONE;
		struct slice value = slice_skip(field, name.len + 1);
		if (own != OWN_NONE)
			read_own(m, own, value, out, f);
		else
			buf_add(&m->header, field);
		if (slice_same(name, S("Subject")) && slice_search(value, slice_of(note)) < value.len)
			out->hidden = out->hidden || out->line == 1;
	}
}

/* Up to the empty line, which is a part of it. A From_ line in it: the message broke off. */
static int read_header(struct mbox *m, struct buf *raw) {
	struct slice line;
	int64_t us;
	int r;
	while ((r = look(m, &line)) == 1) {
		if (m->begins && is_blank(line)) {
			step(m, line);
			buf_add(raw, S("\n"));
			return 1;
		}
		if (m->begins && mbox_from_read(line, &us)) {
			m->tell(m->ctx, m->line, "the message before it has no end of its header");
			return 0;
		}
		if (raw->len + line.len > HEADER_LIMIT - 2) {
			m->tell(m->ctx, m->line, "the header is larger than 4 MiB: the rest is taken as text");
			return 0;
		}
		step(m, line);
		buf_add(raw, line);
	}
	return r;
}

/* Does `length` lead to the end of this message? */
static bool length_holds(const struct mbox *m, uint64_t length) {
	char text[LOOK + 1];
	if (m->at > (uint64_t)INT64_MAX - length) return false;
	uint64_t at = m->at + length;
	char last;
	int64_t us;
	if (length != 0 && pread(m->fd, &last, 1, (off_t)(at - 1)) != 1) return false;
	ssize_t n = pread(m->fd, text, LOOK, (off_t)at);
	if (n < 0) return false;
	struct slice rest = slice_from(text, (size_t)n);
	while (rest.len != 0 && (rest.at[0] == '\n' || rest.at[0] == '\r')) rest = slice_skip(rest, 1);
	bool fresh = rest.len < (size_t)n || length == 0 || last == '\n';
	return rest.len == 0 ? n < LOOK : fresh && mbox_from_read(slice_head(rest, slice_find(rest, '\n')), &us);
}

/* Messages. */

struct mbox *mbox_open(int fd, enum mbox_format format, mbox_tell *tell, void *ctx) {
	struct mbox *m = mem_get(sizeof *m);
	*m = (struct mbox){ .fd = fd,
			    .format = format,
			    .tell = tell,
			    .ctx = ctx,
			    .line = 1,
			    .begins = true,
			    .room = mem_get(ROOM),
			    .header = BUF(HEADER_LIMIT),
			    .words = BUF(KIB(64)) };
	return m;
}

void mbox_close(struct mbox **mp) {
	struct mbox *m = TAKE(*mp);
	if (m == NULL) return;
	buf_done(&m->header);
	buf_done(&m->words);
	free(m->room);
	free(m);
}

struct mbox_base mbox_base(const struct mbox *m) {
	return m->base;
}

static int nothing(void *ctx UNUSED, struct slice piece UNUSED) {
	return 0;
}

/* The From_ line: 1, with it gone; 0: the end. */
static int read_from(struct mbox *m, struct mbox_message *out) {
	struct slice line;
	int r;
	while ((r = look(m, &line)) == 1 && is_blank(line)) step(m, line);
	if (r != 1) return r;
	*out = (struct mbox_message){ .line = m->line };
	if (!mbox_from_read(line, &out->from_us)) {
		bool from = mbox_is(line);
		m->tell(m->ctx, m->line,
			from ? "this From line has no date that can be read"
			     : "a message should begin here, with a From line: taken as its header");
		if (!from) return 1;
	}
	do step(m, line);
	while (!m->begins && (r = look(m, &line)) == 1);
	return r < 0 ? r : 1;
}

int mbox_next(struct mbox *m, struct mbox_message *out) {
	AUTO_BUF struct buf raw = BUF(HEADER_LIMIT);
	struct facts f = { 0 };
	int r = m->in_body ? mbox_body(m, nothing, NULL) : 0;
	if (r == 0) r = read_from(m, out);
	if (r != 1) return r;
	buf_clear(&m->header);
	buf_clear(&m->words);
	if (read_header(m, &raw) < 0) return -1;
	split_header(m, &raw, out, &f);
	m->base_read = true;
	bool may = m->format == MBOX_ANY || m->format >= MBOX_CL;
	m->sized = may && f.has_length && length_holds(m, f.length);
	m->size = f.length;
	if (may && f.has_length && !m->sized)
		m->tell(m->ctx, out->line, "its Content-Length does not lead to the next message: not used");
	m->in_body = true;
	out->header = buf_slice(&m->header);
	out->keywords = buf_slice(&m->words);
	return 1;
}

static struct slice unquoted(const struct mbox *m, struct slice line) {
	bool plain = m->format == MBOX_CL2 || (m->format == MBOX_ANY && m->sized);
	size_t marks = 0;
	while (marks < line.len && line.at[marks] == '>') marks++;
	if (plain || marks == 0 || (m->format == MBOX_O && marks > 1)) return line;
	return slice_skip(line, mbox_is(slice_skip(line, marks)));
}

static int sized_body(struct mbox *m, int (*take)(void *ctx, struct slice piece), void *ctx) {
	struct slice line;
	int r = 0;
	for (uint64_t left = m->size; left != 0 && r == 0; left -= line.len) {
		bool begins = m->begins;
		r = look(m, &line);
		if (r != 1) return r;
		line = slice_head(line, (size_t)MIN_OF((uint64_t)line.len, left));
		r = take(ctx, begins ? unquoted(m, line) : line);
		step(m, line);
	}
	m->begins = true; /* what follows is looked at as a line, even when the last one had no end */
	return r;
}

/* Is this the From_ line of the next message? blank: the line before was empty. */
static bool is_next(struct mbox *m, struct slice line, bool blank) {
	int64_t us;
	if (!m->begins || !mbox_is(line)) return false;
	if (!mbox_from_read(line, &us)) {
		if (blank) m->tell(m->ctx, m->line, "begins with From but has no date: taken as text");
		return false;
	}
	if (!blank) m->tell(m->ctx, m->line, "no empty line before this message");
	return true;
}

/* An empty line may belong to the From_ line behind it: it is held back until that is known. */
static int plain_body(struct mbox *m, int (*take)(void *ctx, struct slice piece), void *ctx) {
	struct slice line, held = SLICE_NONE;
	bool blank = true;
	int r;
	while ((r = look(m, &line)) == 1 && !is_next(m, line, blank)) {
		bool empty = m->begins && is_blank(line);
		if (held.len != 0 && (r = take(ctx, held)) != 0) return r;
		held = empty ? line.len == 2 ? S("\r\n") : S("\n") : SLICE_NONE;
		if (!empty && (r = take(ctx, m->begins ? unquoted(m, line) : line)) != 0) return r;
		blank = empty;
		step(m, line);
	}
	if (r == 0 && !m->begins) m->tell(m->ctx, m->line, "the file ends in the middle of a line");
	return r < 0 ? r : 0;
}

int mbox_body(struct mbox *m, int (*take)(void *ctx, struct slice piece), void *ctx) {
	m->in_body = false;
	return m->sized ? sized_body(m, take, ctx) : plain_body(m, take, ctx);
}

/* Writing. */

bool mbox_format_read(struct slice word, enum mbox_format *out) {
	static const struct {
		const char *name;
		enum mbox_format format;
	} names[] = { { "mboxo", MBOX_O }, { "mboxrd", MBOX_RD }, { "mboxcl", MBOX_CL }, { "mboxcl2", MBOX_CL2 } };
	for (size_t i = 0; i < LEN(names); i++)
		if (slice_eq(word, slice_of(names[i].name))) {
			*out = names[i].format;
			return true;
		}
	return false;
}

void mbox_from_put(struct buf *out, struct slice sender, int64_t us) {
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t at = (time_t)(us / 1000000);
	struct tm t;
	if (localtime_r(&at, &t) == NULL) t = (struct tm){ .tm_mday = 1, .tm_year = 70, .tm_wday = 4 };
	buf_add(out, S("From "));
	for (size_t i = 0; i < sender.len; i++)
		if (!ascii_space(sender.at[i])) buf_byte(out, sender.at[i]);
	if (sender.len == 0) buf_add(out, S("MAILER-DAEMON"));
	buf_addf(out, " %.3s %.3s %2d %02d:%02d:%02d %d\n", days + t.tm_wday * 3, months + t.tm_mon * 3, t.tm_mday,
		 t.tm_hour, t.tm_min, t.tm_sec, t.tm_year + 1900);
}

void mbox_status_put(struct buf *out, uint32_t flags, struct slice keywords, uint32_t uid) {
	static const struct {
		uint32_t flag;
		char letter;
	} letters[] = { { FLAG_ANSWERED, 'A' }, { FLAG_DELETED, 'D' }, { FLAG_FLAGGED, 'F' }, { FLAG_DRAFT, 'T' } };
	buf_addf(out, "Status: %s\n", (flags & FLAG_SEEN) != 0 ? "RO" : "O");
	if ((flags & ~(uint32_t)FLAG_SEEN) != 0) {
		buf_add(out, S("X-Status: "));
		for (size_t i = 0; i < LEN(letters); i++)
			if ((flags & letters[i].flag) != 0) buf_byte(out, letters[i].letter);
		buf_byte(out, '\n');
	}
	if (keywords.len != 0) buf_addf(out, "X-Keywords: %.*s\n", SLICE_ARG(keywords));
	buf_addf(out, "X-UID: %u\n", uid);
}

bool mbox_quotes(enum mbox_format format, struct slice line) {
	size_t marks = 0;
	if (format == MBOX_CL2) return false;
	while (format != MBOX_O && marks < line.len && line.at[marks] == '>') marks++;
	return mbox_is(slice_skip(line, marks));
}
