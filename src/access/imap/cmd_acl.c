/* SPDX-License-Identifier: Apache-2.0 */
/* ACL (RFC 4314). The owner of a mailbox is not in its list of rights, but is shown there: he has them all. */
#include "access/imap/place.h"
#include "access/imap/status.h"

struct granting {
	struct imap_session *s;
	struct slice name, identifier;
	enum acl_how how;
	uint32_t rights;
};

static void put_rights(struct buf *out, uint32_t rights) {
	AUTO_BUF struct buf text = BUF(32);
	acl_put(&text, rights);
	imap_put_astring(out, buf_slice(&text));
}

void imap_put_myrights(struct imap_session *s, struct slice name, uint32_t rights) {
	struct buf *out = imap_out(s);
	buf_add(out, S("* MYRIGHTS "));
	imap_put_mailbox(s, name);
	buf_byte(out, ' ');
	put_rights(out, rights);
	buf_add(out, S("\r\n"));
}

/* By default nobody can show his mailboxes to all others himself: that would be a way to spam them (Dovecot's
 * acl_anyone). */
static bool for_all(struct slice identifier) {
	struct slice name = slice_skip(identifier, slice_starts(identifier, S("-")));
	return slice_same(name, S("anyone")) || slice_same(name, S("authenticated"));
}

/* RFC 4314 §3: what is no identifier is an error of syntax. */
static bool parse_identifier(struct imap_parse *p, struct slice *out) {
	struct slice stored;
	if (!imap_parse_astring(p, out)) return false;
	return acl_identifier(p->mem, *out, &stored) == 0 || imap_parse_fail(p, "Invalid identifier.");
}

static int grant(struct db_conn *tx, void *arg) {
	struct granting *g = arg;
	struct imap_found f;
	int r = imap_find_with(g->s, tx, g->name, ACL_ADMIN, &f);
	if (r == 0 && slice_same(g->identifier, f.place.owner)) r = STORE_BAD_NAME;
	return r != 0 ? r : store_acl_set(tx, f.m.box, g->identifier, g->how, g->rights);
}

static struct imap_answer run_grant(struct imap_session *s, struct granting *g, const char *done) {
	g->s = s;
	if (for_all(g->identifier) && !s->context->params.acl_anyone && g->how != ACL_TAKE && g->rights != 0)
		return imap_no("[NOPERM] Rights for everybody can't be given here (imapd_acl_anyone).");
	int r = db_write(s->context->db, grant, g);
	if (r == STORE_BAD_NAME)
		return imap_no("[CANNOT] The owner always has all rights.");
	return r == 0 ? imap_ok(done) : imap_refused(s, r, "acl");
}

IMAP_COMMAND(imap_do_setacl) {
	struct imap_parse *p = &call->p;
	struct granting g = { 0 };
	struct slice rights;
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &g.name) || !imap_parse_space(p) ||
	    !parse_identifier(p, &g.identifier) || !imap_parse_space(p) || !imap_parse_astring(p, &rights) ||
	    !imap_parse_end(p))
		return imap_bad(p);
	if (slice_starts(rights, S("+"))) g.how = ACL_ADD;
	if (slice_starts(rights, S("-"))) g.how = ACL_TAKE;
	if (!acl_parse(slice_skip(rights, g.how != ACL_REPLACE), &g.rights)) {
		imap_parse_fail(p, "Unknown right.");
		return imap_bad(p);
	}
	return run_grant(s, &g, "Setacl completed.");
}

IMAP_COMMAND(imap_do_deleteacl) {
	struct imap_parse *p = &call->p;
	struct granting g = { 0 };
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &g.name) || !imap_parse_space(p) ||
	    !parse_identifier(p, &g.identifier) || !imap_parse_end(p))
		return imap_bad(p);
	return run_grant(s, &g, "Deleteacl completed.");
}

static int put_one(void *ctx, struct slice identifier, uint32_t rights) {
	struct buf *out = ctx;
	buf_byte(out, ' ');
	imap_put_astring(out, identifier);
	buf_byte(out, ' ');
	put_rights(out, rights);
	return 0;
}

IMAP_COMMAND(imap_do_getacl) {
	struct imap_parse *p = &call->p;
	struct slice name;
	struct imap_found f;
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &name) || !imap_parse_end(p)) return imap_bad(p);
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	int r = c == NULL ? -1 : imap_find_with(s, c, name, ACL_ADMIN, &f);
	if (r != 0) return imap_refused(s, r, "acl");
	buf_add(imap_out(s), S("* ACL "));
	imap_put_mailbox(s, f.m.name);
	put_one(imap_out(s), f.place.owner, ACL_ALL);
	r = store_acl_each(c, f.m.box, put_one, imap_out(s));
	buf_add(imap_out(s), S("\r\n"));
	return r == 0 ? imap_ok("Getacl completed.") : imap_refused(s, r, "acl");
}

/* Each right can be given by itself, none comes of itself; c and d are rights with others tied to them (§2.1.1). */
IMAP_COMMAND(imap_do_listrights) {
	struct imap_parse *p = &call->p;
	struct slice name, identifier;
	struct imap_found f;
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &name) || !imap_parse_space(p) ||
	    !parse_identifier(p, &identifier) || !imap_parse_end(p))
		return imap_bad(p);
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	int r = c == NULL ? -1 : imap_find_with(s, c, name, ACL_ADMIN, &f);
	if (r != 0) return imap_refused(s, r, "acl");
	buf_add(imap_out(s), S("* LISTRIGHTS "));
	imap_put_mailbox(s, f.m.name);
	buf_byte(imap_out(s), ' ');
	imap_put_astring(imap_out(s), identifier);
	if (slice_same(identifier, f.place.owner)) {
		buf_byte(imap_out(s), ' ');
		put_rights(imap_out(s), ACL_ALL);
	} else {
		buf_add(imap_out(s), S(" \"\" l r s w i p k x t e a c d"));
	}
	buf_add(imap_out(s), S("\r\n"));
	return imap_ok("Listrights completed.");
}

IMAP_COMMAND(imap_do_myrights) {
	struct imap_parse *p = &call->p;
	struct slice name;
	struct imap_found f;
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &name) || !imap_parse_end(p)) return imap_bad(p);
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	int r = c == NULL ? -1
			  : imap_find_any(s, c, name,
					  ACL_LOOKUP | ACL_READ | ACL_INSERT | ACL_CREATE | ACL_REMOVE | ACL_ADMIN, &f);
	if (r != 0) return imap_refused(s, r, "acl");
	imap_put_myrights(s, f.m.name, f.rights);
	return imap_ok("Myrights completed.");
}
