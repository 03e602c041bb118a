/* SPDX-License-Identifier: Apache-2.0 */
/* A record may send us through other people's DNS: each step is paid for before it is taken (RFC 7208 §4.6.4), so that
 * the ten look-ups also bound the depth of includes, and one deadline bounds the time. */
#include "trust/spf_private.h"

#include "base/clock.h"
#include "base/fail.h"

enum { LOOKUPS_MAX = 10, VOIDS_MAX = 2, NAMES_MAX = 10, DOMAIN_MAX = 253, EXPLANATION_MAX = 500 };

struct check {
	const struct spf_params *p;
	const struct spf_question *q;
	struct arena *mem;
	struct spf_macros macros;
	int64_t deadline;
	struct spf_verdict *out;
	struct slice *confirmed; /* the client's names that lead back to it */
	size_t confirmed_count;
	bool confirmed_known;
};

enum match { MATCH_NO, MATCH_YES, MATCH_TEMPERROR, MATCH_PERMERROR };

static enum match permerror(struct check *c, const char *format, ...) PRINTF_LIKE(2, 3);
static enum match permerror(struct check *c, const char *format, ...) {
	AUTO_BUF struct buf text = BUF(KIB(2));
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	c->out->reason = arena_slice(c->mem, buf_slice(&text));
	return MATCH_PERMERROR;
}

static enum match temperror(struct check *c) {
	c->out->reason = arena_slice(c->mem, slice_of(fail_text()));
	return MATCH_TEMPERROR;
}

static enum match spend(struct check *c) {
	if (clock_ms() >= c->deadline) {
		fail("DNS took too long");
		return temperror(c);
	}
	if (c->out->lookups == LOOKUPS_MAX)
		return permerror(c, "the record asks for more than %d look-ups", LOOKUPS_MAX);
	c->out->lookups++;
	return MATCH_NO;
}

/* What a look-up without an address means for its term. */
static enum match found_nothing(struct check *c, int dns_result) {
	if (dns_result == DNS_LATER) return temperror(c);
	if (c->out->voids == VOIDS_MAX)
		return permerror(c, "more than %d look-ups of the record found nothing", VOIDS_MAX);
	c->out->voids++;
	return MATCH_NO;
}

static bool has_prefix(const unsigned char *a, const unsigned char *b, unsigned bits) {
	if (memcmp(a, b, bits / 8) != 0) return false;
	return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8)) == 0;
}

/* bits4 or bits6 counts, by the family of both; network: 4 or 16 bytes. */
static bool is_in(const struct addr *client, int family, const unsigned char *network, unsigned bits4, unsigned bits6) {
	struct addr_key key = addr_key(client, 128);
	if (addr_family(client) != family) return false;
	return family == AF_INET ? has_prefix(key.bytes + 12, network, bits4) : has_prefix(key.bytes, network, bits6);
}

static unsigned client_kind(const struct check *c) {
	return addr_family(c->q->client) == AF_INET ? DNS_IPV4 : DNS_IPV6;
}

/* The name of a term; macros may make one that is too long, and loses its left part then (§7.3). Empty: cannot be a
 * name. */
static struct slice target_of(struct check *c, struct slice spec) {
	AUTO_BUF struct buf name = BUF(KIB(64));
	if (spec.len == 0) return c->macros.domain;
	if (!spf_macro_expand(spec, &c->macros, &name) || !slice_is_ascii(buf_slice(&name)))
		return SLICE_NONE; /* RFC 8616 §4 */
	struct slice s = buf_slice(&name);
	if (slice_ends(s, S("."))) s.len--;
	while (s.len > DOMAIN_MAX) s = slice_skip(s, slice_find(s, '.') + 1);
	return arena_slice(c->mem, s);
}

/* ---- the client's names ---- */

static bool leads_back(struct check *c, struct slice name, int64_t deadline) {
	struct addr *list;
	size_t n;
	if (dns_addresses(c->p->dns, name, client_kind(c), deadline, c->mem, &list, &n, NULL) != DNS_OK) return false;
	for (size_t i = 0; i < n; i++)
		if (addr_same_host(&list[i], c->q->client)) return true;
	return false;
}

/* What fails here is skipped (§5.5): the names belong to the client, not to the domain. They get half of the time left.
 */
static int find_confirmed(struct check *c) {
	int64_t now = clock_ms(), deadline = now + (c->deadline - now) / 2;
	struct slice *names;
	size_t n;
	int r = dns_ptr(c->p->dns, c->q->client, deadline, c->mem, &names, &n, NULL);
	c->confirmed_known = true;
	if (r != DNS_OK) return r;
	n = MIN_OF(n, (size_t)NAMES_MAX);
	for (size_t i = 0; i < n; i++) dns_hint(c->p->dns, names[i], client_kind(c) == DNS_IPV4 ? DNS_A : DNS_AAAA);
	c->confirmed = arena_array(c->mem, n, sizeof *c->confirmed);
	for (size_t i = 0; i < n; i++)
		if (leads_back(c, names[i], deadline)) c->confirmed[c->confirmed_count++] = names[i];
	return r;
}

static bool is_below(struct slice name, struct slice domain) {
	return slice_ends_same(name, domain) && name.len > domain.len && name.at[name.len - domain.len - 1] == '.';
}

/* %{p}: the domain itself, or a name below it, or any (§7.3). */
static struct slice confirmed_name(void *ctx) {
	struct check *c = ctx;
	if (!c->confirmed_known) find_confirmed(c);
	const struct slice *best = NULL;
	for (size_t i = 0; i < c->confirmed_count; i++) {
		const struct slice *name = &c->confirmed[i];
		if (slice_same(*name, c->macros.domain)) return *name;
		if (best == NULL || (is_below(*name, c->macros.domain) && !is_below(*best, c->macros.domain)))
			best = name;
	}
	return best != NULL ? *best : S("unknown");
}

static enum match match_ptr(struct check *c, struct slice target) {
	int r = c->confirmed_known ? DNS_OK : find_confirmed(c);
	if (r == DNS_NODATA || r == DNS_NXDOMAIN) return found_nothing(c, r);
	for (size_t i = 0; i < c->confirmed_count; i++)
		if (slice_same(c->confirmed[i], target) || is_below(c->confirmed[i], target)) return MATCH_YES;
	return MATCH_NO;
}

/* ---- names with addresses ---- */

static enum match match_host(struct check *c, const struct spf_term *t, struct slice host) {
	struct addr *list;
	size_t n;
	int r = dns_addresses(c->p->dns, host, client_kind(c), c->deadline, c->mem, &list, &n, NULL);
	if (r != DNS_OK) return found_nothing(c, r);
	for (size_t i = 0; i < n; i++) {
		struct addr_key key = addr_key(&list[i], 128);
		int family = addr_family(&list[i]);
		if (is_in(c->q->client, family, family == AF_INET ? key.bytes + 12 : key.bytes, t->bits4, t->bits6))
			return MATCH_YES;
	}
	return MATCH_NO;
}

/* The host of an MX record, which may have any visible bytes here: the domain's owner chose it. */
static bool mx_host(struct slice rdata, struct arena *mem, struct slice *out) {
	AUTO_BUF struct buf name = BUF(DOMAIN_MAX);
	struct slice rest = slice_skip(rdata, 2);
	while (rest.len != 0 && rest.at[0] != '\0') {
		struct slice label = slice_head(slice_skip(rest, 1), (unsigned char)rest.at[0]);
		if (memchr(label.at, '.', label.len) != NULL) return false;
		rest = slice_skip(rest, label.len + 1);
		if (name.len != 0) buf_byte(&name, '.');
		buf_add(&name, label);
	}
	*out = arena_slice(mem, buf_slice(&name));
	return !name.full && name.len != 0;
}

static int by_preference(const void *a, const void *b) {
	return memcmp(((const struct slice *)a)->at, ((const struct slice *)b)->at, 2);
}

static enum match match_mx(struct check *c, const struct spf_term *t, struct slice target) {
	struct slice *records;
	size_t n;
	int r = dns_query(c->p->dns, target, DNS_MX, c->deadline, c->mem, &records, &n, NULL);
	if (r != DNS_OK) return found_nothing(c, r);
	if (n > NAMES_MAX) return permerror(c, "%.*s has more than %d MX hosts", SLICE_ARG(target), NAMES_MAX);
	size_t good = 0;
	for (size_t i = 0; i < n; i++)
		if (records[i].len > 2) records[good++] = records[i];
	qsort(records, good, sizeof *records, by_preference);
	for (size_t i = 0; i < good; i++) {
		struct slice host;
		if (!mx_host(records[i], c->mem, &host)) continue; /* the null MX among them */
		enum match m = match_host(c, t, host);
		if (m != MATCH_NO) return m;
	}
	return MATCH_NO;
}

static enum match match_exists(struct check *c, struct slice target) {
	struct addr *list;
	size_t n;
	int r = dns_addresses(c->p->dns, target, DNS_IPV4, c->deadline, c->mem, &list, &n, NULL);
	return r == DNS_OK ? MATCH_YES : found_nothing(c, r);
}

/* ---- records ---- */

static enum trust_result check_host(struct check *c, bool included);

/* The check is made for another domain; none is an error where a record sends us (§5.2, §6.1). */
static enum trust_result check_other(struct check *c, struct slice domain, bool included) {
	struct slice here = c->macros.domain;
	c->macros.domain = domain;
	enum trust_result r = domain.len == 0 ? TRUST_NONE : check_host(c, included);
	c->macros.domain = here;
	if (r == TRUST_NONE)
		permerror(c, "the record leads to %.*s, which has no SPF record",
			  SLICE_ARG(domain.len != 0 ? domain : S("no name")));
	return r == TRUST_NONE ? TRUST_PERMERROR : r;
}

static enum match match_include(struct check *c, struct slice target) {
	enum trust_result r = check_other(c, target, true);
	return r == TRUST_PASS        ? MATCH_YES
	       : r == TRUST_TEMPERROR ? MATCH_TEMPERROR
	       : r == TRUST_PERMERROR ? MATCH_PERMERROR
				      : MATCH_NO;
}

static enum match match_term(struct check *c, const struct spf_term *t) {
	if (t->kind == SPF_ALL) return MATCH_YES;
	if (t->kind == SPF_IP4 || t->kind == SPF_IP6) {
		int family = t->kind == SPF_IP4 ? AF_INET : AF_INET6;
		return is_in(c->q->client, family, t->network, t->bits4, t->bits6) ? MATCH_YES : MATCH_NO;
	}
	enum match m = spend(c);
	if (m != MATCH_NO) return m;
	struct slice target = target_of(c, t->domain);
	if (t->kind == SPF_INCLUDE) return match_include(c, target);
	if (target.len == 0) return found_nothing(c, DNS_NXDOMAIN);
	switch (t->kind) {
	case SPF_A: return match_host(c, t, target);
	case SPF_MX: return match_mx(c, t, target);
	case SPF_PTR: return match_ptr(c, target);
	default: return match_exists(c, target);
	}
}

/* The one SPF record of the domain: TRUST_PASS when it is there. */
static enum trust_result find_record(struct check *c, struct spf_record *out) {
	struct slice *texts, domain = c->macros.domain, reason;
	const struct slice *found = NULL;
	size_t n;
	int r = dns_txt(c->p->dns, domain, c->deadline, c->mem, &texts, &n, NULL);
	if (r == DNS_LATER) return temperror(c), TRUST_TEMPERROR;
	for (size_t i = 0; r == DNS_OK && i < n; i++) {
		if (!spf_record_is(texts[i])) continue;
		if (found != NULL)
			return permerror(c, "%.*s has more than one SPF record", SLICE_ARG(domain)), TRUST_PERMERROR;
		found = &texts[i];
	}
	if (found == NULL) return TRUST_NONE;
	if (c->out->sources_count < SPF_SOURCES_MAX)
		c->out->sources[c->out->sources_count++] = (struct spf_source){ domain, *found };
	if (spf_record_parse(*found, c->mem, out, &reason)) return TRUST_PASS;
	permerror(c, "the SPF record of %.*s is broken: %.*s", SLICE_ARG(domain), SLICE_ARG(reason));
	return TRUST_PERMERROR;
}

/* What is wrong with an explanation makes it absent, no more (§6.2). */
static void explain(struct check *c, struct slice exp) {
	AUTO_BUF struct buf text = BUF(EXPLANATION_MAX);
	struct slice *texts, name = target_of(c, exp);
	size_t n;
	if (name.len == 0 || dns_txt(c->p->dns, name, c->deadline, c->mem, &texts, &n, NULL) != DNS_OK || n != 1)
		return;
	if (!spf_macro_valid(texts[0], SPF_TEXT_EXPLANATION) || !spf_macro_expand(texts[0], &c->macros, &text)) return;
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < ' ' || text.at[i] > '~') return;
	c->out->explanation = arena_slice(c->mem, buf_slice(&text));
}

static enum trust_result check_redirect(struct check *c, struct slice redirect, bool included) {
	enum match m = spend(c);
	if (m != MATCH_NO) return m == MATCH_TEMPERROR ? TRUST_TEMPERROR : TRUST_PERMERROR;
	return check_other(c, target_of(c, redirect), included);
}

static enum trust_result check_host(struct check *c, bool included) {
	struct spf_record record;
	enum trust_result r = find_record(c, &record);
	if (r != TRUST_PASS) return r;
	for (size_t i = 0; i < record.count; i++) {
		const struct spf_term *t = &record.terms[i];
		enum match m = match_term(c, t);
		if (m == MATCH_NO) continue;
		if (!included) c->out->mechanism = t->text;
		if (m != MATCH_YES) return m == MATCH_TEMPERROR ? TRUST_TEMPERROR : TRUST_PERMERROR;
		if (t->result == TRUST_FAIL && !included && record.exp.len != 0) explain(c, record.exp);
		return t->result;
	}
	if (record.redirect.len != 0) return check_redirect(c, record.redirect, included);
	if (!included) c->out->mechanism = S("default");
	return TRUST_NEUTRAL;
}

/* ---- one check ---- */

static void give_reason(struct check *c) {
	static const char *const phrases[] = { [TRUST_PASS] = "%s is a sender of %.*s (%.*s)",
					       [TRUST_FAIL] = "%s is not among the senders of %.*s (%.*s)",
					       [TRUST_SOFTFAIL] = "%s is probably not among the senders of %.*s (%.*s)",
					       [TRUST_NEUTRAL] = "whether %s is a sender of %.*s is left open (%.*s)" };
	struct spf_verdict *v = c->out;
	char room[ADDR_TEXT_ROOM];
	if ((size_t)v->result >= LEN(phrases) || phrases[v->result] == NULL) return;
	v->reason = arena_fmt(c->mem, phrases[v->result], addr_text(c->q->client, room), SLICE_ARG(v->domain),
			      SLICE_ARG(v->mechanism));
}

/* Who is asked about: local part and domain. */
static void identify(const struct spf_question *q, struct slice *local, struct slice *domain, struct spf_verdict *out) {
	bool helo = q->of_helo || q->sender.len == 0;
	size_t at = helo ? q->sender.len : slice_find_last(q->sender, '@');
	*domain = helo ? q->helo : at == q->sender.len ? q->sender : slice_skip(q->sender, at + 1);
	*local = !helo && at != q->sender.len && at != 0 ? slice_head(q->sender, at) : S("postmaster");
	out->identity = helo ? S("helo") : S("mailfrom");
}

void spf_check(const struct spf_params *p, const struct spf_question *q, struct arena *mem, struct spf_verdict *out) {
	struct slice local, domain;
	*out = (struct spf_verdict){ .result = TRUST_NONE };
	identify(q, &local, &domain, out);
	out->domain = arena_slice(mem, domain);
	if (slice_ends(domain, S("."))) domain.len--;
	if (!dns_to_ascii(domain, mem, &domain) || slice_find(domain, '.') == domain.len) {
		out->reason = S("there is no domain name to be asked about");
		return;
	}
	out->domain = domain;
	struct check c = { .p = p, .q = q, .mem = mem, .out = out };
	c.deadline = deadline_in(p->timeout_ms > 0 ? p->timeout_ms : SECONDS(20));
	if (p->deadline != 0) c.deadline = MIN_OF(c.deadline, p->deadline);
	c.macros = (struct spf_macros){ .client = q->client,
					.local = local,
					.sender_domain = domain,
					.domain = domain,
					.helo = q->helo,
					.receiver = slice_of(p->receiver != NULL ? p->receiver : "unknown"),
					.validated = confirmed_name,
					.ctx = &c };
	out->result = check_host(&c, false);
	if (out->result == TRUST_NONE) out->reason = arena_fmt(mem, "%.*s has no SPF record", SLICE_ARG(domain));
	else give_reason(&c);
}
