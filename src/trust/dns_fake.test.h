/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A name server for unit tests, on a thread and a port of its own: TXT and A records from a table. A name with neither is
 * NXDOMAIN, unless there are names below it; "!" as text is a server failure. Counts what it was asked. */
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

static inline size_t fake_name(const uint8_t *q, size_t len, char *out) { /* length of the question's name on the wire */
	size_t at = 12, n = 0;
	for (; at < len && q[at] != 0; at += 1 + (size_t)q[at]) {
		if (n != 0) out[n++] = '.';
		for (size_t i = 1; i <= q[at] && at + i < len; i++) out[n++] = ascii_lower((char)q[at + i]);
	}
	out[n] = 0;
	return at + 1 - 12;
}

static inline void fake_answer(struct fake_dns *f, uint8_t *q, size_t len, struct buf *out) {
	char name[512];
	size_t name_len = fake_name(q, len, name), answers = 0;
	int type = q[12 + name_len] << 8 | q[13 + name_len], code = 3;
	buf_add(out, slice_from(q, 12 + name_len + 4));
	for (size_t i = 0; i < f->count; i++) {
		const struct fake_record *r = &f->records[i];
		if (slice_ends_same(slice_of(r->name), slice_of(name))) code = code == 2 ? 2 : 0;
		if (strcmp(r->name, name) != 0 || type != (r->text != NULL ? DNS_TXT : DNS_A)) continue;
		if (r->text != NULL && strcmp(r->text, "!") == 0) code = 2;
		size_t text_len = r->text != NULL ? strlen(r->text) : 0;
		struct slice text = slice_from(r->text, text_len);
		const uint8_t head[] = { 0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, 60, 0, r->text != NULL ? (uint8_t)(text_len + 1) : 4 };
		buf_add(out, slice_from(head, sizeof head));
		buf_add(out, r->text == NULL ? slice_from("\xc0\0\2\1", 4) : slice_from(&(char){ (char)text_len }, 1));
		buf_add(out, text);
		answers++;
	}
	if (code == 2) {
		out->len = 12 + name_len + 4;
		answers = 0;
	}
	const uint8_t head[] = { 0x85, (uint8_t)(0x80 | code), 0, 1, 0, (uint8_t)answers, 0, 0, 0, 0 };
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
		if (len < 17) continue;
		f->asked++;
		AUTO_BUF struct buf out = BUF(KIB(8));
		fake_answer(f, q, (size_t)len, &out);
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
	return pthread_create(&f->thread, NULL, fake_serve, f) == 0 && dns_open(&(struct dns_params){ .resolvers = resolver }, &f->dns) == 0;
}

static inline void fake_dns_stop(struct fake_dns *f) {
	struct addr a;
	dns_close(&f->dns);
	addr_of_socket(f->fd, &a);
	(void)!sendto(f->fd, "x", 1, 0, &a.any, a.len);
	pthread_join(f->thread, NULL);
	close(f->fd);
}
