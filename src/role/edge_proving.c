/* SPDX-License-Identifier: Apache-2.0 */
/* Each service may have its own (master.cf: -o dmarc_reject=no). Public suffix lists are large and are read once for
 * each generation of the settings. */
#include "role/edge_proving.h"
#include "role/settings.h"
#include "base/fail.h"
#include "base/log.h"
#include "role/edge_content.h"
#include "role/evidence_settings.h"

static int suffixes(struct edge_settings *s, struct slice file, const struct psl **out) {
	*out = NULL;
	if (file.len == 0) return 0;
	for (struct edge_suffixes *p = s->suffixes; p != NULL; p = p->next)
		if (slice_eq(p->file, file)) {
			*out = p->psl;
			return 0;
		}
	struct edge_suffixes *p = arena_get(&s->mem, sizeof *p);
	p->psl = psl_open(slice_same(file, S("builtin")) ? NULL : arena_text(&s->mem, file));
	if (p->psl == NULL && !slice_same(file, S("builtin"))) {
		say(L_ERROR, "edge", "dmarc_public_suffix_list: %s: the list that came with the system is used",
		    fail_text());
		p->psl = psl_open(NULL);
	}
	if (p->psl == NULL) return fail_add("dmarc_public_suffix_list");
	p->file = file;
	p->next = s->suffixes;
	s->suffixes = p;
	*out = p->psl;
	return 0;
}

static int make_evidence(struct edge_settings *s, struct evidence_params *e, const struct conf_view *v,
			 struct dns *dns) {
	if (evidence_params_of(v, dns, &s->mem, e) < 0) return -1;
	return suffixes(s, conf_text(v, SET_dmarc_public_suffix_list), &e->dmarc.psl);
}

/* Ours first, then those of our other servers. */
static void make_ids(struct edge_settings *s, struct proving_params *p, const struct conf_view *v) {
	size_t n;
	const struct slice *others = conf_list(v, SET_trusted_authserv_ids, &n);
	struct slice *ids = arena_array(&s->mem, n + 1, sizeof *ids);
	ids[0] = slice_of(p->evidence.authserv_id);
	if (n != 0) memcpy(ids + 1, others, n * sizeof *ids);
	p->ids = ids;
	p->ids_count = n + 1;
}

static void make_check(struct edge_settings *s, struct service *sv, const struct conf_view *v,
		       const struct edge_outside *o) {
	struct check_params *p = arena_get(&s->mem, sizeof *p);
	*p = (struct check_params){ .name = conf_text(v, SET_check_address),
				    .memory = o->checks,
				    .hourly = (unsigned)conf_number(v, SET_check_rate_limit) };
	p->lists = conf_list(v, SET_check_dnsbl_sites, &p->lists_count);
	if (p->name.len != 0 && p->hourly != 0) sv->admit.check = p;
}

/* "." and what is no result mean none. */
static unsigned results_of(const struct conf_view *v, enum setting_id id, bool *null_only) {
	size_t n;
	const struct slice *words = conf_list(v, id, &n);
	unsigned bits = 0;
	for (size_t i = 0; i < n; i++) {
		enum trust_result r;
		if (null_only != NULL && slice_same(words[i], S("null"))) *null_only = true;
		else if (trust_result_of(words[i], &r) && r != TRUST_PASS && r != TRUST_TEMPERROR) bits |= 1U << r;
		else if (!slice_eq(words[i], S(".")))
			say(L_WARN, "edge", "%s: \"%.*s\" is no result that can be refused", setting_of(id)->name,
			    SLICE_ARG(words[i]));
	}
	return bits;
}

int edge_proving_make(struct edge_settings *s, struct service *sv, const struct conf_view *v,
		      const struct edge_outside *o) {
	static const enum proving_fail fails[] = { [SPF_ACTION_NONE] = PROVING_FAIL_NONE,
						   [SPF_ACTION_DEFER] = PROVING_FAIL_DEFER,
						   [SPF_ACTION_REJECT] = PROVING_FAIL_REJECT };
	static const enum proving_quarantine quarantines[] = { [DMARC_QUARANTINE_JUNK] = PROVING_QUARANTINE_JUNK,
							       [DMARC_QUARANTINE_HOLD] = PROVING_QUARANTINE_HOLD,
							       [DMARC_QUARANTINE_NONE] = PROVING_QUARANTINE_NONE };
	if (edge_overridden(v, "no_milters"))
		return 0; /* a service for what was checked before and comes back from a filter */
	struct proving_params *p = arena_get(&s->mem, sizeof *p);
	if (make_evidence(s, &p->evidence, v, o->dns) < 0) return -1;
	make_ids(s, p, v);
	static const enum setting_id onward[] = { SET_smtp_header_checks, SET_smtp_mime_header_checks,
						  SET_smtp_nested_header_checks, SET_smtp_body_checks };
	outgoing_checks_make(conf_main(s->conf), onward, s->tables, &s->mem, &p->onward);
	p->exempt = networks_open(conf_networks(v, SET_sender_check_exempt_networks), s->tables, &s->mem);
	p->spf_fail = fails[conf_enum(v, SET_spf_fail_action)];
	p->spf_fails = results_of(v, SET_spf_fail_results, NULL);
	p->helo_fails = results_of(v, SET_spf_helo_fail_results, &p->helo_null_only);
	p->spf_strict = conf_domains(v, SET_spf_strict_domains);
	p->spf_exempt = networks_open(conf_networks(v, SET_spf_exempt_networks), s->tables, &s->mem);
	p->spf_exempt_hosts = conf_domains(v, SET_spf_exempt_hosts);
	p->spf_exempt_domains = conf_list(v, SET_spf_exempt_domains, &p->spf_exempt_domains_count);
	p->spf_temperror =
		conf_enum(v, SET_spf_temperror_action) == TEMPERROR_DEFER ? PROVING_FAIL_DEFER : PROVING_FAIL_NONE;
	p->spf_header = conf_bool(v, SET_spf_header);
	p->dkim = (struct proving_dkim){ .bad = conf_enum(v, SET_dkim_on_bad_signature),
					 .no_key = conf_enum(v, SET_dkim_on_key_not_found),
					 .dns_error = conf_enum(v, SET_dkim_on_dns_error),
					 .none = conf_enum(v, SET_dkim_on_no_signature),
					 .signers = conf_domains(v, SET_dkim_trusted_signers),
					 .redirect = slice_trim(conf_text(v, SET_dkim_redirect_failures_to)),
					 .reports = conf_bool(v, SET_dkim_failure_reports) };
	p->reject = conf_bool(v, SET_dmarc_reject);
	p->copy_failures_to = slice_trim(conf_text(v, SET_dmarc_copy_failures_to));
	p->reject_text = conf_text(v, SET_dmarc_reject_text);
	p->quarantine = quarantines[conf_enum(v, SET_dmarc_quarantine)];
	p->temperror_defers = conf_enum(v, SET_dmarc_temperror_action) == TEMPERROR_DEFER;
	p->required_headers = p->evidence.use_dmarc && conf_bool(v, SET_dmarc_required_headers);
	p->dmarc_exempt = networks_open(conf_networks(v, SET_dmarc_exempt_networks), s->tables, &s->mem);
	p->exempt_hosts = conf_domains(v, SET_dmarc_exempt_hosts);
	p->exempt_senders = conf_domains(v, SET_dmarc_exempt_senders);
	p->exempt_recipients = conf_list(v, SET_dmarc_exempt_recipients, &p->exempt_recipients_count);
	p->forwarders = conf_domains(v, SET_dmarc_trusted_forwarders);
	p->lists = conf_domains(v, SET_dmarc_trusted_lists);
	p->id_with_queue_id = conf_bool(v, SET_authserv_id_with_queue_id);
	p->dkim_software = conf_bool(v, SET_dkim_software_header) && p->evidence.use_dkim;
	p->dmarc_software = conf_bool(v, SET_dmarc_software_header) && p->evidence.use_dmarc;
	p->senders_stay = conf_enum(v, SET_srs) != SRS_YES;
	sv->admit.proving = p;
	make_check(s, sv, v, o);
	return 0;
}
