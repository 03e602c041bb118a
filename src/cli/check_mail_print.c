/* SPDX-License-Identifier: Apache-2.0 */
/* For programs one object whose keys stay as they are; for people a line for each check, coloured on a terminal only.
 */
#include "cli/check_mail.h"
#include "admin/json.h"
#include "cli/inside.h"

static void put_text_or_null(struct json *j, const char *key, struct slice s) {
	json_text(j, key, s.len != 0 ? s : SLICE_NONE);
}

static void put_dkim(struct json *j, const struct evidence_verdict *v) {
	json_open(j, "dkim", '[');
	for (size_t i = 0; i < v->dkim_count; i++) {
		const struct dkim_verdict *d = &v->dkim[i];
		json_open(j, NULL, '{');
		json_text(j, "result", slice_of(trust_word(d->result)));
		json_text(j, "domain", d->domain);
		json_text(j, "selector", d->selector);
		json_text(j, "algorithm", slice_of(dkim_algorithm_name(d->algorithm)));
		json_text(j, "reason", d->reason.len != 0 ? d->reason : S(""));
		json_number(j, "bits", d->key_bits);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void put_dmarc(struct json *j, const struct dmarc_verdict *d) {
	bool policy = d->policy != DMARC_POLICY_ABSENT;
	json_open(j, "dmarc", '{');
	json_text(j, "result", slice_of(trust_word(d->result)));
	json_text(j, "policy", policy ? slice_of(dmarc_policy_word(d->policy)) : SLICE_NONE);
	json_text(j, "disposition",
		  d->disposition > DMARC_POLICY_NONE ? slice_of(dmarc_policy_word(d->disposition)) : S("none"));
	put_text_or_null(j, "domain", d->from);
	put_text_or_null(j, "record", d->domain);
	put_text_or_null(j, "organization", d->organisation);
	json_bool(j, "spf_aligned", d->spf_aligned);
	json_bool(j, "dkim_aligned", d->dkim_aligned);
	json_text(j, "reason", d->reason.len != 0 ? d->reason : S(""));
	json_close(j, '}');
}

static void put_arc(struct json *j, const struct arc_verdict *a) {
	json_open(j, "arc", '{');
	json_text(j, "result", slice_of(trust_word(a->result)));
	json_open(j, "chain", '[');
	for (size_t i = 0; i < a->hops_count; i++) {
		json_open(j, NULL, '{');
		json_number(j, "instance", (int64_t)i + 1);
		json_text(j, "domain", a->hops[i].domain);
		json_text(j, "selector", a->hops[i].selector);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_text(j, "reason", a->reason.len != 0 ? a->reason : S(""));
	json_close(j, '}');
}

static void put_client(struct json *j, const struct findings_facts *f) {
	char ip[ADDR_TEXT_ROOM];
	json_open(j, "iprev", '{');
	json_text(j, "result", slice_of(trust_word(f->names.iprev)));
	json_text(j, "address", slice_of(addr_text(&f->client->address, ip)));
	put_text_or_null(j, "name", f->names.name);
	json_close(j, '}');
	json_open(j, "helo", '{');
	json_text(j, "result", slice_of(trust_word(f->names.helo)));
	put_text_or_null(j, "name", f->client->helo);
	json_close(j, '}');
	static const char *const words[] = {
		[FINDING_LISTED] = "listed", [FINDING_CLEAN] = "clean", [FINDING_UNKNOWN] = "unknown"
	};
	json_open(j, "dnsbl", '[');
	for (size_t i = 0; i < f->lists_count; i++) {
		json_open(j, NULL, '{');
		json_text(j, "zone", f->lists[i].zone);
		json_text(j, "result", slice_of(words[f->lists[i].state]));
		put_text_or_null(j, "reason", f->lists[i].text);
		json_close(j, '}');
	}
	json_close(j, ']');
}

void check_mail_json(const struct evidence_verdict *v, const struct findings_facts *f) {
	AUTO_BUF struct buf text = BUF(MIB(4)), field = BUF(KIB(256));
	struct json j = { .out = &text };
	authres_add(&field, &v->results);
	json_open(&j, NULL, '{');
	json_open(&j, "spf", '{');
	json_text(&j, "result", slice_of(trust_word(v->spf.result)));
	json_text(&j, "domain", v->spf.domain);
	json_text(&j, "reason", v->spf.reason);
	json_text(&j, "identity", v->spf.identity);
	json_text(&j, "mechanism", v->spf.mechanism);
	json_close(&j, '}');
	put_dkim(&j, v);
	put_dmarc(&j, &v->dmarc);
	put_arc(&j, &v->arc);
	put_client(&j, f);
	json_text(&j, "authentication_results", buf_slice(&field));
	json_close(&j, '}');
	fputs(buf_text(&text), stdout);
}

void check_mail_text(const struct evidence_verdict *v, const struct findings_facts *f, struct arena *mem) {
	static const char *const colours[] = {
		[FINDING_GOOD] = "\033[32m", [FINDING_NOTE] = "\033[33m", [FINDING_BAD] = "\033[31m"
	};
	bool colour = terminal_colours(STDOUT_FILENO);
	size_t count, todo = 0;
	const struct finding *all = findings_of(v, f, mem, &count);
	for (size_t i = 0; i < count; i++) {
		const struct finding *one = &all[i];
		printf("%-6s %s%-9.*s%s  %.*s\n", one->check, colour ? colours[one->mood] : "", SLICE_ARG(one->word),
		       colour ? "\033[0m" : "", SLICE_ARG(one->text));
		if (one->advice.len != 0) printf("%18s-> %.*s\n", "", SLICE_ARG(one->advice));
		todo += one->advice.len != 0;
	}
	if (todo == 0) puts("\nNothing needs to be done.");
	else printf("\n%zu thing%s can be done better: see the arrows.\n", todo, todo == 1 ? "" : "s");
}
