/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "conf/footer.h"
#include "conf/lookup.h"
#include "filter/dnsbl.h"
#include "net/stream.h"
#include "role/screen_memory.h"
/* postscreen(8): what is found out about a client before a server talks to it. A client that speaks before it was
 * greeted is no mail server; block lists know others; and some show in the first commands, which are then answered
 * here, by a conversation that takes no mail (screen_talk.h). On where master.cf names postscreen. Words to clients and
 * to the log are Postfix's (POSTSCREEN_README). */
enum { SCREEN_SITES_MAX = 64 };
struct screen_test {
	bool on;
	int action;                  /* enum screen_action */
	int64_t ttl_s;
};
struct screen_params {
	bool on;
	int64_t wait_ms;
	struct screen_test tests[SCREEN_TESTS];
	const char *banner;          /* sent at once, as the first line of the greeting; NULL: none */
	int deny_action;
	const struct networks *networks;
	const struct slice *access;  /* postscreen_access_list */
	size_t access_count;
	const struct networks *interfaces; /* postscreen_allowlist_interfaces; NULL: all */
	struct tables *tables;       /* where those named in it are opened; borrowed */
	const char *log_name;        /* "postscreen" */
	struct dnsbl_zone *sites;    /* postscreen_dnsbl_sites */
	size_t site_count;
	struct lookup replies;       /* postscreen_dnsbl_reply_map */
	int threshold, allow_threshold; /* allow_threshold: below zero, or it is off */
	int64_t dnsbl_ms, min_ttl_s, max_ttl_s;
	struct dns *dns;
	/* the conversation */
	const char *host, *greeting; /* behind "220 " */
	uint64_t size_limit;
	unsigned offer;              /* enum smtp_offer */
	bool helo_required, tls_required, dsn, soft; /* soft: soft_bounce, 4xx for 5xx */
	const struct slice *forbidden;
	size_t forbidden_count, line_limit;
	unsigned command_limit;
	int64_t command_ms;
	struct tls_server *tls;
	struct lookup command_filter;  /* postscreen_command_filter */
	struct lookup ehlo_maps;       /* postscreen_discard_ehlo_keyword_address_maps */
	bool old_words;              /* respectful_logging = no: WHITELISTED */
	struct slice footer;           /* postscreen_reject_footer */
	struct lookup footer_maps;
	struct expand_filter expansion;
};
/* dns and tls are the caller's to set. */
void screen_settings_make(struct screen_params *out, const struct conf_view *v, struct tables *tables,
			  struct arena *mem);

/* One client under test. */
struct screen {
	const struct screen_params *params;
	struct screen_memory *memory;
	struct addr peer;
	int64_t started, greeted;    /* greeted: when the tests before the greeting end */
	int64_t deadline;
	bool todo[SCREEN_TESTS], passed[SCREEN_TESTS];
	bool ignored;                /* a test was failed, and that is to have no consequence */
	bool known;                  /* it was here before */
	bool spoke;                  /* before it was greeted; what it said is still in the socket */
	bool veto;                   /* at an address where nobody earns trust */
	unsigned looks;              /* at the block lists */
	struct screen_score {        /* of those that have answered */
		uint64_t answered;   /* by index */
		int sum, weight;
		const struct dnsbl_zone *worst; /* the one with the greatest weight */
		int64_t ttl_s;
	} score;
	char refusal[512]; /* for its recipients: "550 5.5.1 Protocol error"; empty: nothing speaks against it */
	char name[2 * ADDR_TEXT_ROOM]; /* "[1.2.3.4]:56789" */
	char ip[ADDR_TEXT_ROOM];
};
enum screen_verdict {
	SCREEN_WAIT,   /* until deadline, or until the client says something */
	SCREEN_PASSED, /* on to the session */
	SCREEN_TALK,   /* on to the conversation that takes no mail */
	SCREEN_GONE,   /* hang up; what is to be said has been said */
};
/* After accept, and whenever the time is over or something has come: io says which. own: our end. Bytes of the client
 * stay in the kernel's buffer. */
enum screen_verdict screen_begin(struct screen *s, const struct screen_params *params, struct screen_memory *memory,
				 struct stream *stream, const struct addr *peer, const struct addr *own);
enum screen_verdict screen_step(struct screen *s, struct stream *stream, bool io);

/* For both halves. */
void screen_tell(const struct screen *s, const char *word);  /* "PASS NEW [1.2.3.4]:56789" */
void screen_drop(struct screen *s, struct stream *stream,
		 const char *reply);                         /* says it, whatever is unread, and tells */
void screen_remember(struct screen *s);                      /* the tests that were passed */
/* Sends a reply, with the footer where it refuses. */
void screen_reply(const struct screen *s, struct stream *stream, struct slice reply);
unsigned screen_offer_of(struct slice word); /* an EHLO keyword in any case; 0: none */
void screen_show(struct buf *out, struct slice bytes);       /* printable, shortened */
/* A test was failed: true when the client is to be dropped; then reply + 521 was said. text: "5.5.1 Protocol error". */
bool screen_fail(struct screen *s, struct stream *stream, enum screen_test_id test, const char *text);
