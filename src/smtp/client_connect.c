/* SPDX-License-Identifier: Apache-2.0 */
/* One address, one attempt, one deadline: trying the next address is delivery's business. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/fail.h"
#include "smtp/client_private.h"
#include "net/connect.h"

enum { IN_LIMIT = 65536, OUT_LIMIT = 131072 };

struct socket_name {
	union {
		struct sockaddr any;
		struct sockaddr_un local;
	};
	socklen_t len;
};

static bool local_name(struct slice path, struct socket_name *out) {
	*out = (struct socket_name){ .local.sun_family = AF_UNIX, .len = sizeof out->local };
	if (path.len >= sizeof out->local.sun_path) return errno = ENAMETOOLONG, false;
	memcpy(out->local.sun_path, path.at, path.len);
	return true;
}

static bool bind_to(int fd, const struct addr *from) {
	return addr_family(from) == AF_UNSPEC || bind(fd, &from->any, from->len) == 0;
}

static int dial(struct smtp_client *c) {
	struct socket_name local;
	const struct addr *to = &c->host.addr;
	bool internet = c->host.path.len == 0;
	if (!internet && !local_name(c->host.path, &local)) return errno;
	int family = internet ? addr_family(to) : AF_UNIX;
	AUTO_FD int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) return errno;
	if (internet && !bind_to(fd, family == AF_INET6 ? &c->params.bind6 : &c->params.bind4) &&
	    c->params.bind_or_not_at_all)
		return errno;
	int error = connect_until(fd, internet ? &to->any : &local.any, internet ? to->len : local.len,
	                          deadline_in(c->params.timeouts.connect));
	if (error == 0) c->stream = stream_new(TAKE_FD(fd), IN_LIMIT, OUT_LIMIT);
	return error;
}

enum smtp_client_result smtp_client_connect(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why) {
	int error = dial(c);
	if (error == 0) return SMTP_CLIENT_OK;
	char words[128];
	smtp_outcome_of(c, mem, why, SMTP_LATER, "4.4.1", "connect to %.*s: %s", SLICE_ARG(c->relay),
	                strerror_r(error, words, sizeof words));
	why->host = SLICE_NONE;
	why->relay = S("none");
	return SMTP_CLIENT_OVER;
}
