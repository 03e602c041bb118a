/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing comes back that we did not sign; what was rewritten comes back as it was. */
#include "trust/srs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static const struct slice secrets[] = { S("first"), S("second") };
	static const struct srs_params p = { .domain = S("ours.example"),
					     .secrets = secrets,
					     .secrets_count = LEN(secrets),
					     .max_age_days = 21,
					     .now_s = 1700000000 };
	static const struct srs_params other = { .domain = S("other.example"),
						 .secrets = secrets + 1,
						 .secrets_count = 1,
						 .max_age_days = 21,
						 .now_s = 1700000000 };
	AUTO_ARENA struct arena mem = {0};
	struct slice sender = slice_from(data, size), made, again, back;
	(void)srs_reverse(&p, sender, &mem, &back);
	if (srs_forward(&p, sender, &mem, &made) != SRS_DONE) return 0;
	bool first = !srs_is(sender);
	must(srs_is(made) && slice_ends(made, S("@ours.example")));
	enum srs_answer r = srs_reverse(&p, made, &mem, &back);
	if (first) must(r == SRS_DONE && slice_eq(back, sender));
	if (srs_forward(&other, made, &mem, &again) == SRS_DONE && first) {
		must(srs_reverse(&other, again, &mem, &back) == SRS_DONE && slice_eq(back, made));
		must(srs_reverse(&p, again, &mem, &back) == SRS_UNCHANGED);
	}
	return 0;
}
