/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that need no mailbox, and IDLE, which waits for news of one. */
#include "access/imap/client_id.h"
#include "access/imap/name.h"
#include "access/imap/notify.h"
#include "access/imap/state.h"


IMAP_COMMAND(imap_do_capability) {
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	buf_add(imap_out(s), S("* "));
	imap_put_capabilities(s);
	buf_add(imap_out(s), S("\r\n"));
	return imap_ok("Capability completed.");
}

IMAP_COMMAND(imap_do_noop) {
	(void)s;
	return imap_parse_end(&call->p) ? imap_ok("NOOP completed.") : imap_bad(&call->p);
}

IMAP_COMMAND(imap_do_logout) {
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	imap_say(s, "* BYE Logging out");
	imap_end(s, "Logged out");
	return imap_ok("Logout completed.");
}

IMAP_COMMAND(imap_do_id) {
	if (!client_id_read(&call->p, &s->no_uidonly)) return imap_bad(&call->p);
	buf_add(imap_out(s), S("* ID (\"name\" \"hato\")\r\n"));
	return imap_ok("ID completed.");
}

/* A mailbox name, which is a string here whatever is in it. */
static void put_prefix(struct imap_session *s, struct slice prefix) {
	AUTO_BUF struct buf said = BUF(IMAP_NAME_MAX * 4);
	if (imap_enabled(s, IMAP_UTF8 | IMAP_REV2)) {
		imap_add_text(s, imap_out(s), prefix);
		return;
	}
	imap_name_put(&said, prefix);
	imap_put_string(imap_out(s), buf_slice(&said));
}

/* What people who speak the session's language call a namespace (RFC 5255 §3.4), if its name is one that we know. */
static bool translated(struct imap_session *s, struct slice prefix, struct slice *out) {
	if (!slice_ends(prefix, S("/"))) return false;
	struct slice said = language_text(s->language, slice_head(prefix, prefix.len - 1));
	*out = arena_fmt(&s->mem, "%.*s/", SLICE_ARG(said));
	return said.len != 0;
}

static void put_namespace(struct imap_session *s, struct slice prefix) {
	struct buf *out = imap_out(s);
	struct slice said;
	if (prefix.len == 0) {
		buf_add(out, S("NIL"));
		return;
	}
	buf_add(out, S("(("));
	put_prefix(s, prefix);
	buf_add(out, S(" \"/\""));
	if (translated(s, prefix, &said)) {
		buf_add(out, S(" \"TRANSLATION\" ("));
		put_prefix(s, said);
		buf_byte(out, ')');
	}
	buf_add(out, S("))"));
}

static void put_namespaces(struct imap_session *s) {
	const struct imap_session_params *p = &s->context->params;
	buf_add(imap_out(s), S("* NAMESPACE ((\"\" \"/\")) "));
	put_namespace(s, p->shared_prefix);
	buf_byte(imap_out(s), ' ');
	put_namespace(s, p->public_account.len != 0 ? p->public_prefix : SLICE_NONE);
	buf_add(imap_out(s), S("\r\n"));
}

IMAP_COMMAND(imap_do_namespace) {
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	put_namespaces(s);
	return imap_ok("Namespace completed.");
}

/* RFC 5255 §3.2: without words what there is, else the first range that leads to one. From the LANGUAGE response on we
 * speak it. */
IMAP_COMMAND(imap_do_language) {
	struct slice ranges[LANGUAGE_RANGES_MAX];
	size_t count = 0;
	enum language chosen = LANGUAGE_DEFAULT;
	while (call->p.error == NULL && call->p.rest.len != 0) {
		if (count == LEN(ranges)) imap_parse_fail(&call->p, "Too many languages.");
		else if (imap_parse_space(&call->p) && imap_parse_astring(&call->p, &ranges[count])) count++;
	}
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	if (count == 0) {
		language_list(imap_out(s));
		return imap_ok("Languages listed.");
	}
	if (!language_choose(ranges, count, &chosen)) return imap_no("None of these languages is spoken here.");
	s->language = chosen;
	buf_addf(imap_out(s), "* LANGUAGE (%s)\r\n", language_tag(chosen));
	struct slice said;
	if (translated(s, s->context->params.shared_prefix, &said) ||
	    (s->context->params.public_account.len != 0 && translated(s, s->context->params.public_prefix, &said)))
		put_namespaces(s);
	return imap_ok(chosen == LANGUAGE_JA ? "Language is now Japanese." : "Language is now English.");
}

/* RFC 4978: the answer is the last that goes out as it is. */
IMAP_COMMAND(imap_do_compress) {
	if (!imap_parse_space(&call->p)) return imap_bad(&call->p);
	if (!imap_parse_take_word(&call->p, "DEFLATE"))
		imap_parse_fail(&call->p, "DEFLATE is the only compression here.");
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	if (stream_is_zipped(s->wire)) return imap_no("[COMPRESSIONACTIVE] DEFLATE is active already.");
	buf_addf(imap_out(s), "%.*s OK ", SLICE_ARG(call->tag));
	imap_say(s, "DEFLATE active.");
	if (imap_flush(s)) stream_start_zip(s->wire);
	return (struct imap_answer){ IMAP_LATER, NULL };
}

/* RFC 8437: the answer is the session's last word, and with it edge has the client again, as a stranger; all that was
 * enabled ends with the session. */
IMAP_COMMAND(imap_do_unauthenticate) {
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	if (imap_discards(s, S("UNAUTHENTICATE"))) /* RFC 8437 §8: it can be switched off */
		return (struct imap_answer){ IMAP_BAD, "Unknown command." };
	if (stream_is_zipped(s->wire))
		return imap_no("[CANNOT] Not while the connection is compressed: log out instead.");
	if (stream_has_input(s->wire)) /* it would be lost on the way back */
		return (struct imap_answer){ IMAP_BAD, "Commands behind UNAUTHENTICATE." };
	imap_notify_free(s);
	imap_deselect(s);
	s->given_back = true;
	imap_end(s, "Unauthenticated");
	return imap_ok("Unauthenticated, log in again.");
}

static void wake_up(void *ctx, const struct change *change) {
	struct imap_session *s = ctx;
	(void)change;
	task_wake(s->pool, s->self);
}

IMAP_COMMAND(imap_do_idle) {
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	buf_clear(&s->tag);
	buf_add(&s->tag, call->tag);
	s->idling = true;
	buf_add(imap_out(s), S("+ idling\r\n"));
	/* watch first, then look: nothing can fall in between */
	if (s->box.open) s->watch = change_watch(s->context->hub, s->box.box.account, s->box.box.id, wake_up, s);
	imap_sync(s, true);
	return (struct imap_answer){ IMAP_LATER, NULL };
}

void imap_idle_done(struct imap_session *s, struct slice line) {
	if (s->watch != NULL) change_unwatch(s->context->hub, &s->watch);
	imap_sync(s, true);
	s->idling = false;
	buf_addf(imap_out(s), "%s ", buf_text(&s->tag));
	imap_say(s, slice_same(line, S("DONE")) ? "OK Idle completed." : "BAD Expected DONE.");
}
