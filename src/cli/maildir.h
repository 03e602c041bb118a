/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* What Dovecot keeps beside the messages of a Maildir++ (compat.md of the design; Dovecot's MailboxFormat/Maildir).
 * Text is borrowed from what was read. */
struct maildir_record {
	uint32_t uid;
	struct slice base; /* the file's name up to ":2," */
	struct slice uidl; /* of POP3; empty: none of its own */
};
struct maildir_list {
	uint32_t uidvalidity, uidnext;
	struct maildir_record *records; /* sorted by base; of two for one file the later one */
	size_t count;
};
/* dovecot-uidlist of version 1 and 3. False: not understood. Lines that are broken are left out. */
bool maildir_list_read(struct slice text, struct arena *mem, struct maildir_list *out);
const struct maildir_record *maildir_find(const struct maildir_list *l, struct slice base);
/* The last uidvalidity that Dovecot gave to a mailbox here, by the name of an empty file:
 * "dovecot-uidvalidity.4ba0b0a3". False: another file. */
bool maildir_uidvalidity(struct slice name, uint32_t *out);

/* dovecot-keywords: names by letter, "a" first. Names that are no atoms are left out. */
enum { MAILDIR_KEYWORDS = 26 };
void maildir_keywords_read(struct slice text, struct slice names[static MAILDIR_KEYWORDS]);

/* A file's name: its base and flags (FLAG_…); keywords, blank-separated, are added to words. */
struct slice maildir_base(struct slice name);
uint32_t maildir_flags(struct slice name, const struct slice names[static MAILDIR_KEYWORDS], struct buf *words);
/* The letters behind ":2,", in order; $Forwarded is a keyword here, as Dovecot does not know P. Keywords without a
 * letter are left out: their number is the result. */
size_t maildir_flags_put(struct buf *out, uint32_t flags, struct slice keywords,
			 const struct slice names[static MAILDIR_KEYWORDS]);

/* ".Sent.2024" ↔ "Sent/2024". False: no such name. put: a '.' in a name becomes '_', and *changed. */
bool maildir_folder_read(struct slice folder, struct buf *name);
bool maildir_folder_put(struct slice name, struct buf *folder, bool *changed);
