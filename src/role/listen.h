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
		struct addr addr;  /* of inet services */
		char *path;        /* of unix services; NULL: inet */
	} at[LISTENERS_MAX];
	size_t count;
};
/* Binds everything that smtpd, lmtpd, imapd and spawn lines ask for. Where the address is the same the socket of old
 * (may be NULL) is used, as a duplicate: old stays whole, for the case that something fails, and is closed by the
 * caller when nothing did. <0: fail() names service, address and remedy; *out is empty. LISTENING_NOTHING, with fail()
 * text: there is no such line. */
enum { LISTENING_NOTHING = 1 };
int listening_open(const struct conf *c, struct listening *old, struct listening *out);
void listening_close(struct listening *l);
/* A listening Unix socket at path (any length). mode: 0600 for its owner only, 0666 for everybody. */
int listening_unix(const char *dir, const char *name, mode_t mode, int *fd);
/* Connects to it. */
int listening_unix_connect(const char *dir, const char *name);
