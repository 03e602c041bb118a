/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/dns.h"
#include "net/link.h"
/* relay's answers about reports (flow/reporting.h). ctx: a struct dns. */
int relay_answer_report(struct dns *dns, struct link_question *q);
int relay_answer_permission(struct dns *dns, struct link_question *q);
int relay_answer_targets(struct dns *dns, struct link_question *q);
int relay_answer_name(struct dns *dns, struct link_question *q);
