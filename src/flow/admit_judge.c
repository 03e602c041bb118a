/* SPDX-License-Identifier: Apache-2.0 */
/* Log-ins of SMTP clients that a Dovecot judges (smtpd_sasl_type = dovecot). Whoever it names has logged in, whether or
 * not there is an account of that name here. */
#include "filter/rate.h"
#include "flow/admit_private.h"
#include "net/sasl_dovecot.h"

static void offer(void *owner, struct buf *out) {
	struct admit *a = owner;
	bool tls = admit_session(a)->tls != NULL;
	dovecot_offer(a->params->dovecot, tls ? a->params->dovecot_tls : a->params->dovecot_clear, out);
}

/* What Dovecot said; x: the exchange, if it goes on. */
static enum sasl_answer told(struct admit *a, struct sasl *s, enum sasl_answer answer, struct dovecot_exchange *x,
			     struct slice user) {
	s->exchange = x;
	if (user.len != 0) s->user = user; /* also of one who was refused, for the log */
	if (answer == SASL_WAIT) {
		s->awaited = dovecot_awaits(x);
		s->wait_until = dovecot_until(x);
	}
	if (answer == SASL_DONE) {
		s->found = (struct sasl_found){ .name = user };
		admit_came(a, &s->found);
	}
	return answer;
}

static enum sasl_answer take(void *owner, struct sasl *s, struct slice response, struct slice *challenge) {
	struct admit *a = owner;
	struct dovecot_exchange *x = s->exchange;
	struct slice user;
	char local[ADDR_TEXT_ROOM] = "";
	if (s->step == 1 && !a->unlimited &&
	    !rates_count(a->params->rates, a->params->rate_params, &a->peer, RATE_AUTH))
		return SASL_LIMITED;
	if (addr_family(&a->daemon) != AF_UNSPEC) addr_text(&a->daemon, local);
	const struct dovecot_client client = { .local = local[0] != '\0' ? local : NULL,
					       .remote = a->ip,
					       .secured = admit_session(a)->tls != NULL };
	enum sasl_answer answer = dovecot_take(a->params->dovecot, &x, slice_of(sasl_name(s)), &client, response,
					       &s->mem, challenge, &user);
	return told(a, s, answer, x, user);
}

static enum sasl_answer go_on(void *owner, struct sasl *s, struct slice *challenge) {
	struct dovecot_exchange *x = s->exchange;
	struct slice user;
	enum sasl_answer answer = dovecot_go_on(&x, &s->mem, challenge, &user);
	return told(owner, s, answer, x, user);
}

static void done(struct sasl *s) {
	struct dovecot_exchange *x = s->exchange;
	dovecot_exchange_free(&x);
	s->exchange = NULL;
}

const struct sasl_judge *admit_judge(void *owner) {
	static const struct sasl_judge judge = { .offer = offer, .take = take, .go_on = go_on, .done = done };
	const struct admit *a = owner;
	return a->params->dovecot != NULL && dovecot_absent(a->params->dovecot) == 0 ? &judge : NULL;
}
