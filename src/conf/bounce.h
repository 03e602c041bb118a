/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "conf/problem.h"
/* The words of notices about mail (bounce(5)): built in, or from bounce_template_file. A file may hold some of the
 * templates:
 *
 *   failure_template = <<EOF
 *   Charset: us-ascii
 *   From: Mail Delivery System <MAILER-DAEMON>
 *   Subject: Undelivered Mail Returned to Sender
 *   Postmaster-Subject: Postmaster Copy: Undelivered Mail
 *
 *   Text, with $names of main.cf.
 *   EOF */
enum bounce_kind { BOUNCE_FAILURE, BOUNCE_DELAY, BOUNCE_SUCCESS, BOUNCE_VERIFY, BOUNCE_KINDS };
struct bounce_template {
	struct slice charset, from, subject;
	struct slice postmaster_subject; /* empty: no copy for the postmaster */
	struct slice text;               /* as written; ends with a line end */
};
const char *bounce_kind_word(enum bounce_kind kind); /* "failure" */
/* Those that text does not give are the built-in ones; of a faulty one that is told, and it is left out. */
void bounces_read(struct bounce_template out[BOUNCE_KINDS], struct slice text, struct slice path, struct problems *p);

struct conf;
struct conf_view;
const struct bounce_template *conf_bounce(const struct conf *c, enum bounce_kind kind) NONNULL_RESULT;
/* The text with its $names replaced, also delay_warning_time_hours and the like (seconds, minutes, hours, days, weeks;
 * and of maximal_queue_lifetime). <0 as expand(). */
int bounce_expand(const struct conf_view *v, struct slice text, struct buf *out) MUST_USE;
