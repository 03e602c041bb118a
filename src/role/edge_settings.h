/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/gate.h"
#include "base/generation.h"
#include "filter/rate.h"
#include "flow/admit.h"
#include "role/boot.h"
#include "role/screen.h"
/* What edge needs of the settings, made once for each generation of them. */
struct service {
	enum { SERVES_SMTP, SERVES_IMAP, SERVES_POP3 } protocol;
	const char *log_name; /* "smtpd", "submission/smtpd", "imap-login"; a whole tag behind a / (base/log.h) */
	bool tls_wrapper;
	struct tls_server *tls;       /* borrowed; NULL: no certificate */
	unsigned connection_limit;    /* of the whole service, where master.cf names a maxproc; 0: none */
	_Atomic unsigned live;        /* connections of this generation */
	bool proxy;                   /* a proxy tells the client's address (smtpd_upstream_proxy_protocol) */
	int64_t proxy_ms;
	struct rate_params rates;
	const struct networks *rate_exceptions;
	struct smtp_server_params smtp;
	struct admit_params admit;
	struct screen_params screen;  /* postscreen lines */
	struct restrictions *restrictions;
	struct gate_params gate;      /* IMAP, POP3 */
	const struct certificate_map *certificates; /* sasl_external_cert_maps; NULL: none */
	int64_t idle_ms;              /* after log-in */
	unsigned user_limit;          /* connections of one user; 0: no limit */
};
struct edge_settings {
	struct generation generation;
	struct conf *conf;
	struct arena mem;
	struct tables *tables;        /* of all services */
	size_t count;                 /* of services */
	struct tls_variant {          /* services that want the same of TLS share one */
		struct tls_variant *next;
		struct slice key;
		struct tls_server *server;
	} *tls;
	struct edge_suffixes {        /* public suffix lists, by file */
		struct edge_suffixes *next;
		struct slice file;
		struct psl *psl;
	} *suffixes;
	struct edge_dovecot {         /* Dovecots that judge log-ins, by place */
		struct edge_dovecot *next;
		struct slice key;
		struct dovecot *dovecot;
	} *dovecots;
	struct service *services;     /* by index in conf_services; protocol fields only where one of ours listens */
	struct service submit;        /* for users of this machine (pickup) */
};
struct edge_outside { /* what services need and settings do not hold */
	struct link *core, *vault, *relay;
	struct known *known, *elsewhere;
	struct dns *dns;
	struct rates *rates;
	struct check_memory *checks;
	struct notice_memory *notices;
	struct signing *signing;
	const char *data_dir;
};
/* Takes b->conf over. <0: the certificates cannot be used. */
int edge_settings_make(struct boot *b, const struct edge_outside *outside, struct edge_settings **out);
