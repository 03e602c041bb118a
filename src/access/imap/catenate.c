/* SPDX-License-Identifier: Apache-2.0 */
/* CATENATE (RFC 4469): a message made of texts that come and of parts of the account's own messages, which are copied
 * as they lie in the store. */
#include "access/imap/catenate.h"
#include "access/imap/body.h"
#include "access/imap/place.h"
#include "access/imap/url.h"
#include "base/fail.h"

enum { URL_LIMIT = 8192, PARTS_MAX = 1000 };
enum { URL_BAD = 100, URL_TOO_BIG = 101 };

struct source { /* what an URL points to */
	struct imap_body body;
	struct message m;
	struct arena mem;
};

static void source_done(struct source *src) {
	imap_body_close(&src->body);
	arena_done(&src->mem);
}

static int keep_message(void *ctx, const struct message *m) {
	struct source *src = ctx;
	src->m = *m;
	src->m.keywords = SLICE_NONE;
	src->m.summary = arena_slice(&src->mem, m->summary);
	return 0;
}

/* The server's own name, or one under the domain of the account: what people call it. */
static bool is_own(struct imap_session *s, const struct imap_url *url) {
	struct slice login = buf_slice(&s->login), domain = slice_skip(login, slice_find(login, '@') + 1);
	if (!url->absolute) return true;
	if (url->user.len != 0 && !slice_same(url->user, login) &&
	    !slice_same(url->user, slice_head(login, slice_find(login, '@'))))
		return false;
	if (s->context->params.host != NULL && slice_same(url->host, slice_of(s->context->params.host))) return true;
	return domain.len != 0 && slice_ends_same(url->host, domain) &&
	       (url->host.len == domain.len || url->host.at[url->host.len - domain.len - 1] == '.');
}

static int find_source_box(struct imap_session *s, struct db_conn *c, const struct imap_url *url, struct mailbox *m) {
	if (url->mailbox.len == 0) return s->box.open ? store_mailbox(c, &s->mem, s->box.box, m) : STORE_NO_MAILBOX;
	struct slice name = url->mailbox;
	if (slice_same(slice_head(name, slice_find(name, '/')), S("INBOX"))) {
		name = arena_slice(&s->mem, name);
		memcpy((char *)(uintptr_t)name.at, "INBOX", 5);
	}
	struct imap_found found;
	int r = imap_find_with(s, c, name, ACL_READ, &found);
	if (r == 0) *m = found.m;
	return r;
}

static int open_source(struct imap_session *s, const struct imap_url *url, struct source *src) {
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	struct mailbox m;
	if (c == NULL) return -1;
	int r = find_source_box(s, c, url, &m);
	if (r > 0 || (r == 0 && (m.nonexistent || (url->uidvalidity != 0 && url->uidvalidity != m.uidvalidity))))
		return URL_BAD;
	if (r != 0) return r;
	const struct uid_range range = { url->uid, url->uid };
	r = store_each(c, m.box, (struct uid_set){ &range, 1 }, WANT_SUMMARY, keep_message, src);
	if (r == 0 && src->m.uid == 0) return URL_BAD;
	src->body.m = &src->m;
	if (r == 0) r = imap_body_open(&src->body, c);
	if (r == 0) r = imap_body_summary(&src->body, s->context->db, c, &src->mem);
	return r == BLOB_GONE ? URL_BAD : r;
}

static int take_range(struct upload *u, struct source *src, uint64_t start, uint64_t end) {
	char piece[16384];
	while (start < end) {
		ssize_t n =
			blob_read(src->body.blob, start, piece, (size_t)MIN_OF(end - start, (uint64_t)sizeof piece));
		if (n <= 0) return n < 0 ? -1 : fail("body is shorter than its row says");
		int r = upload_take(u, slice_from(piece, (size_t)n));
		if (r != 0) return r;
		start += (uint64_t)n;
	}
	return 0;
}

static void cut(const struct imap_url *url, uint64_t *start, uint64_t *end) {
	if (!url->partial) return;
	*start += MIN_OF(url->from, *end - *start);
	if (url->count != 0) *end = *start + MIN_OF(url->count, *end - *start);
}

static int take_fields(struct upload *u, struct source *src, const struct section *section,
		       const struct imap_url *url) {
	struct imap_parse p = IMAP_PARSE(section->fields, &src->mem);
	struct slice *names;
	size_t count;
	AUTO_BUF struct buf text = BUF(IMAP_HEADER_LIMIT);
	if (!imap_parse_strings(&p, 100, &names, &count) || !imap_parse_end(&p)) return URL_BAD;
	imap_body_fields(&src->body, section, names, count, &text);
	uint64_t start = 0, end = text.len;
	cut(url, &start, &end);
	return upload_take(u, slice_from(text.at + start, (size_t)(end - start)));
}

static int take_url(struct imap_session *s, struct slice text, uint64_t limit, struct upload *u) {
	AUTO(source_done) struct source src = { .m = { .uid = 0 } };
	struct imap_url url;
	struct section section;
	if (!imap_url_parse(&s->mem, text, &url) || !is_own(s, &url)) return URL_BAD;
	int r = open_source(s, &url, &src);
	if (r != 0) return r;
	if (summary_section(src.body.summary, url.section, &section) != SECTION_OK) return URL_BAD;
	if (section.kind == SECTION_HEADER_FIELDS || section.kind == SECTION_HEADER_FIELDS_NOT)
		return take_fields(u, &src, &section, &url);
	uint64_t start = section.start, end = section.end;
	cut(&url, &start, &end);
	return end - start > limit - u->append.size ? URL_TOO_BIG : take_range(u, &src, start, end);
}

static int add_to_buf(void *ctx, struct slice piece) {
	return buf_add(ctx, piece) ? 0 : 1;
}

/* An astring; its literal is read here. */
static struct imap_answer read_url(struct append_reader *in, struct slice *out) {
	struct imap_literal literal;
	AUTO_BUF struct buf text = BUF(URL_LIMIT);
	if (!imap_parse_next_is(&in->p, '{'))
		return imap_parse_astring(&in->p, out) ? imap_ok("") : imap_bad(&in->p);
	if (!append_literal(in, false, &literal)) return imap_bad(&in->p);
	if (literal.size > URL_LIMIT) return imap_no("[TOOBIG] URL too long.");
	if (append_receive(in, literal, add_to_buf, &text) != 0) return imap_no("");
	*out = arena_slice(&in->s->mem, buf_slice(&text));
	return imap_ok("");
}

static struct imap_answer url_refused(struct imap_session *s, int r, struct slice url) {
	if (r == URL_TOO_BIG) return imap_no("[TOOBIG] Message too large.");
	if (r != URL_BAD) return imap_refused(s, r, "catenate");
	for (size_t i = 0; i < url.len; i++)
		if (ascii_control(url.at[i]) || (unsigned char)url.at[i] > 126 || url.at[i] == ']') url.len = i;
	if (url.len == 0) return imap_no("URL names nothing in this account.");
	return imap_no(arena_fmt(&s->mem, "[BADURL %.*s] URL names nothing in this account.", SLICE_ARG(url)).at);
}

static struct imap_answer take_url_part(struct append_reader *in, uint64_t limit, struct upload *u) {
	struct slice url;
	if (!imap_parse_space(&in->p)) return imap_bad(&in->p);
	struct imap_answer a = read_url(in, &url);
	if (a.status != IMAP_OK) return a;
	int r = take_url(in->s, url, limit, u);
	return r == 0 ? imap_ok("") : url_refused(in->s, r, url);
}

static struct imap_answer take_text_part(struct append_reader *in, bool utf8, uint64_t limit, struct upload *u) {
	struct imap_literal literal;
	if (!imap_parse_space(&in->p) || (utf8 && !imap_parse_need(&in->p, '(')) || !append_literal(in, utf8, &literal))
		return imap_bad(&in->p);
	if (utf8 && !imap_enabled(in->s, IMAP_UTF8)) return imap_no("ENABLE UTF8=ACCEPT comes first.");
	if (literal.size > limit - u->append.size) return imap_no("[TOOBIG] Message too large.");
	int r = append_receive(in, literal, upload_take, u);
	if (in->s->broken) return imap_no("");
	if (r != 0) return imap_refused(in->s, r, "catenate");
	return !utf8 || imap_parse_need(&in->p, ')') ? imap_ok("") : imap_bad(&in->p);
}

struct imap_answer catenate(struct append_reader *in, uint64_t limit, struct upload *u) {
	struct imap_parse *p = &in->p;
	if (!imap_parse_space(p) || !imap_parse_need(p, '(')) return imap_bad(p);
	for (size_t n = 0;; n++) {
		struct imap_answer a;
		if (n == PARTS_MAX) return imap_no("[LIMIT] Too many parts.");
		if (imap_parse_take_word(p, "URL")) a = take_url_part(in, limit, u);
		else if (imap_parse_take_word(p, "TEXT")) a = take_text_part(in, false, limit, u);
		else if (imap_parse_take_word(p, "UTF8")) a = take_text_part(in, true, limit, u);
		else return imap_parse_fail(p, "Expected URL or TEXT."), imap_bad(p);
		if (a.status != IMAP_OK) return a;
		if (imap_parse_take(p, ')')) break;
		if (!imap_parse_space(p)) return imap_bad(p);
	}
	return u->append.size != 0 ? imap_ok("") : imap_no("A message can't be empty.");
}
