/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol is one datagram, so libsystemd is not needed for it. */
#include "role/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

static int manager = -1;            /* master has one thread, and only master tells */
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t address_len;

bool notify_open(void) {
	const char *name = getenv("NOTIFY_SOCKET");
	if (name == NULL || (name[0] != '/' && name[0] != '@') || strlen(name) >= sizeof address.sun_path) return false;
	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@') address.sun_path[0] = '\0'; /* an abstract one */
	address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	unsetenv("NOTIFY_SOCKET");
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return true;
}

void notify(const char *text) {
	if (manager >= 0)
		(void)sendto(manager, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, address_len);
}

void notify_reloading(void) {
	struct timespec now;
	char text[64];
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	notify(text);
}
