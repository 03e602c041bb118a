/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that need nobody's answer: the unconditional ones, and those about the session itself. */
#include "filter/restrict_private.h"

#define NAMED "<%.*s>: %s rejected: "
#define NAMED_ARG(w) SLICE_ARG((w)->reply_name), item_titles[(w)->item]

enum result check_permit(struct walk *w, const struct check *c) {
	return permit(w, c->word->name, item_titles[w->item], w->reply_name, NULL);
}

enum result check_reject(struct walk *w, const struct check *c) {
	(void)c;
	return reject(w, w->p->codes.reject, "5.7.1", NAMED "Access denied", NAMED_ARG(w));
}

enum result check_defer(struct walk *w, const struct check *c) {
	(void)c;
	return reject(w, w->p->codes.defer, "4.3.2", NAMED "Try again later", NAMED_ARG(w));
}

enum result check_defer_if_permit(struct walk *w, const struct check *c) {
	(void)c;
	return defer_if_permit(w, TEMPFAIL_DEFER_IF_PERMIT, 450, "4.7.0", NAMED "defer_if_permit requested",
			       NAMED_ARG(w));
}

enum result check_defer_if_reject(struct walk *w, const struct check *c) {
	(void)c;
	return defer_if_reject(w, 450, "4.7.0", NAMED "defer_if_reject requested", NAMED_ARG(w));
}

enum result check_sleep(struct walk *w, const struct check *c) {
	bool slept = w->run->ops->sleep == NULL || w->run->ops->sleep(w->run->ctx, c->number);
	return slept ? DUNNO : wait_and_return(w);
}

enum result check_pipelining(struct walk *w, const struct check *c) {
	(void)c;
	bool early = w->f->early || (w->run->ops->early != NULL && w->run->ops->early(w->run->ctx));
	if (!early) return DUNNO;
	return reject(w, 503, "5.5.0", NAMED "Improper use of SMTP command pipelining", NAMED_ARG(w));
}

enum result check_plaintext(struct walk *w, const struct check *c) {
	(void)c;
	if (w->f->tls != NULL) return DUNNO;
	return reject(w, w->p->codes.plaintext, "4.7.1", "Session encryption is required");
}

enum result check_multi_bounce(struct walk *w, const struct check *c) {
	(void)c;
	bool bounce = w->f->sender.at != NULL && w->f->sender.len == 0;
	unsigned most = w->stage == ITEM_DATA || w->stage == ITEM_END ? 1 : 0;
	if (!bounce || w->f->recipients <= most) return DUNNO;
	return reject(w, w->p->codes.multi_bounce, "5.5.3", NAMED "Multi-recipient bounce", NAMED_ARG(w));
}
