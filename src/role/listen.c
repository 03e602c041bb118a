/* SPDX-License-Identifier: Apache-2.0 */
#include "role/listen.h"
#include "base/fail.h"
#include "role/settings.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 1024, IN_USE_TRIES = 40, IN_USE_PAUSE_US = 50000 };

void listening_close(struct listening *l) {
	for (size_t i = 0; i < l->count; i++) auto_fd(&l->at[i].fd);
	l->count = 0;
}

static const char *remedy(int error) {
	if (error == EADDRINUSE) return " (another server listens there: stop it, or change the line in master.cf)";
	if (error == EACCES) return " (ports below 1024 need root, or the capability CAP_NET_BIND_SERVICE)";
	if (error == EADDRNOTAVAIL) return " (this machine does not have that address: see inet_interfaces)";
	return "";
}

static int bind_tcp(const struct addr *a) {
	AUTO_FD int fd = socket(addr_family(a), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) return fail_errno("socket");
	int one = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (addr_family(a) == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	/* processes of a server that was killed a moment ago may still hold the port */
	int r = -1;
	for (int i = 0; i < IN_USE_TRIES && (r = bind(fd, &a->any, a->len)) != 0 && errno == EADDRINUSE; i++)
		usleep(IN_USE_PAUSE_US);
	if (r != 0 || listen(fd, BACKLOG) != 0) {
		char text[ADDR_TEXT_ROOM];
		int error = errno;
		return fail("cannot listen on %s: %s%s", addr_text_with_port(a, text), strerror(error), remedy(error));
	}
	return TAKE_FD(fd);
}

static int take_or_bind(struct listening *old, const struct addr *a) {
	for (size_t i = 0; old != NULL && i < old->count; i++) {
		const struct addr *o = &old->at[i].addr;
		if (old->at[i].fd >= 0 && addr_same_host(o, a) && addr_port(o) == addr_port(a)) {
			int fd = fcntl(old->at[i].fd, F_DUPFD_CLOEXEC, 0);
			return fd >= 0 ? fd : fail_errno("listening socket");
		}
	}
	return bind_tcp(a);
}

struct opening {
	struct listening *out, *old;
	const struct conf_service *service;
	bool ipv4, ipv6;
};

static int open_one(struct opening *o, struct addr a) {
	if (addr_family(&a) == AF_INET ? !o->ipv4 : !o->ipv6) return 0;
	addr_set_port(&a, o->service->port);
	for (size_t i = 0; i < o->out->count; i++)
		if (addr_same_host(&o->out->at[i].addr, &a) && addr_port(&o->out->at[i].addr) == addr_port(&a))
			return 0;
	if (o->out->count == LISTENERS_MAX) return fail("more than %d listening sockets", LISTENERS_MAX);
	int fd = take_or_bind(o->old, &a);
	if (fd < 0) return fd;
	o->out->at[o->out->count++] = (struct listening_socket){ fd, o->service->index, a };
	return 0;
}

static int open_literal(struct opening *o, const char *text) {
	struct addr a;
	must(addr_parse(slice_of(text), &a));
	return open_one(o, a);
}

static int open_host(struct opening *o, struct slice host) {
	struct addr a;
	if (addr_parse(host, &a)) return open_one(o, a);
	AUTO_FREE char *name = slice_text(host);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list = NULL;
	int error = getaddrinfo(name, NULL, &hints, &list);
	if (error != 0)
		return fail("cannot listen on %s: %s (inet_interfaces, or the line in master.cf)", name,
			    gai_strerror(error));
	int r = 0;
	for (struct addrinfo *i = list; i != NULL && r == 0; i = i->ai_next)
		if (addr_from_sockaddr(i->ai_addr, i->ai_addrlen, &a)) r = open_one(o, a);
	freeaddrinfo(list);
	return r;
}

static bool kernel_has_ipv6(void) {
	AUTO_FD int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 loopback = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	return fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof loopback) == 0;
}

static int open_service(struct opening *o, const struct conf_view *v) {
	size_t n;
	protocols_of(v, &o->ipv4, &o->ipv6);
	o->ipv6 = o->ipv6 && kernel_has_ipv6();
	if (o->service->host.len != 0) return open_host(o, o->service->host);
	const struct slice *list = conf_list(v, SET_inet_interfaces, &n);
	for (size_t i = 0; i < n; i++) {
		int r = 0;
		bool every = slice_same(list[i], S("all")), loopback = slice_same(list[i], S("loopback-only"));
		if (every || loopback) {
			r = open_literal(o, every ? "0.0.0.0" : "127.0.0.1");
			if (r == 0) r = open_literal(o, every ? "::" : "::1");
		} else {
			r = open_host(o, list[i]);
		}
		if (r < 0) return r;
	}
	return 0;
}

int listening_open(const struct conf *c, struct listening *old, struct listening *out) {
	size_t n;
	const struct conf_service *services = conf_services(c, &n);
	struct opening o = { .out = out, .old = old };
	out->count = 0;
	for (size_t i = 0; i < n; i++) {
		if (services[i].type != SERVICE_INET ||
		    (services[i].role != SERVICE_SMTPD && services[i].role != SERVICE_IMAPD))
			continue;
		o.service = &services[i];
		if (open_service(&o, conf_service_view(c, &services[i])) < 0) {
			listening_close(out);
			return -1;
		}
	}
	if (out->count != 0) return 0;
	fail("master.cf: no service listens anywhere (add an inet line with smtpd or imapd)");
	return LISTENING_NOTHING;
}

/* sun_path is short: the folder is reached by its descriptor. */
static int unix_address(const char *dir, const char *name, struct sockaddr_un *a) {
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) return fail_errno("%s", dir);
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(a->sun_path, sizeof a->sun_path, "/proc/self/fd/%d/%s", fd, name);
	return fd;
}

int listening_unix(const char *dir, const char *name, mode_t mode, int *out) {
	struct sockaddr_un a;
	AUTO_FD int folder = unix_address(dir, name, &a);
	if (folder < 0) return folder;
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (unlinkat(folder, name, 0) != 0 && errno != ENOENT) return fail_errno("%s/%s", dir, name);
	mode_t before = umask(0777 & ~mode);
	int r = bind(fd, (struct sockaddr *)&a, sizeof a);
	umask(before);
	if (r != 0 || listen(fd, BACKLOG) != 0) return fail_errno("%s/%s", dir, name);
	*out = TAKE_FD(fd);
	return 0;
}

int listening_unix_connect(const char *dir, const char *name) {
	struct sockaddr_un a;
	AUTO_FD int folder = unix_address(dir, name, &a);
	if (folder < 0) return folder;
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) return fail_errno("%s/%s", dir, name);
	return TAKE_FD(fd);
}
