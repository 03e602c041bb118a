/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that need no mailbox, and IDLE, which waits for news of one. */
#include "access/imap/name.h"
#include "access/imap/notify.h"
#include "access/imap/state.h"

enum { ID_PAIRS = 30 };

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
	buf_add(imap_out(s), S("* BYE Logging out\r\n"));
	imap_end(s, "Logged out");
	return imap_ok("Logout completed.");
}

IMAP_COMMAND(imap_do_id) {
	struct imap_parse *p = &call->p;
	struct slice *pairs;
	size_t count = 0;
	if (!imap_parse_space(p) ||
	    (!imap_parse_take_word(p, "NIL") && !imap_parse_strings(p, ID_PAIRS * 2, &pairs, &count)) ||
	    !imap_parse_end(p) || (count % 2 != 0 && !imap_parse_fail(p, "A field without a value.")))
		return imap_bad(p);
	buf_add(imap_out(s), S("* ID (\"name\" \"hato\")\r\n"));
	return imap_ok("ID completed.");
}

static void put_namespace(struct imap_session *s, struct slice prefix) {
	struct buf *out = imap_out(s);
	AUTO_BUF struct buf said = BUF(IMAP_NAME_MAX * 4);
	if (prefix.len == 0) {
		buf_add(out, S("NIL"));
		return;
	}
	imap_name_put(&said, prefix);
	buf_add(out, S("(("));
	imap_put_string(out, buf_slice(&said));
	buf_add(out, S(" \"/\"))"));
}

IMAP_COMMAND(imap_do_namespace) {
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	const struct imap_session_params *p = &s->context->params;
	buf_add(imap_out(s), S("* NAMESPACE ((\"\" \"/\")) "));
	put_namespace(s, p->shared_prefix);
	buf_byte(imap_out(s), ' ');
	put_namespace(s, p->public_account.len != 0 ? p->public_prefix : SLICE_NONE);
	buf_add(imap_out(s), S("\r\n"));
	return imap_ok("Namespace completed.");
}

/* RFC 4978: the answer is the last that goes out as it is. */
IMAP_COMMAND(imap_do_compress) {
	if (!imap_parse_space(&call->p)) return imap_bad(&call->p);
	if (!imap_parse_take_word(&call->p, "DEFLATE"))
		imap_parse_fail(&call->p, "DEFLATE is the only compression here.");
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	if (stream_is_zipped(s->wire)) return imap_no("[COMPRESSIONACTIVE] DEFLATE is active already.");
	buf_addf(imap_out(s), "%.*s OK DEFLATE active.\r\n", SLICE_ARG(call->tag));
	if (imap_flush(s)) stream_start_zip(s->wire);
	return (struct imap_answer){ IMAP_LATER, NULL };
}

/* RFC 8437: the answer is the session's last word, and with it edge has the client again, as a stranger; all that was
 * enabled ends with the session. */
IMAP_COMMAND(imap_do_unauthenticate) {
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
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
	s->idling = false;
	if (s->watch != NULL) change_unwatch(s->context->hub, &s->watch);
	imap_sync(s, true);
	if (slice_same(line, S("DONE"))) buf_addf(imap_out(s), "%s OK Idle completed.\r\n", buf_text(&s->tag));
	else buf_addf(imap_out(s), "%s BAD Expected DONE.\r\n", buf_text(&s->tag));
}
