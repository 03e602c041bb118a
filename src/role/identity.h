/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "role/boot.h"
/* The server's certificates and keys, as files on disk and as what edge (chains) and vault (keys) are given. Without
 * any certificate setting a self-signed one is made once, in DATA/tls. Read by master, before anybody else runs. */
struct identities {
	struct identity_text {
		char *chain, *key;
	} at[IDENTITIES_MAX];
	size_t count;
	char *files[2 * IDENTITIES_MAX]; /* to be watched */
	size_t file_count;
};
int identities_load(const struct conf *c, const char *dir, struct identities *out);
void identities_done(struct identities *i);
/* A number that changes when one of the files does. */
uint64_t identities_stamp(const struct identities *i);
