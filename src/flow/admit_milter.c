/* SPDX-License-Identifier: Apache-2.0 */
/* Milters at the stages of a session: what a client has passed of our own checks is shown to them. */
#include "base/fail.h"
#include "flow/admit_private.h"

static const char *queue_id(void *ctx) {
	const struct admit *a = ctx;
	return a->announced ? a->id : NULL; /* as with Postfix, from the first accepted recipient on */
}

static void route(void *ctx, struct slice address, struct arena *mem, struct slice *mailer, struct slice *place) {
	const struct admit *a = ctx;
	size_t at = slice_find_last(address, '@');
	struct route_answer answer = { .verdict = ROUTE_LOCAL };
	*place = at < address.len ? slice_skip(address, at + 1) : slice_of(a->params->host);
	*mailer = S("local");
	if (at == address.len || known_has(a->params->known, address)) return;
	if (ask_route(a->params->core, &(struct route_ask){ .address = address }, mem, &answer) != ASK_OK) return;
	if (answer.verdict == ROUTE_FOREIGN) *mailer = S("smtp");
}

/* smtpd_milter_maps: the list for this client instead of smtpd_milters. NULL: none. */
static const struct milting_params *params_of(struct admit *a) {
	const struct milting_params *p = a->local ? a->params->other_milters : a->params->milters;
	struct lookup_hit hit;
	if (p == NULL || a->local || p->maps.count == 0) return p;
	int r = lookup_key(&p->maps, slice_of(a->ip), &a->mem, &hit);
	if (r == TABLE_LATER) say(L_WARN, a->params->service, "smtpd_milter_maps: %s", fail_text());
	if (r != TABLE_FOUND) return p;
	struct milting_params *own = arena_get(&a->mem, sizeof *own);
	struct milter_set *set = arena_get(&a->mem, sizeof *set);
	*own = *p;
	own->set = set;
	if (slice_same(slice_trim(hit.value), S("DISABLE"))) return own;
	if (milter_set_parse(hit.value, &p->spec, p->queue_directory, &a->mem, set) == 0) return own;
	say(L_WARN, a->params->service, "smtpd_milter_maps: %s: smtpd_milters are used", fail_text());
	return p;
}

static void content(void *ctx, const struct checks_hit *hit) {
	admit_content_hit(ctx, hit);
}

void admit_milter_open(struct admit *a) {
	const struct milting_params *p = params_of(a);
	if (p == NULL || p->set->count == 0 || a->deliver) return;
	a->facts = (struct milting_facts){
		.name = a->name,
		.reverse = a->reverse.at != NULL ? a->reverse : a->name,
		.ip = a->ip,
		.peer = &a->peer,
		.daemon = addr_family(&a->daemon) != AF_UNSPEC ? &a->daemon : NULL,
		.session = admit_session(a),
		.queue_id = queue_id,
		.route = route,
		.content = content,
		.ctx = a,
	};
	a->milting = milting_new(p, &a->facts);
}

static struct smtp_reply said(struct admit *a, struct smtp_reply r) {
	a->by_milter = r.code != 0;
	return r;
}

struct smtp_reply admit_milter_connect(struct admit *a, struct arena *mem) {
	if (a->milting == NULL) return (struct smtp_reply){ .code = 0 };
	return said(a, milting_connect(a->milting, mem));
}

struct smtp_reply admit_milter_helo(struct admit *a, struct slice name, struct arena *mem) {
	if (a->milting == NULL) return (struct smtp_reply){ .code = 0 };
	return said(a, milting_helo(a->milting, name, mem));
}

struct smtp_reply admit_milter_mail(struct admit *a, const struct smtp_mail *mail, struct arena *mem) {
	if (a->milting == NULL) return (struct smtp_reply){ .code = 0 };
	return said(a, milting_mail(a->milting, mail, mem));
}

struct smtp_reply admit_milter_rcpt(struct admit *a, const struct smtp_rcpt *rcpt, struct smtp_reply reply,
				    struct arena *mem) {
	if (a->milting == NULL) return reply;
	bool fine = smtp_reply_ok(&reply);
	struct smtp_reply r = said(a, milting_rcpt(a->milting, rcpt, fine ? NULL : &reply, mem));
	return r.code != 0 ? r : reply;
}

struct smtp_reply admit_milter_unknown(void *owner, struct slice line, struct arena *mem) {
	struct admit *a = owner;
	if (a->milting == NULL) return (struct smtp_reply){ .code = 0 };
	return said(a, milting_unknown(a->milting, line, mem));
}
