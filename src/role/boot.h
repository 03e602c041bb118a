/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "net/link.h"
/* How a role is started, fed and stopped. Master starts the same binary again with --role, and keeps a control socket
 * to it on descriptor 3. Over that go frames: what the role needs (settings, listening sockets, links, certificates),
 * GO, and later the same again for a reload, or STOP. The role answers READY or FAILED. When the socket ends, master is
 * gone and so is the role. */
enum control_kind {
	CONTROL_CONF = 1, /* body: packed conf */
	CONTROL_DIR,      /* body: the data directory */
	CONTROL_LISTEN,   /* body: index of the service in conf_services; fd */
	CONTROL_LINK,     /* body: which (enum link_name); fd: a dial socket */
	CONTROL_IDENTITY, /* body: PEM, one frame for each TLS identity, in order: chains for edge, keys for vault */
	CONTROL_CLIENT_IDENTITY, /* body: packed name and PEM, one frame for each certificate of the ways out: chains
				    for relay, keys for vault */
	CONTROL_SHARED,          /* fd: struct shared, for edge and core; first round only */
	CONTROL_DKIM,            /* body: packed keyring_given, for vault */
	CONTROL_OAUTH2,          /* body: what is in sasl_oauth2_client_secret_file, for relay */
	CONTROL_LOG,             /* body: packed target; fd unless syslog */
	CONTROL_USER,            /* body: the Unix user to become, may be empty */
	CONTROL_FILES,           /* body: 0; fd: where master opens tables (files.h); first round only */
	CONTROL_GO,
	CONTROL_STOP,
	CONTROL_READY,  /* role to master */
	CONTROL_FAILED, /* role to master; body: why */
};
enum { CONTROL_FD = 3 };

enum link_name {
	LINK_EDGE_CORE,
	LINK_EDGE_VAULT,
	LINK_EDGE_RELAY,
	LINK_CORE_VAULT,
	LINK_CORE_RELAY,
	LINK_CORE_AGENT,
	LINK_RELAY_VAULT,
	LINK_NAMES
};

/* A page of memory that core writes and edge reads. */
struct shared {
	_Atomic uint64_t directory; /* rises with every change of accounts, aliases, domains or settings */
};

struct listener {
	int fd;
	size_t service; /* index in conf_services, or one of these */
};
enum {
	LISTENER_CONTROL = 100000, /* core: run/control, for the operator */
	LISTENER_QUEUE,            /* core: public/queue, for every user of this machine: mailq */
	LISTENER_SUBMIT,           /* edge: public/submit, for every user of this machine: sendmail */
	LISTENERS_MAX = 512,
	IDENTITIES_MAX = 64,
};

/* What has come with the frames of one round. Taken over by the role piece by piece. */
struct boot {
	struct conf *conf;
	char *dir;
	struct listener listeners[LISTENERS_MAX];
	size_t listener_count;
	int links[LINK_NAMES]; /* -1: none. They come with the first round only */
	char *identities[IDENTITIES_MAX];
	size_t identity_count;
	struct boot_identity {
		char *name, *pem; /* name: the file of the certificate */
	} client_identities[IDENTITIES_MAX];
	size_t client_identity_count;
	char *oauth2_secret;
	struct buf dkim; /* packed keyring_given */
	struct shared *shared; /* mapped for good; NULL for roles that do not share it */
};
void boot_clear(struct boot *b); /* frees and closes what was not taken */

struct role {
	const char *name;
	unsigned seal_needs;
	const char *
		groups_of; /* a user whose further groups this role joins, or NULL: sockets of milters are reached so */
	int (*start)(struct boot *b, void **self);  /* after user_drop; <0: fail() text goes to master */
	int (*reload)(void *self, struct boot *b);  /* <0: the old settings stay */
	void (*stop)(void *self);                   /* finishes replies under way, within some seconds */
};
extern const struct role role_edge, role_core, role_relay, role_vault, role_agent;
const struct role *role_find(struct slice name); /* NULL: no such role */

/* A role's process: receives rounds until the end. Returns the exit code. */
int role_main(const struct role *role);
/* CONTROL_CLIENT_IDENTITY. */
void client_identity_send(int control, const char *name, const char *pem);
/* The log target on the way to a role. */
struct log_target;
void log_target_send(int control, const struct log_target *target);
