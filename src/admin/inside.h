/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this room share. */
#include "admin/admin.h"
#include "admin/table.h"
#include "base/arena.h"

/* One request under way: the verb, its arguments without the options, and where the answer goes. */
struct admin_call {
	const struct admin *a;
	const struct admin_verb *verb;
	const struct slice *args;
	size_t count;
	struct slice input;
	struct buf *out, *err;
	struct arena *mem;
	bool quiet, json;
	size_t width; /* of the terminal, 0: any */
	struct given {
		struct slice name, value;
	} options[16];
	size_t option_count;
};
/* Was --name given? value may be NULL. */
bool call_option(const struct admin_call *c, const char *name, struct slice *value);
/* "hato account add: TEXT" on the standard error, TEXT cleaned; returns code. */
int refuse(struct admin_call *c, int code, const char *format, ...) PRINTF_LIKE(3, 4);
int broken(struct admin_call *c); /* after <0 from db, user, store, queue: fail_text() */
void remark(struct admin_call *c, const char *format, ...) PRINTF_LIKE(2, 3); /* on the standard error, not with -q */
void tell(struct admin_call *c, const char *format, ...)
	PRINTF_LIKE(2, 3); /* a line on the standard output, not with -q */
/* Prints the table, as text or JSON; empty is what to remark when there is nothing. */
int show_table(struct admin_call *c, const struct table *t, const char *empty);

/* account.c: the account of the first argument. EX_OK, or refused. */
struct account;
int call_account(struct admin_call *c, struct account *account);
int no_folder(struct admin_call *c, struct slice account, struct slice name); /* acl.c: refuses */
/* name.c: the stored form of what a person wrote. catch_all: "@example.com" is fine. False: not a mail address. */
bool name_address(struct arena *mem, struct slice text, bool catch_all, struct slice *out);
/* postfix_list.c: the queue Postfix would have a message in: "incoming", "active", "deferred", "hold". */
struct queue_message;
const char *postfix_queue_of(const struct queue_message *m, int64_t now_us);
/* released.c: the log line of a message that leaves hold, after the commit. m is of db_memory(tx). */
struct db_conn;
void tell_released(struct db_conn *tx, const struct queue_message *m);
/* hint.c: what a reply means and what to do about it, in a sentence; NULL when it speaks for itself. here: we said it.
 */
const char *hint_for(struct slice status, struct slice text, bool here);

/* search_index.c: the server's index, or one opened for this request into *own (to be closed); NULL: there is none. */
struct search_index *index_of(struct admin_call *c, struct search_index **own);

int verb_account_add(struct admin_call *c);
int verb_account_delete(struct admin_call *c);
int verb_account_app_password(struct admin_call *c);
int verb_account_list(struct admin_call *c);
int verb_account_show(struct admin_call *c);
int verb_account_stats(struct admin_call *c);
int verb_account_password(struct admin_call *c);
int verb_account_test(struct admin_call *c);
int verb_account_disable(struct admin_call *c);
int verb_account_enable(struct admin_call *c);
int verb_account_quota(struct admin_call *c);
int verb_acl_list(struct admin_call *c);
int verb_acl_set(struct admin_call *c);
int verb_acl_delete(struct admin_call *c);
int verb_group_add(struct admin_call *c);
int verb_group_delete(struct admin_call *c);
int verb_group_list(struct admin_call *c);
int verb_folder_list(struct admin_call *c);
int verb_folder_add(struct admin_call *c);
int verb_folder_delete(struct admin_call *c);
int verb_folder_rename(struct admin_call *c);
int verb_folder_autoexpunge(struct admin_call *c);
int verb_domain_quota(struct admin_call *c);
int verb_alias_add(struct admin_call *c);
int verb_alias_delete(struct admin_call *c);
int verb_alias_list(struct admin_call *c);
int verb_alias_forward(struct admin_call *c);
int verb_domain_add(struct admin_call *c);
int verb_domain_delete(struct admin_call *c);
int verb_domain_list(struct admin_call *c);
int verb_domain_names(struct admin_call *c);
int verb_dkim_list(struct admin_call *c);
int verb_dkim_show(struct admin_call *c);
int verb_dkim_keys(struct admin_call *c);
int verb_dkim_add(struct admin_call *c);
int verb_dkim_rotate(struct admin_call *c);
int verb_dkim_switch(struct admin_call *c);
int verb_dkim_import(struct admin_call *c);
int verb_dkim_remove(struct admin_call *c);
int verb_queue_list(struct admin_call *c);
int verb_queue_show(struct admin_call *c);
int verb_queue_flush(struct admin_call *c);
int verb_queue_delete(struct admin_call *c);
int verb_queue_hold(struct admin_call *c);
int verb_queue_release(struct admin_call *c);
int verb_queue_mailq(struct admin_call *c);
int verb_queue_super(struct admin_call *c);
int verb_queue_cat(struct admin_call *c);
int verb_index(struct admin_call *c);
int verb_undelete(struct admin_call *c);
int verb_verify(struct admin_call *c);
int verb_why(struct admin_call *c);
int verb_who(struct admin_call *c);
int verb_kick(struct admin_call *c);
int verb_route(struct admin_call *c);
int verb_reports(struct admin_call *c);
int verb_reports_send(struct admin_call *c);
int verb_forward_check(struct admin_call *c);
int verb_status(struct admin_call *c);
/* dkim.c: domains that sign with a key whose record is not in DNS, as far as it is known; with blanks between. */
struct slice dkim_unseen(struct admin_call *c);
