/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "db/db.h"
#include "trust/keyring.h"
/* What an operator may do: accounts, aliases, domains, the queue, and "where is my mail?". Each is a row of one table,
 * from which dispatch, usage errors and help are made. Runs in core, for requests from the control socket, and in the
 * `hato` command itself while the server is down. Thread-safe. */

struct search_index;

/* Who is told an address's way. All text is the teller's, who may let it go after the call. */
struct admin_way {
	void (*step)(void *ctx, const char *what, struct slice key, struct slice value, const char *table);
	void (*end)(void *ctx, const char *kind, struct slice address, struct slice text);
	void *ctx;
};
/* A change of DKIM's keys. */
struct admin_dkim {
	enum { ADMIN_DKIM_MAKE, ADMIN_DKIM_ROTATE, ADMIN_DKIM_SWITCH, ADMIN_DKIM_IMPORT, ADMIN_DKIM_REMOVE } what;
	struct slice domain, selector; /* selector: of MAKE and ROTATE the form (keyring_wish), empty: the setting's */
	struct slice pem;              /* of IMPORT */
};
struct admin_app {
	enum { ADMIN_APP_ADD, ADMIN_APP_DELETE, ADMIN_APP_LIST } what;
	struct slice account, name;
};
/* Somebody who is logged in. */
struct admin_session {
	struct slice login, remote;
	const char *protocol;
	int64_t since_us;
	uint64_t session; /* the number that log lines carry */
};
/* What the place where it runs provides. */
struct admin_ops {
	/* The vault's. 0, an enum secret_answer, or <0 fail(). */
	int (*secret_set)(void *ctx, struct slice account, struct slice password, bool is_hash);
	int (*secret_delete)(void *ctx, struct slice account);
	int (*secret_verify)(void *ctx, struct slice account, struct slice password); /* 0: right; SECRET_WRONG */
	/* App passwords: the one made is in mem. Results as of secret_app_add and its like. */
	int (*app_password)(void *ctx, const struct admin_app *ask, struct arena *mem, struct slice *password,
			    void (*row)(void *row_ctx, struct slice name, int64_t created_us, int64_t used_us),
			    void *row_ctx);
	void (*queue_changed)(void *ctx); /* recipients became due, or left: wake the scheduler. NULL: nobody to wake */
	void (*mail_freed)(
		void *ctx); /* an account was deleted: store_sweep soon. NULL: it is done before the answer */
	/* `hato route`: the way of an address, told step by step and end by end. <0 fail(); 1: a table cannot be asked
	 * now, fail_text(). NULL: not to be had here. */
	int (*route)(void *ctx, struct slice address, struct slice sender, const struct admin_way *way);
	/* The vault's: all keys or a domain's, in their order, text in mem; a change: 0, an enum keyring_answer. <0
	 * fail(). */
	int (*dkim_list)(void *ctx, struct slice domain, struct arena *mem, struct keyring_key **out, size_t *count);
	int (*dkim_change)(void *ctx, const struct admin_dkim *what);
	/* `hato reports send`: reports to others, now or as a trial (dry); what is done is told in out. <0 fail().
	 * NULL: not to be had here. */
	int (*reports_send)(void *ctx, struct slice domain, bool now, bool dry, struct buf *out);
	/* `hato forward check`: the same for a message, with what the next server will see of it. input: request.input.
	 */
	int (*forward)(void *ctx, struct slice address, struct slice input, const struct admin_way *way);
	/* Who is logged in, and ending the sessions that are chosen: how many. NULL: nobody is, for there is no server.
	 */
	void (*who)(void *ctx, void (*each)(void *each_ctx, const struct admin_session *s), void *each_ctx);
	size_t (*kick)(void *ctx, bool (*chosen)(void *chosen_ctx, const struct admin_session *s), void *chosen_ctx);
};
struct admin {
	struct db *db;
	const struct admin_ops *ops;
	void *ctx;
	struct search_index *index; /* the one that the server fills; NULL: it has none, or there is no server */
};
struct admin_request {
	const struct slice *args; /* from the noun on: "account", "add", "ann@example.com", "--password-stdin" */
	size_t count;
	struct slice input;       /* what stood on standard input: the password, in its first line */
};
/* Does it. out and err (texts for standard output and standard error) are added to; nothing in them can drive a
 * terminal. Returns a sysexits(3) code: EX_OK, EX_USAGE, EX_DATAERR (bad or taken names), EX_NOUSER (no such account,
 * alias, domain or message), EX_TEMPFAIL (vault away, disk full), EX_SOFTWARE.
 *
 * Every verb knows --help, -q (nothing on success), and --width=N (columns to fit into; the command adds it on a
 * terminal). */
int admin_run(const struct admin *a, const struct admin_request *req, struct buf *out, struct buf *err);
/* Only reads the words: true when they settle it (wrong usage, --help) and nothing is left to do; out, err and *code
 * are then what admin_run would give. Needs no database. */
bool admin_settled(const struct admin_request *req, struct buf *out, struct buf *err, int *code);

/* The table, for help and for what the command does before it asks. */
enum admin_flag {
	ADMIN_PASSWORD = 1, /* needs --password-stdin (or --hash): the command reads it, or asks */
	ADMIN_ASKS = 2,     /* cannot be taken back: the command asks a person without --yes */
	ADMIN_HIDDEN = 4,   /* not in help */
	ADMIN_MESSAGE =
		8, /* about a message: the command reads it and asks DNS; input is what it found out (flow/forward.h) */
};
struct admin_call;
struct admin_verb {
	const char *noun, *verb; /* verb NULL: the noun stands alone */
	const char *args, *help; /* "NAME [--yes]", one line */
	unsigned char least, most; /* arguments without the options */
	unsigned flags;
	const char *options;     /* those it knows, blank-separated; with a value: "limit=" */
	int (*run)(struct admin_call *c);
};
const struct admin_verb *admin_verbs(size_t *count);
const struct admin_verb *admin_find(const struct slice *args, size_t count); /* NULL: none */
/* "hato account add NAME …" and its help line, or all verbs of a noun; noun empty: of all. False: none. */
bool admin_help(struct buf *out, struct slice noun, struct slice verb);
