/* SPDX-License-Identifier: Apache-2.0 */
/* Restriction lists as they stand in main.cf, block list patterns, and what policy servers answer: any bytes. */
#include "filter/dnsbl.h"
#include "filter/restrict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool text_of(void *ctx, struct slice name, struct slice *out) {
	(void)name;
	*out = *(struct slice *)ctx;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice text = slice_from(data, size), action;
	struct dnsbl_zone zone;
	const uint8_t octets[] = { 127, 0, 0, 2 };
	if (dnsbl_zone_parse(text, true, &zone)) (void)dnsbl_pattern_match(&zone.pattern, octets);
	int used = policy_parse_reply(text, &action);
	must(used <= (int)size);
	struct restrict_params p = { .text = text_of, .ctx = &text, .classes = S("a b") };
	p.lists[RESTRICT_CLIENT] = p.lists[RESTRICT_RECIPIENT] = p.maps_rbl = text;
	struct restrictions *r = restrict_new(&p, &mem);
	(void)restrict_guards_relay(r);
	restrict_free(&r);
	return 0;
}
