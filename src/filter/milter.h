/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "filter/milter_wire.h"
#include "net/dns.h"
/* Milters: mail filters of other people, asked over a socket at each step of an SMTP session (MILTER_README of Postfix,
 * libmilter's documentation). Each SMTP session has a connection of its own to each milter, opened when it begins; a
 * message is shown to one milter after the other, so that the second sees what the first has changed. Calls wait, up to
 * the time limits of the milter.
 *
 * A milter that is not there, hangs or answers nonsense follows its default action for the rest of the session; that is
 * logged once a minute for each. */

/* One milter, as smtpd_milters names it; constant but for `complained`. */
enum milter_default { MILTER_DEFAULT_ACCEPT, MILTER_DEFAULT_REJECT, MILTER_DEFAULT_TEMPFAIL, MILTER_DEFAULT_QUARANTINE,
	MILTER_DEFAULT_SHUTDOWN };
struct milter_spec {
	const char *name;              /* "inet:localhost:8891", for the log */
	const char *path;              /* of a unix socket, whole; NULL: host and port */
	struct slice host;             /* address or name */
	uint16_t port;
	unsigned family;               /* 0, DNS_IPV4 or DNS_IPV6 */
	int64_t connect_ms, command_ms, content_ms;
	unsigned version;              /* 2, 3, 4 or 6 */
	bool no_header_reply;          /* milter_protocol = 2 no_header_reply */
	enum milter_default action;
	bool stand_in;                 /* OpenDKIM or OpenDMARC: when it is not there, we do its work */
	_Atomic int64_t complained;    /* clock_ms of the last line about its failure */
};
/* A list of them, and what is said to all. */
struct milter_set {
	struct milter_spec *specs;
	size_t count;
};
struct milter_params {
	struct dns *dns;               /* for milters named by host name; localhost needs none */
	const char *service;           /* for the log: "smtpd" */
	struct slice macros[MILTER_STAGES]; /* names, blanks or commas between: milter_connect_macros … */
};
/* Defaults for milter_set_parse: name, path, host and port are not used. */
/* Reads "unix:path, inet:host:port, { local:path, default_action=accept, connect_timeout=5s }"; relative paths start in
 * queue_directory. <0: fail() names what is wrong. "" gives an empty set. */
int milter_set_parse(struct slice text, const struct milter_spec *defaults, const char *queue_directory,
		     struct arena *mem, struct milter_set *out);
int milter_protocol_parse(struct slice text, unsigned *version, bool *no_header_reply); /* "6", "2 no_header_reply" */
bool milter_action_parse(struct slice text, enum milter_default *out);

/* What the milters want done. text lives in the arena given to the call. */
struct milter_verdict {
	enum {
		MILTER_GO_ON,
		MILTER_REFUSE,         /* with code, status, text */
		MILTER_DISCARD,        /* take the message and throw it away */
		MILTER_HANG_UP,       /* 421 and out */
	} kind;
	int code;
	char status[12];
	struct slice text;
	bool hold;                     /* the message goes on hold (quarantine) */
};

/* What a conversation asks of its owner. */
struct milter_ops {
	/* The value of a macro ("i", "{client_name}"); at == NULL: not known now. */
	struct slice (*macro)(void *ctx, struct slice name, struct arena *mem);
	/* The message, for milters_message. Field i as it stands in the message, without those that milters do not see;
	 * value is all behind the colon, without the last line end. False: there is no such field. */
	bool (*field)(void *ctx, size_t i, struct slice *name, struct slice *value);
	/* Bytes of the body from `at` on: how many, 0 at the end, <0 fail(). */
	ssize_t (*body)(void *ctx, uint64_t at, char *room, size_t n);
	/* What a milter changes. <0 with fail(): cannot be done, the message is not accepted now. Values are as in the
	 * wire: line ends in them are LF. A value is all that stands behind the colon. */
	int (*add_field)(void *ctx, struct slice name, struct slice value);
	int (*insert_field)(void *ctx, uint32_t index, struct slice name, struct slice value);
	int (*change_field)(void *ctx, uint32_t index, struct slice name, struct slice value); /* empty value: delete */
	int (*replace_body)(void *ctx, struct slice piece, bool first);
	int (*add_recipient)(void *ctx, struct slice address, struct slice parameters);
	int (*delete_recipient)(void *ctx, struct slice address);
	int (*change_sender)(void *ctx, struct slice address, struct slice parameters);
};

/* The milters of one session. set, params and ops are borrowed and stay. */
struct milters;
struct milters *milters_new(const struct milter_set *set, const struct milter_params *params,
			    const struct milter_ops *ops, void *ctx) NONNULL_RESULT;
void milters_free(struct milters **m); /* says QUIT */

/* The steps of a session, in the order of SMTP. host: the client's name; peer: its address, family AF_UNSPEC when there
 * is none (mail that did not come by the network). */
struct milter_verdict milters_connect(struct milters *m, struct slice host, const struct addr *peer, struct arena *mem);
struct milter_verdict milters_helo(struct milters *m, struct slice name, struct arena *mem);
/* address: with <>; parameters: as given, blanks between them ("SIZE=100 BODY=8BITMIME"). */
struct milter_verdict milters_mail(struct milters *m, struct slice address, struct slice parameters, struct arena *mem);
/* rejected: it was refused already; only told to milters that asked for it, and their verdict does not count. */
struct milter_verdict milters_rcpt(struct milters *m, struct slice address, struct slice parameters, bool rejected,
				   struct arena *mem);
struct milter_verdict milters_data(struct milters *m, struct arena *mem);
struct milter_verdict milters_unknown(struct milters *m, struct slice line, struct arena *mem);
/* The whole message: header, body, end; with the changes. */
struct milter_verdict milters_message(struct milters *m, struct arena *mem);
/* The message is over without having been shown (RSET, another MAIL, the end of the session). */
void milters_abort(struct milters *m);
bool milters_want_rejected(const struct milters *m);
