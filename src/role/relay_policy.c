/* SPDX-License-Identifier: Apache-2.0 */
/* What depends on the next hop and the sender: passwords (SASL_README) and TLS (TLS_README, smtp_tls_policy_maps). */
#include "base/encode.h"
#include "base/fail.h"
#include "base/log.h"
#include "role/relay_settings.h"

/* Passwords. */

static bool in_lines(const struct relay_settings *s, struct slice key, struct slice *value) {
	struct slice rest = slice_of(s->logins != NULL ? s->logins : "");
	while (key.len != 0 && rest.at != NULL && rest.len != 0) {
		struct slice line = slice_trim(slice_cut(&rest, '\n'));
		if (line.len == 0 || line.at[0] == '#') continue;
		if (!slice_same(slice_word(&line, " \t"), key)) continue;
		*value = slice_trim(line);
		return true;
	}
	return false;
}

struct asking {
	const struct relay_settings *s;
	const struct relay_profile *p;
	struct arena *mem;
	struct slice value;
};

static int ask_key(struct asking *a, struct slice key) {
	struct lookup_hit hit;
	if (key.len == 0) return TABLE_MISSING;
	if (in_lines(a->s, key, &a->value)) return TABLE_FOUND;
	int r = lookup_key(&a->p->passwords, key, a->mem, &hit);
	if (r == TABLE_FOUND) a->value = hit.value;
	return r;
}

/* user+ext@dom, user@dom, @dom */
static int ask_sender(struct asking *a, struct slice sender) {
	struct slice local, domain;
	if (!a->p->by_sender || sender.len == 0 || !rewrite_parts(sender, &local, &domain)) return TABLE_MISSING;
	size_t split = rewrite_split(&a->s->rewrite, local);
	const struct slice keys[] = {
		sender,
		split < local.len ? arena_fmt(a->mem, "%.*s@%.*s", (int)split, local.at, SLICE_ARG(domain)) : SLICE_NONE,
		arena_fmt(a->mem, "@%.*s", SLICE_ARG(domain)),
	};
	for (size_t i = 0; i < LEN(keys); i++) {
		int r = ask_key(a, keys[i]);
		if (r != TABLE_MISSING) return r;
	}
	return TABLE_MISSING;
}

int relay_login(const struct relay_settings *s, const struct relay_profile *p, struct slice hop, struct slice sender,
		struct arena *mem, struct slice *user, struct slice *password) {
	struct asking a = { .s = s, .p = p, .mem = mem };
	struct smtp_next_hop parts = { 0 };
	if (!p->log_in) return 0;
	smtp_next_hop_parse(hop, &parts);
	int r = ask_sender(&a, sender);
	if (r == TABLE_MISSING) r = ask_key(&a, hop);
	if (r == TABLE_MISSING) r = ask_key(&a, parts.host);
	if (r == TABLE_MISSING && in_lines(s, S("*"), &a.value)) r = TABLE_FOUND;
	if (r == TABLE_LATER) return 1;
	if (r != TABLE_FOUND || a.value.len == 0) return 0;
	*password = a.value;
	*user = slice_cut(password, ':');
	return 0;
}

/* TLS. */

struct policy {
	int level;
	struct slice match, servername;
};

/* "secure match=.example.com:nexthop servername=hostname". What would weaken the demand if it were passed over is an error. */
static int policy_read(struct slice value, struct policy *out) {
	static const char *const levels[] = {
		[CLIENT_TLS_NONE] = "none",           [CLIENT_TLS_MAY] = "may",
		[CLIENT_TLS_ENCRYPT] = "encrypt",     [CLIENT_TLS_DANE] = "dane",
		[CLIENT_TLS_DANE_ONLY] = "dane-only", [CLIENT_TLS_FINGERPRINT] = "fingerprint",
		[CLIENT_TLS_VERIFY] = "verify",       [CLIENT_TLS_SECURE] = "secure",
	};
	struct slice word = slice_word(&value, " \t,");
	struct policy p = { .level = -1 };
	for (size_t i = 0; i < LEN(levels); i++)
		if (slice_same(word, slice_of(levels[i]))) p.level = (int)i;
	if (p.level < 0) return fail("smtp_tls_policy_maps: \"%.*s\" is no level", SLICE_ARG(word));
	while ((word = slice_word(&value, " \t,")).len != 0) {
		struct slice name = slice_cut(&word, '=');
		if (slice_same(name, S("match"))) p.match = word;
		else if (slice_same(name, S("servername"))) p.servername = word;
		else if (slice_same(name, S("ciphers")) || slice_same(name, S("exclude")) || slice_same(name, S("connection_reuse")))
			say(L_WARN, "smtp", "smtp_tls_policy_maps: %.*s= has no effect in this version", SLICE_ARG(name));
		else return fail("smtp_tls_policy_maps: %.*s= is nothing that this version does", SLICE_ARG(name));
	}
	*out = p;
	return 0;
}

static int policy_find(const struct relay_profile *p, struct slice hop, struct arena *mem, struct policy *out) {
	struct lookup_hit hit;
	bool bare = hop.len != 0 && hop.at[0] != '[' && slice_find(hop, ':') == hop.len;
	int r = lookup_key(&p->policies, hop, mem, &hit);
	if (r == TABLE_MISSING && bare && slice_find(hop, '.') < hop.len)
		r = lookup_domain(&p->policies, slice_skip(hop, slice_find(hop, '.')), true, mem, &hit);
	if (r == TABLE_LATER) return 1;
	return r == TABLE_FOUND && policy_read(hit.value, out) < 0 ? 2 : 0;
}

/* Words of *_cert_match or match=, separated by colons too: hostname, nexthop, dot-nexthop, or a name. */
static void add_names(struct slice words, struct slice hop, struct arena *mem, struct slice *names, size_t *count, size_t room) {
	struct smtp_next_hop parts = { 0 };
	struct slice word;
	smtp_next_hop_parse(hop, &parts);
	while ((word = slice_word(&words, ":|")).len != 0 && *count < room) {
		if (slice_same(word, S("hostname"))) names[(*count)++] = S("");
		else if (slice_same(word, S("nexthop"))) names[(*count)++] = arena_slice(mem, parts.host);
		else if (slice_same(word, S("dot-nexthop"))) names[(*count)++] = arena_fmt(mem, ".%.*s", SLICE_ARG(parts.host));
		else names[(*count)++] = word;
	}
}

static void expect_names(const struct relay_profile *p, const struct policy *policy, struct slice hop, struct arena *mem,
			 struct smtp_client_params *client) {
	bool secure = policy->level == CLIENT_TLS_SECURE;
	const struct slice *words = secure ? p->secure_match : p->verify_match;
	size_t n = secure ? p->secure_match_count : p->verify_match_count, count = 0, room = 64;
	struct slice *names = arena_array(mem, room, sizeof *names);
	if (policy->match.len != 0) add_names(policy->match, hop, mem, names, &count, room);
	else
		for (size_t i = 0; i < n; i++) add_names(words[i], hop, mem, names, &count, room);
	client->proof = SMTP_PROOF_NAMES;
	client->proofs = names;
	client->proofs_count = count;
}

/* "AA:BB:…" in hexadecimal. */
static bool digest_read(struct slice word, struct arena *mem, struct slice *out) {
	char *at = arena_get(mem, word.len / 2 + 1);
	size_t n = 0;
	for (size_t i = 0; i < word.len;) {
		if (word.at[i] == ':') {
			i++;
			continue;
		}
		if (i + 1 >= word.len || ascii_hex(word.at[i]) < 0 || ascii_hex(word.at[i + 1]) < 0) return false;
		at[n++] = (char)(ascii_hex(word.at[i]) * 16 + ascii_hex(word.at[i + 1]));
		i += 2;
	}
	*out = slice_from(at, n);
	return n >= 16;
}

static int expect_digests(const struct relay_profile *p, const struct policy *policy, struct arena *mem,
			  struct smtp_client_params *client) {
	struct slice *digests = arena_array(mem, p->fingerprints_count + 64, sizeof *digests), words = policy->match, word;
	size_t n = 0;
	if (policy->match.len == 0)
		for (size_t i = 0; i < p->fingerprints_count; i++) n += digest_read(p->fingerprints[i], mem, &digests[n]);
	while ((word = slice_word(&words, "|")).len != 0 && n < 64) n += digest_read(word, mem, &digests[n]);
	if (n == 0) return fail("TLS level fingerprint without a fingerprint (smtp_tls_fingerprint_cert_match)"), 2;
	client->proof = SMTP_PROOF_DIGEST;
	client->proofs = digests;
	client->proofs_count = n;
	client->digest = p->digest;
	return 0;
}

int relay_tls(const struct relay_profile *p, struct slice hop, struct arena *mem, struct smtp_client_params *client) {
	struct policy policy = { .level = p->level };
	int r = policy_find(p, hop, mem, &policy);
	if (r != 0) return r;
	bool local = slice_starts(hop, S("unix:"));
	if (local && policy.level != CLIENT_TLS_NONE) policy.level = CLIENT_TLS_NONE; /* nobody listens in between */
	bool required = policy.level > CLIENT_TLS_MAY && policy.level != CLIENT_TLS_DANE;
	client->tls = policy.level == CLIENT_TLS_NONE ? SMTP_TLS_NONE : required ? SMTP_TLS_ENCRYPT : SMTP_TLS_MAY;
	client->tls_client = policy.level == CLIENT_TLS_NONE && !client->tls_wrapper ? NULL : p->tls[required ? TLS_REQUIRED : TLS_OFFERED];
	if (policy.servername.len != 0 && !slice_same(policy.servername, S("hostname")))
		client->tls_name = arena_text(mem, policy.servername);
	client->auth_in_clear = p->plain_in_clear;
	if (!p->plain_in_tls && client->tls != SMTP_TLS_NONE) client->no_mechanisms = SMTP_MECHANISM_PLAIN | SMTP_MECHANISM_LOGIN;
	switch (policy.level) {
	case CLIENT_TLS_DANE: client->proof = SMTP_PROOF_DANE; return 0;
	case CLIENT_TLS_DANE_ONLY: client->proof = SMTP_PROOF_DANE_ONLY; return 0;
	case CLIENT_TLS_FINGERPRINT: return expect_digests(p, &policy, mem, client);
	case CLIENT_TLS_VERIFY:
	case CLIENT_TLS_SECURE: expect_names(p, &policy, hop, mem, client); return 0;
	default: return 0;
	}
}

/* Filters. */

void relay_filter(const struct relay_profile *p, struct smtp_outcome *o, struct arena *mem) {
	struct lookup_hit hit;
	if (p->status_filter.count == 0) return;
	struct slice key = arena_fmt(mem, "%s %.*s", o->status, SLICE_ARG(o->text));
	if (lookup_key(&p->status_filter, key, mem, &hit) != TABLE_FOUND) return;
	struct slice rest = slice_trim(hit.value), status = slice_word(&rest, " \t");
	bool good = status.len >= 5 && status.len < sizeof o->status && status.at[1] == '.';
	if (!good || (status.at[0] == '2') != (o->status[0] == '2') || strchr("245", status.at[0]) == NULL) {
		say(L_WARN, p->tag, "delivery status filter: \"%.*s\" is no status of the same kind as \"%.*s\"",
		    SLICE_ARG(hit.value), SLICE_ARG(key));
		return;
	}
	snprintf(o->status, sizeof o->status, "%.*s", SLICE_ARG(status));
	o->text = slice_trim(rest);
	if (status.at[0] != '2') o->fate = status.at[0] == '5' ? SMTP_NEVER : SMTP_LATER;
}

struct slice relay_filter_reply(void *profile, struct slice line, struct arena *mem) {
	const struct relay_profile *p = profile;
	struct lookup_hit hit;
	return lookup_key(&p->reply_filter, line, mem, &hit) == TABLE_FOUND ? hit.value : line;
}
