/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens are proved here because this process may speak with other servers and strangers do not speak with it: the
 * secret by which we ask stays out of edge's reach. */
#include "role/relay_token.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/ask.h"
#include "net/http.h"

enum { LONGEST_MS = 15000 }; /* edge waits 20 s */

static const char *text_or_null(const struct conf_view *v, enum setting_id id) {
	struct slice text = conf_text(v, id);
	return text.len != 0 ? text.at : NULL;
}

static struct bearer_list list_of(const struct conf_view *v, enum setting_id id) {
	struct bearer_list list;
	list.at = conf_list(v, id, &list.count);
	return list;
}

int relay_token_settings(const struct conf_view *v, const char *secret, struct arena *mem, struct bearer **out) {
	static const enum bearer_way ways[] = { [OAUTH2_MODE_POST] = BEARER_POST,
						[OAUTH2_MODE_GET] = BEARER_GET,
						[OAUTH2_MODE_AUTH] = BEARER_AUTH };
	struct slice url = conf_text(v, SET_sasl_oauth2_introspection_url);
	*out = NULL;
	if (url.len == 0) return 0;
	if (!slice_starts_same(url, S("https://")) && !slice_starts_same(url, S("http://")))
		return fail("sasl_oauth2_introspection_url: \"%.*s\" is no https:// address", SLICE_ARG(url));
	if (http_ready() < 0) return fail_add("sasl_oauth2_introspection_url");
	const struct bearer_params params = {
		.url = url.at,
		.way = ways[conf_enum(v, SET_sasl_oauth2_introspection_mode)],
		.client_id = text_or_null(v, SET_sasl_oauth2_client_id),
		.client_secret = secret != NULL ? arena_text(mem, slice_of(secret)) : NULL,
		.ca_file = text_or_null(v, SET_sasl_oauth2_tls_CAfile),
		.user_attributes = list_of(v, SET_sasl_oauth2_username_attribute),
		.scopes = list_of(v, SET_sasl_oauth2_scope),
		.audiences = list_of(v, SET_sasl_oauth2_audience),
		.issuers = list_of(v, SET_sasl_oauth2_issuers),
		.active_attribute = conf_text(v, SET_sasl_oauth2_active_attribute),
		.active_value = conf_text(v, SET_sasl_oauth2_active_value),
		.discovery = conf_text(v, SET_sasl_oauth2_openid_configuration_url),
		.timeout_ms = MIN_OF(conf_time_ms(v, SET_sasl_oauth2_timeout), (int64_t)LONGEST_MS),
		.memory_ms = conf_time_ms(v, SET_sasl_oauth2_cache_time),
	};
	*out = bearer_new(&params);
	return 0;
}

int relay_answer_token(struct bearer *b, struct link_question *q) {
	struct token_ask ask;
	struct token_answer answer = { .verdict = BEARER_LATER };
	struct bearer_found found = { .status = "" };
	token_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	if (b != NULL) {
		const struct bearer_params *p = bearer_params_of(b);
		answer.verdict = bearer_ask(b, ask.token, q->mem, &found);
		if (answer.verdict == BEARER_LATER) say(L_WARN, "auth", "%s", fail_text());
		if (answer.verdict == BEARER_NO) say(L_INFO, "auth", "OAuth 2 token refused: %s", found.why);
		AUTO_BUF struct buf scope = BUF(KIB(4));
		for (size_t i = 0; i < p->scopes.count; i++)
			buf_addf(&scope, "%s%.*s", i != 0 ? " " : "", SLICE_ARG(p->scopes.at[i]));
		answer.user = found.user;
		answer.status = slice_of(found.status != NULL ? found.status : "");
		answer.scope = arena_slice(q->mem, buf_slice(&scope));
		answer.discovery = p->discovery;
	}
	mem_wipe((void *)(uintptr_t)ask.token.at, ask.token.len);
	token_answer_pack(q->answer, &answer);
	return 0;
}
