/* SPDX-License-Identifier: Apache-2.0 */
#include "role/boot.h"
#include "role/files.h"
#include "base/fail.h"
#include "base/log.h"
#include "net/seal.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sysexits.h>

enum { MMAP_FROM = 1 << 20, KEPT_FREE = 1 << 20 };

static const struct role *const roles[] = { &role_edge, &role_core, &role_relay, &role_vault, &role_agent };

const struct role *role_find(struct slice name) {
	for (size_t i = 0; i < LEN(roles); i++)
		if (slice_eq(name, slice_of(roles[i]->name))) return roles[i];
	return NULL;
}

static void free_secret(char *text) {
	if (text != NULL) mem_wipe(text, strlen(text));
	free(text);
}

void boot_clear(struct boot *b) {
	conf_drop(&b->conf);
	free(b->dir);
	for (size_t i = 0; i < b->listener_count; i++) auto_fd(&b->listeners[i].fd);
	for (size_t i = 0; i < LINK_NAMES; i++) auto_fd(&b->links[i]);
	for (size_t i = 0; i < b->identity_count; i++) free_secret(b->identities[i]);
	for (size_t i = 0; i < b->client_identity_count; i++) {
		free(b->client_identities[i].name);
		free_secret(b->client_identities[i].pem);
	}
	free_secret(b->oauth2_secret);
	mem_wipe(b->dkim.at, b->dkim.len);
	buf_done(&b->dkim);
	*b = (struct boot){ 0 };
	for (size_t i = 0; i < LINK_NAMES; i++) b->links[i] = -1;
}

struct packed_target {
	uint32_t form, least;
	int facility;
	bool bare_addresses;
	struct slice name, host;
};
#define PACKED_TARGET_FIELDS(F) \
	F(u32, form) F(u32, least) F(int_, facility) F(bool_, bare_addresses) F(text, name) F(text, host)
WIRE_DECLARE(packed_target)
WIRE_STRUCT(packed_target, PACKED_TARGET_FIELDS)

void log_target_send(int control, const struct log_target *t) {
	struct packed_target p = { (uint32_t)t->form, (uint32_t)t->least, t->facility,
				   t->bare_addresses, slice_of(t->name),  slice_of(t->host) };
	AUTO_BUF struct buf b = BUF(KIB(4));
	packed_target_pack(&b, &p);
	link_send(control,
		  &(struct link_frame){
			  .kind = CONTROL_LOG, .body = buf_slice(&b), .fds = { t->fd }, .fd_count = t->fd >= 0 });
}

static void take_log(struct link_frame *f) {
	static int last = -1; /* only this thread opens logs */
	struct unwire in = UNWIRE(f->body, NULL);
	struct packed_target p;
	packed_target_unpack(&in, &p);
	if (in.bad) return;
	struct log_target t = { .fd = link_frame_take_fd(f, 0),
				.form = (enum log_form)p.form,
				.least = (enum log_level)p.least,
				.facility = p.facility,
				.bare_addresses = p.bare_addresses };
	snprintf(t.name, sizeof t.name, "%.*s", SLICE_ARG(p.name));
	snprintf(t.host, sizeof t.host, "%.*s", SLICE_ARG(p.host));
	log_open(&t);
	auto_fd(&last);
	last = t.fd;
}

static int take_listener(struct boot *b, struct link_frame *f) {
	struct unwire in = UNWIRE(f->body, NULL);
	uint64_t service = wire_get_u64(&in);
	if (in.bad || b->listener_count == LISTENERS_MAX) return fail("too many listening sockets");
	b->listeners[b->listener_count++] = (struct listener){ link_frame_take_fd(f, 0), (size_t)service };
	return 0;
}

static int take_link(struct boot *b, struct link_frame *f) {
	struct unwire in = UNWIRE(f->body, NULL);
	uint64_t which = wire_get_u64(&in);
	if (in.bad || which >= LINK_NAMES) return fail("unknown link");
	b->links[which] = link_frame_take_fd(f, 0);
	return 0;
}

static int take_shared(struct boot *b, struct link_frame *f) {
	AUTO_FD int fd = link_frame_take_fd(f, 0);
	bool writable = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR; /* core's is, edge's is not */
	void *at = mmap(NULL, sizeof(struct shared), PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) return fail_errno("shared memory");
	b->shared = at;
	return 0;
}

static int take_identity(struct boot *b, struct link_frame *f) {
	if (b->identity_count == IDENTITIES_MAX) return fail("more than %d certificates", IDENTITIES_MAX);
	b->identities[b->identity_count++] = slice_text(f->body);
	return 0;
}

struct packed_identity {
	struct slice name, pem;
};
#define PACKED_IDENTITY_FIELDS(F) F(text, name) F(text, pem)
WIRE_DECLARE(packed_identity)
WIRE_STRUCT(packed_identity, PACKED_IDENTITY_FIELDS)

void client_identity_send(int control, const char *name, const char *pem) {
	AUTO_BUF struct buf b = BUF(LINK_FRAME_MAX);
	packed_identity_pack(&b, &(struct packed_identity){ slice_of(name), slice_of(pem) });
	link_send(control, &(struct link_frame){ .kind = CONTROL_CLIENT_IDENTITY, .body = buf_slice(&b) });
	mem_wipe(b.at, b.len);
}

static int take_client_identity(struct boot *b, struct link_frame *f) {
	struct unwire in = UNWIRE(f->body, NULL);
	struct packed_identity p;
	packed_identity_unpack(&in, &p);
	if (in.bad || b->client_identity_count == IDENTITIES_MAX) return fail("broken client certificate");
	b->client_identities[b->client_identity_count++] =
		(struct boot_identity){ slice_text(p.name), slice_text(p.pem) };
	return 0;
}

/* One frame of a round. Answers 1 for GO and 2 for STOP. */
enum { GO = 1, STOP };
static int take_frame(struct boot *b, struct link_frame *f, char **user) {
	switch (f->kind) {
	case CONTROL_CONF: return conf_unpack(f->body, &b->conf) < 0 ? -1 : 0;
	case CONTROL_DIR: b->dir = slice_text(f->body); return 0;
	case CONTROL_LISTEN: return take_listener(b, f);
	case CONTROL_LINK: return take_link(b, f);
	case CONTROL_FILES: files_take(link_frame_take_fd(f, 0)); return 0;
	case CONTROL_IDENTITY: return take_identity(b, f);
	case CONTROL_CLIENT_IDENTITY: return take_client_identity(b, f);
	case CONTROL_SHARED: return take_shared(b, f);
	case CONTROL_DKIM:
		b->dkim = BUF(LINK_FRAME_MAX);
		buf_add(&b->dkim, f->body);
		return 0;
	case CONTROL_OAUTH2: b->oauth2_secret = slice_text(f->body); return 0;
	case CONTROL_LOG: take_log(f); return 0;
	case CONTROL_USER: *user = slice_text(f->body); return 0;
	case CONTROL_GO: return GO;
	case CONTROL_STOP: return STOP;
	default: return fail("unknown control frame %u", f->kind);
	}
}

static int receive_round(struct boot *b, char **user) {
	for (;;) {
		struct link_received got;
		if (link_receive(CONTROL_FD, &got, NEVER) != LINK_OK) return STOP;
		int r = take_frame(b, &got.frame, user);
		link_received_done(&got);
		if (r != 0) return r;
	}
}

static void answer(int result) {
	struct slice why = result < 0 ? slice_of(fail_text()) : S("");
	link_send(CONTROL_FD, &(struct link_frame){ .kind = result < 0 ? CONTROL_FAILED : CONTROL_READY, .body = why });
}

static int start(const struct role *role, struct boot *b, const char *user, void **self) {
	if (user != NULL && user[0] != '\0' && user_drop_with(user, role->groups_of) < 0) return -1;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* after user_drop, which resets it */
	int r = role->start(b, self);
	if (r >= 0) r = seal(role->seal_needs);
	return r;
}

/* Bodies of some hundred KiB come and go: from the heap they cost nothing twice, while each mmap would be paid for in
 * page faults and in interrupts to the other cores. A little of it is kept. */
static void tune_memory(void) {
	mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
	mallopt(M_TRIM_THRESHOLD, KEPT_FREE);
}

int role_main(const struct role *role) {
	char name[16];
	snprintf(name, sizeof name, "hato-%s", role->name);
	prctl(PR_SET_NAME, name); /* for ps and top, where the link we were started by would stand */
	tune_memory();
	struct boot b = { 0 };
	boot_clear(&b);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* ^C reaches the whole group: master tells us when to stop */
	signal(SIGHUP, SIG_IGN);
	void *self = NULL;
	char *user = NULL;
	int r = receive_round(&b, &user);
	if (r == GO) r = start(role, &b, user, &self);
	free(user);
	answer(r);
	boot_clear(&b);
	if (r < 0) return EX_SOFTWARE;
	malloc_trim(0); /* settings and certificates were read: what that took is not needed while nothing happens */
	for (;;) {
		user = NULL;
		r = receive_round(&b, &user);
		free(user);
		if (r == STOP) break;
		if (r == GO) r = role->reload(self, &b);
		answer(r);
		boot_clear(&b);
	}
	boot_clear(&b);
	role->stop(self);
	return EX_OK;
}
