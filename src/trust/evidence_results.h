/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/evidence.h"
/* The inside of evidence: what was found, as Authentication-Results says it. */

/* Fills v->results. adsp: a word of RFC 5617, or empty. */
void evidence_results(const struct evidence_params *p, const struct evidence_client *c, struct evidence_verdict *v,
		      struct slice adsp, struct arena *mem);
/* The comment of dmarc again, after the record has changed. */
void evidence_results_dmarc(struct evidence_verdict *v, struct arena *mem);
