/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "base/log.h"
#include "flow/probe_sender.h"
#include "net/dns.h"
/* Settings that several roles turn into parameters in the same way. */
struct dns_params dns_params_of(const struct conf_view *v, struct arena *mem); /* text in mem */
int dns_check(const struct conf_view *v); /* can they be used? 0, or <0 fail() */
void protocols_of(const struct conf_view *v, bool *ipv4, bool *ipv6);          /* inet_protocols */
/* authorized_submit_users and its like, in mem; a file or table that cannot be used is complained of in the log. */
struct submitters;
struct tables;
const struct submitters *submitters_of(const struct conf_view *v, enum setting_id id, struct tables *tables,
				       struct arena *mem);
/* An address, with myorigin where it has no domain. */
struct slice whole_address_of(const struct conf_view *v, enum setting_id id, struct arena *mem);
/* address_verify_sender and its ttl. */
struct probe_sender probe_sender_of(const struct conf_view *v, struct arena *mem);
/* smtp_header_checks and its kin; ids: header, mime, nested, body. */
struct checks_params;
void outgoing_checks_make(const struct conf_view *v, const enum setting_id ids[4], struct tables *tables,
			  struct arena *mem, struct checks_params *out);
/* notify_classes and who is told. */
struct notice_params;
struct notice_memory;
void notices_of(struct notice_params *out, const struct conf_view *v, struct notice_memory *memory, struct arena *mem);
/* Where log lines go: syslog, maillog_file, or standard output; the descriptor is the caller's. dir: data_directory.
 * <0: the file cannot be opened. */
int log_target_of(const struct conf_view *v, const char *dir, bool foreground, struct log_target *out);
