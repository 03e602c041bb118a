/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/dmarc.h"
/* Inside of dmarc: records in DNS, and organisational domains (RFC 9989 §4.10). */
enum dmarc_answer {
	DMARC_FOUND,
	DMARC_ABSENT,
	DMARC_BROKEN, /* there is one, but it cannot be used: `reason` */
	DMARC_LATER,  /* `reason` */
};
struct dmarc_found {
	struct slice domain;
	enum dmarc_answer answer;
	struct dmarc_record record;
	struct slice reason;
	struct dmarc_found *next;
};
/* Remembers what it has asked; for one message. */
struct dmarc_seeker {
	const struct dmarc_params *p;
	int64_t deadline;
	struct arena *mem;
	struct dmarc_found *known;
};
/* The record at a domain itself. Domains: ASCII lower case, without dot at the end. */
const struct dmarc_found *dmarc_seek(struct dmarc_seeker *s, struct slice domain);
/* *out: the organisational domain; *psd: the record of the public suffix domain above (psd=y), if the walk came upon
 * one, else NULL. <LATER>: a look-up of the way failed: its answer; *out is untouched. NULL: done. */
const struct dmarc_found *dmarc_seek_organisation(struct dmarc_seeker *s, struct slice domain, struct slice *out,
						  const struct dmarc_found **psd);
/* The names that a walk asks, from the domain itself upwards. */
enum { DMARC_WALK_MAX = 8 };
size_t dmarc_walk(struct slice domain, struct slice out[DMARC_WALK_MAX]);
