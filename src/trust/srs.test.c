/* SPDX-License-Identifier: Apache-2.0 */
/* The vectors of tests/data/srs, which agree with Mail::SRS, and what goes wrong. Beside a real PostSRSd:
 * tests/story/test_srs.py. */
#include "trust/srs.h"
#include "base/test.h"

static const struct slice secret_one[] = { S("hato-test-secret") }, secret_two[] = { S("second-secret") };
static const struct srs_params one = {
	.domain = S("fwd.example"), .secrets = secret_one, .secrets_count = 1, .max_age_days = 21, .now_s = 1700000000
};
static const struct srs_params two = {
	.domain = S("fwd2.example"), .secrets = secret_two, .secrets_count = 1, .max_age_days = 21, .now_s = 1700000000
};

static void both_ways(void **state UNUSED) {
	static const struct { const char *in, *out, *again;
	} cases[] = {
		{ "user@source.example", "SRS0=zneS=G3=source.example=user@fwd.example",
		  "SRS1=mimo=fwd.example==zneS=G3=source.example=user@fwd2.example" },
		{ "User.Name@Source.Example", "SRS0=Gabn=G3=Source.Example=User.Name@fwd.example",
		  "SRS1=zxcx=fwd.example==Gabn=G3=Source.Example=User.Name@fwd2.example" },
		{ "a+b@x.example", "SRS0=iFrX=G3=x.example=a+b@fwd.example",
		  "SRS1=Lbn7=fwd.example==iFrX=G3=x.example=a+b@fwd2.example" },
		{ "with=equals@x.example", "SRS0=fzND=G3=x.example=with=equals@fwd.example",
		  "SRS1=I/i0=fwd.example==fzND=G3=x.example=with=equals@fwd2.example" },
		{ "with-dash@sub.x.example", "SRS0=PupY=G3=sub.x.example=with-dash@fwd.example",
		  "SRS1=2yRr=fwd.example==PupY=G3=sub.x.example=with-dash@fwd2.example" },
		{ "\"quoted user\"@x.example", "SRS0=S4Ib=G3=x.example=\"quoted user\"@fwd.example",
		  "SRS1=D6qT=fwd.example==S4Ib=G3=x.example=\"quoted user\"@fwd2.example" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = {0};
		struct slice out;
		assert_int_equal(srs_forward(&one, slice_of(cases[i].in), &mem, &out), SRS_DONE);
		assert_string_equal(out.at, cases[i].out);
		assert_int_equal(srs_reverse(&one, out, &mem, &out), SRS_DONE);
		assert_string_equal(out.at, cases[i].in);
		assert_int_equal(srs_forward(&two, slice_of(cases[i].out), &mem, &out), SRS_DONE);
		assert_string_equal(out.at, cases[i].again);
		assert_int_equal(srs_reverse(&two, out, &mem, &out), SRS_DONE);
		assert_string_equal(out.at, cases[i].out);
		/* a third forwarder does not add a layer, but signs for itself */
		assert_int_equal(srs_forward(&one, slice_of(cases[i].again), &mem, &out), SRS_DONE);
		assert_true(slice_starts(out, S("SRS1=")) && slice_ends(out, S("@fwd.example")) &&
			    out.len + 1 == strlen(cases[i].again));
		assert_int_equal(srs_reverse(&one, out, &mem, &out), SRS_DONE);
		assert_string_equal(out.at, cases[i].out);
	}
}

static enum srs_answer back(const struct srs_params *p, const char *address) {
	AUTO_ARENA struct arena mem = {0};
	struct slice out;
	return srs_reverse(p, slice_of(address), &mem, &out);
}

static void what_is_refused(void **state UNUSED) {
	static const struct { const char *address; enum srs_answer want;
	} cases[] = {
		{ "srs0=ZNES=g3=source.example=user@FWD.example", SRS_DONE },
		{ "SRS0+zneS=G3=source.example=user@fwd.example", SRS_DONE },
		{ "SRS0=zneT=G3=source.example=user@fwd.example", SRS_FORGED },
		{ "SRS0=zneS=G3=source.example=usez@fwd.example", SRS_FORGED },
		{ "SRS0=zne=G3=source.example=user@fwd.example", SRS_FORGED },
		{ "SRS0==G3=source.example=user@fwd.example", SRS_FORGED },
		{ "SRS0=zneS=G3=source.example@fwd.example", SRS_FORGED },
		{ "SRS0=zneS=G3=source.example=@fwd.example", SRS_FORGED },
		{ "SRS1=zneS=G3@fwd.example", SRS_FORGED },
		{ "SRS0=zneS=G3=source.example=user@fwd2.example", SRS_UNCHANGED },
		{ "SRS0=zneS=G3=1=8OTJ1K0D9CC5T4LNP2QJ1K0D9CC5T4LN@fwd.example", SRS_UNCHANGED },
		{ "user@fwd.example", SRS_UNCHANGED },
		{ "SRS0@fwd.example", SRS_UNCHANGED },
		{ "SRS2=a=b=c=d@fwd.example", SRS_UNCHANGED },
		{ "", SRS_UNCHANGED },
		{ "SRS0=zneS=G3=source.example=user", SRS_UNCHANGED },
	};
	for (size_t i = 0; i < LEN(cases); i++) assert_int_equal(back(&one, cases[i].address), cases[i].want);
	assert_true(srs_is(S("srs1=a@b")) && !srs_is(S("srs2=a@b")) && !srs_is(S("srs0@b")));
}

static void age_and_secrets(void **state UNUSED) {
	static const struct slice rotated[] = { S("new"), S("hato-test-secret") };
	const char *address = "SRS0=zneS=G3=source.example=user@fwd.example";
	static const struct { int days; enum srs_answer want;
	} cases[] = { { 0, SRS_DONE },  { 21, SRS_DONE },    { 22, SRS_EXPIRED }, { 500, SRS_EXPIRED },
		      { -1, SRS_DONE }, { -2, SRS_EXPIRED }, { 1024, SRS_DONE } };
	for (size_t i = 0; i < LEN(cases); i++) {
		struct srs_params p = one;
		p.now_s += cases[i].days * 86400;
		assert_int_equal(back(&p, address), cases[i].want);
	}
	struct srs_params p = one;
	p.secrets = rotated;
	assert_int_equal(back(&p, address), SRS_FORGED); /* only the first of them is known */
	p.secrets_count = 2;
	assert_int_equal(back(&p, address), SRS_DONE);
	p.hash_min = 5;
	assert_int_equal(back(&p, address), SRS_FORGED);
}

static void what_is_left_alone(void **state UNUSED) {
	static const struct slice excluded[] = { S("friend.example"), S(".below.example") };
	static const struct { const char *sender; enum srs_answer want;
	} cases[] = {
		{ "", SRS_UNCHANGED },
		{ "user", SRS_UNCHANGED },
		{ "@x.example", SRS_UNCHANGED },
		{ "user@1", SRS_UNCHANGED },
		{ "user@FWD.example", SRS_UNCHANGED },
		{ "user@Friend.example", SRS_UNCHANGED },
		{ "user@a.below.example", SRS_UNCHANGED },
		{ "user@below.example", SRS_DONE },
		{ "user@notbelow.example", SRS_DONE },
		{ "SRS1=x@y.example", SRS_DONE },
	};
	struct srs_params p = one;
	p.excluded = excluded;
	p.excluded_count = LEN(excluded);
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = {0};
		struct slice out;
		assert_int_equal(srs_forward(&p, slice_of(cases[i].sender), &mem, &out), cases[i].want);
	}
	char longest[300];
	AUTO_ARENA struct arena mem = {0};
	struct slice out;
	memset(longest, 'a', sizeof longest);
	memcpy(longest + 240, "@x.example", 11);
	assert_int_equal(srs_forward(&p, slice_of(longest), &mem, &out), SRS_TOO_LONG);
	p.separator = '+';
	p.hash_length = 10;
	assert_int_equal(srs_forward(&p, S("user@x.example"), &mem, &out), SRS_DONE);
	assert_true(slice_starts(out, S("SRS0+")) && slice_find(slice_skip(out, 5), '=') == 10);
	assert_int_equal(srs_reverse(&p, out, &mem, &out), SRS_DONE);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(both_ways), cmocka_unit_test(what_is_refused),
					    cmocka_unit_test(age_and_secrets), cmocka_unit_test(what_is_left_alone) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
