/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "net/sasl.h"
/* The mechanisms (enum sasl_word) that a filter (smtpd_sasl_mechanism_filter: the first word that fits counts) and, if
 * not SETTINGS_COUNT, a list of security options (smtpd_sasl_security_options) leave. */
unsigned sasl_mechanisms(const struct conf_view *v, enum setting_id filter, enum setting_id options);
