/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/snapshot.h"
/* An opendmarc.conf(5) that was brought along: each of its keys becomes the setting of ours that does the same, with the file
 * and line as the place where it was set; main.cf is stronger. Keys that mean nothing here are accepted, keys that we
 * cannot do are warned of, with the reason.
 *
 * Which file: opendmarc_config; where that is empty, OPENDMARC_USUAL if smtpd_milters or non_smtpd_milters name its
 * Socket; "none": none. Called once, when the main view can be evaluated. */
#define OPENDMARC_USUAL "/etc/opendmarc.conf"
void opendmarc_adopt(struct conf *c);

/* Puts a value as if it were set there, unless main.cf sets it; text is taken as it stands, without $names. For the sister file
 * (opendkim.conf) too. False: no such setting, or one that this version does not act on: then nothing is set. */
bool adopt_setting(struct conf *c, const char *name, struct slice text, struct place where);
/* Does the list (smtpd_milters …) name this Socket ("local:/path", "inet:port@host")? Relative paths start in queue_directory. */
bool adopt_names_socket(struct conf *c, struct slice socket);
/* Adds "192.0.2.7/24" as a word of a list of networks. False: no address or network. */
bool adopt_network(struct buf *out, struct slice word);
/* Is there any milter at all? */
bool adopt_any_milters(struct conf *c);
/* Remembers that we do ourselves what the filter behind this Socket does (conf_replaces_milter). */
void adopt_socket(struct conf *c, struct slice socket);
