/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/parse.h"
/* What a client says of itself (ID, RFC 2971) changes nothing but this: what it is known to misuse is not offered to
 * it. */
/* New Outlook and its telephone apps read by way of servers that call themselves "Microsoft Office 365", enable UIDONLY
 * where they see it, and then say FETCH by message numbers, which UIDONLY forbids: nothing would be seen there. Reads
 * what stands behind ID, to the end of the command; false: p->error says why. */
bool client_id_read(struct imap_parse *p, bool *misuses_uidonly);
