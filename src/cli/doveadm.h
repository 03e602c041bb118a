/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "cli/doveadm_print.h"
#include "cli/tool.h"
/* What the files of doveadm share. It is an IMAP client of core's, let in over the control socket in the name of each
 * user that is asked for; what is not about mail is asked as the `hato` command asks it. */
struct doveadm {
	struct tool tool;
	const char *name;          /* "mailbox list", for help and errors */
	const char *args;          /* its usage line */
	char **words;              /* behind the options */
	size_t count;
	struct slice form;         /* -f, or the command's own */
	struct dove_print *out;
	struct arena mem;          /* of the whole run */
	struct buf data;           /* data_directory */
	bool several;              /* -A, -F or a mask: rows begin with the user */
	struct slice user;         /* the one at hand */
	struct dove_imap *imap;    /* his session; see dove_enter */
	char given[128];           /* given['s']: option -s was there */
	const char *value[128];    /* its argument */
};

/* A command: doveadm_table.c has them all. Once before the first user: reads the words, sets up what is printed. Then
 * for each user. EX_OK, or a code, which has been explained. What is kept between them is in *state. */
struct dove_command {
	const char *name, *options, *args, *form;
	int (*prepare)(struct doveadm *d, void **state);
	int (*run)(struct doveadm *d, void *state); /* NULL: prepare does it all */
	unsigned char least;       /* words */
};
extern const struct dove_command dove_commands[];
extern const size_t dove_command_count;

/* "doveadm(USER): Error: TEXT" and "Fatal: TEXT" on the standard error; returns code. */
int dove_error(const struct doveadm *d, int code, const char *format, ...) PRINTF_LIKE(3, 4);
int dove_fatal(const struct doveadm *d, int code, const char *format, ...) PRINTF_LIKE(3, 4);
struct slice dove_word(const struct doveadm *d, size_t i); /* empty behind the last */
/* Begins what is printed: -f, else the command's form. With several users the first column is theirs. */
int dove_print_begin(struct doveadm *d);
void dove_row(struct doveadm *d); /* before the values of a row */

/* doveadm_ask.c: an operator's verb with --json. *out is a jansson value, to be json_decref'ed, NULL: not wanted. The
 * verb's own code; its errors are told, unless quiet. */
struct json_t;
int dove_ask(struct doveadm *d, const struct slice *args, size_t count, struct slice input, struct json_t **out,
	     bool quiet);
/* Those that fit a mask; all are in mem. */
int dove_users(struct doveadm *d, struct slice mask, struct slice **out, size_t *count);

/* doveadm_imap.c */
int dove_enter(struct doveadm *d);                  /* EX_OK, or told: EX_NOUSER, EX_TEMPFAIL */
void dove_leave(struct doveadm *d);
enum dove_said { DOVE_OK, DOVE_NO, DOVE_BAD };
/* Sends a command; each response goes to each (rest: behind the "* "), whose text lives until it returns. An enum
 * dove_said, the answer's text in dove_answer; <0: the session is gone, which has been told. */
int dove_command_run(struct doveadm *d, struct slice command, void (*each)(void *ctx, struct slice rest), void *ctx);
struct slice dove_answer(const struct doveadm *d);  /* "[NONEXISTENT] No such mailbox." */
int dove_refused(const struct doveadm *d, const char *format, ...) PRINTF_LIKE(2, 3); /* told with dove_answer; code */

/* Words of a response. False: there is none. A list comes whole, with its brackets; NIL is empty with at == NULL. */
struct dove_word { enum { DOVE_ATOM, DOVE_STRING, DOVE_LIST } kind; struct slice text; };
bool dove_next(struct slice *rest, struct dove_word *out);
struct slice dove_unescape(struct arena *mem, const struct dove_word *w); /* a string's bytes */
void dove_quote(struct buf *out, struct slice name); /* as IMAP string */

/* doveadm_boxes.c: mailboxes. */
struct dove_box {
	struct slice name, guid;   /* 32 hexadecimal digits */
	bool selectable, subscribed, own; /* own: not somebody else's that is shared */
};
int dove_boxes(struct doveadm *d, struct arena *mem, struct dove_box **out, size_t *count); /* by name */
int dove_open(struct doveadm *d, struct slice name, bool writes); /* SELECT or EXAMINE */
bool dove_guid_of(struct slice id, char out[static 33]);          /* "F1-2" */

#define DOVE(name) int name##_prepare(struct doveadm *d, void **state); int name(struct doveadm *d, void *state)
DOVE(dove_search);
DOVE(dove_fetch);
DOVE(dove_change); /* expunge, move, copy, flags */
DOVE(dove_mailbox_list);
DOVE(dove_mailbox_change); /* create, delete, rename, subscribe, unsubscribe */
DOVE(dove_mailbox_status);
DOVE(dove_quota_get);
DOVE(dove_acl_show); /* get, rights */
DOVE(dove_acl_change); /* set, add, remove, delete */
int dove_mutf7(struct doveadm *d, void **state);
int dove_user(struct doveadm *d, void **state);
int dove_pw(struct doveadm *d, void **state);
int dove_auth_test(struct doveadm *d, void **state);
int dove_who(struct doveadm *d, void **state);
int dove_kick(struct doveadm *d, void **state);
int dove_log(struct doveadm *d, void **state);
int dove_serve(struct doveadm *d, void **state);  /* reload, stop */
int dove_instance(struct doveadm *d, void **state);
int dove_stats(struct doveadm *d, void **state);
int dove_config(struct doveadm *d, void **state);
int dove_repair(struct doveadm *d, void **state); /* force-resync, quota recalc */
int dove_kept(struct doveadm *d, void **state);   /* index, purge: done all the time */
int dove_transfer(struct doveadm *d, void **state); /* backup, sync, import */
int dove_instead(struct doveadm *d, void **state); /* not here, but there is something else */
