/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/setting.h"
struct conf;
/* What each way out in master.cf has of its own (postconf(5), transport_destination_… and the like): its service name
 * and an ending, as in smtp-amavis_destination_concurrency_limit, with the default of the setting named here. Postfix
 * knows them for the commands local, error, virtual, smtp, lmtp and pipe; of spawn it knows the time limit only. */
#define TRANSPORT_SETTINGS(T) \
	T(TIME_LIMIT, "_time_limit", command_time_limit) /* pipe and spawn */ \
	T(RECIPIENT_LIMIT, "_recipient_limit", default_recipient_limit) \
	T(EXTRA_RECIPIENT_LIMIT, "_extra_recipient_limit", default_extra_recipient_limit) \
	T(RECIPIENT_REFILL_LIMIT, "_recipient_refill_limit", default_recipient_refill_limit) \
	T(RECIPIENT_REFILL_DELAY, "_recipient_refill_delay", default_recipient_refill_delay) \
	T(DELIVERY_SLOT_COST, "_delivery_slot_cost", default_delivery_slot_cost) \
	T(DELIVERY_SLOT_LOAN, "_delivery_slot_loan", default_delivery_slot_loan) \
	T(DELIVERY_SLOT_DISCOUNT, "_delivery_slot_discount", default_delivery_slot_discount) \
	T(MINIMUM_DELIVERY_SLOTS, "_minimum_delivery_slots", default_minimum_delivery_slots) \
	T(INITIAL_CONCURRENCY, "_initial_destination_concurrency", initial_destination_concurrency) \
	T(CONCURRENCY_LIMIT, "_destination_concurrency_limit", default_destination_concurrency_limit) \
	T(DESTINATION_RECIPIENT_LIMIT, "_destination_recipient_limit", default_destination_recipient_limit) \
	T(POSITIVE_FEEDBACK, "_destination_concurrency_positive_feedback", \
	  default_destination_concurrency_positive_feedback) \
	T(NEGATIVE_FEEDBACK, "_destination_concurrency_negative_feedback", \
	  default_destination_concurrency_negative_feedback) \
	T(FAILED_COHORT_LIMIT, "_destination_concurrency_failed_cohort_limit", \
	  default_destination_concurrency_failed_cohort_limit) \
	T(DESTINATION_RATE_DELAY, "_destination_rate_delay", default_destination_rate_delay) \
	T(TRANSPORT_RATE_DELAY, "_transport_rate_delay", default_transport_rate_delay)
#define TRANSPORT_ID(id, ending, fallback) TRANSPORT_##id,
enum transport_setting { TRANSPORT_SETTINGS(TRANSPORT_ID) };
#undef TRANSPORT_ID

/* Of the service by that name; of a service without such settings: the default. Kinds NUMBER and TIME (milliseconds).
 */
int64_t conf_transport(const struct conf *c, struct slice service, enum transport_setting which);
/* All kinds. */
struct slice conf_transport_text(const struct conf *c, struct slice service, enum transport_setting which);

/* The transports that every Postfix has: they are there without a line in master.cf, too. */
struct usual_transport { struct slice name, command; };
enum { USUAL_TRANSPORTS = 8 };
extern const struct usual_transport usual_transports[USUAL_TRANSPORTS];

/* Inside: gives every service of master.cf its settings, and the usual transports those that main.cf sets. */
void transports_add(struct conf *c);
