/* SPDX-License-Identifier: Apache-2.0 */
/* Large receivers blame whoever hands them the mail: a forwarder that passes on what is forged loses its own good name.
 * So what fails here is refused here, where its sender hears of it. */
#include "flow/forward.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/deliver.h"
#include "mime/compose.h"
#include "mime/summary.h"
#include "user/user.h"

#include <unistd.h>

WIRE_STRUCT(forward_facts, FORWARD_FACTS_FIELDS)

const char *const forward_choice_words[] = {
	[FORWARD_SEND] = "send", [FORWARD_KEEP] = "keep", [FORWARD_WRAP] = "wrap", NULL
};

static bool is_signed(const struct evidence_record *e) {
	for (size_t i = 0; i < e->dkim_count; i++)
		if (e->dkim[i].result == TRUST_PASS) return true;
	return false;
}

uint32_t forward_look(const struct evidence_record *e, struct arena *mem, struct slice *why) {
	const struct evidence_dmarc *d = &e->dmarc;
	bool strict = d->policy == DMARC_POLICY_REJECT || d->policy == DMARC_POLICY_QUARANTINE;
	*why = SLICE_NONE;
	if (!e->checked) return 0;
	bool signature_stays = d->dkim_aligned && !e->changed;
	if (d->result == TRUST_FAIL && strict && d->override.len == 0) {
		*why = arena_fmt(mem, "it fails DMARC of %.*s (p=%s)", SLICE_ARG(d->from),
				 dmarc_policy_word((enum dmarc_policy)d->policy));
		return ACCEPT_FORWARD_BAD;
	}
	if (e->spf.result == TRUST_FAIL && !is_signed(e) && d->result != TRUST_PASS && d->override.len == 0) {
		*why = arena_fmt(mem, "SPF of %.*s fails and nobody has signed it", SLICE_ARG(e->spf.domain));
		return ACCEPT_FORWARD_FAILS;
	}
	if (!strict || signature_stays || (d->spf_aligned && e->spf_here)) return 0;
	const char *policy = dmarc_policy_word((enum dmarc_policy)d->policy);
	if (d->dkim_aligned)
		*why = arena_fmt(mem, "the signature of %.*s (p=%s) is no longer good: the message was changed here",
				 SLICE_ARG(d->from), policy);
	else
		*why = arena_fmt(mem,
				 "only SPF proves that it comes from %.*s (p=%s), which it cannot at the next server",
				 SLICE_ARG(d->from), policy);
	return ACCEPT_FORWARD_FAILS;
}

/* The alias's own choice: of the address as it is, or without its extension. */
static int chosen(struct db_conn *c, const struct rewrite_params *rewrite, struct slice address, struct arena *mem,
		  int *choice) {
	struct slice local, domain;
	int r = user_forward_choice(c, address, choice);
	if (r != USER_UNKNOWN || !rewrite_parts(address, &local, &domain)) return r;
	size_t at = rewrite_split(rewrite, local);
	if (at == local.len) return r;
	return user_forward_choice(c, arena_fmt(mem, "%.*s@%.*s", (int)at, local.at, SLICE_ARG(domain)), choice);
}

int forward_decide(struct db_conn *c, const struct forward_params *p, const struct rewrite_params *rewrite,
		   uint32_t flags, struct slice original, struct arena *mem, enum forward_act *out) {
	static const enum forward_act acts[] = {
		[FORWARD_SEND] = FORWARD_GOES, [FORWARD_KEEP] = FORWARD_KEPT, [FORWARD_WRAP] = FORWARD_WRAPPED
	};
	static const enum forward_act doors[] = { [FORWARD_DOOR_REJECT] = FORWARD_REFUSED,
						  [FORWARD_DOOR_KEEP] = FORWARD_KEPT,
						  [FORWARD_DOOR_SEND] = FORWARD_GOES };
	int choice = (int)p->failing;
	*out = FORWARD_GOES;
	if ((flags & ACCEPT_FORWARD_BAD) != 0) *out = doors[p->unauthenticated];
	else if ((flags & ACCEPT_FORWARD_FAILS) != 0) {
		int r = chosen(c, rewrite, original, mem, &choice);
		if (r < 0) return r;
		*out = acts[choice >= 0 && choice < (int)LEN(acts) ? choice : FORWARD_SEND];
	}
	return 0;
}

static void log_act(const struct forwarding *f, const struct route_end *e, const char *what) {
	AUTO_FREE char *id = slice_text(f->queue_id);
	AUTO_BUF struct buf text = BUF(KIB(2));
	buf_addf(&text, "%s: %.*s", what,
		 SLICE_ARG(f->why.len != 0 ? f->why : S("nothing proves its author at the next server")));
	note(L_INFO, "cleanup", 0, id, NULL, FA("to", e->address), FA("orig_to", e->original),
	     F("status", S("not forwarded")), FPS(buf_slice(&text)));
}

static int keep(const struct forwarding *f, struct db_conn *c, struct routes *routes, const struct route_end *e) {
	if (f->mailbox != NULL) {
		struct route_end end = *f->mailbox;
		end.source = e->source;
		end.original = e->original;
		route_add_end(routes, end);
		return 0;
	}
	struct route_from from = {
		.address = f->params->keep, .sender = f->sender, .original = e->original, .source = e->source
	};
	return route_add(routes, c, f->route, &from);
}

/* The message was taken for others: what is not forwarded must end somewhere. */
static int beside_others(const struct forwarding *f, struct db_conn *c, struct routes *routes,
			 const struct route_end *refused, size_t count) {
	struct slice text = arena_fmt(routes->mem, "not forwarded: %.*s", SLICE_ARG(f->why));
	for (size_t i = 0; i < count; i++) {
		const struct route_end *e = &refused[i];
		if (!f->sender_doubtful) {
			struct route_end end = { .kind = ROUTE_TO_NOWHERE,
						 .address = e->address,
						 .original = e->original,
						 .status = S("5.7.1"),
						 .text = text,
						 .source = e->source };
			route_add_end(routes, end);
			continue;
		}
		int r = keep(f, c, routes, e);
		if (r != 0) return r < 0 ? r : fail("%.*s: %s", SLICE_ARG(f->params->keep), fail_text());
		log_act(f, e, "kept, since its sender may be forged");
	}
	return 0;
}

int forward_apply(const struct forwarding *f, struct db_conn *c, struct routes *routes) {
	size_t count = routes->count, gone = 0;
	if ((f->flags & (ACCEPT_FORWARD_BAD | ACCEPT_FORWARD_FAILS)) == 0) return 0;
	struct routes old = *routes;
	struct route_end *refused = arena_array(routes->mem, count + 1, sizeof *refused);
	routes->at = NULL;
	routes->count = routes->room = 0;
	for (size_t i = 0; i < count; i++) {
		struct route_end e = old.at[i];
		enum forward_act act = FORWARD_GOES;
		if (e.forwarded &&
		    forward_decide(c, f->params, &f->route->rewrite, f->flags, e.original, routes->mem, &act) < 0)
			return -1;
		if (act == FORWARD_REFUSED && f->mailbox != NULL) act = FORWARD_KEPT; /* the door is behind us */
		e.wrapped = act == FORWARD_WRAPPED;
		if (act == FORWARD_GOES || act == FORWARD_WRAPPED) {
			route_add_end(routes, e);
			continue;
		}
		if (act == FORWARD_KEPT) {
			int r = keep(f, c, routes, &e);
			if (r != 0) return r < 0 ? r : fail("%.*s: %s", SLICE_ARG(f->params->keep), fail_text());
		}
		if (act == FORWARD_REFUSED) refused[gone++] = e;
		log_act(f, &e, act == FORWARD_KEPT ? "kept" : "refused");
	}
	return gone != 0 && routes->count != 0 && beside_others(f, c, routes, refused, gone) < 0 ? -1 : (int)gone;
}

/* ---- wrapping ---- */

static int scan_body(const struct post *post, struct summary_scan *scan) {
	char piece[16384];
	for (size_t i = 0; i < post->body.part_count; i++) summary_scan_feed(scan, post->body.parts[i]);
	for (uint64_t at = 0; post->body.fd >= 0 && at < post->body.fd_size;) {
		size_t want = (size_t)MIN_OF((uint64_t)sizeof piece, post->body.fd_size - at);
		ssize_t n = pread(post->body.fd, piece, want, (off_t)(post->body.fd_from + at));
		if (n <= 0) return fail_errno("spool file");
		summary_scan_feed(scan, slice_from(piece, (size_t)n));
		at += (uint64_t)n;
	}
	return 0;
}

static int summarize(struct post *post, struct arena *mem) {
	AUTO_BUF struct buf packed = BUF(MIB(8));
	struct summary summary;
	struct summary_scan *scan = summary_scan_new();
	int r = scan_body(post, scan);
	if (r == 0) {
		summary_scan_finish(scan, &summary);
		summary_pack(&packed, &summary);
		post->summary = arena_slice(mem, buf_slice(&packed));
	}
	summary_scan_free(&scan);
	return r;
}

static void compose_wrapper(struct buf *out, const struct post *post, const struct envelope *inside,
			    const struct route_params *route, struct slice alias, struct arena *mem) {
	AUTO_BUF struct buf subject = BUF(KIB(4));
	struct slice local, domain;
	(void)rewrite_parts(alias, &local, &domain);
	buf_add(&subject, S("Fwd: "));
	header_text_add(&subject, inside->subject);
	compose_date_field(out, date_local(wall_s()));
	compose_mailbox_field(out, "From", S("forwarded mail"), (struct mailbox){ local, domain });
	compose_text_field(out, "Subject", buf_slice(&subject));
	compose_field(out, "To", alias);
	if (inside->from.len != 0)
		compose_field(out, "Reply-To", inside->reply_to.len != 0 ? inside->reply_to : inside->from);
	compose_field(out, "Message-ID", compose_message_id(mem, route->host));
	compose_field(out, "Auto-Submitted", S("auto-forwarded"));
	compose_field(out, "MIME-Version", S("1.0"));
	compose_field(out, "Content-Type", S("message/rfc822"));
	compose_field(out, "Content-Transfer-Encoding", post->eight_bit || post->utf8 ? S("8bit") : S("7bit"));
	compose_field(out, "Content-Description", S("Forwarded message"));
	buf_add(out, S("\r\n"));
}

int forward_wrap(struct post *post, const struct route_params *route, struct slice alias, struct arena *mem) {
	struct unwire in = UNWIRE(post->summary, mem);
	struct summary summary;
	AUTO_BUF struct buf head = BUF(KIB(64));
	struct slice local, domain;
	summary_unpack(&in, &summary);
	if (in.bad || summary.envelopes_count == 0 || !rewrite_parts(alias, &local, &domain))
		return fail("broken summary");
	post->sender = arena_fmt(mem, "postmaster@%.*s", SLICE_ARG(domain));
	buf_addf(&head, "Return-Path: <%.*s>\r\n", SLICE_ARG(post->sender));
	size_t return_path = head.len;
	compose_wrapper(&head, post, &summary.envelopes[0], route, alias, mem);
	struct slice *parts = arena_array(mem, post->body.part_count + 1, sizeof *parts);
	parts[0] = arena_slice(mem, buf_slice(&head));
	parts[1] = slice_skip(post->body.parts[0], (size_t)post->return_path);
	for (size_t i = 1; i < post->body.part_count; i++) parts[i + 1] = post->body.parts[i];
	post->body.parts = parts;
	post->body.part_count++;
	post->return_path = return_path;
	post->envid = SLICE_NONE;
	post->flags |= ACCEPT_SIGN;
	return summarize(post, mem);
}
