/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "role/identity.h"
/* When our certificates end, told in the log in time: 21, 7 and 1 days before, and when it is too late, each once. */
struct expiry {
	int64_t next_ms; /* the next look, by clock_ms; 0: at once */
	struct {
		uint64_t chain; /* hash */
		int left;       /* what was told: 21, 7, 1 or 0 days */
	} told[IDENTITIES_MAX];
	size_t count;
};
void expiry_look(struct expiry *e, const struct identities *all); /* does nothing before its time has come */
/* "certificate reloaded: NAMES, expires 2027-02-21" for each that was not there before. */
void expiry_tell_new(const struct identities *now, const struct identities *before);
