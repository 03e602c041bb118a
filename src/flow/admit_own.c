/* SPDX-License-Identifier: Apache-2.0 */
/* Mail that edge itself writes (answers of check@, notices to the postmaster) goes to core as all mail does: there is
 * one way in. */
#include "base/fail.h"
#include "flow/admit_private.h"

static bool hand_in(struct admit *a, struct intake *in, const struct admit_own *own, struct slice head,
		    struct arena *mem) {
	struct summary summary;
	struct accept_recipient to = { .address = own->to, .notify = SMTP_NOTIFY_NEVER };
	struct accept_answer answer = { 0 };
	AUTO_BUF struct buf packed = BUF(MIB(8));
	if (in->error != 0 || intake_summary(in, &summary) != 0) return false;
	summary_pack(&packed, &summary);
	struct accept_ask ask = {
		.queue_id = slice_of(own->id),
		.sender = own->sender,
		.arrived_us = wall_us(),
		.recipients = &to,
		.recipients_count = 1,
		.head = buf_slice(&in->head),
		.body = buf_slice(&in->content),
		.spooled = in->spooled,
		.return_path = head.len,
		.summary = buf_slice(&packed),
		.message_id = summary.envelopes[0].message_id,
		.client = S("localhost[127.0.0.1]"),
		.flags = own->flags,
	};
	int r = ask_accept(a->params->core, &ask, in->spooled != 0 ? in->spool : -1, mem, &answer);
	if (r < 0) say(L_ERROR, a->params->service, "%s: %s", own->id, fail_text());
	bool taken = r == ASK_OK && answer.verdict == ACCEPT_STORED;
	if (r == ASK_OK && !taken)
		say(L_WARN, a->params->service, "%s: to=<%.*s>: %.*s", own->id, SLICE_ARG(own->to),
		    SLICE_ARG(answer.text));
	return taken;
}

bool admit_own(struct admit *a, const struct admit_own *own, struct arena *mem) {
	struct intake_params params = { .spool_dir = a->params->spool_dir,
					.memory_limit = MIB(4),
					.header_limit = ADMIT_HEADER_MAX };
	struct intake in = { .spool = -1 };
	struct slice head = arena_fmt(mem, "Return-Path: <%.*s>\r\n", SLICE_ARG(own->sender));
	intake_begin(&in, &params);
	intake_head(&in, head);
	intake_bytes(&in, own->message);
	intake_end(&in);
	bool taken = hand_in(a, &in, own, head, mem);
	intake_done(&in);
	return taken;
}
