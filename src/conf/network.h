/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/source.h"
#include "conf/table.h"
#include <sys/socket.h>
/* Lists of networks (mynetworks) and of domains (mydestination, relay_domains), as compat 2.2 has them: words separated
 * by commas and blanks, `!word` excludes, `/file` stands for the words in that file, and the first word that matches
 * decides. A word of the form type:table matches what the table has as a key, whatever its value; for networks that is
 * the address as text. Host names in lists of networks are not looked up: they match nothing and give a warning, or,
 * behind `!` where ignoring them would let more in, an error.
 *
 * Lists are immutable once read and live in the arena they were read into. */

/* 192.0.2.0/24, 192.0.2.1, [2001:db8::]/32, [::1]. Host bits that are not zero are an error, as in Postfix. */
struct networks {
	struct network {
		uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
		uint8_t bits;        /* of these 16 bytes: 96 more than IPv4's */
		bool except;
		struct slice table;  /* "type:name"; empty for a network */
		struct table *opened;
	} *at;
	size_t count;
};
/* The same list with its tables opened (those that cannot be match nothing); for processes that may look into them.
 * Without it a table matches nothing, and behind `!` it ends the list without a match. */
const struct networks *networks_open(const struct networks *n, struct tables *tables, struct arena *mem) NONNULL_RESULT;
/* name is the parameter's, for the messages. */
void networks_read(struct networks *out, struct slice text, const char *name, struct place where, struct sources *files,
                   struct problems *problems);
bool networks_match(const struct networks *n, const uint8_t address[16]);
/* False for families other than IPv4 and IPv6. */
bool networks_match_sockaddr(const struct networks *n, const struct sockaddr *address);

/* example.com, .example.com (names below it, not itself). ASCII case is ignored. */
struct domains {
	struct domain_pattern {
		struct slice name; /* lower case, without the leading dot; empty for a table */
		struct slice table; /* "type:name": flow/domain_set.h asks it, domains_match passes it over */
		bool below;        /* was .name */
		bool except;
	} *at;
	size_t count;
	bool parents;          /* name also stands for the names below it (parent_domain_matches_subdomains) */
};
void domains_read(struct domains *out, struct slice text, bool parents, const char *name, struct place where,
                  struct sources *files, struct problems *problems);
bool domains_match(const struct domains *d, struct slice domain);
bool domain_pattern_match(const struct domain_pattern *p, bool parents, struct slice domain);
