/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/parse.h"
/* IMAP URLs of messages and their parts (RFC 5092), as CATENATE names what it takes (RFC 4469):
 *   imap://user@host/INBOX;UIDVALIDITY=785799047/;UID=113330;/;SECTION=1.5.9
 *   /Drafts/;UID=7/;SECTION=HEADER        relative to the server
 *   ;UID=7  or  /;UID=7                   relative to the selected mailbox
 * Every text is decoded; in `mem`. */
struct imap_url {
	bool absolute;
	struct slice user, host; /* user: empty when not said */
	struct slice mailbox;    /* UTF-8; empty: the selected one */
	uint32_t uidvalidity;    /* 0: not said */
	uint32_t uid;
	struct slice section;    /* as of BODY[…]; empty: the whole message */
	bool partial;            /* URL-PARTIAL: ;PARTIAL=from.count */
	uint64_t from, count;    /* count 0: to the end */
};
/* False: it is none, or asks for what only URLAUTH gives. */
bool imap_url_parse(struct arena *mem, struct slice text, struct imap_url *out);
