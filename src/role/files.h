/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
/* Tables with passwords in them are root's alone (chmod 600, as every how-to says), and a role is somebody else. Where
 * it may not open a file of a table it asks master, on a socket of its own, which opens what the settings name as a
 * table and nothing else: for relay the tables of smtp_… and lmtp_…, for the others all but these. */

/* In a role. files_open is for table_params.open: as open(2), else by master. */
void files_take(int fd); /* the socket to master, from now on ours */
int files_open(void *ctx, const char *path);

/* In master: takes one question of a child and answers it. False: the child has closed its end. */
bool files_answer(int fd, const struct conf *conf, bool relay);
/* Is it the file of a table that these settings name? */
bool files_named(const struct conf *conf, struct slice path, bool relay);
