/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/opendkim_file.h"
#include "conf/snapshot.h"
/* Settings files of other programs, brought along: each of their keys becomes the setting of ours that does the same,
 * with the file and line as the place where it was set; main.cf is stronger. One table for each program says what
 * becomes of its keys (opendkim.c, opendmarc.c). */
struct adoption {                         /* a file under work */
	struct conf *c;
	struct opendkim_file file;
	const struct opendkim_line *line; /* under work, with what its key's row says: */
	const char *setting;
};
struct adopted_key {
	const char *key;
	void (*take)(struct adoption *a); /* one of those below, or one of the program's own */
	const char *setting;              /* or the reason of a warning */
};
struct adopted_program {
	const char *name;                 /* "OpenDKIM" */
	const char *setting, *usual;      /* "opendkim_config", and the file where that is empty; NULL: none then */
	enum setting_id id;
	const struct adopted_key *keys;
	size_t keys_count;
	int (*read)(struct sources *files, struct slice path, struct problems *problems,
		    struct opendkim_file *out); /* NULL: as OpenDKIM's */
	bool (*other)(struct adoption *a); /* a line with none of these keys: true when it was told of; NULL */
	void (*defaults)(struct adoption *a, struct slice path); /* what the program does without a line */
};
/* The file that the setting names; where that is empty, the usual one if smtpd_milters or non_smtpd_milters name its
 * Socket; "none": none. Called when the main view can be evaluated. */
void adopt_file(struct conf *c, const struct adopted_program *p);

void adopt_warn(struct adoption *a, const char *text);
/* As if it were set there, unless main.cf sets it; taken as it stands, without $names. Warns of what this version does
 * not act on. */
void adopt_put(struct adoption *a, const char *setting, struct slice text);
bool adopt_truth(struct adoption *a, bool *out); /* false: neither; warned */
/* For the tables. */
void adopt_text(struct adoption *a);
void adopt_bool(struct adoption *a);
void adopt_silently(struct adoption *a);
void adopt_warn_always(struct adoption *a);
void adopt_warn_if_true(struct adoption *a);
/* Adds "192.0.2.7/24" as a word of a list of networks. False: no address or network. */
bool adopt_network(struct buf *out, struct slice word);
