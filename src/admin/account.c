/* SPDX-License-Identifier: Apache-2.0 */
/* An account is rows in the database and a password in the vault, and no transaction spans the two. The password is set
 * first and taken back when the rows cannot be written: whatever happens in between, what may be left over is a
 * password without an account, which lets nobody in and is replaced by the next attempt. Deleting goes the other way
 * round. */
#include "admin/inside.h"
#include "admin/text.h"
#include "base/fail.h"
#include "base/log.h"
#include "store/acl.h"
#include "store/quota.h"
#include "user/secret.h"
#include "user/user.h"

#include <pthread.h>
#include <sysexits.h>

/* Two requests for one name at once: the second must not change the password of the first one's new account. */
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

static int bad_name(struct admin_call *c, struct slice name) {
	return refuse(c, EX_DATAERR, "%.*s: not a mail address (write it as ann@example.com)", SLICE_ARG(name));
}

static int no_account(struct admin_call *c, struct slice name) {
	return refuse(c, EX_NOUSER, "%.*s: no such account (hato account list)", SLICE_ARG(name));
}

/* The stored form of the first argument, in *name. */
static int take_name(struct admin_call *c, struct slice *name) {
	return name_address(c->mem, c->args[0], false, name) ? EX_OK : bad_name(c, c->args[0]);
}

/* The account of the first argument. EX_OK or refused. */
int call_account(struct admin_call *c, struct account *account) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	int r = user_account_find(conn, c->mem, c->args[0], account);
	return r < 0 ? broken(c) : r == USER_UNKNOWN ? no_account(c, c->args[0]) : EX_OK;
}

/* Passwords. */

static int take_secret(struct admin_call *c, struct slice *secret, bool *is_hash) {
	bool from_input = call_option(c, "password-stdin", NULL);
	*is_hash = call_option(c, "hash", secret);
	if (from_input == *is_hash)
		return refuse(c, EX_USAGE, "%.*s: %s", SLICE_ARG(c->args[0]),
			      from_input ? "--password-stdin or --hash, not both"
					 : "with which password? (--password-stdin reads it from the standard input)");
	if (from_input) {
		struct slice rest = c->input;
		*secret = slice_cut(&rest, '\n');
		if (secret->len != 0 && secret->at[secret->len - 1] == '\r') secret->len--;
	}
	if (secret->len == 0) return refuse(c, EX_DATAERR, "%.*s: the password is empty", SLICE_ARG(c->args[0]));
	if (secret->len > 1024)
		return refuse(c, EX_DATAERR, "%.*s: a password has at most 1024 bytes", SLICE_ARG(c->args[0]));
	if (memchr(secret->at, '\0', secret->len) != NULL)
		return refuse(c, EX_DATAERR, "%.*s: a password holds no NUL bytes", SLICE_ARG(c->args[0]));
	return EX_OK;
}

static int set_secret(struct admin_call *c, struct slice account, struct slice secret, bool is_hash) {
	int r = c->a->ops->secret_set(c->a->ctx, account, secret, is_hash);
	if (r == 0) return EX_OK;
	if (r == SECRET_BAD_HASH)
		return refuse(c, EX_DATAERR,
			      "%.*s: no password hash that hato knows ({SCHEME}… or crypt(5); see hato(1))",
			      SLICE_ARG(account));
	return refuse(c, EX_TEMPFAIL, "%.*s: the password cannot be set: %s", SLICE_ARG(account),
		      r < 0 ? fail_text() : "refused");
}

int verb_account_test(struct admin_call *c) {
	struct slice name, secret;
	struct account account;
	bool is_hash;
	int code = take_name(c, &name);
	if (code == EX_OK) code = take_secret(c, &secret, &is_hash);
	if (code == EX_OK) code = call_account(c, &account);
	if (code != EX_OK) return code;
	int r = c->a->ops->secret_verify(c->a->ctx, account.address, secret);
	if (r < 0) return refuse(c, EX_TEMPFAIL, "%s", fail_text());
	if (r != 0) return refuse(c, EX_NOPERM, "%.*s: that is not the password", SLICE_ARG(account.address));
	if (account.disabled)
		return refuse(c, EX_NOPERM, "%.*s: the password is right, but the account is disabled (hato account "
					    "enable)", SLICE_ARG(account.address));
	tell(c, "%.*s: the password is right", SLICE_ARG(account.address));
	return EX_OK;
}

int verb_account_password(struct admin_call *c) {
	struct account account;
	struct slice secret;
	bool is_hash;
	int code = take_secret(c, &secret, &is_hash);
	if (code == EX_OK) code = call_account(c, &account);
	if (code != EX_OK) return code;
	pthread_mutex_lock(&changing);
	code = set_secret(c, account.address, secret, is_hash);
	pthread_mutex_unlock(&changing);
	if (code == EX_OK) tell(c, "%.*s has a new password", SLICE_ARG(account.address));
	return code;
}

/* Adding. */

static int enter(struct db_conn *tx, void *arg) {
	const struct slice *name = arg;
	int64_t id;
	int r = user_account_add(tx, *name, &id);
	if (r != 0) return r;
	r = store_account_create(tx, id);
	if (r == 0) r = store_pool_join(tx, slice_skip(*name, slice_find_last(*name, '@') + 1), id);
	return r > 0 ? fail("%.*s: its mailboxes exist already (%d)", SLICE_ARG(*name), r) : r;
}

static int exists(struct admin_call *c, struct slice name) {
	return refuse(c, EX_DATAERR, "%.*s: the account exists (hato account password changes its password)",
		      SLICE_ARG(name));
}

/* With the lock held. */
static int add(struct admin_call *c, struct slice name, struct slice secret, bool is_hash) {
	struct account old;
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	int r = user_account_find(conn, c->mem, name, &old);
	db_release(&conn);
	if (r != USER_UNKNOWN) return r < 0 ? broken(c) : exists(c, name);
	/* without one: nor one that an account of that name has left behind */
	int code = secret.len != 0 ? set_secret(c, name, secret, is_hash)
		   : c->a->ops->secret_delete(c->a->ctx, name) < 0
			   ? refuse(c, EX_TEMPFAIL, "%.*s: %s", SLICE_ARG(name), fail_text())
			   : EX_OK;
	if (code != EX_OK) return code;
	r = db_write(c->a->db, enter, &name);
	if (r == 0) return EX_OK;
	code = r < 0 ? broken(c) : r == USER_EXISTS ? exists(c, name) : bad_name(c, name);
	if (r != USER_EXISTS) c->a->ops->secret_delete(c->a->ctx, name);
	return code;
}

/* An alias goes before the account of its name. */
struct alias_look {
	struct admin_call *c;
	struct slice name;
	bool hides, keeps; /* there is such an alias; one of its targets is the account itself */
};

static int look_at_alias(void *ctx, struct slice address, struct slice target) {
	struct alias_look *l = ctx;
	if (!slice_eq(address, l->name)) return 0;
	l->hides = true;
	l->keeps = l->keeps || slice_same(target, l->name);
	return 0;
}

static void remark_alias(struct admin_call *c, struct slice name) {
	struct alias_look l = { .c = c, .name = name };
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL ||
	    user_alias_each(conn, slice_skip(name, slice_find_last(name, '@') + 1), look_at_alias, &l) < 0 ||
	    !l.hides || l.keeps)
		return;
	remark(c,
	       "%.*s is also an alias, which goes first: its mail is not stored in this account (hato alias add %.*s "
	       "%.*s keeps a copy)",
	       SLICE_ARG(name), SLICE_ARG(name), SLICE_ARG(name));
}

int verb_account_add(struct admin_call *c) {
	struct slice name, secret = S("");
	bool is_hash = false;
	int code = take_name(c, &name);
	if (code == EX_OK && !call_option(c, "no-login", NULL)) code = take_secret(c, &secret, &is_hash);
	if (code != EX_OK) return code;
	pthread_mutex_lock(&changing);
	code = add(c, name, secret, is_hash);
	pthread_mutex_unlock(&changing);
	if (code != EX_OK) return code;
	tell(c, "%.*s added", SLICE_ARG(name));
	remark_alias(c, name);
	return EX_OK;
}

/* Deleting. */

static int leave(struct db_conn *tx, void *arg) {
	const struct slice *name = arg;
	int64_t id;
	int r = user_account_delete(tx, *name, &id);
	if (r != 0) return r;
	r = store_account_delete(tx, id);
	if (r == 0 || r == STORE_NO_ACCOUNT) r = store_acl_forget(tx, *name);
	return r;
}

static int remark_target(void *ctx, struct slice address, struct slice target) {
	struct alias_look *l = ctx;
	if (slice_same(target, l->name))
		remark(l->c, "the alias %.*s still leads here (hato alias del %.*s %.*s)", SLICE_ARG(address),
		       SLICE_ARG(address), SLICE_ARG(target));
	return 0;
}

static void remark_leftovers(struct admin_call *c, struct slice name) {
	struct alias_look w = { .c = c, .name = name };
	struct slice domain = slice_skip(name, slice_find_last(name, '@') + 1);
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return;
	user_alias_each(conn, S(""), remark_target, &w);
	if (user_domain_local(conn, domain) == USER_NOT_LOCAL)
		remark(c,
		       "this was the last account of %.*s: mail for it is not accepted any more (hato domain add %.*s)",
		       SLICE_ARG(domain), SLICE_ARG(domain));
}

int verb_account_delete(struct admin_call *c) {
	struct account account;
	int code = call_account(c, &account);
	if (code != EX_OK) return code;
	pthread_mutex_lock(&changing);
	int r = db_write(c->a->db, leave, &account.address);
	int secret = r == 0 ? c->a->ops->secret_delete(c->a->ctx, account.address) : 0;
	pthread_mutex_unlock(&changing);
	if (r != 0) return r < 0 ? broken(c) : no_account(c, account.address);
	tell(c, "%.*s deleted", SLICE_ARG(account.address));
	if (secret < 0) remark(c, "its password is still in the vault, where it lets nobody in: %s", fail_text());
	remark_leftovers(c, account.address);
	if (c->a->ops->mail_freed != NULL) c->a->ops->mail_freed(c->a->ctx);
	else if (store_sweep(c->a->db) < 0) remark(c, "its mail is freed later: %s", fail_text());
	return EX_OK;
}

/* Small changes: one row. */

struct change {
	struct slice name;
	bool disabled;
};

static int set_disabled(struct db_conn *tx, void *arg) {
	const struct change *w = arg;
	return user_account_disable(tx, w->name, w->disabled);
}

static int change(struct admin_call *c, int (*fn)(struct db_conn *tx, void *arg), struct change w, const char *done) {
	w.name = c->args[0];
	int r = db_write(c->a->db, fn, &w);
	if (r != 0) return r < 0 ? broken(c) : no_account(c, w.name);
	tell(c, "%.*s %s", SLICE_ARG(w.name), done);
	return EX_OK;
}

int verb_account_disable(struct admin_call *c) {
	return change(c, set_disabled, (struct change){ .disabled = true }, "disabled");
}

int verb_account_enable(struct admin_call *c) {
	return change(c, set_disabled, (struct change){ .disabled = false }, "enabled");
}
