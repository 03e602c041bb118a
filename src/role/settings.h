/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "net/dns.h"
/* Settings that several roles turn into parameters in the same way. */
struct dns_params dns_params_of(const struct conf_view *v, struct arena *mem); /* text in mem */
void protocols_of(const struct conf_view *v, bool *ipv4, bool *ipv6);          /* inet_protocols */
