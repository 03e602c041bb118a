/* SPDX-License-Identifier: Apache-2.0 */
/* Reports are strangers' archives and XML: they are taken apart here, where there is neither a store nor a key. */
#include "role/relay_report.h"
#include "base/encode.h"
#include "base/fail.h"
#include "flow/ask.h"
#include "mime/address.h"
#include "trust/canon.h"
#include "trust/dkim_report.h"
#include "trust/dmarc.h"
#include "trust/report_write.h"

#include <sys/mman.h>
#include <sys/stat.h>

enum { LOOK_MS = 12000 };

int relay_answer_report(struct dns *dns, struct link_question *q) {
	struct report_list list;
	struct stat st;
	(void)dns;
	if (q->ask->fd_count != 1 || fstat(q->ask->fds[0], &st) != 0) return fail("broken question");
	if (st.st_size == 0 || st.st_size > REPORT_FILE_MAX) {
		report_list_pack(q->answer,
				 &(struct report_list){
					 .nothing = S("a mail as large as that is not looked into for reports") });
		return 0;
	}
	void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, q->ask->fds[0], 0);
	if (at == MAP_FAILED) return fail_errno("report");
	report_read(slice_from(at, (size_t)st.st_size), q->mem, &list);
	munmap(at, (size_t)st.st_size);
	report_list_pack(q->answer, &list);
	if (!q->answer->full) return 0;
	buf_clear(q->answer);
	report_list_pack(q->answer, &(struct report_list){ .nothing = S("the report is too large") });
	return 0;
}

static void add_targets(const struct report_target *found, size_t n, struct arena *mem, struct ask_text **list,
			size_t *count) {
	struct ask_text *all = arena_array(mem, *count + n + 1, sizeof *all);
	for (size_t i = 0; i < *count; i++) all[i] = (*list)[i];
	for (size_t i = 0; i < n; i++) all[(*count)++].text = found[i].address;
	*list = all;
}

/* Who signed says where he wants to hear of signatures that fail, of which, and how many of a hundred. */
static void permit_signature(struct dns *dns, const struct permission_ask *ask, struct arena *mem,
			     struct permission_answer *answer) {
	struct dkim_report_record record;
	struct mailbox to;
	struct slice domain = ask->domain;
	if (!slice_is_ascii(domain) && !dns_to_ascii(domain, mem, &domain)) return;
	int r = dkim_report_look(dns, domain, deadline_in(LOOK_MS), mem, &record);
	if (r < 0 || r == DNS_LATER) answer->verdict = PERMISSION_LATER;
	if (r != DNS_OK || record.local.len == 0 || !dkim_report_due(&record, (enum dkim_fault)ask->fault)) return;
	struct report_target one = {
		.address = arena_fmt(mem, "%.*s@%.*s", SLICE_ARG(record.local), SLICE_ARG(domain))
	};
	if (address_parse(one.address, 0, mem, &to) != ADDRESS_OK) return;
	answer->verdict = PERMISSION_YES;
	add_targets(&one, 1, mem, &answer->addresses, &answer->addresses_count);
}

int relay_answer_permission(struct dns *dns, struct link_question *q) {
	struct permission_ask ask;
	struct permission_answer answer = { .verdict = PERMISSION_NO };
	struct dmarc_params params = { .dns = dns };
	struct report_target others[REPORT_TARGETS_MAX];
	struct slice name, *records = NULL;
	size_t count = 0, n;
	int64_t deadline = deadline_in(LOOK_MS);
	permission_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	if (ask.fault != DKIM_FAULT_NONE) {
		permit_signature(dns, &ask, q->mem, &answer);
	} else if (dmarc_aligned(&params, ask.domain, ask.host, false, deadline, q->mem)) {
		answer.verdict = PERMISSION_YES;
	} else if (report_permission_name(ask.domain, ask.host, q->mem, &name)) {
		int r = dns_txt(dns, name, deadline, q->mem, &records, &count, NULL);
		if (r < 0 || r == DNS_LATER) answer.verdict = PERMISSION_LATER;
		else if (r == DNS_OK &&
			 report_permitted(records, count, ask.host, ask.failure, q->mem, others, &n)) {
			answer.verdict = PERMISSION_YES;
			add_targets(others, n, q->mem, &answer.addresses, &answer.addresses_count);
		}
	}
	permission_answer_pack(q->answer, &answer);
	return 0;
}

/* Does the name lead back to the address? Else anybody could call himself anything. */
static bool leads_back(struct dns *dns, struct slice name, const struct addr *a, int64_t deadline, struct arena *mem) {
	struct addr *list;
	size_t count;
	if (dns_addresses(dns, name, addr_family(a) == AF_INET ? DNS_IPV4 : DNS_IPV6, deadline, mem, &list, &count,
			  NULL) != DNS_OK)
		return false;
	for (size_t i = 0; i < count; i++)
		if (addr_same_host(&list[i], a)) return true;
	return false;
}

int relay_answer_name(struct dns *dns, struct link_question *q) {
	struct name_ask ask;
	struct name_answer answer = { 0 };
	struct addr a;
	struct slice *names;
	size_t count;
	int64_t deadline = deadline_in(LOOK_MS);
	name_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	if (addr_parse(ask.address, &a) && dns_ptr(dns, &a, deadline, q->mem, &names, &count, NULL) == DNS_OK)
		for (size_t i = 0; i < MIN_OF(count, (size_t)3) && answer.name.len == 0; i++)
			if (leads_back(dns, names[i], &a, deadline, q->mem)) answer.name = names[i];
	name_answer_pack(q->answer, &answer);
	return 0;
}

/* "mailto:a@b, https://…": the addresses. */
static void add_uris(struct slice uris, struct targets_answer *answer, struct arena *mem) {
	struct report_target found[REPORT_TARGETS_MAX];
	size_t n = report_targets(uris, mem, found);
	add_targets(found, n, mem, &answer->addresses, &answer->addresses_count);
}

/* "v=TLSRPTv1; rua=mailto:…" (RFC 8460 §3). */
static struct slice tls_targets(struct dns *dns, struct slice domain, int64_t deadline, struct arena *mem) {
	struct slice *records;
	size_t count;
	if (dns_txt(dns, arena_fmt(mem, "_smtp._tls.%.*s", SLICE_ARG(domain)), deadline, mem, &records, &count, NULL) !=
	    DNS_OK)
		return SLICE_NONE;
	for (size_t i = 0; i < count; i++) {
		struct slice rest = records[i], name, value;
		if (!slice_starts_same(rest, S("v=TLSRPTv1"))) continue;
		while (tag_next(&rest, &name, &value))
			if (slice_same(name, S("rua"))) return value;
	}
	return SLICE_NONE;
}

int relay_answer_targets(struct dns *dns, struct link_question *q) {
	struct targets_ask ask;
	struct targets_answer answer = { 0 };
	struct dmarc_params params = { .dns = dns };
	struct dmarc_verdict v;
	int64_t deadline = deadline_in(LOOK_MS);
	targets_ask_unpack(&q->in, &ask);
	if (q->in.bad) return fail("broken question");
	dmarc_look(&params, ask.domain, deadline, q->mem, &v);
	if (v.domain.len != 0) {
		add_uris(v.record.rua, &answer, q->mem);
		add_uris(v.record.ruf, &answer, q->mem);
	}
	add_uris(tls_targets(dns, ask.domain, deadline, q->mem), &answer, q->mem);
	targets_answer_pack(q->answer, &answer);
	return 0;
}
