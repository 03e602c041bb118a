/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "cli/inside.h"
#include "db/db.h"
#include "store/store.h"
/* What `hato import maildir` and `hato export maildir` share: their words, the account, the report at the end. */
struct transfer {
	struct cli *cli;
	const char *verb;            /* "import", "export" */
	bool json;
	const char *folder, *data;
	struct slice account_name;
	int hands;
	struct db *db;
	int64_t account;
	uint64_t mailboxes, messages, there, failed, bytes; /* there: were done before */
};
/* Reads the words, opens everything, runs work in the worker and reports. */
int transfer_run(struct cli *cli, const char *verb, int (*work)(struct transfer *t));
void transfer_failed(struct transfer *t, const char *format, ...) PRINTF_LIKE(2, 3); /* one thing; the rest goes on */
/* A small file of the folder; false: there is none, or it cannot be read (that is told). */
bool transfer_read(struct transfer *t, struct slice path, struct buf *out);

int run_import(struct cli *cli);
int run_export(struct cli *cli);
