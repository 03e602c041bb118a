/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "net/sasl.h"
/* The mechanisms (enum sasl_word) that a filter (smtpd_sasl_mechanism_filter: the first word that fits counts) and, if
 * not SETTINGS_COUNT, a list of security options (smtpd_sasl_security_options) leave. */
unsigned sasl_mechanisms(const struct conf_view *v, enum setting_id filter, enum setting_id options);
struct service;
struct edge_settings;
struct edge_outside;
struct boot;
/* smtpd_sasl_type = dovecot, and sasl_external_cert_maps, into the parameters of a service. <0: smtpd_sasl_path cannot
 * be used. */
int edge_sasl_make(struct edge_settings *s, struct service *sv, const struct conf_view *v,
		   const struct edge_outside *outside);
