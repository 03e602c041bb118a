/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "role/boot.h"
/* Certificates and keys, as files on disk and as what the other processes are given. Read by master, before anybody
 * else runs.
 *
 * The server's: chains go to edge, keys to vault. Without any certificate setting a self-signed one is made once, in
 * DATA/tls. A listener with certificate settings of its own (-o smtpd_tls_cert_file=…) has a set of its own. A set that
 * cannot be read is left out with a warning, as Postfix does, where TLS is only offered; where nobody could log in or
 * send without it, it is a failure. Those that the ways out show to other servers (smtp_tls_chain_files,
 * smtp_tls_cert_file, … and their lmtp_ twins, -o in master.cf included): chains go to relay, keys to vault. Without a
 * setting there is none. */
struct identities {
	struct identity_text {
		char *chain, *key;
	} at[IDENTITIES_MAX];
	size_t count;
	struct client_identity {
		char *name, *chain, *key; /* name: the file of the chain */
	} client[IDENTITIES_MAX];
	size_t client_count;
	bool incomplete;    /* a set was left out */
	char *why;          /* the last one, for `hato check`; NULL: none */
	char *files[4 * IDENTITIES_MAX]; /* to be watched, those that are not there too */
	size_t file_count;
};
/* strict: a set that cannot be read is a failure in any case (a reload, which keeps what there was). */
/* dir NULL: no self-signed one is looked for or made. */
int identities_load(const struct conf *c, const char *dir, bool strict, struct identities *out);
int identities_load_client(const struct conf *c, struct identities *out); /* only those of the ways out */
void identities_done(struct identities *i);
/* A number that changes when one of the files does. */
uint64_t identities_stamp(const struct identities *i);

/* What one way out shows: the files of its certificates, at most as many as there is room for. A list of chain files is
 * one of them: chain is its text, and all certificates in it go by that name. */
struct identity_files {
	struct slice chain, key;
};
size_t identity_client_files(const struct conf_view *v, bool lmtp, struct identity_files *out, size_t room);

int identity_read_pem(struct identities *all, const char *path, struct buf *out); /* a file that is watched then */
/* A list of chain files: each key with its certificates, one by one. take: 0, and what it is handed is its
 * own; <0 when it did not take it. */
struct identity_taker {
	int (*take)(void *ctx, const struct identity_text *text);
	void *ctx;
};
int identity_read_list(struct identities *all, const struct slice *files, size_t count,
		       const struct identity_taker *to);

/* The PEM blocks whose title ends in `title`; the caller's to free. */
char *identity_blocks(struct slice pem, const char *title) NONNULL_RESULT;
/* Whose certificates a listener with these settings shows: "" those of main.cf, else a line that the chains of its own
 * set begin with, behind IDENTITY_SET. In mem. */
#define IDENTITY_SET "SET "
struct slice identity_set_of(const struct conf *c, const struct conf_view *v, struct arena *mem);
/* Could nobody log in or send at one of the listeners of this set without TLS? who: which, for the text. */
bool identity_set_needed(const struct conf *c, struct slice set, struct slice *who);
/* tls_server_sni_maps: more identities, whose chain begins with a line of the name they are for. */
#define IDENTITY_NAME "SNI "
int identities_load_sni(const struct conf *c, struct identities *all);
