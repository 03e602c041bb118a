/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
/* Whose OAuth 2 token is this? Asked of the server that gave it out, in process relay, which may speak with others:
 * token introspection (RFC 7662), or the userinfo endpoint of OpenID Connect (Core 1.0 §5.3). What it said of a good
 * token is remembered for a short time, under an HMAC of the token. The token itself is kept and logged nowhere. */
enum bearer_way {
	BEARER_POST, /* RFC 7662: the token is sent in a form, hato names itself by HTTP Basic */
	BEARER_GET,  /* the token is added to the URL */
	BEARER_AUTH, /* the token opens the URL: what is there tells of its owner */
};
struct bearer_list { const struct slice *at; size_t count; };
struct bearer_params { /* texts and lists live as long as the struct bearer */
	const char *url;
	enum bearer_way way;
	const char *client_id, *client_secret; /* NULL: not said */
	const char *ca_file;                   /* NULL: the system's roots */
	struct bearer_list user_attributes;    /* the first that is there names the user */
	struct bearer_list scopes;             /* all must be in "scope" */
	struct bearer_list audiences, issuers; /* one must be in "aud"; must be "iss". Empty: any */
	struct slice active_attribute;         /* must be there; empty: "active" must be true, but in BEARER_AUTH */
	struct slice active_value;             /* and have this value; empty: any but false */
	struct slice discovery;                /* told to refused clients (RFC 7628 §3.2.2): openid-configuration */
	int64_t timeout_ms, memory_ms;         /* memory_ms 0: nothing is remembered */
};
enum bearer_verdict { BEARER_YES, BEARER_NO, BEARER_LATER };
struct bearer_found {
	struct slice user;         /* BEARER_YES: as the attribute says */
	const char *status;        /* BEARER_NO: "invalid_token", "insufficient_scope" (RFC 6750 §3.1) */
	const char *why;           /* BEARER_NO: for the log; a literal */
	int64_t until_s;           /* BEARER_YES: "exp"; INT64_MAX: it does not say */
};

struct bearer;
struct bearer *bearer_new(const struct bearer_params *params);
void bearer_free(struct bearer **b);
const struct bearer_params *bearer_params_of(const struct bearer *b);
/* BEARER_LATER: fail_text() says why. Thread-safe. */
enum bearer_verdict bearer_ask(struct bearer *b, struct slice token, struct arena *mem, struct bearer_found *out);
/* What the server's answer means at this time. For bearer_ask and its test. */
enum bearer_verdict bearer_judge(const struct bearer_params *p, int status, struct slice body, int64_t now_s,
				 struct arena *mem, struct bearer_found *out);
