/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/dns.h"
/* What dns.c (records) and dns_ask.c (questions) share. */
#define DNS_NAME_MAX 255 /* bytes, with a dot at the end */
#define DNS_TEXT_ROOM (4 * DNS_NAME_MAX + 1) /* for a name as libunbound reads it, with escapes, and its NUL */

struct dns_answer {
	int result;              /* enum dns_result */
	const char *why;         /* with DNS_LATER */
	struct slice *rdata;
	size_t count;
	struct dns_facts facts;
};
/* Asks count (1 or 2) questions about a name at the same time and waits for all. */
void dns_ask(struct dns *d, const char *name, const int *types, size_t count, int64_t deadline, struct arena *mem,
	struct dns_answer *out);

/* dns_alive.c: does any of these resolvers say anything at all? At once where all refuse. */
bool dns_any_alive(const struct addr *resolvers, size_t count, int wait_ms);

/* dns_memory.c: answers of a moment ago. mem NULL: only whether there is one. What could not be answered is not kept.
 */
struct dns_memory;
struct dns_memory *dns_memory_new(void);
void dns_memory_free(struct dns_memory **m);
bool dns_memory_get(struct dns_memory *m, const char *name, int type, struct arena *mem, struct dns_answer *out);
void dns_memory_keep(struct dns_memory *m, const char *name, int type, const struct dns_answer *answer);

/* Checks a name to be asked for; its text with a NUL goes to `to`. Bytes that are no visible ones are escaped there as
 * \DDD. */
bool dns_name_check(struct slice name, char to[DNS_TEXT_ROOM]);
/* Takes a name off the front of record data. False: broken, or no host name. The root's text is empty. */
bool dns_name_take(struct slice *rdata, struct arena *mem, struct slice *out);
