/* SPDX-License-Identifier: Apache-2.0 */
/* What lmtp_… means is read by the code that reads smtp_…, through relay_setting: whoever knows that the one acts knows
 * it of the other, if each has its partner and none is left over. */
#include "role/relay_settings.h"
#include "base/test.h"

static const struct relay_profile smtp_way, lmtp_way = { .lmtp = true };

/* What only one of the two protocols has. */
static const struct slice alone[] = { S("lmtp_assume_final"), S("smtp_always_send_ehlo"), S("smtp_never_send_ehlo"),
				      S("smtp_tls_dane_insecure_mx_policy") };

static bool is_alone(struct slice name) {
	for (size_t i = 0; i < LEN(alone); i++)
		if (slice_eq(name, alone[i])) return true;
	return false;
}

static bool has_partner_of(enum setting_id lmtp) {
	for (enum setting_id id = 0; id < SETTINGS_COUNT; id++)
		if (slice_starts(slice_of(setting_of(id)->name), S("smtp_")) && relay_setting(&lmtp_way, id) == lmtp)
			return true;
	return false;
}

static void test_partners(void **state) {
	(void)state;
	size_t pairs = 0;
	for (enum setting_id id = 0; id < SETTINGS_COUNT; id++) {
		const struct setting *s = setting_of(id);
		struct slice name = slice_of(s->name);
		if (s->state != ACTED || is_alone(name)) continue;
		if (slice_starts(name, S("lmtp_")) && !has_partner_of(id)) fail_msg("%s: nobody reads it", s->name);
		if (!slice_starts(name, S("smtp_"))) continue;
		const struct setting *own = setting_of(relay_setting(&lmtp_way, id));
		if (own == s) fail_msg("%s: LMTP has none of its own", s->name);
		if (!slice_starts(slice_of(own->name), S("lmtp_"))) fail_msg("%s: read as %s", s->name, own->name);
		if (own->state != ACTED && own->state != OLD) fail_msg("%s does not act, %s does", own->name, s->name);
		assert_true(relay_setting(&smtp_way, id) == id);
		pairs++;
	}
	assert_true(pairs > 80);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_partners) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
