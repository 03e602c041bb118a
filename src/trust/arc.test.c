/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of our own making. The published suite is in tests/story/test_dkim.py. */
#include "trust/test.h"
#include "trust/arc.h"

#define HEADER \
	"Authentication-Results: x; none\r\nFrom: Joe <joe@example.org>\r\nTo: a@b.example\r\nSubject: dinner\r\n"
#define BODY "Hi.\r\n\r\nWe lost the  game.\t\r\n\r\n"
static const int64_t now = 1795000000;

static struct arc_seal_params seal_params(enum trust_result chain) {
	return (struct arc_seal_params){
		.sign = { .header = DKIM_RELAXED, .body = DKIM_RELAXED, .now_s = now, .sign = test_sign },
		.key = { 0, S("example.org"), S("rsa"), DKIM_RSA_SHA256 },
		.results = S("mx.example.org;\r\n\tspf=pass smtp.mailfrom=joe@example.org"),
		.chain = chain,
	};
}

static bool seal(const struct arc_seal_params *p, struct buf *mail, const char *body) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf out = BUF(MIB(1));
	struct arc_sealer *s = arc_seal_begin(p, buf_slice(mail), &mem);
	if (s == NULL) return false;
	arc_seal_body(s, slice_of(body));
	assert_int_equal(arc_seal_end(s, &out), 0);
	buf_add(&out, buf_slice(mail));
	buf_clear(mail);
	return buf_add(mail, buf_slice(&out));
}

static struct arc_verdict verify(struct slice header, const char *body, struct arena *mem) {
	struct arc_verdict out = { .result = TRUST_NONE };
	struct dkim_params p = { .dns = test_fake.dns, .now_s = now };
	char *gone = slice_text(header);
	struct arc_verifier *v = arc_verify_begin(&p, slice_from(gone, header.len), mem);
	memset(gone, 'x', header.len);
	free(gone);
	if (v == NULL) return out;
	arc_verify_body(v, slice_of(body));
	arc_verify_end(v, deadline_in(SECONDS(5)), &out);
	return out;
}

static void chains_grow(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf mail = BUF(MIB(4));
	buf_add(&mail, S(HEADER));
	assert_int_equal(verify(buf_slice(&mail), BODY, &mem).result, TRUST_NONE);
	for (unsigned i = 1; i <= ARC_SETS_MAX; i++) {
		struct arc_seal_params p = seal_params(i == 1 ? TRUST_NONE : TRUST_PASS);
		assert_true(seal(&p, &mail, BODY));
		if (i > 3 && i % 16 != 2) continue;
		struct arc_verdict v = verify(buf_slice(&mail), BODY, &mem);
		if (v.result != TRUST_PASS) FAIL_WITH("i=%u: %.*s", i, SLICE_ARG(v.reason));
		assert_int_equal(v.hops_count, i);
		assert_int_equal(v.oldest_pass, 0);
		assert_true(slice_eq(v.hops[i - 1].domain, S("example.org")) &&
			    slice_eq(v.hops[i - 1].selector, S("rsa")));
		assert_true(slice_starts(v.hops[i - 1].results, S("mx.example.org;")));
	}
	struct arc_seal_params p = seal_params(TRUST_PASS);
	assert_false(seal(&p, &mail, BODY)); /* full */
}

static void changed_on_the_way(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf mail = BUF(MIB(1));
	struct arc_seal_params first = seal_params(TRUST_NONE), next = seal_params(TRUST_PASS);
	buf_add(&mail, S(HEADER));
	assert_true(seal(&first, &mail, BODY));
	struct arc_verdict v = verify(buf_slice(&mail), "Another body\r\n", &mem);
	assert_int_equal(v.result, TRUST_FAIL);
	assert_true(v.reason.len != 0);
	/* a list adds a footer and seals: the chain passes, and tells since when */
	assert_true(seal(&next, &mail, BODY "-- \r\nThe list\r\n"));
	v = verify(buf_slice(&mail), BODY "-- \r\nThe list\r\n", &mem);
	assert_int_equal(v.result, TRUST_PASS);
	assert_int_equal(v.oldest_pass, 2);
	/* the first results are changed behind its back */
	size_t at = mail.len - strlen(HEADER) - 10;
	assert_true(mail.at[at] != 'X');
	mail.at[at] = 'X';
	assert_int_equal(verify(buf_slice(&mail), BODY "-- \r\nThe list\r\n", &mem).result, TRUST_FAIL);
	/* that is sealed as failed, once */
	next.chain = TRUST_FAIL;
	assert_true(seal(&next, &mail, BODY));
	assert_true(slice_search(buf_slice(&mail), S("cv=fail")) < mail.len);
	assert_int_equal(verify(buf_slice(&mail), BODY, &mem).result, TRUST_FAIL);
	assert_false(seal(&next, &mail, BODY));
}

static void broken_chains(void **state UNUSED) {
	static const struct { const char *was, *is;
	} cases[] = {
		{ "ARC-Seal:", "X-ARC-Seal:" },
		{ "ARC-Message-Signature:", "X-ARC-Message-Signature:" },
		{ "ARC-Authentication-Results:", "X:" },
		{ "cv=none", "cv=pass" },
		{ "cv=none", "cv=fail" },
		{ " cv=none;", "" },
		{ "i=1;", "i=2;" },
		{ "i=1;", "i=0;" },
		{ "i=1;", "i=51;" },
		{ "i=1;", "" },
		{ "ARC-Seal:", "ARC-Seal: i=1; cv=none\r\nARC-Seal:" },
		{ "s=rsa", "s=none" },
		{ "rsa-sha256", "rsa-sha1" },
		{ "d=example.org", "d=example.org; h=from" },
		{ "From: Joe", "From: Jim" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf mail = BUF(MIB(1));
		AUTO_BUF struct buf changed = BUF(MIB(1));
		struct arc_seal_params p = seal_params(TRUST_NONE);
		buf_add(&mail, S(HEADER));
		assert_true(seal(&p, &mail, BODY));
		size_t at = slice_search(buf_slice(&mail), slice_of(cases[i].was));
		assert_true(at < mail.len);
		buf_add(&changed, slice_head(buf_slice(&mail), at));
		buf_add(&changed, slice_of(cases[i].is));
		buf_add(&changed, slice_skip(buf_slice(&mail), at + strlen(cases[i].was)));
		struct arc_verdict v = verify(buf_slice(&changed), BODY, &mem);
		if (v.result != TRUST_FAIL || v.reason.len == 0)
			FAIL_WITH("%s -> %s: %s", cases[i].was, cases[i].is, trust_word(v.result));
	}
}

static void too_many_sets(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf mail = BUF(MIB(1));
	for (int i = 0; i < 3000; i++)
		buf_addf(&mail, "ARC-Seal: i=%d; cv=pass; a=rsa-sha256; d=a.example; s=s; b=AAAA\r\n", i % 60);
	int64_t start = test_cpu_us();
	assert_int_equal(verify(buf_slice(&mail), BODY, &mem).result, TRUST_FAIL);
	assert_true(test_cpu_us() - start < 2000000);
}

static void results_are_folded(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf mail = BUF(MIB(1));
	AUTO_BUF struct buf results = BUF(KIB(64));
	struct arc_seal_params p = seal_params(TRUST_NONE);
	buf_add(&results, S("mx.example.org"));
	for (int i = 0; i < 200; i++) buf_addf(&results, "; dkim=pass header.d=d%d.example reason=\"a  b; c\"", i);
	buf_add(&results, S(";\r\n\tspf=pass ; "));
	p.results = buf_slice(&results);
	buf_add(&mail, S(HEADER));
	assert_true(seal(&p, &mail, BODY));
	for (struct slice rest = buf_slice(&mail); rest.at != NULL;) {
		struct slice line = slice_cut(&rest, '\n');
		assert_true(line.len <= 80 && (rest.at == NULL || slice_trim(line).len != 0));
	}
	struct arc_verdict v = verify(buf_slice(&mail), BODY, &mem);
	if (v.result != TRUST_PASS) FAIL_WITH("%.*s", SLICE_ARG(v.reason));
}

/* Both verifiers of one message hash its body once, whoever ends first. */
static void bodies_are_shared(void **state UNUSED) {
	for (int order = 0; order < 2; order++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf mail = BUF(MIB(1));
		struct arc_seal_params p = seal_params(TRUST_NONE);
		buf_add(&mail, S(HEADER));
		struct dkim_signer *s = dkim_sign_begin(&p.sign, &p.key, 1, S(HEADER), &mem);
		dkim_sign_body(s, S(BODY));
		buf_clear(&mail);
		assert_int_equal(dkim_sign_end(s, &mail), 0);
		buf_add(&mail, S(HEADER));
		assert_true(seal(&p, &mail, BODY));
		struct dkim_params params = { .dns = test_fake.dns, .now_s = now, .bodies = dkim_bodies_new(&mem) };
		struct dkim_verifier *v = dkim_verify_begin(&params, buf_slice(&mail), &mem);
		struct arc_verifier *a = arc_verify_begin(&params, buf_slice(&mail), &mem);
		dkim_bodies_bytes(params.bodies, S(BODY));
		assert_int_equal(params.bodies->count, 1);
		struct arc_verdict chain;
		struct dkim_verdict *all;
		size_t count;
		if (order == 0) arc_verify_end(a, deadline_in(SECONDS(5)), &chain);
		dkim_verify_end(v, deadline_in(SECONDS(5)), &all, &count);
		if (order == 1) arc_verify_end(a, deadline_in(SECONDS(5)), &chain);
		assert_int_equal(chain.result, TRUST_PASS);
		assert_true(count == 1 && all[0].result == TRUST_PASS);
	}
}

static int start(void **state) {
	test_key_add(0, 2048, "rsa._domainkey.example.org", "v=DKIM1; k=rsa; ");
	return test_dns_start(state);
}

static int stop(void **state) {
	test_keys_free();
	return test_dns_stop(state);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_grow),       cmocka_unit_test(changed_on_the_way),
		cmocka_unit_test(broken_chains),     cmocka_unit_test(too_many_sets),
		cmocka_unit_test(bodies_are_shared), cmocka_unit_test(results_are_folded),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
