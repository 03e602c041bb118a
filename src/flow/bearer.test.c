/* SPDX-License-Identifier: Apache-2.0 */
/* What a server's answer about a token means. The clock stands at 1000. */
#include "flow/bearer.h"
#include "base/buf.h"
#include "net/http.h"
#include "base/test.h"

static const struct slice attributes[] = { S("email"), S("username"), S("sub") };
static const struct slice scopes[] = { S("imap"), S("mail") }, audiences[] = { S("hato"), S("mail.example") },
			  issuers[] = { S("https://login.example") };

static struct bearer_params usual(void) {
	return (struct bearer_params){ .user_attributes = { attributes, LEN(attributes) } };
}

/* "user", or "-why", or "?" */
static struct slice judged(const struct bearer_params *p, int status, const char *body, struct arena *mem) {
	struct bearer_found found = { 0 };
	switch (bearer_judge(p, status, slice_of(body), 1000, mem, &found)) {
	case BEARER_YES: return found.user;
	case BEARER_NO: return arena_fmt(mem, "-%s", found.status);
	default: return S("?");
	}
}

#define EXPECT(p, status, body, wanted) \
	do { \
		struct slice got_ = judged(p, status, body, &mem); \
		if (!slice_eq(got_, S(wanted))) print_error("%s: %.*s\n", body, SLICE_ARG(got_)); \
		assert_true(slice_eq(got_, S(wanted))); \
	} while (0)

static void introspection(void **state) {
	AUTO_ARENA struct arena mem = { 0 };
	struct bearer_params p = usual();
	(void)state;
	EXPECT(&p, 200, "{\"active\":true,\"username\":\"ann\",\"email\":\"ann@x.test\"}", "ann@x.test");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"7\",\"username\":\"ann\"}", "ann");
	EXPECT(&p, 200, "{\"active\":true,\"email\":\"b@x.test\",\"email_verified\":false,\"sub\":\"7\"}", "7");
	EXPECT(&p, 200, "{\"active\":true,\"email\":\"a b@x.test\"}", "-invalid_token");
	EXPECT(&p, 200, "{\"active\":true,\"email\":\"a\\u0000b@x.test\"}", "?");
	EXPECT(&p, 200, "{\"active\":true,\"email\":[\"ann\"]}", "-invalid_token");
	EXPECT(&p, 200, "{\"active\":false,\"username\":\"ann\"}", "-invalid_token");
	EXPECT(&p, 200, "{\"active\":\"true\",\"username\":\"ann\"}", "-invalid_token");
	EXPECT(&p, 200, "{\"username\":\"ann\"}", "-invalid_token");
	EXPECT(&p, 200, "{\"active\":true,\"active\":false,\"username\":\"ann\"}", "?");
	EXPECT(&p, 200, "[]", "?");
	EXPECT(&p, 200, "", "?");
	EXPECT(&p, 200, "<html>", "?");
	EXPECT(&p, 401, "{\"active\":true,\"username\":\"ann\"}", "?");
	EXPECT(&p, 500, "", "?");
	EXPECT(&p, 302, "", "?");
}

static void time_and_purpose(void **state) {
	AUTO_ARENA struct arena mem = { 0 };
	struct bearer_params p = usual();
	(void)state;
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"exp\":1001}", "a");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"exp\":\"1001\"}", "a");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"exp\":null}", "a");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"exp\":1000}", "-invalid_token");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"exp\":-5}", "-invalid_token");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"exp\":0}", "-invalid_token");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"exp\":\"soon\"}", "-invalid_token");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"exp\":{}}", "-invalid_token");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"nbf\":2000}", "-invalid_token");
	p.scopes = (struct bearer_list){ scopes, LEN(scopes) };
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"scope\":\"mail openid imap\"}", "a");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"scope\":[\"mail\",\"imap\"]}", "a");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"scope\":\"mail imaps\"}", "-insufficient_scope");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\"}", "-insufficient_scope");
	p = usual();
	p.audiences = (struct bearer_list){ audiences, LEN(audiences) };
	p.issuers = (struct bearer_list){ issuers, LEN(issuers) };
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"aud\":\"hato\",\"iss\":\"https://login.example\"}", "a");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"aud\":[\"x\",\"hato\"],\"iss\":\"https://login.example\"}",
	       "a");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"aud\":\"x\",\"iss\":\"https://login.example\"}",
	       "-invalid_token");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\",\"aud\":\"hato\",\"iss\":\"https://evil\"}", "-invalid_token");
	EXPECT(&p, 200, "{\"active\":true,\"sub\":\"a\"}", "-invalid_token");
}

static void other_ways(void **state) {
	AUTO_ARENA struct arena mem = { 0 };
	struct bearer_params p = usual();
	(void)state;
	p.way = BEARER_AUTH;
	EXPECT(&p, 200, "{\"email\":\"ann@x.test\"}", "ann@x.test");
	EXPECT(&p, 200, "{\"email\":\"ann@x.test\",\"active\":false}", "-invalid_token");
	EXPECT(&p, 401, "", "-invalid_token");
	EXPECT(&p, 503, "", "?");
	p.active_attribute = S("state");
	p.active_value = S("on");
	EXPECT(&p, 200, "{\"email\":\"ann@x.test\"}", "-invalid_token");
	EXPECT(&p, 200, "{\"email\":\"ann@x.test\",\"state\":\"off\"}", "-invalid_token");
	EXPECT(&p, 200, "{\"email\":\"ann@x.test\",\"state\":\"on\"}", "ann@x.test");
}

static void form(void **state) {
	AUTO_BUF struct buf b = BUF(100);
	(void)state;
	http_form_add(&b, "token", S("a+b/c=~ü"));
	http_form_add(&b, "x", S(""));
	assert_string_equal(buf_text(&b), "token=a%2Bb%2Fc%3D~%C3%BC&x=");
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(introspection), cmocka_unit_test(time_and_purpose),
					    cmocka_unit_test(other_ways), cmocka_unit_test(form) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
