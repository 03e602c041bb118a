/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* Who someone is: domains, accounts, aliases, and where a local address leads.
 *
 * Addresses are compared without case (ASCII) and stored lower-cased; domains as A-labels (IDNA 2008). Every function
 * takes them as people write them. An account's name is its address. */
enum user_answer {
	USER_ACCOUNT = 1,   /* user_resolve: deliver to account_id */
	USER_ALIAS,         /* user_resolve: goes on to targets */
	USER_UNKNOWN,       /* local domain, no such user; also: nothing found to change or delete */
	USER_NOT_LOCAL,     /* not our domain */
	USER_DISABLED,      /* user_resolve: the account exists and is switched off */
	USER_EXISTS,
	USER_BAD_ADDRESS,   /* not local@domain, or longer than 320 bytes */
	USER_IN_USE,        /* the domain still has accounts or aliases */
};

/* The stored form of an address, of a domain ("example.com"), of a catch-all ("@example.com"); text in mem.
 * 0 or USER_BAD_ADDRESS. */
int user_address(struct arena *mem, struct slice address, struct slice *out);
int user_domain(struct arena *mem, struct slice domain, struct slice *out);

/* A domain is local when it was added, or when it has an account or an alias. */
int user_domain_add(struct db_conn *tx, struct slice domain);    /* USER_EXISTS, USER_BAD_ADDRESS */
int user_domain_delete(struct db_conn *tx, struct slice domain); /* USER_UNKNOWN, USER_IN_USE */
/* All local domains, sorted. */
int user_domain_each(struct db_conn *c, int (*each)(void *ctx, struct slice domain), void *ctx);
int user_domain_local(struct db_conn *c, struct slice domain);   /* 0 or USER_NOT_LOCAL */

struct account {
	int64_t id;
	struct slice address;
	bool disabled;
	int64_t created_us;
	uint64_t quota_bytes, quota_messages; /* its own limits, else the default ones; 0: none */
};
/* Adding an account gives it no mailboxes: call store_account_create in the same transaction; deleting one deletes no
 * mail: call store_account_delete. Neither touches the secret, which is the vault's. */
int user_account_add(struct db_conn *tx, struct slice address, int64_t *id);   /* USER_EXISTS, USER_BAD_ADDRESS */
int user_account_delete(struct db_conn *tx, struct slice address, int64_t *id); /* USER_UNKNOWN; id may be NULL */
int user_account_disable(struct db_conn *tx, struct slice address, bool disabled); /* USER_UNKNOWN */
/* Each 0: none of its own, so the default counts; QUOTA_UNLIMITED: none at all. USER_UNKNOWN. */
#define QUOTA_UNLIMITED UINT64_MAX
int user_account_quota(struct db_conn *tx, struct slice address, uint64_t bytes, uint64_t messages);
/* What every account may keep that has no limit of its own, in this process and from now on; 0: anything. */
void user_quota_default(uint64_t bytes, uint64_t messages);
/* Text in mem. 0 or USER_UNKNOWN. Exactly this address: no aliases, no extension. */
int user_account_find(struct db_conn *c, struct arena *mem, struct slice address, struct account *out);
int user_account_by_id(struct db_conn *c, struct arena *mem, int64_t id, struct account *out);
/* When and how somebody logged in last; one row an account, which is written now and then. */
struct login_note { int64_t time_us; struct slice protocol, remote; };
int user_login_note(struct db_conn *tx, int64_t account, const struct login_note *note);
int user_login_last(struct db_conn *c, struct arena *mem, int64_t account,
		    struct login_note *out); /* USER_UNKNOWN: never */
/* In the order of their addresses; domain empty: all. Stops when each returns other than 0 and returns that. */
int user_account_each(struct db_conn *c, struct slice domain, int (*each)(void *ctx, const struct account *a),
                      void *ctx);

/* An alias has one or more targets: addresses here or elsewhere. Its own address may be "@domain" (catch-all), and
 * then a target may be "@other" (same local part there). A target equal to the alias means the account of that
 * name. */
int user_alias_add(struct db_conn *tx, struct slice address, struct slice target); /* USER_EXISTS, USER_BAD_ADDRESS */
/* target empty: all. USER_UNKNOWN. */
int user_alias_delete(struct db_conn *tx, struct slice address, struct slice target);
int user_alias_each(struct db_conn *c, struct slice domain,
                    int (*each)(void *ctx, struct slice address, struct slice target), void *ctx);

/* What its owner wants done with mail that an alias (of whatever table) cannot well send on: flow/forward.h. choice <
 * 0: what is usual. USER_BAD_ADDRESS. */
int user_forward_choose(struct db_conn *tx, struct slice address, int choice);
int user_forward_choice(struct db_conn *c, struct slice address,
			int *choice); /* 0, or USER_UNKNOWN; exactly this address */
int user_forward_each(struct db_conn *c, int (*each)(void *ctx, struct slice address, int choice), void *ctx);

struct resolve_params {
	struct slice delimiters;     /* recipient_delimiter, a set: split at the leftmost of them; empty: never */
	bool owner_request_whole;    /* owner_request_special: owner-x and x-request are not split */
	struct slice bounce_user;    /* local part of double_bounce_sender, not split; "double-bounce" when empty */
	bool accounts_only;          /* aliases are not looked at (for a target equal to its alias) */
};
struct resolved {
	int64_t account_id;     /* USER_ACCOUNT, USER_DISABLED */
	uint64_t quota_bytes, quota_messages; /* of that account, as in struct account */
	struct slice address;   /* the account or alias address that matched, stored form */
	struct slice detail;    /* the extension behind the delimiter, as written; at == NULL: none */
	char delimiter;         /* the one used, 0: none */
	bool catch_all;
	struct slice *targets;  /* USER_ALIAS */
	size_t target_count;
};
/* Where does this address lead, one step? Order: alias, then account, of the whole address; the same of the address
 * without its extension; catch-all. postmaster@ and abuse@ of a local domain always lead somewhere while the server
 * has an account: without an alias, account or catch-all of that name they are an alias of the oldest enabled account
 * of the domain, or of the whole server. Text in mem. USER_ACCOUNT, USER_ALIAS, USER_UNKNOWN, USER_NOT_LOCAL,
 * USER_DISABLED, USER_BAD_ADDRESS, or <0. */
int user_resolve(struct db_conn *c, struct arena *mem, struct slice address, const struct resolve_params *params,
                 struct resolved *out);
