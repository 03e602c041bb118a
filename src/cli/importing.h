/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "cli/transfer.h"
/* Messages from elsewhere on their way into one mailbox. They are entered some hundred at a time, in order; what is
 * there already (its uid, or else its name) is left alone, so that an import can be made again. */
struct importer;
/* Opens the mailbox, made if there is none, and takes uidvalidity and uidnext over where it holds no other mail (0:
 * there are none to keep). >0: no name for a mailbox here (told already). */
int importer_open(struct transfer *t, struct slice mailbox, uint32_t uidvalidity, uint32_t uidnext,
		  struct importer **out);
int importer_close(struct importer **x); /* enters what waits; NULL is fine */

struct arriving {
	uint32_t uid;              /* 0: none, or to be given anew */
	uint32_t flags;
	struct slice keywords;     /* blank-separated */
	int64_t received_us;       /* 0: now */
	struct slice uidl;         /* of POP3; empty: none */
	struct slice name;         /* by which it is known again when it keeps no uid; empty: its digest */
};
bool importer_has(const struct importer *x, uint32_t uid); /* does it keep this uid, and is it here already? */
/* One message: begin, its bytes (LF or CRLF), end. Above zero: not this one, fail_text() says why; below: the store
 * cannot go on. When feeding failed, leave it. */
void importer_begin(struct importer *x);
int importer_feed(void *importer, struct slice piece);
int importer_end(struct importer *x, const struct arriving *m);
void importer_leave(struct importer *x);
uint64_t importer_size(const struct importer *x);               /* bytes fed so far */

void importer_subscribe(struct transfer *t, struct slice mailbox); /* the account wishes to see it */

int import_maildir(struct transfer *t);
int import_mbox(struct transfer *t);
