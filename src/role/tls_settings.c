/* SPDX-License-Identifier: Apache-2.0 */
/* Grades of ciphers are OpenSSL's lists under Postfix's names. As long as nobody asks for anything, net/tls keeps its
 * own list, which leaves out more than Postfix's. */
#include "role/tls_settings.h"
#include "base/fail.h"
#include "flow/ask.h"

/* The private keys are vault's: a handshake asks it for each signature. */
int sign_by_vault(void *ctx, uint64_t key, const struct remote_sign_request *request, struct buf *signature) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf packed = BUF(REMOTE_TBS_MAX * 2);
	remote_sign_request_pack(&packed, request);
	struct sign_answer answer;
	int r = ask_sign(ctx, &(struct sign_ask){ .key = key, .request = buf_slice(&packed) }, &mem, &answer);
	if (r != ASK_OK) return r < 0 ? r : fail("vault does not answer");
	if (answer.signature.len == 0) return fail("vault could not sign");
	return buf_add(signature, answer.signature) ? 0 : fail("signature too long");
}

void tls_versions_set(struct tls_common *c, unsigned versions) {
	for (enum tls_version version = TLS_1_0; version <= TLS_1_3; version++) {
		if ((versions & 1u << (version - TLS_1_0)) == 0) continue;
		if (c->min == 0) c->min = version;
		c->max = version;
	}
}

static bool is_default(const struct conf_view *v, enum setting_id id) {
	return slice_eq(conf_text(v, id), slice_of(setting_of(id)->fallback));
}

void tls_excluded_add(struct buf *out, struct slice words) {
	for (struct slice word; (word = slice_word(&words, ", \t\r\n:")).len != 0;)
		buf_addf(out, ":!%.*s", SLICE_ARG(word));
}

const char *tls_cipher_list(const struct conf_view *v, int grade, struct slice excluded, struct arena *mem) {
	static const enum setting_id lists[] = {
		[TLS_GRADE_MEDIUM] = SET_tls_medium_cipherlist, [TLS_GRADE_HIGH] = SET_tls_high_cipherlist,
		[TLS_GRADE_LOW] = SET_tls_medium_cipherlist, [TLS_GRADE_EXPORT] = SET_tls_medium_cipherlist,
		[TLS_GRADE_NULL] = SET_tls_null_cipherlist,
	};
	enum setting_id id = lists[grade];
	bool own = id == SET_tls_medium_cipherlist && is_default(v, id);
	struct slice base = own ? S("DEFAULT:!aDSS") : conf_text(v, id);
	return own && excluded.len == 0 ? NULL : arena_fmt(mem, "%.*s%.*s", SLICE_ARG(base), SLICE_ARG(excluded)).at;
}

const char *tls_group_list(const struct conf_view *v, struct arena *mem) {
	static const enum setting_id ids[] = { SET_tls_eecdh_auto_curves, SET_tls_ffdhe_auto_groups };
	AUTO_BUF struct buf list = BUF(KIB(4));
	bool asked = false;
	for (size_t i = 0; i < LEN(ids); i++) {
		asked = asked || !is_default(v, ids[i]);
		struct slice rest = conf_text(v, ids[i]);
		for (struct slice word; (word = slice_word(&rest, ", \t\r\n:")).len != 0;)
			buf_addf(&list, "%s%.*s", list.len != 0 ? ":" : "", SLICE_ARG(word));
	}
	return asked && list.len != 0 ? arena_slice(mem, buf_slice(&list)).at : NULL;
}

unsigned tls_depth(const struct conf_view *v, enum setting_id id) {
	return (unsigned)conf_number(v, id) + 1;
}
