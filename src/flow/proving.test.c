/* SPDX-License-Identifier: Apache-2.0 */
/* Every exception needs its proof, and the record says what was done and why. */
#include "flow/proving.h"

#include "base/test.h"

static struct domain_pattern list_pattern = { .name = S("list.test") },
			     host_pattern = { .name = S("friend.test"), .below = true },
			     sender_pattern = { .name = S("lenient.test") };
static struct domains lists = { .at = &list_pattern, .count = 1, .parents = true },
		      hosts = { .at = &host_pattern, .count = 1 }, senders = { .at = &sender_pattern, .count = 1 };
static const struct slice recipients[] = { S("bob@home.test"), S("free.test") };

static struct proving_params usual(void) {
	return (struct proving_params){ .reject = true,
					.quarantine = PROVING_QUARANTINE_JUNK,
					.reject_text = S("rejected by DMARC policy for %s: why") };
}

struct mail {
	struct evidence_verdict v;
	struct dkim_verdict dkim;
	struct addr client;
	struct accept_recipient to[2];
	struct proving_facts f;
	struct authres_method method;
};

/* A failure of author.test, with policy p. */
static void make(struct mail *m, enum dmarc_policy p) {
	*m = (struct mail){ 0 };
	m->v.dmarc = (struct dmarc_verdict){
		.result = TRUST_FAIL, .from = S("author.test"), .policy = p, .disposition = p, .record.p = p
	};
	m->v.record.dmarc = (struct evidence_dmarc){
		.result = TRUST_FAIL, .policy = p, .p = p, .disposition = p, .from = S("author.test")
	};
	m->v.record.client = S("192.0.2.1");
	m->dkim = (struct dkim_verdict){ .result = TRUST_FAIL, .domain = S("list.test") };
	m->v.dkim = &m->dkim;
	m->v.dkim_count = 1;
	m->method.method = S("dmarc");
	m->v.results = (struct authres){ S("us"), &m->method, 1 };
	assert_true(addr_parse(S("192.0.2.1"), &m->client));
	m->to[0].address = S("ann@home.test");
	m->f = (struct proving_facts){ .client = &m->client,
				       .header = S("From: a@author.test\r\nDate: x\r\n"),
				       .recipients = m->to,
				       .recipients_count = 1 };
}

static enum proving_act decide(const struct proving_params *p, struct mail *m, struct arena *mem,
			       struct smtp_reply *reply) {
	*reply = (struct smtp_reply){ .code = 0 };
	enum proving_act act = proving_decide(p, &m->f, &m->v, mem, reply);
	assert_int_equal(act == PROVING_REFUSE, reply->code != 0);
	return act;
}

static void what_the_domain_wants(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct smtp_reply reply;
	struct mail m;
	struct proving_params p = usual();
	make(&m, DMARC_POLICY_REJECT);
	assert_int_equal(decide(&p, &m, &mem, &reply), PROVING_REFUSE);
	assert_int_equal(reply.code, 550);
	assert_string_equal(reply.status, "5.7.1");
	assert_true(slice_eq(reply.text, S("rejected by DMARC policy for author.test: why")));
	assert_true(slice_eq(m.method.comment, S("p=reject dis=reject")));
	make(&m, DMARC_POLICY_QUARANTINE);
	assert_int_equal(decide(&p, &m, &mem, &reply), PROVING_JUNK);
	assert_true(slice_eq(m.method.comment, S("p=quarantine dis=quarantine")));
	make(&m, DMARC_POLICY_NONE);
	assert_int_equal(decide(&p, &m, &mem, &reply), PROVING_TAKE);
	assert_true(slice_eq(m.method.comment, S("p=none dis=none")));
	assert_int_equal(m.v.record.dmarc.override.len, 0);
	p.reject = false;
	make(&m, DMARC_POLICY_REJECT);
	assert_int_equal(decide(&p, &m, &mem, &reply), PROVING_JUNK);
	assert_true(slice_eq(m.v.record.dmarc.override, S("local_policy")));
	assert_int_equal(m.v.record.dmarc.disposition, DMARC_POLICY_QUARANTINE);
	p.quarantine = PROVING_QUARANTINE_HOLD;
	make(&m, DMARC_POLICY_QUARANTINE);
	assert_int_equal(decide(&p, &m, &mem, &reply), PROVING_HOLD);
	p.quarantine = PROVING_QUARANTINE_NONE;
	make(&m, DMARC_POLICY_REJECT);
	assert_int_equal(decide(&p, &m, &mem, &reply), PROVING_TAKE);
	assert_int_equal(m.v.record.dmarc.disposition, DMARC_POLICY_NONE);
}

/* Taken, with this override; empty: refused. */
static void expect(const struct proving_params *p, struct mail *m, const char *override) {
	AUTO_ARENA struct arena mem = { 0 };
	struct smtp_reply reply;
	enum proving_act act = decide(p, m, &mem, &reply);
	assert_int_equal(act, override[0] != '\0' ? PROVING_TAKE : PROVING_REFUSE);
	assert_true(slice_eq(m->v.record.dmarc.override, slice_of(override)));
	assert_int_equal(m->v.record.dmarc.comment.len != 0, override[0] != '\0');
}

static void exceptions(void **state) {
	(void)state;
	struct mail m;
	struct arc_hop hops[2] = { { .domain = S("a.test") }, { .domain = S("b.test"), .selector = S("s") } };
	struct network net = { .address = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 0 }, .bits = 96 + 24 };
	struct networks networks = { .at = &net, .count = 1 };
	struct proving_params p = usual();
	p.dmarc_exempt = &networks;
	make(&m, DMARC_POLICY_REJECT), expect(&p, &m, "local_policy");
	p = usual();
	p.exempt_hosts = &hosts;
	make(&m, DMARC_POLICY_REJECT), m.f.name = S("mx.friend.test"), expect(&p, &m, "local_policy");
	make(&m, DMARC_POLICY_REJECT), m.f.name = S("mx.unfriend.test"), expect(&p, &m, "");
	make(&m, DMARC_POLICY_REJECT), expect(&p, &m, "");
	p = usual();
	p.exempt_senders = &senders;
	make(&m, DMARC_POLICY_REJECT), m.v.dmarc.from = S("lenient.test"), expect(&p, &m, "local_policy");
	p = usual();
	p.exempt_recipients = recipients;
	p.exempt_recipients_count = LEN(recipients);
	make(&m, DMARC_POLICY_REJECT), m.to[0].address = S("Bob@home.test"), expect(&p, &m, "local_policy");
	make(&m, DMARC_POLICY_REJECT), m.to[0].address = S("x@free.test"), expect(&p, &m, "local_policy");
	make(&m, DMARC_POLICY_REJECT), m.to[1].address = S("bob@home.test"), m.f.recipients_count = 2,
				       expect(&p, &m, "");
	p = usual();
	make(&m, DMARC_POLICY_REJECT), m.v.sealer_trusted = true, m.v.arc.hops = hops, m.v.arc.hops_count = 2,
				       expect(&p, &m, "local_policy");
	p.forwarders = &lists;
	make(&m, DMARC_POLICY_REJECT), expect(&p, &m, "");
	make(&m, DMARC_POLICY_REJECT), m.dkim.result = TRUST_PASS, expect(&p, &m, "trusted_forwarder");
	make(&m, DMARC_POLICY_REJECT), m.v.spf.result = TRUST_PASS, m.v.spf.domain = S("list.test"),
				       expect(&p, &m, "trusted_forwarder");
	p = usual();
	p.lists = &lists;
	struct slice named = S("From: a@author.test\r\nList-Id: The \"<x>\" list\r\n <friends.list.test>\r\n");
	make(&m, DMARC_POLICY_REJECT), m.f.header = named, expect(&p, &m, "");
	make(&m, DMARC_POLICY_REJECT), m.f.header = named, m.dkim.result = TRUST_PASS, expect(&p, &m, "mailing_list");
	make(&m, DMARC_POLICY_REJECT), m.f.header = named, m.dkim.result = TRUST_PASS, m.dkim.domain = S("eve.test"),
				       expect(&p, &m, "");
	make(&m, DMARC_POLICY_REJECT), m.dkim.result = TRUST_PASS, expect(&p, &m, "");
}

static void required_headers(void **state) {
	(void)state;
	static const struct { struct slice header; bool good; } headers[] = {
		{ S("From: a@author.test\r\nDate: x\r\n"), true },
		{ S("From: a@author.test\r\n"), false },
		{ S("Date: x\r\n"), false },
		{ S("From: a@author.test\r\nDate: x\r\nTo: a\r\nReceived: x\r\nReceived: y\r\n"), true },
		{ S("From: a@author.test\r\nFrom: b@author.test\r\nDate: x\r\n"), false },
		{ S("From: a@author.test\r\nDate: x\r\nTo: a\r\nto: b\r\n"), false },
	};
	AUTO_ARENA struct arena mem = { 0 };
	struct smtp_reply reply;
	struct proving_params p = usual();
	p.required_headers = true;
	for (size_t i = 0; i < LEN(headers); i++) {
		struct mail m;
		make(&m, DMARC_POLICY_NONE);
		m.f.header = headers[i].header;
		assert_int_equal(decide(&p, &m, &mem, &reply) == PROVING_TAKE, headers[i].good);
	}
}

static void spf_at_rcpt(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct proving_params p = usual();
	struct spf_verdict v = { .result = TRUST_FAIL,
				 .domain = S("author.test"),
				 .reason = S("192.0.2.1 is not among them (-all)"),
				 .explanation = S("see\r\nhere") };
	assert_int_equal(proving_spf(&p, &v, false, S("ann@home.test"), &mem).code, 0);
	p.spf_fails = p.helo_fails = 1U << TRUST_FAIL;
	p.spf_fail = PROVING_FAIL_REJECT;
	struct smtp_reply r = proving_spf(&p, &v, false, S("ann@home.test"), &mem);
	assert_int_equal(r.code, 550);
	assert_string_equal(r.status, "5.7.23");
	assert_true(slice_eq(
		r.text,
		S("<ann@home.test>: Recipient address rejected: Message rejected due to: SPF fail - not authorized. "
		  "192.0.2.1 is not among them (-all); author.test explains: see??here")));
	p.spf_fail = PROVING_FAIL_DEFER;
	assert_int_equal(proving_spf(&p, &v, false, S("ann@home.test"), &mem).code, 451);
	v.result = TRUST_TEMPERROR;
	assert_int_equal(proving_spf(&p, &v, false, S("ann@home.test"), &mem).code, 0);
	p.spf_temperror = PROVING_FAIL_DEFER;
	assert_string_equal(proving_spf(&p, &v, false, S("ann@home.test"), &mem).status, "4.7.24");
	v.result = TRUST_SOFTFAIL;
	assert_int_equal(proving_spf(&p, &v, false, S("ann@home.test"), &mem).code, 0);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_the_domain_wants), cmocka_unit_test(exceptions),
					    cmocka_unit_test(required_headers), cmocka_unit_test(spf_at_rcpt) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
