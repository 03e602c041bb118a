/* SPDX-License-Identifier: Apache-2.0 */
/* libpsl knows the list's rules; this is only its shape in our house. */
#include "trust/psl.h"
#include <libpsl.h>
#include "base/fail.h"

struct psl {
	psl_ctx_t *list;
};

struct psl *psl_open(const char *file) {
	psl_ctx_t *list = file != NULL ? psl_load_file(file) : psl_latest(NULL);
	if (list == NULL || (file != NULL && psl_suffix_count(list) == 0)) {
		psl_free(list);
		fail("%s: no public suffix list (it comes with Debian's package publicsuffix)",
		     file != NULL ? file : "libpsl");
		return NULL;
	}
	struct psl *p = mem_get(sizeof *p);
	p->list = list;
	return p;
}

void psl_close(struct psl **p) {
	if (*p == NULL) return;
	psl_free((*p)->list);
	free(*p);
	*p = NULL;
}

struct slice psl_organisation(const struct psl *p, struct slice domain) {
	char text[256];
	if (domain.len >= sizeof text || domain.len == 0) return domain;
	memcpy(text, domain.at, domain.len);
	text[domain.len] = 0;
	const char *found = psl_registrable_domain(p->list, text);
	return found != NULL ? slice_skip(domain, (size_t)(found - text)) : domain;
}
