/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "store/store.h"
/* What others may do with a mailbox (RFC 4314). Its owner may do everything, always; nothing is written down for him.
 * Somebody else has what is given to his address, to groups he is in, to "authenticated" and to "anyone" (for us the
 * same: nobody reads without having logged in), together; and of that not what is given to the same names with a '-'
 * before them. A new mailbox begins with the rights of the one above it. */
enum acl_right { /* in the order of RFC 4314 §2.1, which is the order they are written in */
	ACL_LOOKUP = 1,       /* l */
	ACL_READ = 2,         /* r */
	ACL_SEEN = 4,         /* s */
	ACL_WRITE = 8,        /* w: flags other than \Seen and \Deleted */
	ACL_INSERT = 16,      /* i */
	ACL_POST = 32,        /* p: delivery by SMTP */
	ACL_CREATE = 64,      /* k: mailboxes below */
	ACL_REMOVE = 128,     /* x: the mailbox itself */
	ACL_DELETE = 256,     /* t: \Deleted */
	ACL_EXPUNGE = 512,    /* e */
	ACL_ADMIN = 1024,     /* a */
	ACL_ALL = 2047,
	ACL_CHANGES = ACL_SEEN | ACL_WRITE | ACL_INSERT | ACL_DELETE | ACL_EXPUNGE, /* one of them: not read-only */
};
/* "lrs"; the obsolete c is k and x, d is t and e (RFC 4314 §2.1.1). False: a letter that is none. */
bool acl_parse(struct slice letters, uint32_t *rights);
void acl_put(struct buf *out, uint32_t rights); /* with c and d where one of their rights is there */

/* An identifier's stored form: addresses and groups in lower case. 0 or STORE_BAD_NAME (empty, with blanks, a '-'
 * alone…). */
int acl_identifier(struct arena *mem, struct slice said, struct slice *out);

enum acl_how { ACL_REPLACE, ACL_ADD, ACL_TAKE };
int store_acl_set(struct db_conn *tx, struct box box, struct slice identifier, enum acl_how how, uint32_t rights);
int store_acl_each(struct db_conn *c, struct box box, int (*each)(void *ctx, struct slice identifier, uint32_t rights),
		   void *ctx);
/* Of one who is not the owner; who: his address. 0: none. */
int store_acl_rights(struct db_conn *c, struct box box, struct slice who, uint32_t *rights);
/* Every mailbox of other accounts in which who has a right, by account. */
int store_acl_shared(struct db_conn *c, int64_t account, struct slice who,
		     int (*each)(void *ctx, struct box box, uint32_t rights), void *ctx);
int store_acl_forget(struct db_conn *tx,
		     struct slice who); /* an account is gone: whoever gets its name is somebody else */

int store_group_add(struct db_conn *tx, struct slice group, struct slice member);    /* STORE_EXISTS, STORE_BAD_NAME */
int store_group_delete(struct db_conn *tx, struct slice group,
		       struct slice member); /* STORE_NO_MAILBOX: not a member */
int store_group_each(struct db_conn *c, int (*each)(void *ctx, struct slice group, struct slice member), void *ctx);
