/* SPDX-License-Identifier: Apache-2.0 */
/* The address that answers with what the door has found (flow/check_answer.h). It is nobody's mailbox: it exists where
 * one of our own domains does not know the name, and for strangers only, since of our own users nothing is asked. */
#include "base/fail.h"
#include "filter/dnsbl.h"
#include "flow/admit_private.h"

enum { LISTS_MAX = 30, WAIT_MS = 8000 };

static struct slice local_part(struct slice address) {
	return slice_head(address, slice_find_last(address, '@'));
}

bool admit_check_is(struct admit *a, struct slice address, const struct route_answer *route) {
	const struct check_params *p = a->params->check;
	if (p == NULL || !a->open || !a->proof.wanted || route->verdict != ROUTE_UNKNOWN ||
	    !slice_starts(route->status, S("5.1.1")))
		return false;
	if (route->class != ROUTE_CLASS_LOCAL) return false; /* the database's domains and mydestination */
	if (!slice_same(local_part(address), p->name)) return false;
	a->check = arena_slice(&a->tx, address);
	return true;
}

bool admit_check_takes(const struct admit *a, struct slice address) {
	return a->check.len != 0 && slice_same(local_part(address), local_part(a->check));
}

static size_t ask_lists(struct admit *a, struct finding_list *out) {
	const struct check_params *p = a->params->check;
	int64_t deadline = deadline_in(WAIT_MS);
	size_t count = 0;
	for (size_t i = 0; i < p->lists_count && count < LISTS_MAX; i++) {
		struct dnsbl_zone zone;
		struct dnsbl_hit hit = {0};
		if (!dnsbl_zone_parse(p->lists[i], true, &zone)) continue;
		const struct dns_view view = { .dns = a->params->dns };
		enum dnsbl_result r = dnsbl_ask(&view, &zone, dnsbl_address_name(&zone, &a->peer, &a->tx),
						deadline, true, &a->tx, &hit);
		out[count++] = (struct finding_list){ zone.domain, hit.text,
						      r == DNSBL_LISTED  ? FINDING_LISTED
						      : r == DNSBL_CLEAN ? FINDING_CLEAN
									 : FINDING_UNKNOWN };
	}
	return count;
}

static struct slice tls_of(struct admit *a) {
	struct tls_info info;
	if (admit_session(a)->tls == NULL) return SLICE_NONE;
	tls_info(admit_session(a)->tls, &info);
	return arena_fmt(&a->tx, "it came by %s with cipher %s", info.protocol, info.cipher);
}

static struct mailbox mailbox_of(struct slice address) {
	return (struct mailbox){ local_part(address), slice_skip(address, slice_find_last(address, '@') + 1) };
}

static void compose(struct admit *a, struct slice id, struct buf *out) {
	struct finding_list lists[LISTS_MAX];
	const struct evidence_verdict *v = &a->proof.verdict;
	const struct evidence_client *c = &a->proof.client;
	AUTO_BUF struct buf results = BUF(KIB(64));
	struct findings_facts facts = { .client = c, .tls_known = true, .tls = tls_of(a), .lists = lists,
					.header = a->proof.header };
	facts.names = (struct client_names){ .iprev = c->iprev, .name = c->name.len != 0 ? c->name : a->reverse };
	facts.names.helo = client_helo(a->params->dns, &a->peer, c->helo, deadline_in(WAIT_MS), &a->tx);
	facts.lists_count = ask_lists(a, lists);
	authres_add(&results, &v->results);
	struct check_answer answer = { .from = mailbox_of(a->check),
				       .to = mailbox_of(a->sender),
				       .host = slice_of(a->params->host),
				       .header = a->proof.header,
				       .results = buf_slice(&results) };
	answer.message_id = arena_fmt(&a->tx, "<%.*s@%s>", SLICE_ARG(id), a->params->host);
	answer.findings = findings_of(v, &facts, &a->tx, &answer.count);
	check_answer_compose(out, &answer);
}

struct smtp_reply admit_check_answer(struct admit *a, struct arena *mem) {
	const struct check_params *p = a->params->check;
	struct smtp_reply none = { .code = 0 };
	char id[QUEUE_ID_ROOM];
	if (a->check.len == 0 || !a->proof.done) return none;
	struct slice why =
		check_unwanted(&a->params->proving->evidence, a->sender, a->proof.header, &a->proof.verdict, mem);
	if (why.len == 0 &&
	    !check_memory_may(p->memory, slice_skip(a->sender, slice_find_last(a->sender, '@') + 1), p->hourly)) {
		if (a->count == 0)
			return smtp_reply(452, "4.7.1", S("Too many checks within an hour, try again later"));
		why = S("too many checks within an hour");
	}
	if (why.len != 0) {
		note(L_INFO, a->params->service, a->session, a->id, NULL, F("check", S("not answered")),
		     F("from", a->sender), F("why", why));
		return a->count != 0 ? none
				     : smtp_reply_fmt(mem, 550, "5.7.1", "<%.*s>: not answered: %.*s",
						      SLICE_ARG(a->check), SLICE_ARG(slice_head(why, 380)));
	}
	AUTO_BUF struct buf message = BUF(MIB(4));
	queue_id_make(id);
	compose(a, slice_of(id), &message);
	struct admit_own own = {
		.id = id, .to = a->sender, .message = buf_slice(&message), .flags = ACCEPT_NO_BCC | ACCEPT_SIGN
	};
	bool done = !message.full && admit_own(a, &own, mem);
	note(L_INFO, a->params->service, a->session, a->id, NULL, F("check", done ? S("answered") : S("answer failed")),
	     F("from", a->sender), F("answer", slice_of(id)));
	if (a->count != 0) return none;
	return done ? smtp_reply_fmt(mem, 250, "2.0.0", "Ok: checked, the answer is %s", id)
		    : smtp_reply(451, "4.3.0", S("Error: the answer cannot be stored now"));
}
