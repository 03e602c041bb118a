/* SPDX-License-Identifier: Apache-2.0 */
/* What no dialogue with Postfix shows easily: order, deferral, recursion, what is wrong with lists. Texts and codes are
 * compared with the real one in tests/data/twins. */
#include "filter/restrict.h"

#include "base/test.h"

#define WRONG(...) (print_error(__VA_ARGS__), _fail(__FILE__, __LINE__))

struct world {
	struct arena mem;
	struct restrict_params p;
	char problems[4000], logged[4000];
	struct restrict_client client;
	struct restrict_facts facts;
	struct restrict_state state;
	enum restrict_verified verified;
};

static void add(char *to, size_t room, const char *text) {
	size_t at = strlen(to);
	snprintf(to + at, room - at, "%s\n", text);
}

static bool text_of(void *ctx, struct slice name, struct slice *out) {
	(void)ctx;
	static const struct { struct slice name, text;
	} classes[] = {
		{ S("strict"), S("reject") },
		{ S("loop"), S("loop") },
		{ S("soft"), S("defer_if_permit") },
		{ S("ok"), S("permit") },
	};
	for (size_t i = 0; i < LEN(classes); i++)
		if (slice_eq(classes[i].name, name)) {
			*out = classes[i].text;
			return true;
		}
	return false;
}

static void problem(void *ctx, bool fatal, const char *text) {
	struct world *w = ctx;
	(void)fatal;
	add(w->problems, sizeof w->problems, text);
}

static bool place(void *ctx, struct slice address, struct arena *mem, struct restrict_place *out) {
	(void)ctx, (void)mem;
	if (slice_ends(address, S("@late.test"))) return false;
	*out = (struct restrict_place){ .domain_class =
						slice_ends(address, S("@our.test")) ? PLACE_LOCAL : PLACE_ELSEWHERE,
					.listed = !slice_starts(address, S("nobody@our")) };
	return true;
}

static enum restrict_verified verify(void *ctx, struct slice address, struct arena *mem, struct slice *why) {
	struct world *w = ctx;
	(void)address, (void)mem;
	*why = S("because");
	return w->verified;
}

static void log_it(void *ctx, const char *what, struct slice text) {
	struct world *w = ctx;
	char line[600];
	snprintf(line, sizeof line, "%s: %.*s", what, SLICE_ARG(text));
	add(w->logged, sizeof w->logged, line);
}

static void warn_it(void *ctx, const char *text) {
	struct world *w = ctx;
	add(w->logged, sizeof w->logged, text);
}

static const struct restrict_ops ops = { .place = place, .verify = verify, .log = log_it, .warn = warn_it };

static void world_init(struct world *w) {
	static const struct networks none;
	static const struct table_params usual = { .queue_directory = "/" };
	*w = (struct world){ 0 };
	w->p = (struct restrict_params){ .text = text_of,
					 .problem = problem,
					 .ctx = w,
					 .classes = S("strict loop soft ok"),
					 .codes = { .reject = 554,
						    .defer = 450,
						    .relay = 554,
						    .map_reject = 554,
						    .map_defer = 450,
						    .unknown_local = 550,
						    .non_fqdn = 504,
						    .unverified_sender = 450,
						    .unverified_recipient = 550,
						    .unverified_recipient_defer = 450,
						    .multi_bounce = 550,
						    .plaintext = 450 },
					 .delay_reject = true,
					 .relay_first = true,
					 .unlisted_recipient = true,
					 .show_table = true,
					 .networks = &none,
					 .delimiters = S("+"),
					 .null_key = S("<>"),
					 .origin = S("our.test"),
					 .tables = tables_new(&usual) };
	w->client = (struct restrict_client){ .ip = S("192.0.2.7"), .name = S("h.far.test"), .reverse = S("h.far.test"),
		                              .shown = S("h.far.test[192.0.2.7]") };
	assert_true(addr_parse(S("192.0.2.7"), &w->client.addr));
	w->facts = (struct restrict_facts){ .client = &w->client, .where = "RCPT", .proto = "ESMTP", .helo = S("h"),
		                            .sender = S("x@far.test"), .recipient = S("ann@our.test") };
}

static void world_done(struct world *w) {
	tables_free(&w->p.tables);
	arena_done(&w->mem);
}

/* The reply to RCPT as text; "" when it is accepted. */
static const char *rcpt(struct world *w) {
	struct restrictions *r = restrict_new(&w->p, &w->mem);
	struct restrict_reply reply = { 0 };
	struct restrict_run run = {
		.rules = r, .state = &w->state, .facts = &w->facts, .ops = &ops, .ctx = w, .mem = &w->mem, .tx = &w->mem
	};
	bool on = restrict_rcpt(&run, &reply);
	restrict_free(&r);
	return on ? "" : arena_fmt(&w->mem, "%d %s %.*s", reply.code, reply.status, SLICE_ARG(reply.text)).at;
}

static void test_lists(void **state) {
	static const struct { enum restrict_stage stage; const char *list, *reply;
	} cases[] = {
		{ RESTRICT_RECIPIENT, "", "" },
		{ RESTRICT_RECIPIENT, "permit, reject", "" },
		{ RESTRICT_CLIENT, "permit", "" }, /* ends that list only */
		{ RESTRICT_SENDER, "reject", "554 5.7.1 <x@far.test>: Sender address rejected: Access denied" },
		{ RESTRICT_HELO, "defer", "450 4.3.2 <h>: Helo command rejected: Try again later" },
		{ RESTRICT_RECIPIENT, "warn_if_reject reject", "" },
		{ RESTRICT_RECIPIENT, "warn_if_reject strict, strict",
		  "554 5.7.1 <ann@our.test>: Recipient address rejected: Access denied" },
		{ RESTRICT_SENDER, "soft",
		  "450 4.7.0 <x@far.test>: Sender address rejected: defer_if_permit requested" },
		{ RESTRICT_RECIPIENT, "defer_if_reject, strict",
		  "450 4.7.0 <ann@our.test>: Recipient address rejected: defer_if_reject requested" },
		{ RESTRICT_RECIPIENT, "loop", "451 4.3.5 Server configuration error" },
		{ RESTRICT_RECIPIENT, "nosuch_word", "451 4.3.5 Server configuration error" },
		{ RESTRICT_RECIPIENT, "check_client_access", "451 4.3.5 Server configuration error" },
		{ RESTRICT_CLIENT, "inline:{192.0.2=REJECT}",
		  "554 5.7.1 <h.far.test[192.0.2.7]>: Client host rejected: Access denied" },
		{ RESTRICT_CLIENT, "check_client_access inline:{far.test=strict}",
		  "554 5.7.1 <h.far.test[192.0.2.7]>: Client host rejected: Access denied" },
		{ RESTRICT_CLIENT, "check_client_access inline:{far.test=ok}, reject", "" },
		{ RESTRICT_SENDER, "check_sender_access inline:{{x@far.test=550 5.1.1 gone}}",
		  "550 5.1.7 <x@far.test>: Sender address rejected: gone" },
		{ RESTRICT_RECIPIENT, "reject_non_fqdn_recipient", "" },
		{ RESTRICT_RECIPIENT, "reject_unauth_destination", "" },
		{ RESTRICT_RECIPIENT, "reject_plaintext_session", "450 4.7.1 Session encryption is required" },
		{ RESTRICT_RECIPIENT, "permit_mx_backup", "" },
		{ RESTRICT_RECIPIENT, "check_recipient_access fail:x",
		  "451 4.3.5 <ann@our.test>: Recipient address rejected: Server configuration error" },
	};
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct world w;
		world_init(&w);
		w.p.parents_by_name = true;
		w.p.lists[cases[i].stage] = slice_of(cases[i].list);
		const char *reply = rcpt(&w);
		if (strcmp(reply, cases[i].reply) != 0)
			WRONG("%s: '%s' instead of '%s'", cases[i].list, reply, cases[i].reply);
		world_done(&w);
	}
}

static void test_relaying(void **state) {
	struct world w;
	(void)state;
	world_init(&w);
	w.p.lists[RESTRICT_RELAY] = S("permit_mynetworks, defer_unauth_destination");
	w.facts.recipient = S("y@far.test");
	assert_string_equal(rcpt(&w), "454 4.7.1 <y@far.test>: Relay access denied");
	w.p.lists[RESTRICT_RELAY] = S("reject_unauth_destination");
	assert_string_equal(rcpt(&w), "554 5.7.1 <y@far.test>: Relay access denied");
	w.facts.recipient = S("y@late.test");
	assert_string_equal(rcpt(&w), "451 4.3.0 <y@late.test>: Temporary lookup failure");
	w.p.soft_bounce = true;
	w.facts.recipient = S("y@far.test");
	assert_string_equal(rcpt(&w), "454 4.7.1 <y@far.test>: Relay access denied");
	w.facts.recipient = S("nobody@our.test");
	assert_string_equal(
		rcpt(&w),
		"450 4.1.1 <nobody@our.test>: Recipient address rejected: User unknown in local recipient table");
	world_done(&w);
}

static void test_verification(void **state) {
	static const struct { enum restrict_verified v; const char *reply;
	} cases[] = {
		{ VERIFIED_GOOD, "" },
		{ VERIFIED_BAD,
		  "550 5.1.1 <ann@our.test>: Recipient address rejected: undeliverable address: because" },
		{ VERIFIED_LATER, "450 4.1.1 <ann@our.test>: Recipient address rejected: unverified address: because" },
		{ VERIFIED_UNDER_WAY,
		  "450 4.1.1 <ann@our.test>: Recipient address rejected: unverified address: because" },
		{ VERIFIED_BROKEN,
		  "450 4.1.1 <ann@our.test>: Recipient address rejected: address verification problem" },
	};
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct world w;
		world_init(&w);
		w.p.lists[RESTRICT_RECIPIENT] = S("reject_unverified_recipient");
		w.verified = cases[i].v;
		assert_string_equal(rcpt(&w), cases[i].reply);
		world_done(&w);
	}
}

static void test_effects(void **state) {
	struct world w;
	(void)state;
	world_init(&w);
	w.p.lists[RESTRICT_SENDER] =
		S("inline:{{x@far.test=PREPEND X-A: b}}, inline:{{x@far.test=FILTER smtp:[h]}}, "
		  "inline:{{x@far.test=BCC a@b}}, inline:{{x@far.test=HOLD}}, inline:{{x@far.test=PREPEND nonsense}}");
	assert_string_equal(rcpt(&w), "");
	assert_int_equal(w.state.effects.prepend_count, 1);
	assert_true(slice_eq(w.state.effects.prepend[0], S("X-A: b")));
	assert_true(slice_eq(w.state.effects.filter, S("smtp:[h]")));
	assert_int_equal(w.state.effects.bcc_count, 1);
	assert_true(w.state.effects.hold && !w.state.effects.discard);
	assert_non_null(strstr(w.logged, "hold: <x@far.test>: Sender address triggers HOLD action"));
	assert_non_null(strstr(w.logged, "requires header: text"));
	restrict_state_reset(&w.state);
	assert_false(w.state.effects.hold);
	world_done(&w);
}

static void test_problems(void **state) {
	struct world w;
	(void)state;
	world_init(&w);
	w.p.lists[RESTRICT_CLIENT] = S("permit reject, reject_unknown_client");
	w.p.lists[RESTRICT_RECIPIENT] = S("nosuch, sleep soon, check_policy_service nowhere, reject_rbl_client a..b");
	w.p.classes = S("strict unset");
	struct restrictions *r = restrict_new(&w.p, &w.mem);
	const char *const wanted[] = { "smtpd_client_restrictions: restriction `reject' after `permit' is ignored",
				       "old name of",
				       "unknown smtpd restriction: \"nosuch\"",
				       "sleep must be followed by",
				       "check_policy_service must be followed by",
				       "restriction class `unset' needs a definition",
				       "not a domain name" };
	for (size_t i = 0; i < LEN(wanted); i++)
		if (strstr(w.problems, wanted[i]) == NULL) WRONG("no '%s' in: %s", wanted[i], w.problems);
	assert_false(restrict_guards_relay(r));
	restrict_free(&r);
	world_done(&w);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_lists), cmocka_unit_test(test_relaying),
		                            cmocka_unit_test(test_verification), cmocka_unit_test(test_effects),
		                            cmocka_unit_test(test_problems) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
