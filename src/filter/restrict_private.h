/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "filter/dnsbl.h"
#include "conf/setting.h"
#include "filter/restrict.h"
/* The inside of restriction lists: restrict_parse.c makes checks of words by the table in restrict_words.c, restrict.c
 * walks through lists and stages, the other files are the checks. */
enum result { DUNNO, PERMIT, REJECT };
enum argument { ARG_NONE, ARG_TABLE, ARG_DOMAIN, ARG_NUMBER, ARG_SERVER };
/* What a check is about, and how the reply calls it. */
enum item {
	ITEM_NONE, ITEM_CLIENT, ITEM_REVERSE, ITEM_HELO, ITEM_SENDER, ITEM_RECIPIENT, ITEM_ETRN, ITEM_CCERT, ITEM_SASL,
	ITEM_DATA, ITEM_END, ITEMS
};
extern const char *const item_titles[ITEMS]; /* "Client host", "Sender address", … */

struct walk;
struct check;
typedef enum result (*check_run)(struct walk *w, const struct check *c);
struct word {
	struct slice name;
	enum argument argument;
	check_run run;      /* NULL: warn_if_reject, which is no check of its own */
	enum item item;
	int how;            /* for run: a record type, or a flag */
	const char *modern; /* an old spelling: the new one */
};
const struct word *word_find(struct slice name);

struct check_list {
	struct check *at;
	size_t count;
	struct slice name;  /* of a class */
	bool parsed;
};
struct check {
	const struct word *word;  /* NULL: `list` is to be walked */
	struct slice text;        /* as written */
	struct slice argument;
	struct lookup table;
	struct table *one;        /* table.tables points here */
	bool bare;                /* a table without check_…_access: the stage's own kind */
	bool broken;              /* 451 4.3.5 */
	unsigned number;
	struct dnsbl_zone zone;
	struct policy_server *server;
	const struct check_list *list;
};
struct restrictions {
	struct restrict_params p;
	struct arena *mem;
	struct check_list stages[RESTRICT_STAGES];
	struct check_list *classes;
	size_t class_count;
	struct dnsbl_zone *maps_rbl;
	size_t maps_rbl_count;
	struct restrict_table {
		struct slice name;
		struct table *table;
		struct restrict_table *next;
	} *tables;
	struct policy_servers {
		struct slice spec;
		struct policy_server *server;
		struct policy_servers *next;
	} *servers;
};

/* restrict_parse.c */
/* Words of a list; a group in braces is one word. Empty when none is left. */
struct slice list_word(struct slice *rest);
void list_parse(struct restrictions *r, const char *parameter, struct slice text, struct check_list *out);
/* What an access table's result names: only known words and classes; broken checks for anything else. */
void list_parse_result(const struct restrictions *r, struct slice text, struct arena *mem, struct check_list *out);

/* One evaluation under way. */
struct walk {
	const struct restrict_run *run;
	const struct restrictions *rules;
	const struct restrict_params *p;
	const struct restrict_facts *f;
	struct restrict_state *state;
	struct restrict_reply *out;
	enum item stage;           /* the stage's own kind; bare tables are about it */
	enum item item;            /* what replies are about */
	struct slice reply_name;   /* in <> of the reply */
	unsigned recursion, warn;  /* warn: the depth at which warn_if_reject stands, 0: it does not */
};
static inline struct dns_view dns_view_of(const struct walk *w) {
	return (struct dns_view){ w->p->dns, &w->p->dns_filter };
}
/* smtpd_dns_reply_filter left nothing: no reason to refuse anybody; for the log. */
enum result dns_filtered(struct walk *w, struct slice name, const char *what);
enum result walk_list(struct walk *w, const struct check_list *list);

/* restrict_reply.c: all that ends a check */
void warn(const struct walk *w, const char *format, ...) PRINTF_LIKE(2, 3);
void log_what(const struct walk *w, const char *what, struct slice text); /* in the form of a rejection */
enum result reject(struct walk *w, int code, const char *status, const char *format, ...) PRINTF_LIKE(4, 5);
/* Trouble of ours: never a mere warning. */
enum result reject_trouble(struct walk *w, int code, const char *status, const char *format, ...) PRINTF_LIKE(4, 5);
enum result server_error(struct walk *w);           /* 451 4.3.5 */
enum result lookup_trouble(struct walk *w, struct slice about); /* 451 4.3.0 */
/* action: enum tempfail_action. Under warn_if_reject it is an immediate refusal, so that it is seen. */
enum result defer_if_permit(struct walk *w, int action, int code, const char *status, const char *format, ...)
	PRINTF_LIKE(5, 6);
enum result defer_if_reject(struct walk *w, int code, const char *status, const char *format, ...) PRINTF_LIKE(4, 5);
enum result wait_and_return(struct walk *w); /* RESTRICT_WAIT */
enum result permit(struct walk *w, struct slice action, const char *title, struct slice name, const char *table);
enum result reject_deferral(struct walk *w, const struct restrict_deferral *d);
/* Cuts "5.7.1 " off *text; `standard` when there is none. In w's arena. */
const char *split_status(struct walk *w, struct slice *text, const char *standard);
/* "5.1.1" for a sender is "5.1.7": which side is wrong is seen from the code. */
const char *fix_status(struct walk *w, const char *status, enum item item);

/* The checks, by what they look at. */
enum result check_permit(struct walk *w, const struct check *c);           /* restrict_simple.c */
enum result check_reject(struct walk *w, const struct check *c);
enum result check_defer(struct walk *w, const struct check *c);
enum result check_defer_if_permit(struct walk *w, const struct check *c);
enum result check_defer_if_reject(struct walk *w, const struct check *c);
enum result check_sleep(struct walk *w, const struct check *c);
enum result check_pipelining(struct walk *w, const struct check *c);
enum result check_plaintext(struct walk *w, const struct check *c);
enum result check_multi_bounce(struct walk *w, const struct check *c);
enum result check_permit_networks(struct walk *w, const struct check *c);  /* restrict_client.c */
enum result check_permit_interfaces(struct walk *w, const struct check *c);
enum result check_permit_sasl(struct walk *w, const struct check *c);
enum result check_permit_certificate(struct walk *w, const struct check *c); /* how: 1: any that is trusted */
enum result check_unknown_client(struct walk *w, const struct check *c);
enum result check_unknown_reverse(struct walk *w, const struct check *c);
enum result check_unknown_forward(struct walk *w, const struct check *c);
enum result check_helo_valid(struct walk *w, const struct check *c);       /* restrict_helo.c */
enum result check_helo_fqdn(struct walk *w, const struct check *c);
enum result check_helo_known(struct walk *w, const struct check *c);
enum result check_naked_address(struct walk *w, const struct check *c);
enum result check_address_fqdn(struct walk *w, const struct check *c);     /* restrict_address.c */
enum result check_address_known(struct walk *w, const struct check *c);
enum result check_unlisted(struct walk *w, const struct check *c);
enum result check_login(struct walk *w, const struct check *c);            /* how: enum login_check */
enum result check_verified(struct walk *w, const struct check *c);
enum result check_destination(struct walk *w, const struct check *c);      /* how: enum destination_check */
enum result check_backup(struct walk *w, const struct check *c);           /* restrict_backup.c */
enum result check_table(struct walk *w, const struct check *c);           /* restrict_access.c */
enum result check_servers(struct walk *w, const struct check *c);          /* restrict_servers.c; how: record type */
enum result check_rbl_client(struct walk *w, const struct check *c);       /* restrict_rbl.c */
enum result check_rbl_domain(struct walk *w, const struct check *c);
enum result check_white_client(struct walk *w, const struct check *c);
enum result check_white_domain(struct walk *w, const struct check *c);
enum result check_maps_rbl(struct walk *w, const struct check *c);
enum result check_policy(struct walk *w, const struct check *c);           /* restrict_policy.c */
enum login_check { LOGIN_OF_USERS = 1, LOGIN_OF_STRANGERS = 2, LOGIN_KNOWN_ONLY = 4 };
enum destination_check {
	DESTINATION_PERMIT, DESTINATION_REJECT, DESTINATION_DEFER,
	DESTINATION_RELAY /* check_relay_domains: all is decided by it, either way */
};

/* Shared by several. */
enum { DNS_WAIT_MS = 30000 };
struct slice item_text(const struct walk *w, enum item item); /* at == NULL: not known (yet), or "unknown" */
enum result access_result(struct walk *w, const char *table, struct slice value, struct slice key, struct slice name,
			  enum item item);
enum result access_domain(struct walk *w, const struct check *c, struct slice domain, struct slice name, enum item item,
			  bool *found);
enum result access_ip(struct walk *w, const struct check *c, struct slice ip, struct slice name, enum item item,
		      bool *found);
enum result unlisted(struct walk *w, enum item item); /* at most once for an address */
bool is_our_address(const struct restrict_params *p, const struct addr *a);
/* Our own or relay_domains. 0 or 1; -1: cannot be said now. */
int is_our_destination(struct walk *w, struct slice recipient);
struct slice whole_address(const struct walk *w, struct slice address); /* with myorigin where it has no domain */
struct slice domain_of(struct slice address); /* behind the last @; empty without */
struct slice domain_for_dns(struct slice domain, struct arena *mem); /* A-labels where it has others */
