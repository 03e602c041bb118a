/* SPDX-License-Identifier: Apache-2.0 */
#include "filter/rate.h"
#include "base/buf.h"
#include "base/test.h"

static struct addr client(unsigned n) {
	unsigned char bytes[4] = { 192, 0, (unsigned char)(n >> 8), (unsigned char)n };
	struct addr a;
	assert_true(addr_from_bytes(slice_from(bytes, 4), 4000, &a));
	return a;
}

static void connections_at_one_time(void **state) {
	(void)state;
	struct rates *r = rates_new();
	struct rate_params p = { .connections = 2, .unit_ms = 60000, .ipv4_bits = 32, .ipv6_bits = 64 };
	struct addr a = client(1), b = client(2);
	assert_true(rates_enter(r, &p, &a));
	assert_true(rates_enter(r, &p, &a));
	assert_false(rates_enter(r, &p, &a));
	assert_true(rates_enter(r, &p, &b));
	rates_leave(r, &p, &a);
	assert_true(rates_enter(r, &p, &a));
	rates_free(&r);
}

static void each_service_counts_for_itself(void **state) {
	(void)state;
	struct rates *r = rates_new(), *after = rates_new();
	struct rate_params in = { .service = S("smtp"), .connections = 1, .most = { [RATE_MESSAGE] = 1 } }, out;
	in.unit_ms = 60000, in.ipv4_bits = 32, in.ipv6_bits = 64;
	out = in;
	out.service = S("submission");
	struct addr a = client(1);
	AUTO_BUF struct buf packed = BUF(KIB(4));
	assert_true(rates_enter(r, &in, &a) && rates_enter(r, &out, &a));
	assert_false(rates_enter(r, &out, &a));
	assert_true(rates_count(r, &in, &a, RATE_MESSAGE) && rates_count(r, &out, &a, RATE_MESSAGE));
	assert_false(rates_count(r, &in, &a, RATE_MESSAGE));
	assert_false(rates_over(r, &out, &a, RATE_MESSAGE));
	rates_pack(r, &packed);
	rates_unpack(after, buf_slice(&packed));
	in.most[RATE_AUTH] = out.most[RATE_AUTH] = 1;
	assert_true(rates_count(r, &in, &a, RATE_AUTH));
	assert_false(rates_count(r, &out, &a, RATE_AUTH));
	assert_true(rates_over(after, &in, &a, RATE_MESSAGE) && !rates_over(after, &out, &a, RATE_MESSAGE));
	rates_free(&r);
	rates_free(&after);
}

static void events_within_a_time(void **state) {
	(void)state;
	struct rates *r = rates_new();
	struct rate_params p = { .most = { [RATE_MESSAGE] = 3 }, .unit_ms = 50, .ipv4_bits = 24, .ipv6_bits = 64 };
	struct addr a = client(1), same_network = client(77);
	for (int i = 0; i < 3; i++) assert_true(rates_count(r, &p, &a, RATE_MESSAGE));
	assert_false(rates_count(r, &p, &same_network, RATE_MESSAGE));
	assert_true(rates_count(r, &p, &a, RATE_AUTH));
	usleep(60000);
	assert_true(rates_count(r, &p, &a, RATE_MESSAGE));
	rates_free(&r);
}

static void many_clients_are_forgotten(void **state) {
	(void)state;
	struct rates *r = rates_new();
	struct rate_params p = { .connections = 5, .unit_ms = 1, .ipv4_bits = 32, .ipv6_bits = 64 };
	for (unsigned i = 0; i < 30000; i++) {
		struct addr a = client(i);
		assert_true(rates_enter(r, &p, &a));
		rates_leave(r, &p, &a);
	}
	rates_free(&r);
}

static void known_again_after_a_restart(void **state) {
	(void)state;
	struct rates *before = rates_new(), *after = rates_new();
	struct rate_params p = { .most = { [RATE_MESSAGE] = 2 }, .unit_ms = 60000, .ipv4_bits = 32, .ipv6_bits = 64 };
	struct addr a = client(1), b = client(2);
	AUTO_BUF struct buf packed = BUF(KIB(4));
	assert_true(rates_count(before, &p, &a, RATE_MESSAGE) && rates_count(before, &p, &a, RATE_MESSAGE));
	assert_false(rates_over(before, &p, &a, RATE_MESSAGE));
	rates_pack(before, &packed);
	rates_unpack(after, slice_head(buf_slice(&packed), packed.len - 1)); /* cut short: nothing is taken */
	assert_true(rates_count(after, &p, &b, RATE_MESSAGE));
	rates_unpack(after, buf_slice(&packed));
	assert_false(rates_count(after, &p, &a, RATE_MESSAGE));
	assert_true(rates_over(after, &p, &a, RATE_MESSAGE) && !rates_over(after, &p, &b, RATE_MESSAGE));
	rates_free(&before);
	rates_free(&after);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(connections_at_one_time),
					    cmocka_unit_test(each_service_counts_for_itself),
					    cmocka_unit_test(known_again_after_a_restart),
					    cmocka_unit_test(events_within_a_time),
					    cmocka_unit_test(many_clients_are_forgotten) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
