/* SPDX-License-Identifier: Apache-2.0 */
/* METADATA (RFC 5464). Entries are free, but for three that mean something to us: /private/specialuse is the mailbox's
 * special use (RFC 6154 §5.4), /shared/vendor/hato/autoexpunge how long messages stay in it, and what is shared of the
 * whole server only administrators write. */
#include "access/imap/place.h"
#include "access/imap/status.h"
#include "base/fail.h"
#include "store/annotation.h"
#include "store/autoexpunge.h"

enum { ENTRIES_MAX = 64, READS = ACL_READ | ACL_SEEN | ACL_WRITE | ACL_INSERT | ACL_POST };
static const char special_use[] = "/private/specialuse";

struct entry { struct slice name, value; };
struct metadata {
	struct imap_session *s;
	struct slice mailbox;          /* empty: the server */
	struct imap_found f;
	struct entry entries[ENTRIES_MAX];
	size_t count;
	uint64_t max_size, longest;    /* what was left out because of MAXSIZE */
	int depth;
	size_t put;
	const char *refusal;
};

/* "/shared/comment" in lower case; §3.2.1. above: or "/shared" alone, for who asks what is below it. */
static bool parse_entry(struct imap_parse *p, bool above, struct slice *out) {
	struct slice said;
	if (!imap_parse_astring(p, &said)) return false;
	*out = arena_lower(p->mem, said);
	if (above && (slice_eq(*out, S("/private")) || slice_eq(*out, S("/shared")))) return true;
	bool fine = (slice_starts(*out, S("/private/")) || slice_starts(*out, S("/shared/"))) &&
		    out->len <= ANNOTATION_NAME_MAX && out->at[out->len - 1] != '/' &&
		    slice_search(*out, S("//")) == out->len;
	for (size_t i = 0; i < out->len && fine; i++)
		fine = !ascii_control(out->at[i]) && (unsigned char)out->at[i] < 128 && out->at[i] != '*' &&
		       out->at[i] != '%';
	return fine ||
	       imap_parse_fail(p, "An entry begins with /private/ or /shared/, and holds no empty level, '*' or '%'.");
}

static bool is_private(struct slice entry) {
	return slice_starts(entry, S("/private"));
}

/* Where an entry is kept. */
static struct box box_of(const struct metadata *w, struct slice entry) {
	if (w->mailbox.len != 0) return w->f.m.box;
	return (struct box){ is_private(entry) ? w->s->account : 0, 0 };
}

static int find_mailbox(struct metadata *w, struct db_conn *c, uint32_t one_of) {
	if (w->mailbox.len == 0) return 0;
	int r = imap_find_any(w->s, c, w->mailbox, one_of, &w->f);
	return r == 0 && (w->f.rights & ACL_LOOKUP) == 0 ? STORE_NO_MAILBOX : r;
}

/* Reading. */

/* The only way in which a NUL can be said (RFC 5464 §5, value). */
static void put_literal8(struct buf *out, struct slice value) {
	buf_addf(out, "~{%zu}\r\n", value.len);
	buf_add(out, value);
}

static int put_value(void *ctx, struct slice entry, struct slice value) {
	struct metadata *w = ctx;
	struct buf *out = imap_out(w->s);
	if (value.at != NULL && value.len > w->max_size) {
		w->longest = MAX_OF(w->longest, value.len);
		return 0;
	}
	if (w->put++ == 0) {
		buf_add(out, S("* METADATA "));
		if (w->mailbox.len == 0) buf_add(out, S("\"\""));
		else imap_put_mailbox(w->s, w->f.m.name);
		buf_add(out, S(" ("));
	} else {
		buf_byte(out, ' ');
	}
	imap_put_astring(out, entry);
	buf_byte(out, ' ');
	if (value.at == NULL) buf_add(out, S("NIL"));
	else if (value.len != 0 && memchr(value.at, '\0', value.len) != NULL) put_literal8(out, value);
	else imap_put_string(out, value);
	return 0;
}

/* Not kept as a text: what the mailbox's row says. */
static int put_special_use(struct metadata *w) {
	AUTO_BUF struct buf text = BUF(256);
	imap_put_special_use(&text, w->f.m.special_use);
	return put_value(w, slice_of(special_use), text.len != 0 ? slice_skip(buf_slice(&text), 1) : SLICE_NONE);
}

static int put_entry(struct metadata *w, struct db_conn *c, struct slice entry) {
	size_t before = w->put, long_before = w->longest;
	bool of_use = w->mailbox.len != 0 && slice_starts(slice_of(special_use), entry) && w->f.m.special_use != 0 &&
		      (entry.len == sizeof special_use - 1 ||
		       (special_use[entry.len] == '/' && w->depth != ANNOTATION_BELOW_NONE));
	if (of_use) put_special_use(w);
	int r = store_annotations(c, box_of(w, entry), entry, is_private(entry) ? w->s->account : 0, w->depth,
				  put_value, w);
	if (r == 0 && w->put == before && w->longest == long_before && w->depth == ANNOTATION_BELOW_NONE)
		put_value(w, entry, SLICE_NONE);
	return r;
}

static int put_entries(struct metadata *w, struct db_conn *c) {
	int r = 0;
	w->put = 0;
	for (size_t i = 0; i < w->count && r == 0; i++) r = put_entry(w, c, w->entries[i].name);
	if (w->put != 0) buf_add(imap_out(w->s), S(")\r\n"));
	return r;
}

static bool parse_options(struct imap_parse *p, struct metadata *w) {
	for (bool first = true; !imap_parse_take(p, ')'); first = false) {
		if (!first && !imap_parse_space(p)) return false;
		if (imap_parse_take_word(p, "MAXSIZE")) {
			if (!imap_parse_space(p) || !imap_parse_number(p, UINT32_MAX, &w->max_size)) return false;
		} else if (imap_parse_take_word(p, "DEPTH")) {
			if (!imap_parse_space(p)) return false;
			if (imap_parse_take_word(p, "0")) w->depth = ANNOTATION_BELOW_NONE;
			else if (imap_parse_take_word(p, "1")) w->depth = ANNOTATION_BELOW_ONE;
			else if (imap_parse_take_word(p, "infinity")) w->depth = ANNOTATION_BELOW_ALL;
			else return imap_parse_fail(p, "DEPTH is 0, 1 or infinity.");
		} else {
			return imap_parse_fail(p, "Unknown GETMETADATA option.");
		}
	}
	return true;
}

static bool parse_names(struct imap_parse *p, struct metadata *w) {
	bool list = imap_parse_take(p, '(');
	do {
		if (w->count == ENTRIES_MAX) return imap_parse_fail(p, "Too many entries.");
		if (!parse_entry(p, w->depth != ANNOTATION_BELOW_NONE, &w->entries[w->count++].name)) return false;
	} while (list && imap_parse_take(p, ' '));
	return !list || imap_parse_need(p, ')');
}

static bool parse_server_or_mailbox(struct imap_session *s, struct imap_parse *p, struct slice *out) {
	if (!slice_starts(p->rest, S("\"\""))) return imap_parse_mailbox(s, p, out);
	p->rest = slice_skip(p->rest, 2);
	*out = S("");
	return true;
}

/* The options stand before the name by the grammar, behind it in the examples of the RFC: either is understood. */
static bool parse_get(struct metadata *w, struct imap_parse *p) {
	if (!imap_parse_space(p)) return false;
	if (imap_parse_take(p, '(') && (!parse_options(p, w) || !imap_parse_space(p))) return false;
	if (!parse_server_or_mailbox(w->s, p, &w->mailbox) || !imap_parse_space(p)) return false;
	struct imap_parse ahead = *p;
	if (imap_parse_take(&ahead, '(') &&
	    (imap_parse_take_word(&ahead, "MAXSIZE") || imap_parse_take_word(&ahead, "DEPTH"))) {
		imap_parse_take(p, '(');
		if (!parse_options(p, w) || !imap_parse_space(p)) return false;
	}
	return parse_names(p, w) && imap_parse_end(p);
}

IMAP_COMMAND(imap_do_getmetadata) {
	struct metadata *w = arena_get(&s->mem, sizeof *w);
	*w = (struct metadata){ .s = s, .max_size = UINT64_MAX };
	if (!parse_get(w, &call->p)) return imap_bad(&call->p);
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	int r = c == NULL ? -1 : find_mailbox(w, c, READS);
	if (r == 0) r = put_entries(w, c);
	if (r != 0) return imap_refused(s, r, "metadata");
	if (w->longest == 0) return imap_ok("Getmetadata completed.");
	return imap_ok(
		arena_fmt(&s->mem, "[METADATA LONGENTRIES %llu] Getmetadata completed.", (unsigned long long)w->longest)
			.at);
}

/* LIST … RETURN (METADATA (…)) (RFC 9590) */
bool imap_parse_metadata_names(struct imap_session *s, struct imap_parse *p, struct metadata **out) {
	struct metadata *w = arena_get(&s->mem, sizeof *w);
	*w = (struct metadata){ .s = s, .max_size = UINT64_MAX };
	*out = w;
	if (!imap_parse_next_is(p, '(')) return imap_parse_need(p, '(');
	return parse_names(p, w);
}

int imap_put_metadata(struct metadata *w, struct db_conn *c, const struct mailbox *m, uint32_t rights) {
	if ((rights & READS) == 0) return 0;
	w->mailbox = m->name;
	w->f.m = *m;
	w->f.rights = rights;
	return put_entries(w, c);
}

/* Writing. */

static int set_special_use(struct metadata *w, struct db_conn *tx, struct slice value) {
	uint32_t use = 0;
	if (!imap_read_special_use(value, &use)) return w->refusal = "[USEATTR] Unknown special use.", STORE_NO_RIGHT;
	if (!w->f.place.own)
		return w->refusal = "[USEATTR] Only the owner of a mailbox gives it a special use.", STORE_NO_RIGHT;
	return store_special_use(tx, w->f.m.box, use);
}

/* What the value of an entry has to be, and who may write it. */
static int judge(struct metadata *w, const struct entry *e) {
	bool shared = !is_private(e->name);
	int64_t age_us;
	if (w->mailbox.len == 0 && shared && !w->s->master)
		return w->refusal = "[NOPERM] Only administrators annotate the server for all.", STORE_NO_RIGHT;
	if (w->mailbox.len != 0 && shared && (w->f.rights & ACL_WRITE) == 0) return STORE_NO_RIGHT;
	if (!slice_eq(e->name, S(AUTOEXPUNGE_ENTRY))) return 0;
	if (w->mailbox.len == 0 || (w->f.rights & ACL_ADMIN) == 0) return STORE_NO_RIGHT;
	if (e->value.at != NULL && !autoexpunge_read(e->value, &age_us))
		return w->refusal = "[CANNOT] That is no time: 30d, 12h, or never.", STORE_NO_RIGHT;
	return 0;
}

static int set_all(struct db_conn *tx, void *arg) {
	struct metadata *w = arg;
	w->refusal = NULL;
	int r = find_mailbox(w, tx, READS);
	for (size_t i = 0; i < w->count && r == 0; i++) r = judge(w, &w->entries[i]);
	for (size_t i = 0; i < w->count && r == 0; i++) {
		const struct entry *e = &w->entries[i];
		if (w->mailbox.len != 0 && slice_eq(e->name, slice_of(special_use)))
			r = set_special_use(w, tx, e->value);
		else
			r = store_annotate(tx, box_of(w, e->name), e->name, is_private(e->name) ? w->s->account : 0,
					   e->value);
	}
	return r;
}

static bool parse_value(struct imap_parse *p, struct slice *out) {
	if (imap_parse_take_word(p, "NIL")) {
		*out = SLICE_NONE;
		return true;
	}
	if (!imap_parse_octets(p, out)) return false;
	if (out->at == NULL) *out = S("");
	return true;
}

static bool parse_set(struct metadata *w, struct imap_parse *p) {
	if (!imap_parse_space(p) || !parse_server_or_mailbox(w->s, p, &w->mailbox) || !imap_parse_space(p) ||
	    !imap_parse_need(p, '('))
		return false;
	do {
		struct entry *e = &w->entries[w->count];
		if (w->count == ENTRIES_MAX) return imap_parse_fail(p, "Too many entries.");
		if (!parse_entry(p, false, &e->name) || !imap_parse_space(p) || !parse_value(p, &e->value))
			return false;
		w->count++;
	} while (imap_parse_take(p, ' '));
	return imap_parse_need(p, ')') && imap_parse_end(p);
}

IMAP_COMMAND(imap_do_setmetadata) {
	struct metadata *w = arena_get(&s->mem, sizeof *w);
	*w = (struct metadata){ .s = s };
	if (!parse_set(w, &call->p)) return imap_bad(&call->p);
	for (size_t i = 0; i < w->count; i++) {
		struct slice value = w->entries[i].value;
		if (value.len > ANNOTATION_VALUE_MAX)
			return imap_no(
				arena_fmt(&s->mem, "[METADATA MAXSIZE %d] The value is too long.", ANNOTATION_VALUE_MAX)
					.at);
	}
	int r = db_write(s->context->db, set_all, w);
	if (r == 0) return imap_ok("Setmetadata completed.");
	if (w->refusal != NULL) return imap_no(w->refusal);
	return r == STORE_LIMIT ? imap_no("[METADATA TOOMANY] Too many entries.") : imap_refused(s, r, "metadata");
}
