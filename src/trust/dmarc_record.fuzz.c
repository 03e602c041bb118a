/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a domain publishes is a record within its bounds or none; whatever stands in From is authors with usable
 * domains. */
#include "mime/address.h"
#include "trust/dmarc.h"
#include "trust/report_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = {0};
	struct dmarc_record r;
	struct slice text = slice_from(data, size), reason = SLICE_NONE, authors[DMARC_FROM_MAX];
	if (dmarc_record_parse(text, &mem, &r, &reason)) {
		must(dmarc_record_is(text) && r.p >= DMARC_POLICY_NONE && r.p <= DMARC_POLICY_REJECT &&
		     r.percent <= 100 && r.fo.len != 0);
		must(r.psd == 'y' || r.psd == 'n' || r.psd == 'u');
	} else {
		must(reason.len != 0);
	}
	struct report_target targets[REPORT_TARGETS_MAX], others[REPORT_TARGETS_MAX];
	size_t targets_count = report_targets(text, &mem, targets), others_count = 0;
	must(targets_count <= REPORT_TARGETS_MAX);
	struct slice host = targets_count != 0 ? targets[0].host : S("example.org");
	if (report_permitted(&text, 1, host, false, &mem, others, &others_count))
		for (size_t i = 0; i < others_count; i++) must(slice_eq(others[i].host, host));
	bool broken;
	size_t n = dmarc_authors(text, &mem, authors, LEN(authors), &broken);
	must(n <= LEN(authors));
	for (size_t i = 0; i < n; i++) must(domain_valid(authors[i], false));
	return 0;
}
