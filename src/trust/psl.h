/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
/* The public suffix list: where domains are sold (publicsuffix.org). RFC 7489 finds organisational domains by it; its
 * successor asks DNS instead (dmarc.h). */
struct psl;
/* file: in the list's own format, or libpsl's compiled one; NULL: the newer of the system's and the one that libpsl has
 * built in. NULL: fail(). */
struct psl *psl_open(const char *file);
void psl_close(struct psl **p);
/* The domain somebody registered: "example.co.uk" of "a.example.co.uk". The domain itself when it is a public suffix.
 * `domain` in ASCII lower case (A-labels); the result points into it. */
struct slice psl_organisation(const struct psl *p, struct slice domain);
