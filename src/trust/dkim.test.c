/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/test.h"

#define HEADER \
	"Received: from a by b; Sun, 22 Nov 2026 04:31:39 +0000\r\nFrom: Joe <joe@example.org>\r\nTo: " \
	"a@b.example,\r\n c@d.example\r\n" \
	"Subject: Is  dinner ready?\r\nDate: Sun, 22 Nov 2026 04:31:39 +0000\r\nMessage-ID: <1@example.org>\r\n"
#define BODY "Hi.\r\n\r\nWe lost the  game.\t\r\n\r\n"
static const int64_t now = 1795000000;
enum { BIG, ED, WEAK };

static struct dkim_verdict *verify_with(struct dkim_params p, struct slice header, struct slice body, struct arena *mem,
					size_t *count) {
	struct dkim_verdict *out = NULL;
	char *gone = slice_text(header);
	*count = 0;
	p.dns = test_fake.dns;
	if (p.now_s == 0) p.now_s = now;
	struct dkim_verifier *v = dkim_verify_begin(&p, slice_from(gone, header.len), mem);
	memset(gone, 'x', header.len); /* nothing may be borrowed of it */
	free(gone);
	if (v == NULL) return NULL;
	for (size_t at = 0; at < body.len; at += 7) dkim_verify_body(v, slice_head(slice_skip(body, at), 7));
	dkim_verify_end(v, deadline_in(SECONDS(5)), &out, count);
	return out;
}

static struct dkim_verdict verify_one(const char *header, const char *body, struct arena *mem) {
	size_t count;
	struct dkim_verdict *v = verify_with((struct dkim_params){ 0 }, slice_of(header), slice_of(body), mem, &count);
	assert_int_equal(count, 1);
	return *v;
}

static struct dkim_sign_params relaxed(void) {
	return (struct dkim_sign_params){
		.header = DKIM_RELAXED, .body = DKIM_RELAXED, .now_s = now, .sign = test_sign
	};
}

static const struct dkim_key keys[] = {
	{ BIG, S("example.org"), S("rsa"), DKIM_RSA_SHA256 },
	{ ED, S("example.org"), S("ed"), DKIM_ED25519_SHA256 },
	{ WEAK, S("example.org"), S("weak"), DKIM_RSA_SHA256 },
};

static void sign_mail(const struct dkim_sign_params *p, const struct dkim_key *k, size_t count, const char *header,
		      const char *body, struct buf *out) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dkim_signer *s = dkim_sign_begin(p, k, count, slice_of(header), &mem);
	dkim_sign_body(s, slice_head(slice_of(body), 3));
	dkim_sign_body(s, slice_skip(slice_of(body), 3));
	assert_int_equal(dkim_sign_end(s, out), 0);
	buf_add(out, slice_of(header));
}

static void both_keys_in_all_forms(void **state UNUSED) {
	struct slice from = S("From");
	for (int form = 0; form < 8; form++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf mail = BUF(KIB(64));
		struct dkim_sign_params p = relaxed();
		size_t count;
		p.header = form & 1 ? DKIM_RELAXED : DKIM_SIMPLE;
		p.body = form & 2 ? DKIM_RELAXED : DKIM_SIMPLE;
		p.lifetime_s = form & 4 ? 1000 : 0;
		p.identity = form & 4 ? S("joe@mail.example.org") : SLICE_NONE;
		p.oversign_headers = &from;
		p.oversign_headers_count = 1;
		sign_mail(&p, keys, 2, HEADER, BODY, &mail);
		struct dkim_verdict *v =
			verify_with((struct dkim_params){ 0 }, buf_slice(&mail), S(BODY), &mem, &count);
		assert_int_equal(count, 2);
		for (size_t i = 0; i < 2; i++) {
			if (v[i].result != TRUST_PASS) FAIL_WITH("%d: %.*s", form, SLICE_ARG(v[i].reason));
			assert_true(slice_eq(v[i].domain, S("example.org")));
			assert_true(slice_eq(v[i].identity, form & 4 ? S("joe@mail.example.org") : S("@example.org")));
			assert_int_equal(v[i].algorithm, keys[i].algorithm);
			assert_true(v[i].from_signed && !v[i].partial && !v[i].testing && v[i].body_signed == -1);
			assert_true(v[i].start.len >= 8 && v[i].reason.len == 0);
		}
		assert_int_equal(v[0].key_bits, 2048);
	}
}

static void lines_stay_short(void **state UNUSED) {
	AUTO_BUF struct buf mail = BUF(KIB(64));
	struct dkim_sign_params p = relaxed();
	sign_mail(&p, keys, 2, HEADER, BODY, &mail);
	for (struct slice rest = buf_slice(&mail); rest.at != NULL;) assert_true(slice_cut(&rest, '\n').len <= 80);
}

/* What was changed on the way, and what must be found. */
static void changes_are_found(void **state UNUSED) {
	AUTO_BUF struct buf mail = BUF(KIB(64));
	struct dkim_sign_params p = relaxed();
	struct slice from = S("From");
	p.request_reports = true;
	p.oversign_headers = &from;
	p.oversign_headers_count = 1;
	sign_mail(&p, keys, 1, HEADER, BODY, &mail);
	static const struct { const char *was, *is; enum trust_result want; enum dkim_fault fault; } cases[] = {
		{ "dinner ready", "dinner  ready", TRUST_PASS, DKIM_FAULT_NONE },
		{ "Subject: Is", "SUBJECT:Is", TRUST_PASS, DKIM_FAULT_NONE },
		{ "Received: from a", "Received: from x", TRUST_PASS, DKIM_FAULT_NONE },
		{ "dinner ready", "lunch ready", TRUST_FAIL, DKIM_FAULT_SIGNATURE },
		{ "From: Joe", "From: Eve <e@e.example>\r\nFrom: Joe", TRUST_FAIL, DKIM_FAULT_SIGNATURE },
		{ "a=rsa-sha256", "a=ed25519-sha256", TRUST_PERMERROR, DKIM_FAULT_OTHER },
		{ "a=rsa-sha256", "a=rsa-sha1", TRUST_PERMERROR, DKIM_FAULT_SYNTAX },
		{ "a=rsa-sha256", "a=rsa-sha512", TRUST_NEUTRAL, DKIM_FAULT_SYNTAX },
		{ "v=1;", "v=2;", TRUST_NEUTRAL, DKIM_FAULT_SYNTAX },
		{ "v=1;", "", TRUST_PERMERROR, DKIM_FAULT_SYNTAX },
		{ "d=example.org", "d=ex!mple.org", TRUST_NEUTRAL, DKIM_FAULT_SYNTAX },
		{ "d=example.org", "i=@example.net; d=example.org", TRUST_PERMERROR, DKIM_FAULT_SYNTAX },
		{ "d=example.org", "i=@badexample.org; d=example.org", TRUST_PERMERROR, DKIM_FAULT_SYNTAX },
		{ "s=rsa", "s=nosuch", TRUST_PERMERROR, DKIM_FAULT_DNS },
		{ "s=rsa", "s=later", TRUST_TEMPERROR, DKIM_FAULT_DNS },
		{ "s=rsa", "s=revoked", TRUST_PERMERROR, DKIM_FAULT_REVOKED },
		{ "s=rsa", "s=junk", TRUST_PERMERROR, DKIM_FAULT_SYNTAX },
		{ "s=rsa", "s=other", TRUST_FAIL, DKIM_FAULT_SIGNATURE },
		{ "h=From:From:", "h=", TRUST_PERMERROR, DKIM_FAULT_SYNTAX },
		{ "bh=", "bh=x", TRUST_NEUTRAL, DKIM_FAULT_SYNTAX },
		{ "bh=", "x=1; bh=", TRUST_PERMERROR, DKIM_FAULT_SYNTAX },
		{ "bh=", "q=dns/magic; bh=", TRUST_NEUTRAL, DKIM_FAULT_SYNTAX },
		{ "bh=", "l=100; bh=", TRUST_FAIL, DKIM_FAULT_BODY },
		{ "bh=", "l=-1; bh=", TRUST_NEUTRAL, DKIM_FAULT_SYNTAX },
		{ "c=relaxed", "c=nofws", TRUST_NEUTRAL, DKIM_FAULT_SYNTAX },
		{ "c=relaxed/relaxed", "c=relaxed", TRUST_FAIL, DKIM_FAULT_BODY },
		{ "d=example.org", "d=example.org; d=example.org", TRUST_NEUTRAL, DKIM_FAULT_SYNTAX },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf changed = BUF(KIB(64));
		size_t at = slice_search(buf_slice(&mail), slice_of(cases[i].was));
		assert_true(at < mail.len);
		buf_add(&changed, slice_head(buf_slice(&mail), at));
		buf_add(&changed, slice_of(cases[i].is));
		buf_add(&changed, slice_skip(buf_slice(&mail), at + strlen(cases[i].was)));
		struct dkim_verdict v = verify_one(buf_text(&changed), BODY, &mem);
		if (v.result != cases[i].want)
			FAIL_WITH("%s: %s (%.*s)", cases[i].is, trust_word(v.result), SLICE_ARG(v.reason));
		if (v.fault != cases[i].fault) FAIL_WITH("%s: fault %d", cases[i].is, (int)v.fault);
		assert_true(v.report || slice_search(v.reason, S("no list of tags")) < v.reason.len);
		assert_true((v.reason.len == 0) == (v.result == TRUST_PASS));
	}
	AUTO_ARENA struct arena mem = { 0 };
	assert_int_equal(verify_one(buf_text(&mail), "Hi.\r\n\r\nWe lost the game.\r\n\r\n\r\n", &mem).result,
			 TRUST_PASS);
	assert_int_equal(verify_one(buf_text(&mail), "Hi.\r\n\r\nWe won the game.\r\n", &mem).result, TRUST_FAIL);
	assert_int_equal(verify_one(buf_text(&mail), "", &mem).result, TRUST_FAIL);
}

static void times(void **state UNUSED) {
	AUTO_BUF struct buf mail = BUF(KIB(64));
	struct dkim_sign_params p = relaxed();
	p.lifetime_s = 1000;
	sign_mail(&p, keys, 1, HEADER, BODY, &mail);
	static const struct { int64_t later; enum trust_result want;
	} cases[] = {
		{ 0, TRUST_PASS },    { 1000, TRUST_PASS }, { 1300, TRUST_PASS },
		{ 1301, TRUST_FAIL }, { -300, TRUST_PASS }, { -301, TRUST_FAIL },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		size_t count;
		struct dkim_params params = { .now_s = now + cases[i].later };
		struct dkim_verdict *v = verify_with(params, buf_slice(&mail), S(BODY), &mem, &count);
		assert_int_equal(v->result, cases[i].want);
	}
}

static void keys_and_what_they_are_for(void **state UNUSED) {
	static const struct { const char *selector; enum trust_result want; bool testing;
	} cases[] = {
		{ "weak", TRUST_POLICY, false },        { "many", TRUST_PASS, false },
		{ "test", TRUST_PASS, true },           { "strict", TRUST_PERMERROR, false },
		{ "sha1only", TRUST_PERMERROR, false }, { "tlsrpt", TRUST_PERMERROR, false },
		{ "version", TRUST_PERMERROR, false },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf mail = BUF(KIB(64));
		struct dkim_sign_params p = relaxed();
		p.identity = S("joe@sub.example.org");
		struct dkim_key k = { strcmp(cases[i].selector, "weak") == 0 ? WEAK : BIG, S("example.org"),
				      slice_of(cases[i].selector), DKIM_RSA_SHA256 };
		sign_mail(&p, &k, 1, HEADER, BODY, &mail);
		struct dkim_verdict v = verify_one(buf_text(&mail), BODY, &mem);
		if (v.result != cases[i].want)
			FAIL_WITH("%s: %s (%.*s)", cases[i].selector, trust_word(v.result), SLICE_ARG(v.reason));
		assert_int_equal(v.testing, cases[i].testing);
	}
}

static void parts_of_bodies(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf mail = BUF(KIB(64));
	AUTO_BUF struct buf field = BUF(KIB(8));
	AUTO_BUF struct buf text = BUF(KIB(64));
	uint8_t digest[32];
	struct canon_body *b = canon_body_new(CANON_RELAXED, 5, &mem);
	canon_body_bytes(b, S("Hi.\r\n"));
	canon_body_end(b, digest);
	buf_add(&field,
		S("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=rsa; h=From; l=5; bh="));
	base64_add(&field, slice_from(digest, 32));
	buf_add(&field, S("; b="));
	canon_field(&text, CANON_RELAXED, S("From: Joe <joe@example.org>\r\n"));
	signed_self_add(&text, CANON_RELAXED, buf_slice(&field), slice_skip(buf_slice(&field), field.len));
	AUTO_BUF struct buf signature = BUF(KIB(1));
	assert_int_equal(test_sign(NULL, BIG, DKIM_RSA_SHA256, buf_slice(&text), &signature), 0);
	buf_add(&mail, buf_slice(&field));
	base64_add(&mail, buf_slice(&signature));
	buf_add(&mail, S("\r\n" HEADER));
	struct dkim_verdict v = verify_one(buf_text(&mail), BODY, &mem);
	assert_int_equal(v.result, TRUST_PASS);
	assert_true(v.partial && v.body_signed == 5 && v.reason.len != 0);
	v = verify_one(buf_text(&mail), "Hi.\r\n", &mem);
	assert_true(v.result == TRUST_PASS && !v.partial);
	static const struct { const char *least; enum trust_result result; } wanted[] = {
		{ "", TRUST_PASS },     { "5", TRUST_PASS },      { "6", TRUST_POLICY },  { "100000", TRUST_POLICY },
		{ "0%", TRUST_PASS },   { "100%", TRUST_POLICY }, { "0+", TRUST_POLICY }, { "100000+", TRUST_PASS },
	};
	for (size_t i = 0; i < LEN(wanted); i++) {
		struct dkim_params least = { 0 };
		size_t count;
		assert_true(dkim_partial_read(slice_of(wanted[i].least), &least.partial));
		assert_int_equal(verify_with(least, buf_slice(&mail), S(BODY), &mem, &count)->result, wanted[i].result);
		assert_int_equal(verify_with(least, buf_slice(&mail), S("Hi.\r\n"), &mem, &count)->result, TRUST_PASS);
	}
	static const char *const wrong[] = { "x", "101%", "-1", "+", "5 %", "%" };
	for (size_t i = 0; i < LEN(wrong); i++) {
		struct dkim_partial none;
		assert_false(dkim_partial_read(slice_of(wrong[i]), &none));
	}
	v = verify_one(buf_text(&mail), "Hi\r\n", &mem);
	assert_int_equal(v.result, TRUST_FAIL);
	/* another From on top is not covered */
	AUTO_BUF struct buf two = BUF(KIB(64));
	buf_add(&two, S("From: eve@evil.example\r\n"));
	buf_add(&two, buf_slice(&mail));
	assert_false(verify_one(buf_text(&two), BODY, &mem).from_signed);
}

static void many_signatures(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf mail = BUF(MIB(4));
	AUTO_BUF struct buf one = BUF(KIB(64));
	struct dkim_sign_params p = relaxed();
	size_t count;
	sign_mail(&p, keys, 1, HEADER, BODY, &one);
	struct slice field = slice_head(buf_slice(&one), one.len - strlen(HEADER));
	for (int i = 0; i < 1000; i++) buf_add(&mail, field);
	buf_add(&mail, S(HEADER));
	struct dkim_verdict *v = verify_with((struct dkim_params){ 0 }, buf_slice(&mail), S(BODY), &mem, &count);
	assert_int_equal(count, 1); /* one, a thousand times */
	assert_int_equal(v->result, TRUST_PASS);
	buf_clear(&mail);
	for (int i = 0; i < 1000; i++)
		buf_addf(&mail, "DKIM-Signature: v=1; a=rsa-sha256; d=d%d.example; s=rsa; h=From; bh=; b=AAAA%04d\r\n",
			 i, i);
	buf_add(&mail, S(HEADER));
	int64_t start = test_cpu_us();
	v = verify_with((struct dkim_params){ 0 }, buf_slice(&mail), S(BODY), &mem, &count);
	assert_int_equal(count, 10);
	assert_true(test_cpu_us() - start < 2000000);
	v = verify_with((struct dkim_params){ .signatures_max = 3 }, buf_slice(&mail), S(BODY), &mem, &count);
	assert_int_equal(count, 3);
	assert_int_equal(v[2].start.len, 8);
	assert_null(verify_with((struct dkim_params){ 0 }, S(HEADER), S(BODY), &mem, &count));
}

static void many_fields(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf mail = BUF(MIB(8));
	AUTO_BUF struct buf header = BUF(MIB(4));
	struct dkim_sign_params p = relaxed();
	for (int i = 0; i < 100000; i++) buf_addf(&header, "X%d: y\r\nCc: a\r\n", i);
	buf_add(&header, S(HEADER));
	int64_t start = test_cpu_us();
	sign_mail(&p, keys, 1, buf_text(&header), BODY, &mail);
	struct dkim_verdict v = verify_one(buf_text(&mail), BODY, &mem);
	assert_int_equal(v.result, TRUST_PASS);
	assert_true(test_cpu_us() - start < 20000000);
}

static void big_bodies_take_no_memory(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf mail = BUF(KIB(64));
	struct dkim_sign_params p = relaxed();
	sign_mail(&p, keys, 2, HEADER, BODY, &mail);
	struct dkim_params params = { .dns = test_fake.dns, .now_s = now };
	struct dkim_verifier *v = dkim_verify_begin(&params, buf_slice(&mail), &mem);
	size_t before = arena_used(&mem), count;
	static char piece[65536];
	memset(piece, 'x', sizeof piece);
	struct dkim_verdict *out;
	for (int i = 0; i < 160; i++) dkim_verify_body(v, slice_from(piece, sizeof piece));
	assert_int_equal(arena_used(&mem), before);
	dkim_verify_end(v, deadline_in(SECONDS(5)), &out, &count);
	assert_int_equal(out[0].result, TRUST_FAIL);
}

/* Who signs far away is told of all signatures at once. */
struct far { size_t told, asked; uint64_t keys[2]; };

static void far_soon(void *ctx, const struct dkim_tbs *all, size_t count) {
	struct far *f = ctx;
	assert_int_equal(count, 2);
	assert_int_equal(f->asked, 0);
	for (size_t i = 0; i < count; i++) f->keys[i] = all[i].key;
	assert_int_equal(all[1].bytes.len, 32); /* Ed25519: a digest */
	f->told++;
}

static int far_sign(void *ctx, uint64_t key, enum dkim_algorithm algorithm, struct slice tbs, struct buf *out) {
	struct far *f = ctx;
	assert_int_equal(f->keys[f->asked++], key);
	return test_sign(NULL, key, algorithm, tbs, out);
}

static void all_signatures_are_told_of_at_once(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf out = BUF(KIB(64));
	struct far f = { 0 };
	struct dkim_sign_params p = relaxed();
	p.ctx = &f;
	p.sign = far_sign;
	p.soon = far_soon;
	struct dkim_signer *s = dkim_sign_begin(&p, keys, 2, S(HEADER), &mem);
	assert_int_equal(dkim_sign_end(s, &out), 0);
	assert_int_equal(f.told, 1);
	assert_int_equal(f.asked, 2);
}

static void a_key_that_cannot_sign(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf out = BUF(KIB(64));
	struct dkim_sign_params p = relaxed();
	struct dkim_key bad = keys[BIG];
	bad.algorithm = DKIM_RSA_SHA1;
	struct dkim_key two[] = { keys[BIG], bad };
	struct dkim_signer *s = dkim_sign_begin(&p, two, 2, S(HEADER), &mem);
	assert_true(dkim_sign_end(s, &out) < 0);
	assert_int_equal(out.len, 0);
}

static void records(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dkim_record r;
	struct slice reason;
	assert_true(dkim_record_parse(S("v=DKIM1; k=ed25519; t=y:s; n=hello; h=sha1:sha256; s=*; g=x; p=AAAA;"), &mem,
				      &r, &reason));
	assert_true(r.ed25519 && r.testing && r.strict && r.sha256 && r.email && r.public_key.len == 3 &&
		    slice_eq(r.note, S("hello")));
	assert_true(dkim_record_parse(S("p="), &mem, &r, &reason) && r.revoked && !r.ed25519 && r.email && r.sha256);
	static const char *const wrong[] = { "",    "v=spf1 -all",   "k=rsa",    "p=AAAA; v=DKIM1", "v=DKIM2; p=AAAA",
					     "p=*", "k=dsa; p=AAAA", "p=AA AA;;" };
	for (size_t i = 0; i < LEN(wrong); i++)
		if (dkim_record_parse(slice_of(wrong[i]), &mem, &r, &reason)) FAIL_WITH("%s", wrong[i]);
}

static void *verify_often(void *mail) {
	for (int i = 0; i < 40; i++) {
		AUTO_ARENA struct arena mem = { 0 };
		size_t count;
		struct dkim_verdict *v = verify_with((struct dkim_params){ 0 }, buf_slice(mail), S(BODY), &mem, &count);
		if (count != 2 || v[0].result != TRUST_PASS || v[1].result != TRUST_PASS) return mail;
	}
	return NULL;
}

/* Keys that were read are shared by all workers. */
static void many_threads(void **state UNUSED) {
	AUTO_BUF struct buf mail = BUF(KIB(64));
	struct dkim_sign_params p = relaxed();
	pthread_t threads[4];
	void *bad[4];
	sign_mail(&p, keys, 2, HEADER, BODY, &mail);
	for (size_t i = 0; i < LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, verify_often, &mail), 0);
	for (size_t i = 0; i < LEN(threads); i++) pthread_join(threads[i], &bad[i]);
	for (size_t i = 0; i < LEN(threads); i++) assert_null(bad[i]);
}

static int start(void **state) {
	test_key_add(BIG, 2048, "rsa._domainkey.example.org", "v=DKIM1; k=rsa; ");
	test_key_add(ED, 0, "ed._domainkey.example.org", "v=DKIM1; k=ed25519; ");
	test_key_add(WEAK, 768, "weak._domainkey.example.org", "");
	test_record_add("many._domainkey.example.org", "v=spf1 -all");
	test_record_add("many._domainkey.example.org", "v=DKIM1; p=");
	test_key_add(BIG, 2048, "many._domainkey.example.org", "v=DKIM1; ");
	test_key_add(3, 1024, "other._domainkey.example.org", "");
	test_key_add(BIG, 2048, "test._domainkey.example.org", "v=DKIM1; t=y; ");
	test_key_add(BIG, 2048, "strict._domainkey.example.org", "v=DKIM1; t=s; ");
	test_key_add(BIG, 2048, "sha1only._domainkey.example.org", "v=DKIM1; h=sha1; ");
	test_key_add(BIG, 2048, "tlsrpt._domainkey.example.org", "v=DKIM1; s=tlsrpt; ");
	test_key_add(BIG, 2048, "version._domainkey.example.org", "v=DKIM2; ");
	test_record_add("later._domainkey.example.org", "!");
	test_record_add("revoked._domainkey.example.org", "v=DKIM1; p=");
	test_record_add("junk._domainkey.example.org", "v=DKIM1; p=MIIB");
	return test_dns_start(state);
}

static int stop(void **state) {
	test_keys_free();
	return test_dns_stop(state);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_keys_in_all_forms),
		cmocka_unit_test(all_signatures_are_told_of_at_once),
		cmocka_unit_test(lines_stay_short),
		cmocka_unit_test(changes_are_found),
		cmocka_unit_test(times),
		cmocka_unit_test(keys_and_what_they_are_for),
		cmocka_unit_test(parts_of_bodies),
		cmocka_unit_test(many_signatures),
		cmocka_unit_test(many_fields),
		cmocka_unit_test(big_bodies_take_no_memory),
		cmocka_unit_test(a_key_that_cannot_sign),
		cmocka_unit_test(records),
		cmocka_unit_test(many_threads),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
