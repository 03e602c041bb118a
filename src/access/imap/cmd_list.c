/* SPDX-License-Identifier: Apache-2.0 */
/* LIST with its extensions (RFC 3501 §6.3.8, RFC 5258, RFC 5819, RFC 6154) and LSUB, which is LIST (SUBSCRIBED) with
 * other words. All names are read in one walk; they come sorted, so what is below a name stands right behind it. */
#include "access/imap/mailboxes.h"
#include "access/imap/name.h"
#include "access/imap/status.h"
#include "base/collate.h"

enum {
	PATTERNS_MAX = 64,
	BY_SUBSCRIPTION = 1,
	BY_USE = 2,
	RECURSIVE = 4,
	REMOTE = 8,
	TELL_SUBSCRIBED = 16,
	TELL_CHILDREN = 32,
	TELL_USE = 64,
	TELL_STATUS = 128,
	TELL_RIGHTS = 256,
	TELL_METADATA = 512
};

struct list {
	struct imap_session *s;
	struct slice reference;
	struct slice patterns[PATTERNS_MAX];
	size_t pattern_count;
	unsigned how, status;
	bool lsub, extended, several;
	struct imap_mailboxes all;
	struct metadata *metadata;
};

struct option { const char *name; unsigned bit; };
static const struct option selections[] = {
	{ "SUBSCRIBED", BY_SUBSCRIPTION | TELL_SUBSCRIBED },
	{ "SPECIAL-USE", BY_USE | TELL_USE },
	{ "RECURSIVEMATCH", RECURSIVE },
	{ "REMOTE", REMOTE },
};
static const struct option returns[] = {
	{ "SUBSCRIBED", TELL_SUBSCRIBED },
	{ "CHILDREN", TELL_CHILDREN },
	{ "SPECIAL-USE", TELL_USE },
	{ "STATUS", TELL_STATUS },
	{ "MYRIGHTS", TELL_RIGHTS },
	{ "METADATA", TELL_METADATA },
};

static bool parse_options(struct imap_parse *p, const struct option *known, size_t count, struct list *l) {
	if (!imap_parse_need(p, '(')) return false;
	for (bool first = true; !imap_parse_take(p, ')'); first = false) {
		size_t i = 0;
		if (!first && !imap_parse_space(p)) return false;
		while (i < count && !imap_parse_take_word(p, known[i].name)) i++;
		if (i == count) return imap_parse_fail(p, "Unknown LIST option.");
		l->how |= known[i].bit;
		if (known[i].bit == TELL_STATUS && (!imap_parse_space(p) || !imap_parse_status_items(p, &l->status)))
			return false;
		if (known[i].bit == TELL_METADATA &&
		    (!imap_parse_space(p) || !imap_parse_metadata_names(l->s, p, &l->metadata)))
			return false;
	}
	l->extended = true;
	return true;
}

static bool parse_pattern(struct imap_parse *p, struct list *l) {
	AUTO_BUF struct buf name = BUF(IMAP_NAME_MAX);
	struct slice said;
	if (!imap_parse_pattern(p, &said)) return false;
	if (said.len == 0 && l->several) return true; /* RFC 5258 §3: one of several that is empty fits nothing */
	if (l->pattern_count == PATTERNS_MAX) return imap_parse_fail(p, "Too many patterns.");
	if (!imap_read_name(l->s, &name, l->reference) || !imap_read_name(l->s, &name, said))
		return imap_parse_fail(p, "Pattern is not a valid mailbox name.");
	struct slice pattern = arena_slice(p->mem, buf_slice(&name)), composed = collate_composed(p->mem, pattern);
	l->patterns[l->pattern_count++] = pattern;
	if (composed.at != pattern.at && l->pattern_count < PATTERNS_MAX) l->patterns[l->pattern_count++] = composed;
	return true;
}

static bool parse_patterns(struct imap_parse *p, struct list *l) {
	if (!imap_parse_take(p, '(')) return parse_pattern(p, l);
	l->extended = l->several = true;
	do {
		if (!parse_pattern(p, l)) return false;
	} while (imap_parse_take(p, ' '));
	return imap_parse_need(p, ')');
}

static bool parse_list(struct imap_parse *p, struct list *l) {
	if (!imap_parse_space(p)) return false;
	if (!l->lsub && imap_parse_next_is(p, '(') &&
	    (!parse_options(p, selections, LEN(selections), l) || !imap_parse_space(p)))
		return false;
	if (!imap_parse_astring(p, &l->reference) || !imap_parse_space(p) || !parse_patterns(p, l)) return false;
	if (!l->lsub && imap_parse_take(p, ' ')) {
		if (!imap_parse_take_word(p, "RETURN") || !imap_parse_space(p))
			return imap_parse_fail(p, "Expected RETURN.");
		if (!parse_options(p, returns, LEN(returns), l)) return false;
	}
	if ((l->how & RECURSIVE) != 0 && (l->how & (BY_SUBSCRIPTION | BY_USE)) == 0)
		return imap_parse_fail(p, "RECURSIVEMATCH needs something to match.");
	return imap_parse_end(p);
}

static bool matches(const struct list *l, struct slice name) {
	for (size_t i = 0; i < l->pattern_count; i++)
		if (imap_name_match(l->patterns[i], name)) return true;
	return false;
}

static bool selected(const struct list *l, const struct mailbox *m) {
	return ((l->how & BY_SUBSCRIPTION) == 0 || m->subscribed) && ((l->how & BY_USE) == 0 || m->special_use != 0);
}

/* Is something selected below number i? beyond: that the pattern does not reach, so that it is not told by itself. */
static bool selected_below(const struct list *l, size_t i, bool beyond) {
	struct slice name = l->all.at[i].name;
	for (size_t j = i + 1; j < l->all.count && slice_starts(l->all.at[j].name, name); j++) {
		struct slice below = l->all.at[j].name;
		if (below.at[name.len] == '/' && selected(l, &l->all.at[j]) && !(beyond && matches(l, below)))
			return true;
	}
	return false;
}

static void put_oldname(struct imap_session *s, struct slice said) {
	buf_add(imap_out(s), S(" (\"OLDNAME\" ("));
	imap_put_mailbox(s, said);
	buf_add(imap_out(s), S("))"));
}

void imap_tell_composed(struct imap_session *s, struct slice name, struct slice said, const char *attributes) {
	if (slice_ends(name, S("/"))) name = slice_head(name, name.len - 1); /* as CREATE takes it */
	struct slice composed = collate_composed(&s->mem, name);
	bool same = slice_eq(composed, name) && slice_eq(collate_composed(&s->mem, said), said);
	if (!imap_enabled(s, IMAP_REV2) || same) return;
	buf_addf(imap_out(s), "* LIST (%s) \"/\" ", attributes);
	imap_put_mailbox(s, composed);
	put_oldname(s, said);
	buf_add(imap_out(s), S("\r\n"));
}

void imap_put_list(struct imap_session *s, const struct mailbox *m, struct slice said) {
	struct buf *out = imap_out(s);
	bool own = m->box.account == s->account; /* of others' mailboxes the row does not know what this user sees */
	buf_add(out, S("* LIST ("));
	if (own) buf_addf(out, "%s\\Has%sChildren", m->subscribed ? "\\Subscribed " : "", m->has_children ? "" : "No");
	if (own) imap_put_special_use(out, m->special_use);
	buf_add(out, S(") \"/\" "));
	imap_put_mailbox(s, m->name);
	if (!slice_eq(m->name, said) && slice_eq(m->name, collate_composed(&s->mem, said))) put_oldname(s, said);
	buf_add(out, S("\r\n"));
}

static void put_one(const struct list *l, struct db_conn *c, const struct mailbox *m, bool by_itself, bool by_child) {
	struct buf *out = imap_out(l->s);
	AUTO_BUF struct buf words = BUF(512);
	bool more = !m->nonexistent && (l->status != 0 || (l->how & (TELL_RIGHTS | TELL_METADATA)) != 0);
	uint32_t rights = ACL_ALL;
	if (more && imap_mailbox_rights(l->s, c, m, &rights) < 0) more = false;
	if (l->lsub) {
		if (!by_itself) buf_add(&words, S(" \\Noselect"));
	} else {
		if (m->nonexistent) buf_add(&words, l->extended ? S(" \\NonExistent") : S(" \\Noselect"));
		if ((l->how & TELL_SUBSCRIBED) != 0 && m->subscribed) buf_add(&words, S(" \\Subscribed"));
		buf_add(&words, m->has_children ? S(" \\HasChildren") : S(" \\HasNoChildren"));
		imap_put_special_use(&words, m->special_use);
		/* RFC 5819 §2: what STATUS is asked for and cannot be told of */
		if (l->status != 0 && more && (rights & ACL_READ) == 0) buf_add(&words, S(" \\Noselect"));
	}
	buf_addf(out, "* %s (%s) \"/\" ", l->lsub ? "LSUB" : "LIST", words.len != 0 ? buf_text(&words) + 1 : "");
	imap_put_mailbox(l->s, m->name);
	if (by_child && (l->how & RECURSIVE) != 0)
		buf_addf(out, " (\"CHILDINFO\" (\"%s\"))",
			 (l->how & BY_SUBSCRIPTION) != 0 ? "SUBSCRIBED" : "SPECIAL-USE");
	buf_add(out, S("\r\n"));
	if (!more) return;
	if ((l->how & TELL_RIGHTS) != 0) imap_put_myrights(l->s, m->name, rights);
	if (l->status != 0 && (rights & ACL_READ) != 0) imap_put_status(l->s, c, m, l->status);
	if (l->metadata != NULL) (void)imap_put_metadata(l->metadata, c, m, rights);
}

static void put_all(const struct list *l, struct db_conn *c) {
	for (size_t i = 0; i < l->all.count; i++) {
		const struct mailbox *m = &l->all.at[i];
		if (!matches(l, m->name)) continue;
		bool by_itself = selected(l, m), by_child = false;
		/* names that are only subscribed are no mailboxes for a plain LIST */
		if (m->nonexistent && !m->has_children && (l->how & BY_SUBSCRIPTION) == 0) continue;
		/* RFC 3501 §6.3.9, RFC 9051 §6.3.9.6: nobody needs a parent of what he is told anyway */
		if ((l->how & RECURSIVE) != 0 || l->lsub) by_child = selected_below(l, i, l->lsub || !by_itself);
		if (by_itself || by_child) put_one(l, c, m, by_itself, by_child);
	}
}

static struct imap_answer list(struct imap_session *s, struct imap_call *call, struct list *l, const char *done) {
	if (!parse_list(&call->p, l)) return imap_bad(&call->p);
	if (!l->extended && l->pattern_count == 1 &&
	    l->patterns[0].len == l->reference.len) { /* LIST "" "": what divides levels? */
		buf_addf(imap_out(s), "* %s (\\Noselect) \"/\" \"\"\r\n", l->lsub ? "LSUB" : "LIST");
		return imap_ok(done);
	}
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	int r = c == NULL ? -1 : imap_mailboxes(s, c, &s->mem, &l->all);
	if (r == 0) put_all(l, c);
	imap_mailboxes_done(&l->all);
	return r == 0 ? imap_ok(done) : imap_refused(s, r, "list");
}

IMAP_COMMAND(imap_do_list) {
	return list(s, call, &(struct list){ .s = s }, "List completed.");
}

IMAP_COMMAND(imap_do_lsub) {
	return list(s, call, &(struct list){ .s = s, .lsub = true, .how = BY_SUBSCRIPTION }, "Lsub completed.");
}
