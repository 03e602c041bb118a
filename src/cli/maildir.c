/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/maildir.h"
#include "access/imap/name.h"
#include "base/encode.h"
#include "store/store.h"

static int by_base(const void *a, const void *b) {
	const struct maildir_record *x = a, *y = b;
	int r = slice_order(x->base, y->base);
	return r != 0 ? r : x->base.at < y->base.at ? -1 : x->base.at > y->base.at;
}

struct slice maildir_base(struct slice name) {
	return slice_head(name, slice_find(name, ':'));
}

static bool read_number(struct slice text, uint32_t *out) {
	uint64_t n;
	if (!slice_number(text, UINT32_MAX - 1, &n) || n == 0) return false;
	*out = (uint32_t)n;
	return true;
}

/* "3 V1275660208 N25022 G3085…" or "1 1275660208 25022" */
static bool read_head(struct slice line, struct maildir_list *l, bool *old) {
	struct slice version = slice_word(&line, " ");
	*old = slice_eq(version, S("1"));
	if (*old)
		return read_number(slice_word(&line, " "), &l->uidvalidity) &&
		       read_number(slice_word(&line, " "), &l->uidnext);
	if (!slice_eq(version, S("3"))) return false;
	for (struct slice word; (word = slice_word(&line, " ")).len != 0;) {
		if (word.at[0] == 'V' && !read_number(slice_skip(word, 1), &l->uidvalidity)) return false;
		if (word.at[0] == 'N' && !read_number(slice_skip(word, 1), &l->uidnext)) return false;
	}
	return l->uidvalidity != 0 && l->uidnext != 0;
}

static bool read_record(struct slice line, bool old, struct maildir_record *r) {
	if (line.len != 0 && line.at[line.len - 1] == '\r') line.len--;
	*r = (struct maildir_record){ 0 };
	if (!read_number(slice_word(&line, " "), &r->uid)) return false;
	if (old) {
		r->base = maildir_base(slice_trim(line));
		return r->base.len != 0;
	}
	while (line.len != 0 && line.at[0] == ' ') line = slice_skip(line, 1);
	while (line.len != 0 && line.at[0] != ':') {
		struct slice word = slice_cut(&line, ' ');
		if (word.len > 1 && word.at[0] == 'P') r->uidl = slice_skip(word, 1);
	}
	r->base = maildir_base(slice_skip(line, 1));
	return r->base.len != 0;
}

bool maildir_uidvalidity(struct slice name, uint32_t *out) {
	static const struct slice head = S("dovecot-uidvalidity.");
	AUTO_BUF struct buf bytes = BUF(4);
	if (name.len != head.len + 8 || !slice_starts(name, head) || !hex_read(&bytes, slice_skip(name, head.len)))
		return false;
	*out = 0;
	for (size_t i = 0; i < bytes.len; i++) *out = *out << 8 | (unsigned char)bytes.at[i];
	return *out != 0 && *out != UINT32_MAX;
}

bool maildir_list_read(struct slice text, struct arena *mem, struct maildir_list *out) {
	struct maildir_list l = { 0 };
	bool old;
	if (!read_head(slice_cut(&text, '\n'), &l, &old)) return false;
	size_t lines = 1;
	for (size_t i = 0; i < text.len; i++) lines += text.at[i] == '\n';
	l.records = arena_array(mem, lines, sizeof *l.records);
	while (text.at != NULL && l.count < lines)
		if (read_record(slice_cut(&text, '\n'), old, &l.records[l.count])) {
			l.uidnext = MAX_OF(l.uidnext, l.records[l.count].uid + 1);
			l.count++;
		}
	qsort(l.records, l.count, sizeof *l.records, by_base);
	size_t kept = 0;
	for (size_t i = 0; i < l.count; i++) {
		if (kept != 0 && slice_eq(l.records[kept - 1].base, l.records[i].base)) kept--;
		l.records[kept++] = l.records[i];
	}
	l.count = kept;
	*out = l;
	return true;
}

const struct maildir_record *maildir_find(const struct maildir_list *l, struct slice base) {
	size_t low = 0, high = l->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = slice_order(l->records[middle].base, base);
		if (r == 0) return &l->records[middle];
		if (r < 0) low = middle + 1;
		else high = middle;
	}
	return NULL;
}

/* What IMAP can say as a keyword. */
static bool is_keyword(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] <= ' ' || s.at[i] >= 127 || strchr("(){%*\"\\]", s.at[i]) != NULL) return false;
	return s.len != 0 && s.len <= 255;
}

void maildir_keywords_read(struct slice text, struct slice names[static MAILDIR_KEYWORDS]) {
	for (size_t i = 0; i < MAILDIR_KEYWORDS; i++) names[i] = SLICE_NONE;
	while (text.at != NULL) {
		struct slice line = slice_cut(&text, '\n'), word = slice_word(&line, " ");
		uint64_t n;
		if (slice_number(word, MAILDIR_KEYWORDS - 1, &n) && is_keyword(slice_trim(line)))
			names[n] = slice_trim(line);
	}
}

static const struct { char letter; uint32_t flag; } letters[] = { /* in the order of the letters */
	{ 'D', FLAG_DRAFT }, { 'F', FLAG_FLAGGED }, { 'R', FLAG_ANSWERED }, { 'S', FLAG_SEEN }, { 'T', FLAG_DELETED },
};

uint32_t maildir_flags(struct slice name, const struct slice names[static MAILDIR_KEYWORDS], struct buf *words) {
	struct slice info = slice_skip(name, maildir_base(name).len);
	uint32_t flags = 0;
	if (!slice_starts(info, S(":2,"))) return 0;
	for (size_t i = 3; i < info.len && info.at[i] != ','; i++) {
		char c = info.at[i];
		for (size_t k = 0; k < LEN(letters); k++)
			if (letters[k].letter == c) flags |= letters[k].flag;
		struct slice word = c == 'P' ? S("$Forwarded") : c >= 'a' && c <= 'z' ? names[c - 'a'] : SLICE_NONE;
		if (word.len != 0) buf_addf(words, "%s%.*s", words->len != 0 ? " " : "", SLICE_ARG(word));
	}
	return flags;
}

size_t maildir_flags_put(struct buf *out, uint32_t flags, struct slice keywords,
			 const struct slice names[static MAILDIR_KEYWORDS]) {
	bool has[MAILDIR_KEYWORDS] = { 0 };
	size_t lost = 0;
	for (struct slice word; (word = slice_word(&keywords, " ")).len != 0;) {
		size_t i = 0;
		while (i < MAILDIR_KEYWORDS && !slice_same(names[i], word)) i++;
		if (i < MAILDIR_KEYWORDS) has[i] = true;
		else lost++;
	}
	for (size_t i = 0; i < LEN(letters); i++)
		if ((flags & letters[i].flag) != 0) buf_byte(out, letters[i].letter);
	for (size_t i = 0; i < MAILDIR_KEYWORDS; i++)
		if (has[i]) buf_byte(out, (char)('a' + i));
	return lost;
}

bool maildir_folder_read(struct slice folder, struct buf *name) {
	AUTO_BUF struct buf text = BUF(KIB(4));
	if (folder.len < 2 || folder.at[0] != '.' || folder.at[1] == '.') return false;
	for (size_t i = 1; i < folder.len; i++) buf_byte(&text, folder.at[i] == '.' ? '/' : folder.at[i]);
	struct slice said = buf_slice(&text);
	size_t before = name->len;
	if (imap_name_read(name, said)) return true;
	name->len = before; /* Dovecot 2.4 may keep UTF-8 */
	return utf8_valid(said) && buf_add(name, said);
}

bool maildir_folder_put(struct slice name, struct buf *folder, bool *changed) {
	AUTO_BUF struct buf text = BUF(KIB(4));
	*changed = false;
	if (!imap_name_put(&text, name)) return false;
	buf_byte(folder, '.');
	for (size_t i = 0; i < text.len; i++) {
		*changed = *changed || text.at[i] == '.';
		buf_byte(folder, text.at[i] == '/' ? '.' : text.at[i] == '.' ? '_' : text.at[i]);
	}
	return !folder->full && folder->len <= 255;
}
