/* SPDX-License-Identifier: Apache-2.0 */
/* smtpd_proxy_filter: a filter that speaks SMTP sees the message before its sender hears an answer, and its answer is
 * the one he hears (SMTPD_PROXY_README). What it lets pass it hands in again, on a listener of ours without a filter.
 * The message has come whole before the filter is called (speed_adjust): it does not wait for slow clients. Header
 * rewriting, content checks and milters are that listener's. */
#include "base/fail.h"
#include "flow/admit_private.h"
#include "smtp/deliver.h"

static const char trouble[] = "Error: queue file write error";

static void log_proxy(struct admit *a, const char *what, const struct smtp_reply *r) {
	const struct smtp_session *s = admit_session(a);
	AUTO_BUF struct buf line = BUF(KIB(8));
	buf_addf(&line, "%s: END-OF-MESSAGE%s%.*s: %d %s %.*s; from=<%.*s>", what, r->code >= 400 ? " from " : "",
		 SLICE_ARG(r->code >= 400 ? a->client : S("")), r->code, r->status,
		 SLICE_ARG(slice_head(r->text, slice_find(r->text, '\n'))), SLICE_ARG(a->sender));
	if (a->count != 0) buf_addf(&line, " to=<%.*s>", SLICE_ARG(a->recipients[a->count - 1].address));
	buf_addf(&line, " proto=%s", s->proto);
	if (s->helo.len != 0) buf_addf(&line, " helo=<%.*s>", SLICE_ARG(s->helo));
	log_line(L_INFO, a->params->service, a->session, r->code >= 400 ? "NOQUEUE" : NULL, buf_text(&line), NULL, 0);
}

/* "554 5.7.1 text" or "554-5.7.1 one\n554 5.7.1 two". Code 0: no reply. */
static struct smtp_reply reply_of(struct slice said, struct arena *mem) {
	struct smtp_reply r = { 0 };
	AUTO_BUF struct buf text = BUF(KIB(16));
	for (struct slice rest = said; rest.at != NULL && rest.len != 0;) {
		struct slice line = slice_trim(slice_cut(&rest, '\n'));
		uint64_t code;
		if (line.len < 3 || !slice_number(slice_head(line, 3), 599, &code) || code < 200)
			return (struct smtp_reply){ 0 };
		struct slice words = slice_skip(line, MIN_OF(line.len, (size_t)4)), after = words,
			     status = slice_word(&after, " ");
		bool has = status.len >= 5 && status.len < sizeof r.status && status.at[1] == '.' &&
			   ascii_digit(status.at[0]);
		if (has) {
			memcpy(r.status, status.at, status.len);
			r.status[status.len] = '\0';
			words = slice_trim(after);
		}
		r.code = (int)code;
		buf_addf(&text, "%s%.*s", text.len != 0 ? "\n" : "", SLICE_ARG(words));
	}
	r.text = arena_slice(mem, buf_slice(&text));
	return r;
}

/* What the client hears; code 0: the filter has taken it for all. */
static struct smtp_reply refusal_of(struct admit *a, const struct smtp_outcome *outcomes, struct arena *mem) {
	for (size_t i = 0; i < a->count; i++) {
		if (outcomes[i].fate == SMTP_DELIVERED) continue;
		struct smtp_reply r = reply_of(outcomes[i].diagnostic, mem);
		bool of_all = a->count == 1 || outcomes[i].stage == NULL || strncmp(outcomes[i].stage, "RCPT", 4) != 0;
		if (r.code >= 400 && of_all) return r;
		say(L_WARN, a->params->service, "proxy %.*s: %.*s", SLICE_ARG(a->params->proxy->next_hop),
		    SLICE_ARG(outcomes[i].text));
		return smtp_reply(451, "4.3.0", slice_of(trouble));
	}
	return (struct smtp_reply){ 0 };
}

static bool is_written(struct admit *a, struct smtp_body *body, struct arena *mem) {
	struct intake *in = &a->intake;
	size_t return_path = slice_find(buf_slice(&in->head), '\n') + 1;
	*body = (struct smtp_body){ .head = slice_skip(buf_slice(&in->head), return_path),
				    .fd = in->spooled != 0 ? in->spool : -1,
				    .size = in->spooled };
	if (in->spooled == 0)
		body->head = arena_fmt(mem, "%.*s%.*s", SLICE_ARG(body->head), SLICE_ARG(buf_slice(&in->content)));
	return in->error == 0;
}

struct smtp_reply admit_proxy(struct admit *a, struct arena *mem) {
	const struct smtp_session *s = admit_session(a);
	char port[8];
	snprintf(port, sizeof port, "%u", addr_port(&a->peer));
	struct smtp_origin from = { .name = a->name,
				    .address = slice_of(a->ip),
				    .port = slice_of(port),
				    .helo = s->helo,
				    .protocol = slice_of(s->proto),
				    .local = a->local };
	struct smtp_recipient *to = arena_array(mem, a->count, sizeof *to);
	struct smtp_outcome *outcomes = arena_array(mem, a->count, sizeof *outcomes);
	for (size_t i = 0; i < a->count; i++)
		to[i] = (struct smtp_recipient){ a->recipients[i].address, a->recipients[i].orcpt,
						 a->recipients[i].notify };
	struct smtp_message m = { .origin = &from,
				  .id = "NOQUEUE",
				  .sender = a->sender,
				  .envid = a->envid,
				  .ret = (enum smtp_ret)a->ret,
				  .eight_bit = true,
				  .utf8 = a->utf8,
				  .probe = true,
				  .recipients = to,
				  .count = a->count };
	if (!is_written(a, &m.body, mem)) return smtp_reply(451, "4.3.0", slice_of(trouble));
	struct smtp_cache cache = { 0 };
	/* it must want it for all of them, before it has it for any */
	smtp_deliver(a->params->proxy, &m, &cache, mem, outcomes);
	struct smtp_reply r = refusal_of(a, outcomes, mem);
	m.probe = false;
	if (r.code == 0) smtp_deliver(a->params->proxy, &m, &cache, mem, outcomes);
	if (r.code == 0) r = refusal_of(a, outcomes, mem);
	smtp_cache_clear(&cache);
	if (r.code == 0) r = reply_of(outcomes[0].text, mem);
	if (r.code == 0) r = smtp_reply(250, "2.0.0", S("Ok"));
	log_proxy(a, r.code < 400 ? "proxy-accept" : "proxy-reject", &r);
	if (r.code >= 400) a->content_noted = true;
	return r;
}
