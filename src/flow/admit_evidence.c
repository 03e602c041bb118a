/* SPDX-License-Identifier: Apache-2.0 */
/* Who sent it (trust/evidence.h), asked of every message that a stranger hands in: over the bytes as they arrive,
 * before header_checks, milters and our own rewriting change any of them, for signatures are about those. Our own
 * users, this host's and other exempt clients are not asked. */
#include "base/fail.h"
#include "flow/admit_private.h"
#include "mime/header.h"

enum { FIELDS_MAX = 65536 };

static const struct proving_params *params_of(const struct admit *a) {
	return a->params->proving;
}

bool admit_is_stranger(const struct admit *a) {
	const struct proving_params *p = params_of(a);
	if (p == NULL || a->local || admit_session(a)->login.len != 0 || addr_family(&a->peer) == AF_UNSPEC)
		return false;
	return p->exempt == NULL || !networks_match_sockaddr(p->exempt, &a->peer.any);
}

static enum trust_result iprev_of(const struct admit *a) {
	const struct restrict_client *c = &a->access.client;
	if (!a->params->look_up_names) return TRUST_NONE;
	if (c->name_state == NAME_LATER || c->reverse_state == NAME_LATER) return TRUST_TEMPERROR;
	if (c->name_state == NAME_KNOWN) return TRUST_PASS;
	return c->reverse_state == NAME_KNOWN ? TRUST_FAIL : TRUST_PERMERROR; /* RFC 8601 §2.7.3: no name at all */
}

void admit_proof_mail(struct admit *a) {
	struct admit_proof *proof = &a->proof;
	proof->wanted = admit_is_stranger(a);
	if (!proof->wanted) return;
	proof->client = (struct evidence_client){
		.address = a->peer,
		.helo = arena_slice(&a->tx, admit_session(a)->helo),
		.sender = a->sender,
		.iprev = iprev_of(a),
		.name = a->access.client.name_state == NAME_KNOWN ? a->name : SLICE_NONE,
		.spf = proof->client.spf,
		.spf_helo = proof->client.spf_helo,
	};
	evidence_hint(&params_of(a)->evidence, &proof->client);
}

void admit_proof_reset(struct admit *a) {
	buf_done(&a->proof.raw);
	a->proof = (struct admit_proof){ .raw = BUF(ADMIT_HEADER_MAX) };
	a->altered = false;
}

/* SPF before the message comes: only where somebody wants to refuse by it. */

static void ask_spf(struct admit *a, bool helo) {
	struct admit_proof *proof = &a->proof;
	const struct spf_params *p = &params_of(a)->evidence.spf;
	struct spf_question q = { .client = &a->peer, .helo = proof->client.helo, .sender = a->sender };
	if (proof->client.spf == NULL) {
		spf_check(p, &q, &a->tx, &proof->spf);
		proof->client.spf = &proof->spf;
	}
	if (!helo || a->sender.len == 0 || proof->client.spf_helo != NULL) return;
	q.of_helo = true;
	spf_check(p, &q, &a->tx, &proof->spf_helo);
	proof->client.spf_helo = &proof->spf_helo;
}

/* By its address, its confirmed name, or a trusted forwarder's own record. */
static bool is_spared(struct admit *a) {
	const struct proving_params *p = params_of(a);
	if (p->spf_exempt != NULL && networks_match_sockaddr(p->spf_exempt, &a->peer.any)) return true;
	if (p->spf_exempt_hosts != NULL && a->access.client.name_state == NAME_KNOWN &&
	    domains_match(p->spf_exempt_hosts, a->name))
		return true;
	for (size_t i = 0; i < p->spf_exempt_domains_count; i++) {
		struct spf_verdict v;
		struct slice sender = arena_fmt(&a->tx, "postmaster@%.*s", SLICE_ARG(p->spf_exempt_domains[i]));
		spf_check(&p->evidence.spf,
			  &(struct spf_question){ .client = &a->peer, .helo = a->proof.client.helo, .sender = sender },
			  &a->tx, &v);
		if (v.result == TRUST_PASS) return true;
	}
	return false;
}

struct smtp_reply admit_proof_rcpt(struct admit *a, struct slice recipient, struct arena *mem) {
	const struct proving_params *p = params_of(a);
	struct smtp_reply none = { .code = 0 };
	if (!a->proof.wanted || !p->evidence.use_spf) return none;
	if (p->spf_fail == PROVING_FAIL_NONE && p->spf_temperror == PROVING_FAIL_NONE) return none;
	ask_spf(a, p->evidence.use_helo);
	bool no_sender = a->sender.len == 0;
	struct smtp_reply r = proving_spf(p, &a->proof.spf, no_sender, recipient, mem);
	if (r.code == 0 && a->proof.client.spf_helo != NULL)
		r = proving_spf(p, &a->proof.spf_helo, no_sender, recipient, mem);
	return r.code != 0 && is_spared(a) ? none : r;
}

static void add_received_spf(struct admit *a, const struct spf_verdict *v, bool helo, struct buf *out) {
	struct spf_question q = {
		.client = &a->peer, .helo = a->proof.client.helo, .sender = a->sender, .of_helo = helo
	};
	spf_received_add(out, &params_of(a)->evidence.spf, &q, v);
}

/* What policyd-spf would answer with the settings it comes with: HELO_reject = Fail, Mail_From_reject = Fail. */
struct slice admit_proof_policy(void *ctx, struct arena *mem) {
	struct admit *a = ctx;
	if (params_of(a) == NULL || a->local || addr_is_loopback(&a->peer) || addr_family(&a->peer) == AF_UNSPEC)
		return S("DUNNO");
	if (admit_session(a)->login.len != 0) return S("DUNNO");
	a->proof.client.helo = arena_slice(&a->tx, admit_session(a)->helo);
	ask_spf(a, true);
	const struct spf_verdict *helo = a->proof.client.spf_helo, *v = a->proof.client.spf;
	const struct proving_params *p = params_of(a);
	bool no_sender = a->sender.len == 0;
	if (helo != NULL && proving_spf_fails(p, helo, no_sender)) v = helo;
	if (proving_spf_fails(p, v, no_sender) && !is_spared(a))
		return arena_fmt(mem, "550 5.7.23 Message rejected due to: %.*s", SLICE_ARG(proving_spf_text(v, mem)));
	if (a->proof.prepended) return S("DUNNO");
	a->proof.prepended = true;
	AUTO_BUF struct buf field = BUF(KIB(8));
	buf_add(&field, S("PREPEND "));
	add_received_spf(a, v, false, &field);
	return arena_slice(mem, header_unfold(buf_slice(&field), mem));
}

/* While the message comes in. */

static void begin(struct admit *a, struct slice header) {
	struct admit_proof *proof = &a->proof;
	proof->in_body = true;
	proof->header = arena_slice(&a->tx, header);
	const struct evidence_params *p = &params_of(a)->evidence;
	if (admit_sign_ignores(a->params->sign, a, proof->header)) {
		struct evidence_params *less = arena_get(&a->tx, sizeof *less);
		*less = *p;
		less->use_dkim = false;
		p = less;
	}
	proof->evidence = evidence_begin(p, &proof->client, proof->header, &a->tx);
}

static void gather(struct admit *a, struct slice bytes) {
	struct admit_proof *proof = &a->proof;
	struct slice all = bytes;
	size_t end;
	bool first = proof->raw.len == 0;
	if (!first) {
		if (!buf_add(&proof->raw, bytes)) return; /* intake refuses it, too */
		all = buf_slice(&proof->raw);
	}
	enum intake_cut cut = intake_cut(all, &proof->line, &end);
	if (cut == INTAKE_HEADER) {
		begin(a, slice_head(all, end));
		all = slice_skip(all, end);
		evidence_body(proof->evidence, slice_starts(all, S("\r\n")) ? slice_skip(all, 2) : all);
		buf_done(&proof->raw);
	} else if (cut == INTAKE_MORE) {
		if (first) buf_add(&proof->raw, bytes);
	} else {
		struct buf named = BUF(proof->raw.limit + all.len + 100);
		buf_add(&named, intake_mbox_name);
		buf_add(&named, all);
		buf_done(&proof->raw);
		proof->line = 0;
		gather(a, buf_slice(&named));
		buf_done(&named);
	}
}

void admit_proof_bytes(struct admit *a, struct slice bytes) {
	struct admit_proof *proof = &a->proof;
	if (!proof->wanted || bytes.len == 0) return;
	if (proof->in_body) evidence_body(proof->evidence, bytes);
	else gather(a, bytes);
}

/* At its end. */

/* OpenDMARC's words for the exceptions it has, too; NULL: none. */
static const char *ignoring(const struct admit *a, const struct evidence_dmarc *d, struct buf *line) {
	buf_clear(line);
	if (slice_starts(d->comment, S("dmarc_exempt_networks")) || slice_starts(d->comment, S("dmarc_exempt_hosts")))
		buf_addf(line, "ignoring connection from %.*s", SLICE_ARG(a->name));
	else if (slice_eq(d->comment, S("dmarc_exempt_senders")))
		buf_addf(line, "ignoring mail from %.*s", SLICE_ARG(d->from));
	else return NULL;
	return buf_text(line);
}

/* OpenDKIM's and OpenDMARC's lines: people's log tools count them. */
static void log_all(struct admit *a) {
	const struct evidence_verdict *v = &a->proof.verdict;
	const struct proving_params *p = params_of(a);
	AUTO_BUF struct buf line = BUF(KIB(2));
	bool any = false;
	for (size_t i = 0; i < v->dkim_count; i++) {
		const struct dkim_verdict *d = &v->dkim[i];
		buf_clear(&line);
		bool no_key = d->key_bits == 0 && (d->result == TRUST_TEMPERROR || d->result == TRUST_PERMERROR);
		any |= d->result == TRUST_PASS;
		if (d->result == TRUST_PASS)
			buf_addf(&line, "s=%.*s d=%.*s a=%s SSL ", SLICE_ARG(d->selector), SLICE_ARG(d->domain),
				 dkim_algorithm_name(d->algorithm));
		else if (no_key)
			buf_addf(&line, "key retrieval failed (s=%.*s, d=%.*s): %.*s", SLICE_ARG(d->selector),
				 SLICE_ARG(d->domain), SLICE_ARG(d->reason));
		else
			buf_addf(&line, "bad signature data (s=%.*s, d=%.*s): %.*s", SLICE_ARG(d->selector),
				 SLICE_ARG(d->domain), SLICE_ARG(d->reason));
		log_line(L_INFO, "/opendkim", 0, a->id, buf_text(&line), NULL, 0);
	}
	if (any) log_line(L_INFO, "/opendkim", 0, a->id, "DKIM verification successful", NULL, 0);
	else if (p->evidence.use_dkim && v->dkim_count == 0)
		log_line(L_INFO, "/opendkim", 0, a->id, "no signature data", NULL, 0);
	if (p->evidence.use_spf) {
		buf_clear(&line);
		buf_addf(&line, "SPF(%.*s): %.*s %s", SLICE_ARG(v->spf.identity), SLICE_ARG(v->spf.domain),
			 trust_word(v->spf.result));
		log_line(L_INFO, "/opendmarc", 0, a->id, buf_text(&line), NULL, 0);
	}
	if (p->evidence.use_dmarc) {
		const struct evidence_dmarc *d = &v->record.dmarc;
		buf_clear(&line);
		buf_addf(&line, "%.*s %s", SLICE_ARG(d->from), trust_word((enum trust_result)d->result));
		log_line(L_INFO, "/opendmarc", 0, a->id, buf_text(&line), NULL, 0);
		if (d->override.len != 0)
			note(L_INFO, "/opendmarc", 0, a->id, ignoring(a, d, &line), F("from", d->from),
			     F("override", d->override), F("because", d->comment));
	}
}

static struct slice own_id(struct admit *a) {
	const struct proving_params *p = params_of(a);
	return p->id_with_queue_id ? arena_fmt(&a->tx, "%s/%s", p->evidence.authserv_id, a->id)
				   : slice_of(p->evidence.authserv_id);
}

/* Who has logged in is told of where Received tells, too (smtpd_sasl_authenticated_header). */
static void add_login(struct admit *a) {
	const struct smtp_session *s = admit_session(a);
	if (params_of(a) == NULL || s->login.len == 0 || !a->params->show_login) return;
	struct authres_property who = { S("smtp"), S("auth"), s->login };
	struct authres_method auth = { .method = S("auth"),
				       .result = S("pass"),
				       .comment = s->mechanism,
				       .properties = &who,
				       .properties_count = 1 };
	struct authres results = { own_id(a), &auth, 1 };
	AUTO_BUF struct buf field = BUF(FIELDS_MAX);
	buf_add(&field, S("Authentication-Results: "));
	authres_add(&field, &results);
	buf_add(&field, S("\r\n"));
	if (!field.full) intake_insert(&a->intake, buf_slice(&field));
}

static void add_software(const struct admit *a, bool wanted, const char *name, struct buf *out) {
	if (wanted) buf_addf(out, "%s: hato v" HATO_VERSION " %s %s\r\n", name, params_of(a)->evidence.host, a->id);
}

static void add_fields(struct admit *a) {
	struct admit_proof *proof = &a->proof;
	const struct proving_params *p = params_of(a);
	AUTO_BUF struct buf fields = BUF(FIELDS_MAX);
	add_software(a, p->dkim_software, "DKIM-Filter", &fields);
	add_software(a, p->dmarc_software, "DMARC-Filter", &fields);
	proof->verdict.results.id = own_id(a);
	buf_add(&fields, S("Authentication-Results: "));
	authres_add(&fields, &proof->verdict.results);
	buf_add(&fields, S("\r\n"));
	if (p->spf_header && p->evidence.use_spf && !proof->prepended) {
		add_received_spf(a, &proof->verdict.spf, false, &fields);
		if (proof->verdict.spf_helo.identity.len != 0)
			add_received_spf(a, &proof->verdict.spf_helo, true, &fields);
	}
	if (!fields.full) intake_insert(&a->intake, buf_slice(&fields));
}

/* For hato why, and the reports of the domain: what became of it is known before its transaction ends. */
static void tell_refusal(struct admit *a, const struct smtp_reply *r) {
	AUTO_ARENA struct arena mem = { 0 };
	struct refused_ask ask = { .sender = a->sender, .peer = a->client, .status = slice_of(r->status),
				   .queue_id = slice_of(a->id), .evidence = a->proof.verdict.record };
	AUTO_BUF struct buf text = BUF(KIB(16));
	buf_addf(&text, "%.*s [", SLICE_ARG(r->text));
	evidence_tell(&text, &ask.evidence);
	buf_byte(&text, ']');
	ask.text = buf_slice(&text);
	for (size_t i = 0; i < a->count; i++) {
		ask.recipient = a->recipients[i].address;
		if (ask_refused(a->params->core, &ask, &mem) < 0) say(L_WARN, a->params->service, "%s", fail_text());
		ask.evidence.checked = false; /* one message */
	}
	a->refusal_told = true;
}

void admit_proof_blocked(struct admit *a, const struct smtp_reply *r) {
	if (a->proof.done && !a->refusal_told && smtp_reply_never(r)) tell_refusal(a, r);
}

void admit_proof_refused(struct admit *a, const struct smtp_reply *r, struct arena *mem) {
	if (!a->proof.done) return;
	evidence_act(&a->proof.verdict, DMARC_POLICY_REJECT, S("local_policy"), r->text, mem);
	tell_refusal(a, r);
}

/* Whom it was for stands in its header, where another gets it. */
static void redirect_all(struct admit *a) {
	AUTO_BUF struct buf fields = BUF(FIELDS_MAX);
	for (size_t i = 0; i < a->count; i++)
		buf_addf(&fields, "X-Original-To: %.*s\r\n", SLICE_ARG(a->recipients[i].address));
	if (!fields.full) intake_insert(&a->intake, buf_slice(&fields));
	a->redirect = params_of(a)->dkim.redirect;
}

static void take_as(struct admit *a, enum proving_act act, bool redirect) {
	if (act == PROVING_JUNK) a->flags |= ACCEPT_JUNK;
	if (act == PROVING_HOLD) {
		admit_note_content(a, "milter-hold", "END-OF-MESSAGE", S("milter triggers HOLD action"));
		a->flags |= ACCEPT_HOLD;
	}
	if (act == PROVING_DISCARD) {
		admit_note_content(a, "milter-discard", "END-OF-MESSAGE", S("milter triggers DISCARD action"));
		a->flags |= ACCEPT_DISCARD;
	}
	if (redirect) redirect_all(a);
}

struct smtp_reply admit_proof_end(struct admit *a, struct arena *mem) {
	struct admit_proof *proof = &a->proof;
	struct smtp_reply r = { .code = 0 };
	if (!proof->wanted) {
		add_login(a);
		return r;
	}
	if (!proof->in_body) begin(a, buf_slice(&proof->raw));
	evidence_end(proof->evidence, &proof->verdict);
	proof->done = true;
	struct proving_facts facts = { .client = &a->peer, .name = proof->client.name, .header = proof->header,
				       .recipients = a->recipients, .recipients_count = a->count };
	bool redirect;
	enum proving_act by_dkim =
		proving_dkim(params_of(a), proof->header, &proof->verdict, mem, &r, &redirect);
	enum proving_act act = by_dkim;
	if (by_dkim != PROVING_REFUSE) act = proving_decide(params_of(a), &facts, &proof->verdict, &a->tx, &r);
	if (act != PROVING_REFUSE) act = MAX_OF(act, by_dkim);
	log_gather();
	log_all(a);
	log_release();
	if (act == PROVING_REFUSE) {
		r.text = arena_slice(mem, r.text);
		if (smtp_reply_never(&r)) tell_refusal(a, &r);
		a->by_milter = true; /* as OpenDMARC's refusals stand in the log */
		return r;
	}
	take_as(a, act, redirect);
	struct slice copy = params_of(a)->copy_failures_to;
	if (proof->verdict.dmarc.result == TRUST_FAIL && copy.len != 0 && a->count != 0)
		admit_add_recipient(a, copy, SMTP_NOTIFY_NEVER);
	add_fields(a);
	return r;
}

/* The text of a message as it leaves: its header is gathered, for it is verified whole. */
struct onward {
	const struct dkim_params *params;
	struct arena *mem;
	struct dkim_verifier *verifier;
	struct buf header;
	bool begun;
};

static void begin_onward(struct onward *o, struct slice header) {
	o->begun = true;
	o->verifier = dkim_verify_begin(o->params, arena_slice(o->mem, header), o->mem);
}

static void put_onward(void *ctx, struct slice bytes) {
	struct onward *o = ctx;
	if (o->begun) {
		if (o->verifier != NULL) dkim_verify_body(o->verifier, bytes);
		return;
	}
	buf_add(&o->header, bytes);
	struct slice text = buf_slice(&o->header);
	size_t end = slice_search(text, S("\r\n\r\n"));
	if (end == text.len) return;
	begin_onward(o, slice_head(text, end + 2));
	if (o->verifier != NULL) dkim_verify_body(o->verifier, slice_skip(text, end + 4));
}

static void act_onward(void *ctx, const struct checks_hit *hit) {
	(void)ctx, (void)hit; /* told when it leaves */
}

/* Does the author's signature still stand over the message as it would leave from here? */
static bool still_signed(struct admit *a) {
	enum { PIECE = 64 << 10, WAIT_MS = 5000 };
	static const struct checks_ops ops = { put_onward, act_onward };
	const struct evidence_params *p = &params_of(a)->evidence;
	const struct dmarc_verdict *d = &a->proof.verdict.dmarc;
	struct dkim_params params = p->dkim;
	struct dkim_verdict *found = NULL;
	size_t count = 0;
	AUTO_FREE char *piece = mem_get(PIECE);
	struct onward o = { .params = &params, .mem = &a->tx, .header = BUF(ADMIT_HEADER_MAX * 2) };
	struct checks *checks = checks_new(&params_of(a)->onward, &ops, &o);
	ssize_t n = 0;
	checks_feed(checks, slice_skip(buf_slice(&a->intake.head), slice_find(buf_slice(&a->intake.head), '\n') + 1));
	checks_feed(checks, S("\r\n"));
	for (uint64_t at = 0; (n = intake_body(&a->intake, at, piece, PIECE)) > 0; at += (uint64_t)n)
		checks_feed(checks, slice_from(piece, (size_t)n));
	checks_end(checks);
	checks_free(&checks);
	if (!o.begun && !o.header.full) begin_onward(&o, buf_slice(&o.header));
	buf_done(&o.header);
	if (o.verifier == NULL || n < 0) return false;
	dkim_verify_end(o.verifier, deadline_in(WAIT_MS), &found, &count);
	for (size_t i = 0; i < count; i++)
		if (found[i].result == TRUST_PASS &&
		    dmarc_aligned(&p->dmarc, d->from, found[i].domain, d->record.adkim_strict, deadline_in(WAIT_MS),
				  &a->tx))
			return true;
	return false;
}

/* Others see us at the addresses of our name in DNS: all must be good for the sender. */
static bool sender_passes_here(struct admit *a) {
	enum { WAIT_MS = 5000 };
	const struct evidence_params *p = &params_of(a)->evidence;
	struct slice host = slice_of(p->host);
	struct spf_params params = p->spf;
	struct spf_question q = { .helo = host, .sender = a->sender };
	struct addr *ours;
	size_t n;
	params.deadline = deadline_in(WAIT_MS);
	if (!params_of(a)->senders_stay ||
	    dns_addresses(p->dns, host, DNS_IPV4 | DNS_IPV6, params.deadline, &a->tx, &ours, &n, NULL) != DNS_OK)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct spf_verdict v;
		q.client = &ours[i];
		spf_check(&params, &q, &a->tx, &v);
		if (v.result != TRUST_PASS) return false;
	}
	return n != 0;
}

void admit_proof_onward(struct admit *a) {
	struct evidence_record *e = &a->proof.verdict.record;
	if (!a->proof.done || e->dmarc.policy <= DMARC_POLICY_NONE || e->dmarc.result != TRUST_PASS) return;
	if (e->dmarc.dkim_aligned && (a->params->checks != NULL || a->altered || checks_wanted(&params_of(a)->onward)))
		e->changed = !still_signed(a);
	if (e->dmarc.spf_aligned && (e->changed || !e->dmarc.dkim_aligned)) e->spf_here = sender_passes_here(a);
}

/* Authentication-Results that claim to be ours: nobody but us writes them. What comes back from our own filters (other
 * exempt clients, sendmail -G) keeps them. */
static bool may_claim(const struct admit *a) {
	if (a->local) return a->gateway;
	return admit_session(a)->login.len == 0 && !admit_is_stranger(a);
}

struct slice admit_proof_strip(struct admit *a, struct slice header, struct buf *room) {
	const struct proving_params *p = params_of(a);
	struct field found;
	if (p == NULL || may_claim(a) || !header_find(header, S("Authentication-Results"), &found)) return header;
	for (size_t i = 0; i < p->ids_count; i++) {
		struct buf next = BUF(header.len + 1);
		if (authres_strip(header, p->ids[i], &next) != 0) {
			buf_done(room);
			*room = next;
			header = buf_slice(room);
		} else buf_done(&next);
	}
	return header;
}
