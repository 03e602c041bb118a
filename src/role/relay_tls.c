/* SPDX-License-Identifier: Apache-2.0 */
/* TLS to a next hop (TLS_README, smtp_tls_policy_maps). What is the same for many connections is kept and shared; a
 * table may ask for any number of combinations, so what has not been asked for longest goes. */
#include "base/fail.h"
#include "base/encode.h"
#include "base/log.h"
#include "net/file.h"
#include "role/identity.h"
#include "role/relay_settings.h"
#include "role/tls_settings.h"

enum { CONTEXTS_MAX = 64, WORDS_MAX = 64, ANCHORS_MAX = 1 << 20 };

/* What a table may say; what it does not say is the setting's. */
struct policy {
	int level, grade;                 /* grade <0: not said */
	unsigned versions;                /* 0: not said */
	bool excludes;                    /* `excluded` was said */
	int reuse;                        /* <0: not said */
	struct slice match, servername, excluded;
	struct slice anchors[WORDS_MAX];  /* tafile= */
	struct slice patterns[WORDS_MAX]; /* mx_host_pattern= */
	size_t anchors_count, patterns_count;
	bool sts;                         /* policy_type=sts */
};

/* Contexts. */

struct relay_tls_context {
	struct relay_tls_context *next;
	char *key;
	struct tls_client *client;
};

void relay_tls_done(struct relay_settings *s) {
	for (struct relay_tls_context *c = s->contexts, *next; c != NULL; c = next) {
		next = c->next;
		tls_client_unref(&c->client);
		free(c->key);
		free(c);
	}
	s->contexts = NULL;
}

static struct slice excluded_of(const struct relay_profile *p, const struct policy *policy, struct arena *mem) {
	AUTO_BUF struct buf out = BUF(KIB(8));
	bool required = policy->level > CLIENT_TLS_MAY;
	if (policy->excludes) tls_excluded_add(&out, policy->excluded);
	if (!policy->excludes) tls_excluded_add(&out, relay_text(p, SET_smtp_tls_exclude_ciphers));
	if (!policy->excludes && required)
		tls_excluded_add(&out, relay_text(p, SET_smtp_tls_mandatory_exclude_ciphers));
	/* an anonymous server proves nothing; a cipher that does not encrypt is no encryption */
	if (required && (out.len != 0 || policy->grade == TLS_GRADE_NULL || policy->grade == TLS_GRADE_HIGH))
		buf_addf(&out, policy->level == CLIENT_TLS_ENCRYPT ? ":!eNULL" : ":!aNULL");
	return arena_slice(mem, buf_slice(&out));
}

/* The certificates that this way out shows. */
static size_t identities_of(const struct relay_settings *s, const struct relay_profile *p, struct tls_identity *out,
			    struct buf *key) {
	struct identity_files files[8];
	size_t n = identity_client_files(p->view, p->lmtp, files, LEN(files)), count = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < s->identities_count && count < IDENTITIES_MAX; k++) {
			if (!slice_eq(slice_of(s->identities[k].name), files[i].chain)) continue;
			out[count++] = (struct tls_identity){
				.chain_pem = slice_of(s->identities[k].pem),
				.remote = { .sign = sign_by_vault, .ctx = s->outside->vault, .id = k }
			};
			buf_addf(key, " %zu", k);
		}
	return count;
}

static int context_make(struct relay_settings *s, const struct tls_client_params *params, struct slice key,
			struct tls_client **out) {
	struct relay_tls_context *made = mem_get(sizeof *made), **last = &s->contexts;
	if (tls_client_new(params, &made->client) < 0) {
		free(made);
		return fail_add("TLS");
	}
	made->key = slice_text(key);
	made->next = s->contexts;
	s->contexts = made;
	*out = tls_client_ref(made->client);
	size_t count = 0;
	while (*last != NULL && count++ < CONTEXTS_MAX) last = &(*last)->next;
	struct relay_tls_context *oldest = *last;
	if (oldest == NULL) return 0;
	*last = NULL;
	tls_client_unref(&oldest->client);
	free(oldest->key);
	free(oldest);
	return 0;
}

static const char *path_of(const struct relay_profile *p, enum setting_id id) {
	struct slice path = relay_text(p, id);
	return path.len != 0 ? path.at : NULL;
}

/* *out with a reference of its own. */
static int context_find(struct relay_settings *s, const struct relay_profile *p, const struct policy *policy,
			struct arena *mem, struct tls_client **out) {
	bool required = policy->level > CLIENT_TLS_MAY;
	struct tls_identity identities[IDENTITIES_MAX];
	AUTO_BUF struct buf key = BUF(KIB(64));
	struct policy full = *policy;
	if (full.grade < 0)
		full.grade = conf_enum(
			p->view, relay_setting(p, required ? SET_smtp_tls_mandatory_ciphers : SET_smtp_tls_ciphers));
	if (full.versions == 0)
		full.versions = conf_tls_versions(p->view, relay_setting(p, required ? SET_smtp_tls_mandatory_protocols
										     : SET_smtp_tls_protocols));
	struct tls_client_params params = { .ca_file = path_of(p, SET_smtp_tls_CAfile),
					    .ca_path = path_of(p, SET_smtp_tls_CApath),
					    .system_roots = conf_bool(p->view, SET_tls_append_default_CA),
					    .depth = tls_depth(p->view,
							       relay_setting(p, SET_smtp_tls_scert_verifydepth)),
					    .dane_digests = path_of(p, SET_tls_dane_digests),
					    .identities = identities };
	/* "*." of MTA-STS stands for one label, whatever is usual here (RFC 8461 §4.1) */
	params.wildcard_labels = !policy->sts && conf_bool(p->view, SET_tls_wildcard_matches_multiple_labels);
	tls_versions_set(&params.common, full.versions);
	params.common.ciphers = tls_cipher_list(p->view, full.grade, excluded_of(p, &full, mem), mem);
	params.common.groups = tls_group_list(p->view, mem);
#define TEXT_OR(s) ((s) != NULL ? (s) : "-")
	buf_addf(&key, "%d %u %d %d %s %s %s %s", params.wildcard_labels, params.depth, (int)params.common.min,
		 (int)params.common.max, TEXT_OR(params.common.ciphers), TEXT_OR(params.common.groups),
		 TEXT_OR(params.ca_file), TEXT_OR(params.ca_path));
#undef TEXT_OR
	params.identities_count = identities_of(s, p, identities, &key);
	int r = 0;
	pthread_mutex_lock(&s->contexts_lock);
	struct relay_tls_context *c = s->contexts;
	while (c != NULL && !slice_eq(slice_of(c->key), buf_slice(&key))) c = c->next;
	if (c != NULL) *out = tls_client_ref(c->client);
	else r = context_make(s, &params, buf_slice(&key), out);
	pthread_mutex_unlock(&s->contexts_lock);
	return r;
}

int relay_tls_prepare(struct relay_settings *s, const struct relay_profile *p) {
	AUTO_ARENA struct arena mem = { 0 };
	int levels[] = { CLIENT_TLS_MAY, MAX_OF(p->level, (int)CLIENT_TLS_ENCRYPT) }, r = 0;
	for (size_t i = 0; i < LEN(levels) && r == 0; i++) {
		struct tls_client *made = NULL;
		r = context_find(s, p, &(struct policy){ .level = levels[i], .grade = -1 }, &mem, &made);
		tls_client_unref(&made);
	}
	return r;
}

/* Policies. */

static const char *const levels[] = {
	[CLIENT_TLS_NONE] = "none",           [CLIENT_TLS_MAY] = "may",
	[CLIENT_TLS_ENCRYPT] = "encrypt",     [CLIENT_TLS_DANE] = "dane",
	[CLIENT_TLS_DANE_ONLY] = "dane-only", [CLIENT_TLS_FINGERPRINT] = "fingerprint",
	[CLIENT_TLS_VERIFY] = "verify",       [CLIENT_TLS_SECURE] = "secure",
};

static int level_of(struct slice word) {
	return slice_among(word, levels, LEN(levels));
}

static int grade_of(struct slice word) {
	static const char *const grades[] = { [TLS_GRADE_MEDIUM] = "medium",
					      [TLS_GRADE_HIGH] = "high",
					      [TLS_GRADE_LOW] = "low",
					      [TLS_GRADE_EXPORT] = "export",
					      [TLS_GRADE_NULL] = "null" };
	return slice_among(word, grades, LEN(grades));
}

/* "name=value", or "{ name = value with blanks }". False: the end; an unclosed brace goes to the end. */
static bool next_attribute(struct slice *rest, struct slice *name, struct slice *value) {
	*rest = slice_trim(*rest);
	while (rest->len != 0 && rest->at[0] == ',') *rest = slice_trim(slice_skip(*rest, 1));
	if (rest->len == 0) return false;
	struct slice word;
	if (rest->at[0] == '{') {
		*rest = slice_skip(*rest, 1);
		word = slice_cut(rest, '}');
	} else {
		word = slice_word(rest, " \t,");
	}
	*name = slice_trim(slice_cut(&word, '='));
	*value = slice_trim(word);
	return true;
}

static bool keep_word(struct slice *list, size_t *count, struct slice value) {
	if (value.len == 0 || *count == WORDS_MAX) return false;
	list[(*count)++] = value;
	return true;
}

static int invalid(struct slice name, struct slice value) {
	return fail("smtp_tls_policy_maps: %.*s=%.*s is nothing that this level knows", SLICE_ARG(name),
		    SLICE_ARG(value));
}

/* What would weaken the demand if it were passed over is an error. */
static int policy_attribute(struct policy *p, struct slice name, struct slice value, struct arena *mem) {
	bool good = p->level != CLIENT_TLS_NONE;
	if (slice_same(name, S("match")))
		p->match =
			p->match.len != 0 ? arena_fmt(mem, "%.*s|%.*s", SLICE_ARG(p->match), SLICE_ARG(value)) : value;
	else if (slice_same(name, S("servername"))) p->servername = value;
	else if (slice_same(name, S("protocols"))) good = good && (p->versions = tls_versions_in(value)) != 0;
	else if (slice_same(name, S("ciphers"))) good = good && (p->grade = grade_of(value)) >= 0;
	else if (slice_same(name, S("exclude"))) {
		p->excluded = value;
		p->excludes = true;
	} else if (slice_same(name, S("tafile")))
		good = p->level >= CLIENT_TLS_VERIFY && keep_word(p->anchors, &p->anchors_count, value);
	else if (slice_same(name, S("connection_reuse"))) {
		p->reuse = slice_same(value, S("yes"));
		good = p->reuse == 1 || slice_same(value, S("no"));
	} else if (slice_same(name, S("policy_type"))) p->sts = slice_same(value, S("sts"));
	else if (slice_same(name, S("mx_host_pattern"))) good = keep_word(p->patterns, &p->patterns_count, value);
	else if (!slice_starts_same(name, S("policy_"))) good = false; /* policy_string and its kin are for reports */
	return good ? 0 : invalid(name, value);
}

static int policy_read(struct slice text, struct arena *mem, struct policy *out) {
	struct slice level = slice_word(&text, " \t,"), name, value;
	*out = (struct policy){ .level = level_of(level), .grade = -1, .reuse = -1 };
	if (out->level < 0) return fail("smtp_tls_policy_maps: \"%.*s\" is no level", SLICE_ARG(level));
	while (next_attribute(&text, &name, &value))
		if (policy_attribute(out, name, value, mem) < 0) return -1;
	return 0;
}

/* The old table: a word for a next hop. 0, 1, 2 as relay_tls. */
static int per_site(const struct relay_profile *p, struct slice hop, struct arena *mem, struct policy *out) {
	static const struct {
		const char *word;
		int level;
	} words[] = { { "NONE", CLIENT_TLS_NONE },
		      { "MAY", CLIENT_TLS_MAY },
		      { "MUST_NOPEERMATCH", CLIENT_TLS_ENCRYPT },
		      { "MUST", CLIENT_TLS_VERIFY } };
	struct lookup_hit hit;
	int r = lookup_key(&p->per_site, hop, mem, &hit);
	if (r != TABLE_FOUND) return r == TABLE_LATER;
	for (size_t i = 0; i < LEN(words); i++)
		if (slice_same(slice_trim(hit.value), slice_of(words[i].word))) {
			/* MAY is worth less than any level that is set for all */
			out->level = words[i].level == CLIENT_TLS_MAY ? MAX_OF(out->level, (int)CLIENT_TLS_MAY)
								      : words[i].level;
			return 0;
		}
	return fail("smtp_tls_per_site: \"%.*s\" is none of NONE, MAY, MUST, MUST_NOPEERMATCH", SLICE_ARG(hit.value)),
	       2;
}

static int policy_find(const struct relay_profile *p, struct slice hop, struct arena *mem, struct policy *out) {
	struct lookup_hit hit;
	bool bare = hop.len != 0 && hop.at[0] != '[' && slice_find(hop, ':') == hop.len;
	int r = lookup_key(&p->policies, hop, mem, &hit);
	if (r == TABLE_MISSING && bare && slice_find(hop, '.') < hop.len)
		r = lookup_domain(&p->policies, slice_skip(hop, slice_find(hop, '.')), true, mem, &hit);
	if (r == TABLE_MISSING && p->per_site.count != 0) return per_site(p, hop, mem, out);
	if (r == TABLE_LATER) return 1;
	return r == TABLE_FOUND && policy_read(hit.value, mem, out) < 0 ? 2 : 0;
}

/* What the certificate must show. */

/* Words of *_cert_match or match=, separated by colons too: hostname, nexthop, dot-nexthop, or a name. */
static void add_names(struct slice words, struct slice hop, struct arena *mem, struct slice *names, size_t *count,
		      size_t room) {
	struct smtp_next_hop parts = { 0 };
	struct slice word;
	smtp_next_hop_parse(hop, &parts);
	while ((word = slice_word(&words, ":|")).len != 0 && *count < room) {
		if (slice_same(word, S("hostname"))) names[(*count)++] = S("");
		else if (slice_same(word, S("nexthop"))) names[(*count)++] = arena_slice(mem, parts.host);
		else if (slice_same(word, S("dot-nexthop")))
			names[(*count)++] = arena_fmt(mem, ".%.*s", SLICE_ARG(parts.host));
		else names[(*count)++] = word;
	}
}

/* A file of roots, or of keys, that alone are trusted. */
static int add_anchors(const struct slice *files, size_t n, struct arena *mem, struct smtp_client_params *client) {
	AUTO_BUF struct buf pem = BUF(ANCHORS_MAX);
	for (size_t i = 0; i < n; i++)
		if (file_read(arena_text(mem, files[i]), &pem) < 0) return fail_add("trust anchors"), 2;
	client->anchors = arena_slice(mem, buf_slice(&pem));
	return 0;
}

static int expect_names(const struct relay_profile *p, const struct policy *policy, struct slice hop, struct arena *mem,
			struct smtp_client_params *client) {
	bool secure = policy->level == CLIENT_TLS_SECURE;
	const struct slice *words = secure ? p->secure_match : p->verify_match;
	size_t n = secure ? p->secure_match_count : p->verify_match_count, count = 0;
	struct slice *names = arena_array(mem, WORDS_MAX, sizeof *names),
		     file = relay_text(p, SET_smtp_tls_trust_anchor_file);
	if (client->mx_patterns_count != 0) names[count++] = S(""); /* MTA-STS: the host, whatever else is said */
	else if (policy->match.len != 0) add_names(policy->match, hop, mem, names, &count, WORDS_MAX);
	else
		for (size_t i = 0; i < n; i++) add_names(words[i], hop, mem, names, &count, WORDS_MAX);
	client->proof = SMTP_PROOF_NAMES;
	client->proofs = names;
	client->proofs_count = count;
	if (policy->anchors_count != 0) return add_anchors(policy->anchors, policy->anchors_count, mem, client);
	return file.len != 0 ? add_anchors(&file, 1, mem, client) : 0;
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
	struct slice *digests = arena_array(mem, p->fingerprints_count + WORDS_MAX, sizeof *digests),
		     words = policy->match, word;
	size_t n = 0;
	if (policy->match.len == 0)
		for (size_t i = 0; i < p->fingerprints_count; i++)
			n += digest_read(p->fingerprints[i], mem, &digests[n]);
	while ((word = slice_word(&words, "|")).len != 0 && n < WORDS_MAX) n += digest_read(word, mem, &digests[n]);
	if (n == 0) return fail("TLS level fingerprint without a fingerprint (smtp_tls_fingerprint_cert_match)"), 2;
	client->proof = SMTP_PROOF_DIGEST;
	client->proofs = digests;
	client->proofs_count = n;
	client->digest = p->digest;
	return 0;
}

static int expect(const struct relay_profile *p, const struct policy *policy, struct slice hop, struct arena *mem,
		  struct smtp_client_params *client) {
	switch (policy->level) {
	case CLIENT_TLS_DANE: client->proof = SMTP_PROOF_DANE; return 0;
	case CLIENT_TLS_DANE_ONLY: client->proof = SMTP_PROOF_DANE_ONLY; return 0;
	case CLIENT_TLS_FINGERPRINT: return expect_digests(p, policy, mem, client);
	case CLIENT_TLS_VERIFY:
	case CLIENT_TLS_SECURE: return expect_names(p, policy, hop, mem, client);
	default: return 0;
	}
}

/* hostname is what is sent anyway. */
static const char *servername_of(const struct relay_profile *p, const struct policy *policy, struct slice hop,
				 struct arena *mem) {
	struct slice name = policy->servername.len != 0 ? policy->servername : relay_text(p, SET_smtp_tls_servername);
	struct smtp_next_hop parts = { 0 };
	if (name.len == 0 || slice_same(name, S("hostname"))) return NULL;
	if (slice_same(name, S("nexthop")) && smtp_next_hop_parse(hop, &parts)) name = parts.host;
	return arena_text(mem, name);
}

static int choose_contexts(struct relay_settings *s, const struct relay_profile *p, const struct policy *policy,
			   struct arena *mem, struct relay_tls *out) {
	struct policy may = *policy;
	may.level = MIN_OF(may.level, (int)CLIENT_TLS_MAY);
	if (policy->level == CLIENT_TLS_NONE && !out->client->tls_wrapper) return 0;
	bool dane = policy->level == CLIENT_TLS_DANE;
	int r = context_find(s, p, dane ? &may : policy, mem, &out->held[0]);
	if (r == 0 && dane) r = context_find(s, p, policy, mem, &out->held[1]);
	out->client->tls_client = out->held[0];
	out->client->tls_dane = out->held[1];
	return r < 0 ? 2 : 0;
}

int relay_tls(struct relay_settings *s, const struct relay_profile *p, struct slice hop, bool (*waived)(void *ctx),
	      void *ctx, struct arena *mem, struct relay_tls *out) {
	struct policy policy = { .level = p->level, .grade = -1, .reuse = -1 };
	struct smtp_client_params *client = out->client;
	int r = policy_find(p, hop, mem, &policy);
	if (r != 0) return r;
	bool local = slice_starts(hop, S("unix:"));
	if (local && policy.level != CLIENT_TLS_NONE) policy.level = CLIENT_TLS_NONE; /* nobody listens in between */
	bool asked = client->require != SMTP_REQUIRE_NONE; /* REQUIRETLS overrides the header (RFC 8689 §4.1) */
	if (policy.level > CLIENT_TLS_MAY && !client->tls_wrapper && !asked && waived(ctx))
		policy = (struct policy){ .level = CLIENT_TLS_MAY, .grade = -1, .reuse = policy.reuse };
	bool required = policy.level > CLIENT_TLS_MAY && policy.level != CLIENT_TLS_DANE;
	if (p->tls_status) client->level = levels[policy.level];
	client->tls = policy.level == CLIENT_TLS_NONE ? SMTP_TLS_NONE : required ? SMTP_TLS_ENCRYPT : SMTP_TLS_MAY;
	client->tls_name = servername_of(p, &policy, hop, mem);
	if (policy.sts && policy.patterns_count != 0 &&
	    conf_bool(p->view, relay_setting(p, SET_smtp_tls_enforce_sts_mx_patterns))) {
		struct slice *patterns = arena_array(mem, policy.patterns_count, sizeof *patterns);
		memcpy(patterns, policy.patterns, policy.patterns_count * sizeof *patterns);
		client->mx_patterns = patterns;
		client->mx_patterns_count = policy.patterns_count;
	}
	out->reuse = policy.reuse < 0 ? p->tls_reuse : policy.reuse == 1;
	r = choose_contexts(s, p, &policy, mem, out);
	return r != 0 ? r : expect(p, &policy, hop, mem, client);
}
