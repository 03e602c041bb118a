/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/dns_filter.h"
#include "base/fail.h"
#include "base/log.h"

int dns_filter_judge(const struct dns_filter *f, struct slice record, struct arena *mem) {
	struct lookup_hit hit;
	if (f->tables.count == 0) return 0;
	int r = lookup_key(&f->tables, record, mem, &hit);
	if (r == TABLE_MISSING) return 0;
	if (r == TABLE_FOUND && slice_same(slice_trim(hit.value), S("ignore"))) return 1;
	if (r == TABLE_FOUND)
		say(L_WARN, f->service, "%s: unknown DNS filter action: \"%.*s\"", f->setting, SLICE_ARG(hit.value));
	else say(L_WARN, f->service, "%s: lookup error for \"%.*s\": %s", f->setting, SLICE_ARG(record), fail_text());
	return -1;
}
