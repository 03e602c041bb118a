/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
/* DKIM keys in other programs' files: OpenDKIM's KeyTable, SigningTable and KeyFile, the folders of docker-mailserver's
 * OpenDKIM and rspamd. Read by master, who may, whoever owns them (and by the hato command, when the server is down),
 * for vault. What cannot be read is told in the log and left out: the mail that it would sign goes unsigned, and
 * everything else works. */
void dkim_files_pack(const struct conf *c, struct buf *out); /* a keyring_given; nothing: there are none */
struct keyring_given;
struct arena;
/* Those in one folder: KeyTable, rspamd's, or DOMAIN/SELECTOR.private there or in keys/. */
void dkim_files_in(struct slice folder, struct arena *mem, struct keyring_given *out);
/* A number that changes when one of these files does. */
uint64_t dkim_files_stamp(const struct conf *c);
