/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "cli/inside.h"
#include "db/db.h"
#include "store/store.h"
#include "cli/mbox.h"
/* What `hato import` and `hato export` share: their words, the account, the report at the end. */
struct transfer {
	struct cli *cli;
	const char *verb;            /* "import", "export" */
	bool json;
	bool mbox;                   /* not a Maildir */
	const char *folder, *data;
	struct slice file;           /* in that folder; empty: all that is in it (mbox) */
	struct slice mailbox;        /* where that goes */
	enum mbox_format format;
	struct slice account_name;
	int hands;
	struct db *db;
	int64_t account;
	uint64_t mailboxes, messages, there, failed, bytes; /* there: were done before */
};
int export_maildir(struct transfer *t);
int export_mbox(struct transfer *t);

void transfer_failed(struct transfer *t, const char *format, ...) PRINTF_LIKE(2, 3); /* one thing; the rest goes on */
/* A small file of the folder; false: there is none, or it cannot be read (that is told). */
bool transfer_read(struct transfer *t, struct slice path, struct buf *out);

int run_import(struct cli *cli);
int run_export(struct cli *cli);
