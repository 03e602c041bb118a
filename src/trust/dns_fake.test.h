/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A name server for unit tests, on a thread and a port of its own: TXT and A records from a table. A name with neither
 * is NXDOMAIN, unless there are names below it; "!" as text is a server failure. Counts what it was asked. */
#include <pthread.h>
#include <sys/socket.h>
#include "base/buf.h"
#include "net/dns.h"

struct fake_record {
	const char *name, *text; /* text NULL: an A record, 192.0.2.1 */
};
struct fake_dns {
	const struct fake_record *records;
	size_t count;
	int fd;
	pthread_t thread;
	struct dns *dns; /* asks it */
	_Atomic unsigned asked;
};

/* The question's name; where it ends with its type and class, counted from the start; 0: no question. */
static inline size_t fake_question(const uint8_t *q, size_t len, char *name, size_t room) {
	size_t at = 12, n = 0;
	while (at < len && q[at] != 0 && at + 1 + q[at] < len && n + q[at] + 2u < room) {
		if (n != 0) name[n++] = '.';
		for (size_t i = 1; i <= q[at]; i++) name[n++] = ascii_lower((char)q[at + i]);
		at += 1u + q[at];
	}
	name[n] = 0;
	return at < len && q[at] == 0 && at + 5 <= len ? at + 5 : 0;
}

/* The data of a record, behind its length. */
static inline void fake_data(struct buf *out, struct slice text) {
	AUTO_BUF struct buf data = BUF(KIB(8));
	do {
		struct slice piece = slice_head(text, 255);
		buf_byte(&data, (char)piece.len);
		buf_add(&data, piece);
		text = slice_skip(text, piece.len);
	} while (text.len != 0);
	buf_add(out, slice_from((const uint8_t[]){ (uint8_t)(data.len >> 8), (uint8_t)data.len }, 2));
	buf_add(out, buf_slice(&data));
}

static inline void fake_answer(const struct fake_dns *f, const uint8_t *q, size_t len, struct buf *out) {
	char name[512];
	size_t end = fake_question(q, len, name, sizeof name), answers = 0;
	if (end == 0) return;
	int type = q[end - 4] << 8 | q[end - 3], code = 3;
	buf_add(out, slice_from(q, end));
	for (size_t i = 0; i < f->count; i++) {
		const struct fake_record *r = &f->records[i];
		if (slice_ends_same(slice_of(r->name), slice_of(name))) code = code == 2 ? 2 : 0;
		if (strcmp(r->name, name) != 0 || type != (r->text != NULL ? DNS_TXT : DNS_A)) continue;
		if (r->text != NULL && strcmp(r->text, "!") == 0) code = 2;
		const uint8_t head[] = { 0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, 60 };
		buf_add(out, slice_from(head, sizeof head));
		if (r->text != NULL) fake_data(out, slice_of(r->text));
		else buf_add(out, slice_from("\0\4\xc0\0\2\1", 6));
		answers++;
	}
	if (code == 2) {
		out->len = end;
		answers = 0;
	}
	const uint8_t head[] = {
		(uint8_t)(0x84 | (q[2] & 1)), (uint8_t)(0x80 | code), 0, 1, 0, (uint8_t)answers, 0, 0, 0, 0
	};
	memcpy(out->at + 2, head, sizeof head);
}

static inline void *fake_serve(void *ctx) {
	struct fake_dns *f = ctx;
	uint8_t q[1024];
	struct sockaddr_storage from;
	for (;;) {
		socklen_t from_len = sizeof from;
		ssize_t len = recvfrom(f->fd, q, sizeof q, 0, (struct sockaddr *)&from, &from_len);
		if (len == 1) return NULL;
		AUTO_BUF struct buf out = BUF(KIB(16));
		if (len >= 17) fake_answer(f, q, (size_t)len, &out);
		if (out.len == 0) continue;
		f->asked++;
		(void)!sendto(f->fd, out.at, out.len, 0, (struct sockaddr *)&from, from_len);
	}
}

static inline bool fake_dns_start(struct fake_dns *f, const struct fake_record *records, size_t count) {
	struct addr a;
	char resolver[64];
	*f = (struct fake_dns){ .records = records, .count = count };
	addr_parse(S("127.0.0.1"), &a);
	f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(f->fd, &a.any, a.len) != 0) return false;
	addr_of_socket(f->fd, &a);
	snprintf(resolver, sizeof resolver, "127.0.0.1:%d", addr_port(&a));
	return pthread_create(&f->thread, NULL, fake_serve, f) == 0 &&
	       dns_open(&(struct dns_params){ .resolvers = resolver }, &f->dns) == 0;
}

static inline void fake_dns_stop(struct fake_dns *f) {
	struct addr a;
	dns_close(&f->dns);
	addr_of_socket(f->fd, &a);
	(void)!sendto(f->fd, "x", 1, 0, &a.any, a.len);
	pthread_join(f->thread, NULL);
	close(f->fd);
}
