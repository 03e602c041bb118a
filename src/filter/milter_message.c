/* SPDX-License-Identifier: Apache-2.0 */
/* A message shown to one milter, and the changes it asks for at the end. Commands that are not answered are gathered,
 * so that header and body leave in few writes. */
#include "filter/milter_private.h"
#include "base/fail.h"
#include "base/log.h"

enum { GATHER = 1 << 16, CHANGES_MAX = 10000, FIELDS_MAX = 100000 };

enum shown { SHOWN, SHOWN_SKIP, SHOWN_OVER };

/* One command; SHOWN_OVER: *v is how it ends. */
static enum shown show(struct milters *all, struct milter *m, const struct milter_send *what, struct slice data,
		       struct arena *mem, struct milter_verdict *v) {
	struct milter_reply reply;
	if ((m->offer.steps & what->unwanted) != 0) return SHOWN_SKIP;
	milter_send(all, m, what, data, mem);
	m->in_message = true;
	bool silent = (m->offer.steps & what->silent) != 0;
	bool failed = (!silent || m->out.len >= GATHER) && !milter_flush(all, m, what->ms);
	if (!failed && silent) return SHOWN;
	if (failed || !milter_receive(all, m, what, mem, &reply)) {
		*v = milter_default_verdict(m);
		return SHOWN_OVER;
	}
	*v = milter_judge(all, m, what, &reply);
	if (v->kind != MILTER_GO_ON || m->state != MILTER_ON) return SHOWN_OVER;
	return reply.kind == MILTER_R_SKIP ? SHOWN_SKIP : SHOWN;
}

/* Folded lines are separated by LF; the first blank behind the colon is kept only for those that asked for it. */
static void header_data(const struct milter *m, struct slice name, struct slice value, struct buf *out) {
	buf_clear(out);
	milter_put_text(out, name);
	if ((m->offer.steps & MILTER_LEADING_SPACE) == 0 && slice_starts(value, S(" "))) value = slice_skip(value, 1);
	value = slice_head(value, MILTER_TEXT_MAX);
	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] != '\0' && (value.at[i] != '\r' || i + 1 == value.len || value.at[i + 1] != '\n'))
			buf_byte(out, value.at[i]);
	buf_byte(out, '\0');
}

static enum shown show_header(struct milters *all, struct milter *m, struct arena *mem, struct milter_verdict *v) {
	const struct milter_send header = { MILTER_C_HEADER, MILTER_STAGES, MILTER_NO_HEADER, MILTER_NR_HEADER,
					    m->spec->content_ms };
	const struct milter_send end = { MILTER_C_END_HEADER, MILTER_AT_END_HEADER, MILTER_NO_END_HEADER,
					 MILTER_NR_END_HEADER, m->spec->content_ms };
	AUTO_BUF struct buf data = BUF(MILTER_TEXT_MAX + 2000);
	struct slice name, value;
	enum shown r = SHOWN;
	for (size_t i = 0; i < FIELDS_MAX && r == SHOWN && all->ops->field(all->ctx, i, &name, &value); i++) {
		header_data(m, slice_head(name, 1000), value, &data);
		r = show(all, m, &header, buf_slice(&data), mem, v);
	}
	return r == SHOWN_OVER ? r : show(all, m, &end, SLICE_NONE, mem, v);
}

static enum shown show_body(struct milters *all, struct milter *m, struct arena *mem, struct milter_verdict *v) {
	const struct milter_send body = { MILTER_C_BODY, MILTER_STAGES, MILTER_NO_BODY, MILTER_NR_BODY,
					  m->spec->content_ms };
	char *piece = arena_get(mem, MILTER_BODY_CHUNK);
	enum shown r = SHOWN;
	if ((m->offer.steps & MILTER_NO_BODY) != 0) return SHOWN_SKIP;
	for (uint64_t at = 0; r == SHOWN;) {
		ssize_t n = all->ops->body(all->ctx, at, piece, MILTER_BODY_CHUNK);
		if (n == 0) break;
		if (n < 0) {
			say(L_ERROR, all->params->service, "%s", fail_text());
			*v = (struct milter_verdict){ MILTER_REFUSE, 451, "4.3.0", S("Error: queue file read error"),
						      false };
			return SHOWN_OVER;
		}
		at += (uint64_t)n;
		r = show(all, m, &body, slice_from(piece, (size_t)n), mem, v);
	}
	return r;
}

/* Changes. */

static uint32_t needed(char kind) {
	switch (kind) {
	case MILTER_R_ADD_HEADER:
	case MILTER_R_INS_HEADER: return MILTER_MAY_ADD_HEADER | MILTER_MAY_CHANGE_HEADER;
	case MILTER_R_CHG_HEADER: return MILTER_MAY_CHANGE_HEADER;
	case MILTER_R_BODY: return MILTER_MAY_CHANGE_BODY;
	case MILTER_R_ADD_RCPT: return MILTER_MAY_ADD_RCPT | MILTER_MAY_ADD_RCPT_PAR;
	case MILTER_R_ADD_RCPT_PAR: return MILTER_MAY_ADD_RCPT_PAR;
	case MILTER_R_DEL_RCPT: return MILTER_MAY_DEL_RCPT;
	case MILTER_R_SENDER: return MILTER_MAY_CHANGE_SENDER;
	case MILTER_R_QUARANTINE: return MILTER_MAY_QUARANTINE;
	default: return 0;
	}
}

struct changes {
	unsigned count;
	bool body_begun, hold;
};

/* Milters that did not ask for blanks behind the colon mean one. */
static struct slice spaced(const struct milter *m, struct slice value, struct arena *mem) {
	if ((m->offer.steps & MILTER_LEADING_SPACE) != 0 || value.len == 0) return value;
	return arena_fmt(mem, " %.*s", SLICE_ARG(value));
}

static int change(struct milters *all, struct milter *m, const struct milter_reply *r, struct changes *c,
		  struct arena *mem) {
	const struct milter_ops *o = all->ops;
	switch (r->kind) {
	case MILTER_R_ADD_HEADER: return o->add_field(all->ctx, r->name, spaced(m, r->value, mem));
	case MILTER_R_INS_HEADER: return o->insert_field(all->ctx, r->index, r->name, spaced(m, r->value, mem));
	case MILTER_R_CHG_HEADER: return o->change_field(all->ctx, r->index, r->name, spaced(m, r->value, mem));
	case MILTER_R_ADD_RCPT:
	case MILTER_R_ADD_RCPT_PAR: return o->add_recipient(all->ctx, r->name, r->value);
	case MILTER_R_DEL_RCPT: return o->delete_recipient(all->ctx, r->name);
	case MILTER_R_SENDER: return o->change_sender(all->ctx, r->name, r->value);
	case MILTER_R_QUARANTINE: c->hold = true; return 0;
	default: break;
	}
	bool first = !c->body_begun;
	c->body_begun = true;
	return o->replace_body(all->ctx, r->value, first);
}

/* True: it was a change, and done or noted as impossible in *v. */
static bool take_change(struct milters *all, struct milter *m, const struct milter_reply *r, struct changes *c,
			struct arena *mem, struct milter_verdict *v) {
	uint32_t need = needed(r->kind);
	if (need == 0) return false;
	if ((m->offer.actions & need) == 0) {
		say(L_WARN, all->params->service, "milter %s: change '%c' was not negotiated: ignored", m->spec->name,
		    r->kind);
		return true;
	}
	if (r->kind != MILTER_R_BODY && ++c->count > CHANGES_MAX) {
		milter_fail(all, m, "milter %s: more than %d changes to one message", m->spec->name, CHANGES_MAX);
		*v = milter_default_verdict(m);
	} else if (change(all, m, r, c, mem) < 0) {
		say(L_WARN, all->params->service, "milter %s: %s", m->spec->name, fail_text());
		*v = (struct milter_verdict){ MILTER_REFUSE, 451, "4.3.0", S("Error: queue file write error"), false };
	}
	return true;
}

static struct milter_verdict finish(struct milters *all, struct milter *m, struct arena *mem) {
	const struct milter_send end = { MILTER_C_END, MILTER_AT_END, 0, 0, m->spec->content_ms };
	struct changes c = { 0 };
	struct milter_verdict v = { .kind = MILTER_GO_ON };
	struct milter_reply reply;
	milter_send(all, m, &end, SLICE_NONE, mem);
	m->in_message = true;
	if (!milter_flush(all, m, end.ms)) return milter_default_verdict(m);
	for (bool more = true; more && m->state == MILTER_ON;) {
		AUTO_ARENA struct arena one = { 0 };
		if (!milter_receive(all, m, &end, &one, &reply)) return milter_default_verdict(m);
		more = take_change(all, m, &reply, &c, &one, &v);
		if (more) continue;
		struct milter_verdict last = milter_judge(all, m, &end, &reply);
		if (v.kind == MILTER_GO_ON) v = last;
		if (v.text.at != NULL) v.text = arena_slice(mem, v.text);
	}
	m->in_message = false;
	if (m->state == MILTER_PLEASED_MESSAGE) m->state = MILTER_ON;
	v.hold = v.hold || c.hold;
	return v;
}

struct milter_verdict milter_show(struct milters *all, struct milter *m, struct arena *mem) {
	struct milter_verdict v = { .kind = MILTER_GO_ON };
	if (m->state == MILTER_FAILED) return milter_default_verdict(m);
	if (m->state == MILTER_REFUSES) return m->kept;
	if (m->state != MILTER_ON) return v;
	if (show_header(all, m, mem, &v) == SHOWN_OVER) return v;
	if (show_body(all, m, mem, &v) == SHOWN_OVER) return v;
	return finish(all, m, mem);
}
