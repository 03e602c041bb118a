/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/source.h"
/* master.cf (compat 2.8): one service a line,
 *
 *   service type private unprivileged chroot wakeup maxproc command [-o name=value]… [arguments]
 *
 * where `-` takes the default. The last line of a service/type wins. */
enum service_type { SERVICE_INET, SERVICE_UNIX, SERVICE_FIFO, SERVICE_PASS, SERVICE_DGRAM };
/* What the command is to hato. */
enum service_role {
	SERVICE_SMTPD, /* accepts SMTP, lmtpd LMTP; postscreen too, with the -o of the `smtpd pass` line behind its own
			*/
	SERVICE_IMAPD,
	SERVICE_POP3D,
	SERVICE_LISTENER, /* other listeners of ours, not served by this version */
	SERVICE_CLIENT,   /* smtp, lmtp: a way out, with its own settings */
	SERVICE_DELIVERY, /* local, virtual, error, retry, discard: built in */
	SERVICE_PROGRAM,  /* pipe, spawn: a program of somebody else */
	SERVICE_INTERNAL, /* Postfix's own inner services: nothing to do */
	SERVICE_UNKNOWN,
};
struct conf_override {
	struct slice name, value; /* unexpanded */
};
struct conf_service {
	struct slice name;        /* as written: "smtp", "127.0.0.1:10025" */
	enum service_type type;
	enum service_role role;
	struct slice host;        /* inet: empty = inet_interfaces; brackets taken off */
	uint16_t port;            /* inet; 0: its name means none, which is an error */
	char private_, unprivileged, chroot; /* 'y', 'n' or '-' */
	struct slice wakeup;      /* as written */
	int maxproc;              /* -1: default_process_limit; 0: no limit */
	struct slice command;
	const struct conf_override *overrides;
	size_t overrides_count;
	const struct slice *args; /* without the -o, braces taken off */
	size_t args_count;
	struct slice text;        /* the logical line */
	struct place where;
	size_t index;             /* place in conf_services() */
};
struct services {
	struct conf_service *at;
	size_t count;
};
#define SERVICES_LIMIT 256
/* Reads all lines; faulty ones are reported and left out (but for those whose name alone is wrong). mem of problems
 * holds everything. */
void services_read(struct services *out, struct slice text, struct slice path, struct sources *files,
                   struct problems *p);
/* "inet", "unix", … */
const char *service_type_word(enum service_type type);
