/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "net/addr.h"
#include "role/boot.h"
/* The listening sockets of all services, bound by master. A reload keeps those whose address stays. */
struct listening {
	struct listening_socket {
		int fd;
		size_t service;    /* index in conf_services */
		struct addr addr;
	} at[LISTENERS_MAX];
	size_t count;
};
/* Binds everything that smtpd and imapd lines ask for. Sockets of old (may be NULL) are taken over where the address is the
 * same; what is left in old afterwards is no longer wanted. <0: fail() names service, address and remedy; *out is empty. */
int listening_open(const struct conf *c, struct listening *old, struct listening *out);
void listening_close(struct listening *l);
/* A listening Unix socket at path (any length), readable and writable for its owner only. */
int listening_unix(const char *dir, const char *name, int *fd);
/* Connects to it. */
int listening_unix_connect(const char *dir, const char *name);
