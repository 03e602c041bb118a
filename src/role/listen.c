/* SPDX-License-Identifier: Apache-2.0 */
#include "role/listen.h"
#include "base/fail.h"
#include "base/log.h"
#include "net/file.h"
#include "role/data.h"
#include "role/settings.h"

#include <fcntl.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 1024, IN_USE_TRIES = 40, IN_USE_PAUSE_US = 50000 };

void listening_close(struct listening *l) {
	for (size_t i = 0; i < l->count; i++) {
		auto_fd(&l->at[i].fd);
		free(l->at[i].path);
	}
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
		if (old->at[i].fd >= 0 && old->at[i].path == NULL && addr_same_host(o, a) &&
		    addr_port(o) == addr_port(a)) {
			int fd = fcntl(old->at[i].fd, F_DUPFD_CLOEXEC, 0);
			return fd >= 0 ? fd : fail_errno("listening socket");
		}
	}
	return bind_tcp(a);
}

struct opening {
	struct listening *out, *old;
	const struct conf_service *service;
	struct arena mem;
	bool ipv4, ipv6;
};

static int open_one(struct opening *o, struct addr a) {
	if (addr_family(&a) == AF_INET ? !o->ipv4 : !o->ipv6) return 0;
	addr_set_port(&a, o->service->port);
	for (size_t i = 0; i < o->out->count; i++)
		if (o->out->at[i].path == NULL && addr_same_host(&o->out->at[i].addr, &a) &&
		    addr_port(&o->out->at[i].addr) == addr_port(&a))
			return 0;
	if (o->out->count == LISTENERS_MAX) return fail("more than %d listening sockets", LISTENERS_MAX);
	int fd = take_or_bind(o->old, &a);
	if (fd < 0) return fd;
	o->out->at[o->out->count++] = (struct listening_socket){ fd, o->service->index, a, NULL };
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

/* private/NAME or public/NAME below queue_directory, as Postfix has it. Private ones are for our own processes: relay
 * (LMTP) as owner, edge (policy services) as group. */
static int open_path(struct opening *o, const struct conf_view *v) {
	AUTO_BUF struct buf dir = BUF(PATH_MAX);
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	bool private = o->service->private_ != 'n';
	struct slice queue = conf_text(v, SET_queue_directory), name = o->service->name;
	if (slice_find(name, '/') < name.len || slice_starts(name, S(".")))
		return fail("%.*s: not a name for a socket", SLICE_ARG(name));
	buf_addf(&dir, "%.*s/%s", SLICE_ARG(queue), private ? "private" : "public");
	buf_addf(&path, "%s/%.*s", buf_text(&dir), SLICE_ARG(name));
	struct listening_socket s = { .fd = -1, .service = o->service->index, .path = mem_text(buf_text(&path)) };
	for (size_t i = 0; o->old != NULL && i < o->old->count && s.fd < 0; i++)
		if (o->old->at[i].path != NULL && strcmp(o->old->at[i].path, s.path) == 0)
			s.fd = fcntl(o->old->at[i].fd, F_DUPFD_CLOEXEC, 0);
	int r = 0;
	if (s.fd < 0 && (r = file_make_dir(buf_text(&dir), 0755)) == 0)
		r = listening_unix(buf_text(&dir), arena_text(&o->mem, name), private ? 0660 : 0666, &s.fd);
	if (r < 0 || o->out->count == LISTENERS_MAX) {
		auto_fd(&s.fd);
		free(s.path);
		return r < 0 ? fail_add("service %.*s (queue_directory)", SLICE_ARG(name))
			     : fail("more than %d listening sockets", LISTENERS_MAX);
	}
	const struct passwd *owner = getpwnam(data_users[CHILD_RELAY]), *group = getpwnam(data_users[CHILD_EDGE]);
	if (private && geteuid() == 0 && owner != NULL && group != NULL &&
	    chown(s.path, owner->pw_uid, group->pw_gid) != 0)
		say(L_WARN, "master", "%s: %s", s.path, strerror(errno));
	o->out->at[o->out->count++] = s;
	return 0;
}

/* policyd-spf, which is not installed (any more): the door does that itself where nobody listens (filter/policy.h). */
static bool is_absent_spf(const struct conf_service *s) {
	for (size_t i = 0; i < s->args_count; i++) {
		if (!slice_starts(s->args[i], S("argv="))) continue;
		struct slice path = slice_skip(s->args[i], 5), name = slice_skip(path, slice_find_last(path, '/') + 1);
		AUTO_FREE char *file = slice_text(path);
		return slice_search(name, S("spf")) < name.len && access(file, X_OK) != 0 && errno == ENOENT;
	}
	return false;
}

/* Is it a line that somebody of ours listens for? */
static bool listens(const struct conf_service *s) {
	if (s->type == SERVICE_INET && s->port == 0) return false; /* an error, told elsewhere */
	if (slice_eq(s->command, S("spawn")) && is_absent_spf(s)) return false;
	if (slice_eq(s->command, S("spawn"))) return s->type == SERVICE_INET || s->type == SERVICE_UNIX;
	if (s->role == SERVICE_SMTPD) return s->type == SERVICE_INET || s->type == SERVICE_UNIX;
	return (s->role == SERVICE_IMAPD || s->role == SERVICE_POP3D) && s->type == SERVICE_INET;
}

static int open_service(struct opening *o, const struct conf_view *v) {
	size_t n;
	if (o->service->type == SERVICE_UNIX) return open_path(o, v);
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
		if (!listens(&services[i])) continue;
		o.service = &services[i];
		if (open_service(&o, conf_service_view(c, &services[i])) < 0) {
			listening_close(out);
			arena_done(&o.mem);
			return -1;
		}
	}
	arena_done(&o.mem);
	if (out->count != 0) return 0;
	fail("master.cf: no service listens anywhere (add an inet line with smtpd, imapd or pop3d)");
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
