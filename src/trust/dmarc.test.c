/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/dmarc.h"
#include "base/clock.h"
#include "trust/adsp.h"
#include "trust/dmarc_tree.h"
#include "trust/dns_fake.test.h"
#include "base/test.h"

static struct fake_dns fake;

static const struct fake_record records[] = {
	{ "_dmarc.strict.test", "v=DMARC1; p=quarantine; adkim=s; aspf=s;" },
	{ "_dmarc.reject.test", "v=DMARC1; p=reject; sp=quarantine; np=none" },
	{ "there.reject.test", NULL },
	{ "reject.test", NULL },
	{ "_dmarc.half.test", "v=DMARC1; p=reject; pct=50" },
	{ "_dmarc.trial.test", "v=DMARC1; p=reject; t=y; sp=quarantine" },
	{ "_dmarc.two.test", "v=DMARC1; p=reject" },
	{ "_dmarc.two.test", "v=DMARC1; p=none" },
	{ "_dmarc.mixed.test", "v=spf1 -all" },
	{ "_dmarc.mixed.test", "v=DMARC1; p=reject" },
	{ "_dmarc.broken.test", "v=DMARC1; p=maybe" },
	{ "_dmarc.down.test", "!" },
	{ "_dmarc.bank.suffix", "v=DMARC1; p=reject" },
	{ "_dmarc.suffix", "v=DMARC1; p=quarantine; psd=y; np=reject" },
	{ "_dmarc.own.big.test", "v=DMARC1; p=reject; psd=n" },
	{ "_dmarc.big.test", "v=DMARC1; p=none" },
	{ "_dmarc.mid.big.test", "v=DMARC1; p=reject" },
	{ "_dmarc.xn--bcher-kva.test", "v=DMARC1; p=reject" },
	{ "_dmarc.co.uk", "v=DMARC1; p=none; psd=y" },
	{ "_dmarc.firm.co.uk", "v=DMARC1; p=reject" },
	{ "key.down.test", "!" },
	{ "_adsp._domainkey.all.test", "dkim=all; r=y" },
	{ "_adsp._domainkey.discard.test", "dkim = discardable" },
	{ "_adsp._domainkey.unknown.test", "dkim=unknown" },
	{ "_adsp._domainkey.other.test", "DKIM=all" },
	{ "_adsp._domainkey.late.test", "!" },
	{ "_dmarc.g.h.i.j.mail.example.deep", "v=DMARC1; p=quarantine" },
};

static int start(void **state UNUSED) {
	return fake_dns_start(&fake, records, LEN(records)) ? 0 : -1;
}

static int stop(void **state UNUSED) {
	fake_dns_stop(&fake);
	return 0;
}

static const struct { const char *text, *wanted; /* NULL: no record */
} parsed[] = {
	{ "v=DMARC1; p=quarantine; adkim=s; aspf=s;", "quarantine,,,s,s,100,n,u,0,86400,," },
	{ "v=DMARC1;p=reject;sp=none;np=quarantine;pct=20;t=y;psd=y;fo=1:d;ri=3600;rua=mailto:a@b;ruf=mailto:c@d",
	  "reject,none,quarantine,r,r,20,y,y,1:d,3600,mailto:a@b,mailto:c@d" },
	{ "v = DMARC1 ; P = Reject ; ADKIM = S", "reject,,,s,r,100,n,u,0,86400,," },
	{ "v=DMARC1", "none,,,r,r,100,n,u,0,86400,," },
	{ "V=DMARC1; p=none", "none,,,r,r,100,n,u,0,86400,," },
	{ "v=DMARC1; rua=mailto:a@b", "none,,,r,r,100,n,u,0,86400,mailto:a@b," },
	{ "v=DMARC1; p=junk; sp=reject; rua=x, mailto:a@b", "none,,,r,r,100,n,u,0,86400,x, mailto:a@b," },
	{ "v=DMARC1; p=reject; p=none; pct=101; ri=-1; t=yes; psd=x; unknown; x=y; =;;",
	  "reject,,,r,r,100,n,u,0,86400,," },
	{ "v=DMARC1; p=junk", NULL },
	{ "v=DMARC1; p=none; sp=junk", NULL },
	{ "v=DMARC1; p=junk; rua=nowhere", NULL },
	{ "v=DMARC1; p=", NULL },
	{ " v=DMARC1", NULL },
	{ "v=dmarc1; p=none", NULL },
	{ " v=DMARC1; p=none", NULL },
	{ "v=DMARC12; p=none", NULL },
	{ "p=none; v=DMARC1", NULL },
	{ "", NULL },
};

static void parses(void **state UNUSED) {
	for (size_t i = 0; i < LEN(parsed); i++) {
		AUTO_ARENA struct arena mem = {0};
		struct dmarc_record r;
		struct slice reason = SLICE_NONE;
		bool good = dmarc_record_parse(slice_of(parsed[i].text), &mem, &r, &reason);
		if (good != (parsed[i].wanted != NULL)) print_error("at %zu: %s\n", i, parsed[i].text);
		assert_int_equal(good, parsed[i].wanted != NULL);
		if (!good) continue;
		struct slice told =
			arena_fmt(&mem, "%s,%s,%s,%c,%c,%u,%c,%c,%.*s,%u,%.*s,%.*s", dmarc_policy_word(r.p),
				  dmarc_policy_word(r.sp), dmarc_policy_word(r.np), r.adkim_strict ? 's' : 'r',
				  r.aspf_strict ? 's' : 'r', r.percent, r.testing ? 'y' : 'n', r.psd, SLICE_ARG(r.fo),
				  r.interval_s, SLICE_ARG(r.rua), SLICE_ARG(r.ruf));
		assert_string_equal(told.at, parsed[i].wanted);
	}
}

/* wanted: "result from domain policy disposition", "-" for what is empty */
struct check {
	const char *from, *spf, *dkim, *wanted; /* spf, dkim: "domain" passed, "?domain" temperror, NULL: none */
	unsigned roll;
};
static const struct check checks[] = {
	{ "From: a@strict.test", "strict.test", NULL, "pass strict.test strict.test quarantine none" },
	{ "From: a@strict.test", NULL, "strict.test", "pass strict.test strict.test quarantine none" },
	{ "From: a@strict.test", "mail.strict.test", "mail.strict.test",
	  "fail strict.test strict.test quarantine quarantine" },
	{ "From: a@mail.strict.test", "mail.strict.test", NULL, "pass mail.strict.test strict.test quarantine none" },
	{ "From: a@REJECT.test", "x.y.reject.test", NULL, "pass reject.test reject.test reject none" },
	{ "From: a@reject.test", "evil.test", "reject.test.evil.test", "fail reject.test reject.test reject reject" },
	{ "From: a@reject.test", "notreject.test", NULL, "fail reject.test reject.test reject reject" },
	{ "From: a@there.reject.test", NULL, NULL, "fail there.reject.test reject.test quarantine quarantine" },
	{ "From: a@nowhere.reject.test", NULL, NULL, "fail nowhere.reject.test reject.test none none" },
	{ "From: a@half.test", NULL, NULL, "fail half.test half.test reject reject", 50 },
	{ "From: a@half.test", NULL, NULL, "fail half.test half.test reject quarantine", 51 },
	{ "From: a@trial.test", NULL, NULL, "fail trial.test trial.test reject quarantine" },
	{ "From: a@x.trial.test", NULL, NULL, "fail x.trial.test trial.test quarantine none" },
	{ "From: a@two.test", NULL, NULL, "none two.test - - -" },
	{ "From: a@mixed.test", NULL, NULL, "fail mixed.test mixed.test reject reject" },
	{ "From: a@broken.test", "broken.test", NULL, "permerror broken.test broken.test - -" },
	{ "From: a@x.broken.test", "broken.test", NULL, "permerror x.broken.test broken.test - -" },
	{ "From: a@nothing.test", "nothing.test", NULL, "none nothing.test - - -" },
	{ "From: a@down.test", "down.test", NULL, "temperror down.test - - -" },
	/* what could not be checked now */
	{ "From: a@reject.test", "?reject.test", NULL, "temperror reject.test reject.test reject none" },
	{ "From: a@reject.test", "?evil.test", NULL, "fail reject.test reject.test reject reject" },
	{ "From: a@reject.test", "?reject.test", "reject.test", "pass reject.test reject.test reject none" },
	/* the tree */
	{ "From: a@x.bank.suffix", "bank.suffix", NULL, "pass x.bank.suffix bank.suffix reject none" },
	{ "From: a@x.bank.suffix", "shop.suffix", NULL, "fail x.bank.suffix bank.suffix reject reject" },
	{ "From: a@shop.suffix", "bank.suffix", NULL, "fail shop.suffix suffix reject reject" },
	{ "From: a@a.b.shop.suffix", "shop.suffix", NULL, "pass a.b.shop.suffix suffix reject none" },
	{ "From: a@own.big.test", "big.test", NULL, "fail own.big.test own.big.test reject reject" },
	{ "From: a@x.own.big.test", "own.big.test", NULL, "pass x.own.big.test own.big.test reject none" },
	{ "From: a@x.mid.big.test", NULL, NULL, "fail x.mid.big.test big.test none none" },
	{ "From: a@mid.big.test", "other.big.test", NULL, "pass mid.big.test mid.big.test reject none" },
	{ "From: a@a.b.c.d.e.f.g.h.i.j.mail.example.deep", NULL, NULL,
	  "fail a.b.c.d.e.f.g.h.i.j.mail.example.deep g.h.i.j.mail.example.deep quarantine quarantine" },
	/* authors */
	{ "From: a@b\xc3\xbc"
	  "cher.test",
	  "xn--bcher-kva.test", NULL, "pass xn--bcher-kva.test xn--bcher-kva.test reject none" },
	{ "From: \"ceo@reject.test\" <x@nothing.test>", NULL, NULL, "none nothing.test - - -" },
	{ "From: a@nothing.test, b@reject.test", "nothing.test", NULL, "fail reject.test reject.test reject reject" },
	{ "From: a@reject.test, b@strict.test", "reject.test", NULL,
	  "fail strict.test strict.test quarantine quarantine" },
	{ "From: a@reject.test, b@REJECT.test", "reject.test", NULL, "pass reject.test reject.test reject none" },
	{ "From: a@strict.test\r\nSubject: x\r\nfrom : b@reject.test", "strict.test", NULL,
	  "fail reject.test reject.test reject reject" },
	{ "From: team: a@strict.test, b@strict.test;", "strict.test", NULL,
	  "pass strict.test strict.test quarantine none" },
	{ "From: undisclosed:;", NULL, NULL, "none - - - -" },
	{ "Subject: no author", NULL, NULL, "permerror - - - -" },
	{ "From: somebody", NULL, NULL, "permerror - - - -" },
	{ "From: a@[192.0.2.1]", NULL, NULL, "permerror - - - -" },
	{ "From: a@strict.test, ceo@bank..test", "strict.test", NULL, "permerror - - - -" },
	{ "From: a@a.test, a@b.test, a@c.test, a@d.test, a@e.test, a@f.test, a@g.test, a@h.test, a@i.test", NULL, NULL,
	  "permerror a.test - - -" },
};

static const char *dash(struct slice s) { return s.len != 0 ? s.at : "-"; }
static const char *word(enum dmarc_policy p) { return p != DMARC_POLICY_ABSENT ? dmarc_policy_word(p) : "-"; }

static void run(const struct dmarc_params *params, const struct check *c, struct arena *mem, struct dmarc_verdict *v) {
	struct spf_verdict spf = { .result =
					   c->spf != NULL ? *c->spf == '?' ? TRUST_TEMPERROR : TRUST_PASS : TRUST_FAIL,
				   .domain = slice_of(c->spf != NULL ? c->spf + (*c->spf == '?') : "evil.test") };
	struct dkim_verdict dkim[] = { { .result = TRUST_FAIL, .domain = S("reject.test") },
				       { .result = TRUST_PASS, .domain = slice_of(c->dkim) } };
	struct dmarc_params p = *params;
	p.roll = c->roll;
	dmarc_check(&p, arena_fmt(mem, "To: x@y\r\n%s\r\n\r\nFrom: body@body.test\r\n", c->from), &spf, dkim,
		    c->dkim != NULL ? 2 : 1, deadline_in(SECONDS(20)), mem, v);
}

static void decides(void **state UNUSED) {
	struct dmarc_params p = { .dns = fake.dns };
	for (size_t i = 0; i < LEN(checks); i++) {
		AUTO_ARENA struct arena mem = {0};
		struct dmarc_verdict v;
		run(&p, &checks[i], &mem, &v);
		v.from = arena_slice(&mem, v.from);
		struct slice told = arena_fmt(&mem, "%s %s %s %s %s", trust_word(v.result), dash(v.from),
					      dash(v.domain), word(v.policy), word(v.disposition));
		if (strcmp(told.at, checks[i].wanted) != 0)
			print_error("at %zu %s (%.*s)\n", i, checks[i].from, SLICE_ARG(v.reason));
		assert_string_equal(told.at, checks[i].wanted);
		assert_true((v.result == TRUST_PASS) == (v.reason.len == 0));
	}
}

static void many_authors_rejected(void **state UNUSED) {
	AUTO_ARENA struct arena mem = {0};
	struct dmarc_params p = { .dns = fake.dns, .reject_many_from = true };
	struct dmarc_verdict v;
	run(&p, &(struct check){ "From: a@strict.test, b@strict.test", "strict.test" }, &mem, &v);
	assert_int_equal(v.result, TRUST_PASS);
	run(&p, &(struct check){ "From: a@strict.test, b@other.test", "strict.test" }, &mem, &v);
	assert_true(v.result == TRUST_FAIL && v.disposition == DMARC_POLICY_REJECT);
}

static void chance(void **state UNUSED) {
	struct dmarc_params p = { .dns = fake.dns };
	unsigned let_off = 0;
	for (int i = 0; i < 400; i++) {
		AUTO_ARENA struct arena mem = {0};
		struct dmarc_verdict v;
		run(&p, &(struct check){ "From: a@half.test" }, &mem, &v);
		let_off += v.sampled_out;
	}
	assert_in_range(let_off, 120, 280); /* 200, eight deviations */
}

static void walks(void **state UNUSED) {
	struct slice steps[DMARC_WALK_MAX];
	assert_int_equal(dmarc_walk(S("a.b.c.d.e.f.g.h.i.j.mail.example.com"), steps), 8);
	assert_true(slice_eq(steps[1], S("g.h.i.j.mail.example.com")) && slice_eq(steps[7], S("com")));
	assert_int_equal(dmarc_walk(S("b.c.d.e.f.g.h.i"), steps), 8);
	assert_true(slice_eq(steps[1], S("c.d.e.f.g.h.i")));
	assert_int_equal(dmarc_walk(S("com"), steps), 1);
	AUTO_ARENA struct arena mem = {0};
	struct dmarc_params p = { .dns = fake.dns };
	struct dmarc_verdict v;
	struct slice long_name =
		S("a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.unseen");
	unsigned before = fake.asked;
	dmarc_look(&p, long_name, deadline_in(SECONDS(20)), &mem, &v);
	assert_int_equal(v.result, TRUST_NONE);
	assert_in_range(fake.asked - before, 1, 8);
}

static void looks(void **state UNUSED) {
	AUTO_ARENA struct arena mem = {0};
	struct dmarc_params p = { .dns = fake.dns };
	struct dmarc_verdict v;
	int64_t deadline = deadline_in(SECONDS(20));
	dmarc_look(&p, S("There.Reject.test"), deadline, &mem, &v);
	assert_true(v.result == TRUST_FAIL && v.disposition == DMARC_POLICY_QUARANTINE &&
		    slice_eq(v.domain, S("reject.test")) && v.sub);
	dmarc_look(&p, S("a..b"), deadline, &mem, &v);
	assert_int_equal(v.result, TRUST_PERMERROR);
	assert_true(dmarc_aligned(&p, S("reject.test"), S("A.reject.test"), false, deadline, &mem));
	assert_false(dmarc_aligned(&p, S("reject.test"), S("a.reject.test"), true, deadline, &mem));
	assert_false(dmarc_aligned(&p, S("bank.suffix"), S("shop.suffix"), false, deadline, &mem));
	dmarc_hint(&p, S("From: a@nothing.test\r\n"));
}

static void by_the_list(void **state UNUSED) {
	AUTO_ARENA struct arena mem = {0};
	struct psl *list = psl_open(NULL);
	assert_non_null(list);
	assert_null(psl_open("/nonexistent/list"));
	struct dmarc_params p = { .dns = fake.dns, .psl = list };
	struct dmarc_verdict v;
	run(&p, &(struct check){ "From: a@x.firm.co.uk", "y.firm.co.uk" }, &mem, &v);
	assert_true(v.result == TRUST_PASS && slice_eq(v.organisation, S("firm.co.uk")));
	run(&p, &(struct check){ "From: a@x.firm.co.uk", "other.co.uk" }, &mem, &v);
	assert_true(v.result == TRUST_FAIL && v.disposition == DMARC_POLICY_REJECT);
	run(&p, &(struct check){ "From: a@x.own.big.test", "big.test" }, &mem, &v); /* psd= means nothing here */
	assert_true(v.result == TRUST_PASS && slice_eq(v.domain, S("big.test")));
	run(&p, &(struct check){ "From: a@nothing.co.uk", NULL }, &mem, &v);
	assert_int_equal(v.result, TRUST_NONE);
	assert_true(slice_eq(psl_organisation(list, S("co.uk")), S("co.uk")));
	psl_close(&list);
	psl_close(&list);
}

static void adsp(void **state UNUSED) {
	static const struct { const char *domain; bool is_signed; const char *wanted;
	} cases[] = {
		{ "all.test", false, "fail" },        { "all.test", true, "pass" },
		{ "discard.test", false, "discard" }, { "unknown.test", false, "unknown" },
		{ "other.test", false, "none" },      { "reject.test", false, "none" },
		{ "gone.test", false, "nxdomain" },   { "late.test", false, "temperror" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = {0};
		assert_string_equal(adsp_word(adsp_check(fake.dns, slice_of(cases[i].domain), cases[i].is_signed,
							 deadline_in(SECONDS(20)), &mem)),
				    cases[i].wanted);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses),      cmocka_unit_test(decides), cmocka_unit_test(many_authors_rejected),
		cmocka_unit_test(chance),      cmocka_unit_test(walks),   cmocka_unit_test(looks),
		cmocka_unit_test(by_the_list), cmocka_unit_test(adsp)
	};
	return cmocka_run_group_tests(tests, start, stop);
}
