/* SPDX-License-Identifier: Apache-2.0 */
/* The words that many commands share: mailbox names, flags, and what the rooms below say in the client's language. */
#include "access/imap/name.h"
#include "access/imap/state.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/log.h"

#include <pthread.h>

enum { KEYWORD_MAX = 100, KEYWORDS_MAX = 64 };

bool imap_read_name(const struct imap_session *s, struct buf *out, struct slice said) {
	if (!imap_enabled(s, IMAP_UTF8 | IMAP_REV2)) return imap_name_read(out, said);
	return utf8_valid(said) && buf_add(out, said);
}

bool imap_parse_mailbox(struct imap_session *s, struct imap_parse *p, struct slice *out) {
	AUTO_BUF struct buf name = BUF(IMAP_NAME_MAX);
	struct slice said;
	if (!imap_parse_astring(p, &said)) return false;
	if (!imap_read_name(s, &name, said))
		return imap_parse_fail(p, imap_enabled(s, IMAP_UTF8 | IMAP_REV2)
						  ? "Mailbox name is not valid UTF-8."
						  : "Mailbox name is not valid modified UTF-7.");
	size_t first = slice_find(buf_slice(&name), '/');
	if (slice_same(slice_head(buf_slice(&name), first), S("INBOX"))) memcpy(name.at, "INBOX", 5);
	*out = arena_slice(&s->mem, buf_slice(&name));
	return true;
}

void imap_say(struct imap_session *s, const char *response) {
	language_add(imap_out(s), s->language, slice_of(response));
	buf_add(imap_out(s), S("\r\n"));
}

void imap_add_text(struct imap_session *s, struct buf *out, struct slice text) {
	bool plain = imap_enabled(s, IMAP_UTF8 | IMAP_REV2) && text.len <= KIB(1) && utf8_valid(text);
	for (size_t i = 0; i < text.len && plain; i++) plain = !ascii_control(text.at[i]);
	if (!plain) {
		imap_put_string(out, text);
		return;
	}
	buf_byte(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '"' || text.at[i] == '\\') buf_byte(out, '\\');
		buf_byte(out, text.at[i]);
	}
	buf_byte(out, '"');
}

void imap_add_mailbox(struct imap_session *s, struct buf *out, struct slice name) {
	bool ascii = true;
	for (size_t i = 0; i < name.len; i++) ascii = ascii && (unsigned char)name.at[i] < 0x80;
	if (imap_enabled(s, IMAP_UTF8 | IMAP_REV2)) {
		if (ascii) imap_put_astring(out, name);
		else imap_add_text(s, out, name);
		return;
	}
	AUTO_BUF struct buf said = BUF(IMAP_NAME_MAX * 4);
	imap_name_put(&said, name);
	imap_put_astring(out, buf_slice(&said));
}

void imap_put_mailbox(struct imap_session *s, struct slice name) {
	imap_add_mailbox(s, imap_out(s), name);
}

void imap_put_mailbox_id(struct buf *out, int64_t account, int64_t object_id) {
	buf_addf(out, "F%llx-%llx", (unsigned long long)account, (unsigned long long)object_id);
}

static const struct { uint32_t bit; const char *name; } system_flags[] = {
	{ FLAG_ANSWERED, "\\Answered" }, { FLAG_FLAGGED, "\\Flagged" }, { FLAG_DELETED, "\\Deleted" },
	{ FLAG_SEEN, "\\Seen" },         { FLAG_DRAFT, "\\Draft" },
};

static bool take_system_flag(struct imap_parse *p, uint32_t *bits) {
	for (size_t i = 0; i < LEN(system_flags); i++) {
		if (!imap_parse_take_word(p, system_flags[i].name)) continue;
		*bits |= system_flags[i].bit;
		return true;
	}
	return imap_parse_fail(p, "Unknown system flag.");
}

bool imap_parse_flags(struct imap_session *s, struct imap_parse *p, struct imap_flags *out) {
	bool list = imap_parse_take(p, '(');
	struct imap_flags flags = { 0 };
	AUTO_BUF struct buf keywords = BUF(KIB(16));
	for (size_t n = 0; !(list && imap_parse_next_is(p, ')')) && (list || p->rest.len != 0); n++) {
		struct slice word;
		if (n > KEYWORDS_MAX) return imap_parse_fail(p, "Too many flags.");
		if (n != 0 && !imap_parse_space(p)) return false;
		if (imap_parse_next_is(p, '\\')) {
			if (!take_system_flag(p, &flags.bits)) return false;
			continue;
		}
		if (!imap_parse_atom(p, &word)) return false;
		if (word.len > KEYWORD_MAX) return imap_parse_fail(p, "Keyword too long.");
		if (keywords.len != 0) buf_byte(&keywords, ' ');
		buf_add(&keywords, word);
	}
	if (list && !imap_parse_need(p, ')')) return false;
	flags.keywords = arena_slice(&s->mem, buf_slice(&keywords));
	*out = flags;
	return true;
}

/* What is said of a hundred thousand messages in one answer is put together once. */
enum { FLAG_TEXTS = (FLAG_ALL + 1) * 2 };
static struct { uint8_t len; char text[55]; } flag_texts[FLAG_TEXTS];

static void make_flag_texts(void) {
	for (uint32_t bits = 0; bits < FLAG_TEXTS; bits++) {
		AUTO_BUF struct buf text = BUF(sizeof(flag_texts->text));
		for (size_t i = 0; i <= LEN(system_flags); i++) {
			bool recent = i == LEN(system_flags);
			if ((bits & (recent ? FLAG_ALL + 1 : system_flags[i].bit)) == 0) continue;
			buf_add(&text, text.len != 0 ? S(" ") : S(""));
			buf_add(&text, recent ? S("\\Recent") : slice_of(system_flags[i].name));
		}
		flag_texts[bits].len = (uint8_t)text.len;
		memcpy(flag_texts[bits].text, buf_text(&text), text.len);
	}
}

struct slice imap_flags_text(uint32_t bits, bool recent) {
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make_flag_texts);
	bits = (bits & FLAG_ALL) | (recent ? FLAG_ALL + 1 : 0);
	return slice_from(flag_texts[bits].text, flag_texts[bits].len);
}

void imap_put_flags(struct buf *out, uint32_t bits, struct slice keywords, bool recent) {
	struct slice text = imap_flags_text(bits, recent);
	buf_byte(out, '(');
	buf_add(out, text);
	if (text.len != 0 && keywords.len != 0) buf_byte(out, ' ');
	if (keywords.len != 0) buf_add(out, keywords);
	buf_byte(out, ')');
}

static const char *const refusals[] = {
	[STORE_NO_MAILBOX] = "[NONEXISTENT] Mailbox doesn't exist.",
	[STORE_EXISTS] = "[ALREADYEXISTS] Mailbox already exists.",
	[STORE_BAD_NAME] = "[CANNOT] Invalid mailbox name.",
	[STORE_IS_INBOX] = "[CANNOT] INBOX can't be deleted.",
	[STORE_OVER_QUOTA] = "[OVERQUOTA] Quota exceeded (mailbox for user is full).",
	[STORE_NO_ACCOUNT] = "[NONEXISTENT] The account doesn't exist any more.",
	[STORE_LIMIT] = "[LIMIT] Too many mailboxes, keywords or messages.",
	[STORE_NO_RIGHT] = "[NOPERM] Permission denied.",
	[STORE_NO_BLOB] = "[EXPUNGEISSUED] The message doesn't exist any more.",
};

struct imap_answer imap_refused(struct imap_session *s, int result, const char *what) {
	if (result > 0 && (size_t)result < LEN(refusals) && refusals[result] != NULL) return imap_no(refusals[result]);
	bool full = db_cause() == DB_CAUSE_FULL;
	AUTO_BUF struct buf text = BUF(256);
	buf_addf(&text, "%s: ", what);
	note(L_ERROR, "imap", s->log_session, NULL, buf_text(&text), FA("user", buf_slice(&s->login)), FP(fail_text()));
	return imap_no(full ? "[UNAVAILABLE] The server's disk is full, try again later."
	                    : "[SERVERBUG] Internal error occurred, see the server's log.");
}
