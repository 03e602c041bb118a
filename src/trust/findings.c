/* SPDX-License-Identifier: Apache-2.0 */
/* The reader is somebody whose mail does not arrive, late in the evening. So each line says what is, and only then, and
 * only when there is something to do, what to do and where. */
#include "trust/findings.h"
#include "mime/header.h"
#include "trust/form.h"

struct writer {
	struct finding *at;
	size_t count;
	struct arena *mem;
	char ip[ADDR_TEXT_ROOM];
};

/* Strangers' DNS and fields speak here: nothing of theirs may drive a terminal or end a line. */
static struct slice harmless(struct writer *w, struct slice text) {
	char *copy = arena_text(w->mem, text);
	for (size_t i = 0; i < text.len; i++)
		if (ascii_control(copy[i])) copy[i] = '?';
	return slice_from(copy, text.len);
}

static void add(struct writer *w, const char *check, enum finding_mood mood, const char *word, struct slice text,
		struct slice advice) {
	w->at[w->count++] = (struct finding){ check, mood, slice_of(word), harmless(w, text), harmless(w, advice) };
}

#define SAY(...) arena_fmt(w->mem, __VA_ARGS__)

static enum finding_mood mood_of(enum trust_result r) {
	return r == TRUST_PASS ? FINDING_GOOD : r == TRUST_FAIL || r == TRUST_PERMERROR ? FINDING_BAD : FINDING_NOTE;
}

static void add_spf(struct writer *w, const struct spf_verdict *s) {
	struct slice d = s->domain, advice = SLICE_NONE, text = s->reason;
	const char *kind = strchr(w->ip, ':') != NULL ? "ip6" : "ip4";
	switch (s->result) {
	case TRUST_PASS:
		text = SAY("%s may send for %.*s (%.*s)", w->ip, SLICE_ARG(d), SLICE_ARG(s->mechanism));
		break;
	case TRUST_NONE:
		if (d.len != 0) {
			text = SAY("%.*s does not say who may send for it", SLICE_ARG(d));
			advice = SAY("publish a TXT record at %.*s, such as \"v=spf1 %s:%s -all\"", SLICE_ARG(d), kind,
				     w->ip);
		}
		break;
	case TRUST_FAIL:
	case TRUST_SOFTFAIL:
	case TRUST_NEUTRAL:
		advice = SAY("if %s is a server of yours, add %s:%s to the SPF record of %.*s; if not, this mail is "
			     "forged or was forwarded without SRS",
			     w->ip, kind, w->ip, SLICE_ARG(d));
		break;
	case TRUST_PERMERROR:
		advice = SAY("repair the SPF record of %.*s: while it is broken, it protects nothing", SLICE_ARG(d));
		break;
	default:
		advice = SAY("look at the name servers of %.*s: one of them does not answer", SLICE_ARG(d));
	}
	add(w, "SPF", mood_of(s->result), trust_word(s->result), text, advice);
}

static struct slice dkim_advice(struct writer *w, const struct dkim_verdict *d) {
	if (d->result == TRUST_TEMPERROR)
		return SAY("look at the name servers of %.*s: one of them does not answer", SLICE_ARG(d->domain));
	if (d->result == TRUST_PASS && d->partial)
		return S("sign without l=: whatever somebody adds behind that length still passes");
	if (d->result == TRUST_PASS || d->domain.len == 0) return SLICE_NONE;
	if (slice_starts(d->reason, S("there is no key")))
		return SAY("publish the key in a TXT record at %.*s._domainkey.%.*s", SLICE_ARG(d->selector),
			   SLICE_ARG(d->domain));
	if (d->algorithm == DKIM_RSA_SHA1) return S("sign with SHA-256");
	if (d->result != TRUST_FAIL && d->result != TRUST_POLICY)
		return S("repair the signature, or the record of its key");
	if (d->result == TRUST_POLICY) return S("sign with RSA of 2048 bits or Ed25519, and SHA-256");
	return S("let signing be the last step before mail leaves: footers, filters and lists that change it break the "
		 "signature");
}

static void add_dkim(struct writer *w, const struct dkim_verdict *d) {
	AUTO_BUF struct buf text = BUF(KIB(4));
	buf_addf(&text, "%.*s (selector %.*s, %s", SLICE_ARG(d->domain), SLICE_ARG(d->selector),
		 dkim_algorithm_name(d->algorithm));
	if (d->algorithm == DKIM_RSA_SHA256 && d->key_bits != 0) buf_addf(&text, ", %u bits", d->key_bits);
	buf_byte(&text, ')');
	if (d->reason.len != 0) buf_addf(&text, ": %.*s", SLICE_ARG(d->reason));
	if (d->testing) buf_add(&text, S("; its key says t=y: receivers may treat it as unsigned"));
	enum finding_mood mood =
		d->result == TRUST_PASS && (d->partial || d->testing) ? FINDING_NOTE : mood_of(d->result);
	add(w, "DKIM", mood, trust_word(d->result), arena_slice(w->mem, buf_slice(&text)), dkim_advice(w, d));
}

/* Do they share the last two labels? Good enough to stay silent by; DMARC itself asks DNS. */
static bool related(struct slice one, struct slice other) {
	size_t dot = slice_find_last(one, '.');
	size_t at = dot < one.len ? slice_find_last(slice_head(one, dot), '.') : one.len;
	struct slice end = at < dot ? slice_skip(one, at + 1) : one;
	return slice_same(other, end) ||
	       (slice_ends_same(other, end) && other.at[other.len - end.len - 1] == '.');
}

/* Something passed, but only for others: without a policy nobody says so, and large receivers mind all the same. */
static bool only_for_others(const struct evidence_verdict *v) {
	struct slice from = v->dmarc.from;
	bool passed = v->spf.result == TRUST_PASS, ours = passed && related(from, v->spf.domain);
	for (size_t i = 0; i < v->dkim_count; i++) {
		if (v->dkim[i].result != TRUST_PASS) continue;
		passed = true;
		ours |= related(from, v->dkim[i].domain);
	}
	return passed && !ours;
}

static void add_dmarc(struct writer *w, const struct evidence_verdict *v) {
	const struct dmarc_verdict *d = &v->dmarc;
	struct slice text = d->reason, advice = SLICE_NONE;
	if (d->result == TRUST_PASS)
		text = SAY("%.*s is proved by %s; its policy for the rest is %s", SLICE_ARG(d->from),
			   d->spf_aligned && d->dkim_aligned ? "SPF and DKIM"
			   : d->dkim_aligned                 ? "DKIM"
							     : "SPF",
			   dmarc_policy_word(d->policy));
	if (d->result == TRUST_FAIL) {
		text = SAY("%.*s; %.*s wants such mail %s", SLICE_ARG(d->reason), SLICE_ARG(d->domain),
			   d->disposition == DMARC_POLICY_REJECT       ? "rejected"
			   : d->disposition == DMARC_POLICY_QUARANTINE ? "put aside"
								       : "delivered, and reported");
		advice =
			SAY("sign with DKIM as %.*s, or send with an envelope address there that its SPF record allows",
			    SLICE_ARG(d->from));
	}
	if (d->result == TRUST_NONE && d->from.len != 0)
		advice = SAY("publish a TXT record at _dmarc.%.*s, first \"v=DMARC1; p=none; rua=mailto:…\", and read "
			     "the reports",
			     SLICE_ARG(d->from));
	if (d->result == TRUST_NONE && d->from.len != 0 && only_for_others(v)) {
		text = SAY("%.*s, and what passed is of other domains", SLICE_ARG(text));
		advice = SAY("sign with DKIM as %.*s (Gmail, Yahoo and Outlook want SPF or DKIM of the author's own "
			     "domain); %.*s",
			     SLICE_ARG(d->from), SLICE_ARG(advice));
	}
	if (d->result == TRUST_PERMERROR && d->from.len == 0) advice = S("write one author with a domain into From");
	if (d->result == TRUST_PERMERROR && d->domain.len != 0)
		advice = SAY("repair the TXT record at _dmarc.%.*s", SLICE_ARG(d->domain));
	add(w, "DMARC", d->result == TRUST_NONE ? FINDING_NOTE : mood_of(d->result), trust_word(d->result), text,
	    advice);
}

static void add_arc(struct writer *w, const struct arc_verdict *a) {
	struct slice text = a->reason;
	if (a->result == TRUST_NONE) text = S("nobody has forwarded it under seal");
	if (a->result == TRUST_PASS) {
		const struct arc_hop *last = &a->hops[a->hops_count - 1];
		text = SAY("forwarded under %zu seal%s, the last by %.*s", a->hops_count, a->hops_count == 1 ? "" : "s",
			   SLICE_ARG(last->domain));
	}
	add(w, "ARC", a->result == TRUST_NONE ? FINDING_GOOD : mood_of(a->result), trust_word(a->result),
	    arena_slice(w->mem, text), SLICE_NONE);
}

static void add_ptr(struct writer *w, const struct findings_facts *f) {
	const struct client_names *n = &f->names;
	struct slice text, advice = SAY("ask whoever rents you the address to set its PTR record to the name of your "
					"server, and give that name an address record with %s",
					w->ip);
	switch (n->iprev) {
	case TRUST_PASS:
		text = SAY("%s is %.*s, and that name leads back", w->ip, SLICE_ARG(n->name));
		advice = SLICE_NONE;
		break;
	case TRUST_FAIL:
		text = SAY("%s is called %.*s, but that name does not lead back to it", w->ip, SLICE_ARG(n->name));
		break;
	case TRUST_TEMPERROR:
		text = SAY("the name of %s cannot be looked up now", w->ip);
		advice = SLICE_NONE;
		break;
	case TRUST_NONE:
		text = S("names are not looked up here");
		advice = SLICE_NONE;
		break;
	default: text = SAY("%s has no name in DNS: many receivers refuse it for that", w->ip);
	}
	add(w, "PTR", mood_of(n->iprev), trust_word(n->iprev), text, advice);
}

static void add_helo(struct writer *w, const struct findings_facts *f) {
	struct slice helo = f->client->helo, text,
		     advice = S("let the server greet with its full name, one that leads to its address (Postfix and "
				"hato: myhostname)");
	enum trust_result r = f->names.helo;
	switch (r) {
	case TRUST_PASS: text = SAY("it greets as %.*s, which is its name", SLICE_ARG(helo)); break;
	case TRUST_FAIL: text = SAY("it greets as %.*s, but that name leads elsewhere", SLICE_ARG(helo)); break;
	case TRUST_TEMPERROR: text = SAY("it greets as %.*s, which cannot be looked up now", SLICE_ARG(helo)); break;
	case TRUST_NONE: text = S("how it greeted is not known"); break;
	default: text = SAY("it greets as %.*s, which is not the full name of any host", SLICE_ARG(helo));
	}
	if (r == TRUST_PASS || r == TRUST_NONE || r == TRUST_TEMPERROR) advice = SLICE_NONE;
	add(w, "HELO", r == TRUST_FAIL ? FINDING_NOTE : mood_of(r), trust_word(r), text, advice);
}

static bool has(struct slice header, struct slice name) {
	struct field found;
	return header_find(header, name, &found);
}

/* Is it sent to many at once? */
static bool is_bulk(struct slice header, struct arena *mem) {
	struct field f;
	if (has(header, S("List-Id")) || has(header, S("Feedback-ID"))) return true;
	if (!header_find(header, S("Precedence"), &f)) return false;
	struct slice value = header_unfold(f.value, mem);
	return slice_same(value, S("bulk")) || slice_same(value, S("list"));
}

static void add_form(struct writer *w, struct slice header) {
	struct slice wrong = form_wrong(header, w->mem), text = S("the header has what it must have, once");
	const char *word = "good";
	enum finding_mood mood = FINDING_GOOD;
	struct slice advice = SLICE_NONE;
	if (wrong.len != 0) {
		word = "broken", mood = FINDING_BAD;
		text = SAY("the header breaks RFC 5322: %.*s", SLICE_ARG(wrong));
		advice = S("repair the program that writes it: Gmail and others refuse such mail");
	} else if (!has(header, S("Message-ID"))) {
		word = "poor", mood = FINDING_NOTE;
		text = S("it has no Message-ID");
		advice = S("let the program that writes it give it one: filters count its absence");
	} else if (is_bulk(header, w->mem) && !has(header, S("List-Unsubscribe-Post"))) {
		word = "poor", mood = FINDING_NOTE;
		text = S("it is sent to many, and cannot be left by one click (RFC 8058)");
		advice = S("add List-Unsubscribe with an https: address, and \"List-Unsubscribe-Post: "
			   "List-Unsubscribe=One-Click\": Gmail and Yahoo demand it of who sends much");
	}
	add(w, "FORM", mood, word, text, advice);
}

static void add_lists(struct writer *w, const struct findings_facts *f) {
	static const char *const words[] = {
		[FINDING_LISTED] = "listed", [FINDING_CLEAN] = "clean", [FINDING_UNKNOWN] = "unknown"
	};
	static const enum finding_mood moods[] = {
		[FINDING_LISTED] = FINDING_BAD, [FINDING_CLEAN] = FINDING_GOOD, [FINDING_UNKNOWN] = FINDING_NOTE
	};
	for (size_t i = 0; i < f->lists_count; i++) {
		const struct finding_list *l = &f->lists[i];
		struct slice text = SAY("%.*s %s %s", SLICE_ARG(l->zone),
					l->state == FINDING_LISTED  ? "lists"
					: l->state == FINDING_CLEAN ? "does not list"
								    : "gave no usable answer about",
					w->ip);
		if (l->text.len != 0) text = SAY("%.*s: %.*s", SLICE_ARG(text), SLICE_ARG(l->text));
		struct slice advice = l->state == FINDING_LISTED ? S("find out why (its web page says it), stop that, "
								     "and ask the list to take the address out")
								 : SLICE_NONE;
		add(w, "DNSBL", moods[l->state], words[l->state], text, advice);
	}
}

struct finding *findings_of(const struct evidence_verdict *v, const struct findings_facts *f, struct arena *mem,
			    size_t *count) {
	struct writer w = { .mem = mem, .at = arena_array(mem, v->dkim_count + f->lists_count + 9, sizeof *w.at) };
	addr_text(&f->client->address, w.ip);
	if (v->spf.identity.len != 0) add_spf(&w, &v->spf);
	for (size_t i = 0; i < v->dkim_count; i++) add_dkim(&w, &v->dkim[i]);
	if (v->dkim_count == 0)
		add(&w, "DKIM", FINDING_NOTE, "none", S("it is not signed"),
		    S("sign outgoing mail with DKIM: forwarded mail has nothing else that proves its author"));
	add_dmarc(&w, v);
	add_arc(&w, &v->arc);
	add_ptr(&w, f);
	add_helo(&w, f);
	if (f->tls_known)
		add(&w, "TLS", f->tls.len != 0 ? FINDING_GOOD : FINDING_NOTE, f->tls.len != 0 ? "yes" : "no",
		    f->tls.len != 0 ? f->tls : S("it came in clear text, for everybody on the way to read"),
		    f->tls.len != 0
			    ? SLICE_NONE
			    : S("let your server use STARTTLS where it is offered (smtp_tls_security_level = may)"));
	if (f->header.len != 0) add_form(&w, f->header);
	add_lists(&w, f);
	*count = w.count;
	return w.at;
}
