/* SPDX-License-Identifier: Apache-2.0 */
#include "role/child.h"
#include "base/fail.h"
#include "role/dkim_files.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sysexits.h>

static const struct role *const child_roles[CHILDREN] = { &role_vault, &role_relay, &role_core, &role_edge,
							  &role_agent };

static void send_text(int control, enum control_kind kind, struct slice text) {
	link_send(control, &(struct link_frame){ .kind = kind, .body = text });
}

static void send_fd(int control, enum control_kind kind, uint64_t number, int fd) {
	AUTO_BUF struct buf b = BUF(16);
	wire_put_u64(&b, number);
	link_send(control, &(struct link_frame){ .kind = kind, .body = buf_slice(&b), .fds = { fd }, .fd_count = 1 });
}

static bool is_spawn(const struct conf_service *s) {
	return slice_eq(s->command, S("spawn"));
}

/* Who accepts there: strangers come to edge, users of a program that is started on demand to who may start it. */
static size_t listener_child(const struct conf *conf, size_t service) {
	size_t n;
	const struct conf_service *services = conf_services(conf, &n);
	return service < n && is_spawn(&services[service]) ? CHILD_AGENT : CHILD_EDGE;
}

bool child_wanted(size_t which, const struct conf *conf, bool called) {
	if (which != CHILD_AGENT || called) return true;
	size_t n;
	const struct conf_service *services = conf_services(conf, &n);
	for (size_t i = 0; i < n; i++)
		if (is_spawn(&services[i])) return true;
	return false;
}

static void send_dkim_keys(int control, const struct conf *conf) {
	AUTO_BUF struct buf packed = BUF(LINK_FRAME_MAX);
	dkim_files_pack(conf, &packed);
	if (packed.full) say(L_ERROR, "/opendkim", "the keys of other programs' files are too many");
	else send_text(control, CONTROL_DKIM, buf_slice(&packed));
	mem_wipe(packed.at, packed.len);
}

static void send_settings(int control, size_t which, const struct round *r) {
	AUTO_BUF struct buf packed = BUF(LINK_FRAME_MAX);
	conf_pack(&packed, r->conf);
	log_target_send(control, r->log);
	send_text(control, CONTROL_DIR, slice_of(r->dir));
	send_text(control, CONTROL_CONF, buf_slice(&packed));
	for (size_t i = 0; i < r->listening->count; i++)
		if (which == listener_child(r->conf, r->listening->at[i].service))
			send_fd(control, CONTROL_LISTEN, r->listening->at[i].service, r->listening->at[i].fd);
	if (which == CHILD_EDGE) send_fd(control, CONTROL_LISTEN, LISTENER_SUBMIT, r->submit_listener);
	for (size_t i = 0; i < r->identities->count; i++) {
		if (which == CHILD_EDGE) send_text(control, CONTROL_IDENTITY, slice_of(r->identities->at[i].chain));
		if (which == CHILD_VAULT) send_text(control, CONTROL_IDENTITY, slice_of(r->identities->at[i].key));
	}
	for (size_t i = 0; i < r->identities->client_count; i++) {
		const struct client_identity *id = &r->identities->client[i];
		if (which == CHILD_RELAY) client_identity_send(control, id->name, id->chain);
		if (which == CHILD_VAULT) client_identity_send(control, id->name, id->key);
	}
	if (which == CHILD_VAULT) send_dkim_keys(control, r->conf);
	if (which == CHILD_RELAY && r->oauth2_secret != NULL)
		send_text(control, CONTROL_OAUTH2, slice_of(r->oauth2_secret));
}

/* Which end of which link a child gets: the asker's is 0, the answerer's 1. */
static const struct { enum link_name link; size_t asker, answerer; } link_ends[] = {
	{ LINK_EDGE_CORE, CHILD_EDGE, CHILD_CORE },
	{ LINK_EDGE_VAULT, CHILD_EDGE, CHILD_VAULT },
	{ LINK_EDGE_RELAY, CHILD_EDGE, CHILD_RELAY },
	{ LINK_CORE_VAULT, CHILD_CORE, CHILD_VAULT },
	{ LINK_CORE_RELAY, CHILD_CORE, CHILD_RELAY },
	{ LINK_CORE_AGENT, CHILD_CORE, CHILD_AGENT },
	{ LINK_RELAY_VAULT, CHILD_RELAY, CHILD_VAULT },
};

static void send_first(int control, size_t which, const struct round *r) {
	if (r->users[which] != NULL) send_text(control, CONTROL_USER, slice_of(r->users[which]));
	send_settings(control, which, r);
	for (size_t i = 0; i < LEN(link_ends); i++) {
		if (link_ends[i].asker == which)
			send_fd(control, CONTROL_LINK, link_ends[i].link, r->links[link_ends[i].link][0]);
		if (link_ends[i].answerer == which)
			send_fd(control, CONTROL_LINK, link_ends[i].link, r->links[link_ends[i].link][1]);
	}
	if (which == CHILD_CORE) send_fd(control, CONTROL_LISTEN, LISTENER_CONTROL, r->control_listener);
	if (which == CHILD_CORE) send_fd(control, CONTROL_LISTEN, LISTENER_QUEUE, r->queue_listener);
	if (which == CHILD_CORE) send_fd(control, CONTROL_SHARED, 0, r->shared);
	if (which == CHILD_EDGE) send_fd(control, CONTROL_SHARED, 0, r->shared_readable);
	send_text(control, CONTROL_GO, S(""));
}

NO_RETURN static void become(const struct role *role, int control, const struct round *round) {
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (control != CONTROL_FD) dup2(control, CONTROL_FD); /* the copy has no close-on-exec */
	else fcntl(control, F_SETFD, 0);
	if (!round->foreground) { /* whoever started us must not wait for the end of our output */
		int null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd <= STDERR_FILENO; fd++) dup2(null, fd);
	}
	execl("/proc/self/exe", "hato", "--role", role->name, "-c", round->conf_dir, (char *)NULL);
	_exit(EX_OSERR);
}

int child_start(struct child *c, size_t which, const struct round *round) {
	int pair[2], files[2];
	c->role = child_roles[which];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return fail_errno("socket pair");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, files) != 0) {
		close(pair[0]), close(pair[1]);
		return fail_errno("socket pair");
	}
	pid_t pid = fork();
	if (pid == 0) become(c->role, pair[1], round);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]), close(files[0]), close(files[1]);
		return fail_errno("fork");
	}
	*c = (struct child){
		.role = c->role, .pid = pid, .control = pair[0], .files = files[0],
		.started = clock_ms(), .falls = c->falls, .owed = 1
	};
	send_fd(c->control, CONTROL_FILES, 0, files[1]);
	close(files[1]);
	send_first(c->control, which, round);
	return 0;
}

void child_reload(struct child *c, size_t which, const struct round *round) {
	if (c->control < 0) return;
	send_settings(c->control, which, round);
	send_text(c->control, CONTROL_GO, S(""));
	c->owed++;
}

void child_stop(struct child *c) {
	if (c->control >= 0) send_text(c->control, CONTROL_STOP, S(""));
}

uint32_t child_answer(struct child *c) {
	struct link_received got;
	if (link_receive(c->control, &got, deadline_in(SECONDS(5))) != LINK_OK) {
		auto_fd(&c->control);
		c->owed = 0;
		return 0;
	}
	uint32_t kind = got.frame.kind;
	if (kind == CONTROL_FAILED) fail("%s: %.*s", c->role->name, SLICE_ARG(got.frame.body));
	if (kind == CONTROL_READY) c->ready = true;
	if (c->owed > 0 && (kind == CONTROL_READY || kind == CONTROL_FAILED)) c->owed--;
	link_received_done(&got);
	return kind;
}
