/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/parse.h"
#include "access/imap/session.h"
#include "access/imap/view.h"
#include "access/language.h"
#include "db/db.h"
#include "net/stream.h"
#include "store/change.h"
#include "store/store.h"
/* What the files of a session share: its state, the shape of a command, and the words it is answered with. */
struct imap_session;
enum { IMAP_MESSAGE_LIMIT = 50 * 1024 * 1024 }; /* APPEND, when the settings say nothing */

/* The mailbox of SELECT or EXAMINE, as this client has been told of it. */
struct imap_selected {
	bool open, read_only;
	struct box box;
	uint32_t rights;         /* enum acl_right, at the time of SELECT */
	struct view view;        /* which messages the client knows */
	uint64_t modseq;         /* everything up to here has been told */
	uint32_t recent_from;    /* uids from here on are \Recent in this session */
	bool recent_taken;       /* new messages were shown that the store still calls recent */
	struct imap_set_builder gone; /* vanished, but EXPUNGE was not allowed yet; unsettled */
	struct imap_set_builder saved; /* "$" of RFC 5182: UIDs, some may have been expunged since */
	struct live *live;       /* searches that tell their changes (live.h) */
	uint64_t gone_since;     /* while there is something in gone: the modseq before the first of it */
	uint64_t modseq_said;    /* the last HIGHESTMODSEQ response */
	uint64_t others;         /* db_others, before the last look */
	size_t keywords_told;    /* length of the keyword list at the last FLAGS response: it only grows */
};

/* What a client has enabled (RFC 5161), for the rest of its session. */
enum {
	IMAP_CONDSTORE = 1,      /* MODSEQ in FETCH responses (RFC 7162); also by commands that use modseqs */
	IMAP_QRESYNC = 2,        /* VANISHED in the place of EXPUNGE (RFC 7162) */
	IMAP_REV2 = 4,           /* RFC 9051: ESEARCH in the place of SEARCH, no \Recent, names in UTF-8 */
	IMAP_UIDONLY = 8,        /* RFC 9586: no message numbers */
	IMAP_UTF8 = 16           /* RFC 6855 */
};

struct imap_session {
	struct task task;
	struct pool *pool;
	const struct imap_context *context;
	struct stream *wire;
	int64_t account;
	struct buf login, remote;
	uint64_t log_session;
	bool tls;
	bool master;             /* an administrator, or he acts as this user */
	struct buf text;         /* the command under way, literals included */
	struct arena mem;        /* of one command */
	struct buf tag;          /* of LOGIN at first, then of IDLE */
	bool greeted, over, broken, idling;
	bool awaits_client;      /* his socket has not come yet */
	int edge;                /* the pair with edge, beside the client's own socket; -1: wire comes from edge */
	bool edge_ended;         /* ... which is over */
	bool given_back;         /* by UNAUTHENTICATE: the client goes back to edge with the answer */
	unsigned enabled;        /* IMAP_CONDSTORE … */
	enum language language;  /* of words for people */
	bool no_uidonly;         /* the client is known to misuse it (client_id.h) */
	bool dropping;           /* the rest of a line that was too long */
	bool unread;             /* the literal that ends `text` has not been read: the command does that */
	unsigned bad;            /* bad commands in a row */
	int64_t heard;           /* when the last command came */
	struct slice running;    /* the tag of the command under way; empty: none */
	int64_t progress_due;    /* when its progress is told next */
	struct change_watch *watch;
	struct change_watch *box_watch; /* of the selected mailbox's account */
	_Atomic uint64_t news;   /* the highest modseq announced for it since the last look; 2^64-1: others */
	struct imap_notify *notify; /* NULL: not asked for */
	task_ref self;
	const char *ending;      /* for the log */
	uint64_t present;        /* access/present.h */
	struct imap_selected box;
};

static inline bool imap_enabled(const struct imap_session *s, unsigned any_of) { return (s->enabled & any_of) != 0; }
void imap_enable(struct imap_session *s, unsigned bits); /* may put an untagged OK */

/* A command's answer is a value: check, act, answer. The text may begin with a [CODE]; it lives in s->mem or for ever.
 */
enum imap_status { IMAP_OK, IMAP_NO, IMAP_BAD, IMAP_LATER /* answered later, by IDLE's end */ };
struct imap_answer {
	enum imap_status status;
	const char *text;
};
static inline struct imap_answer imap_ok(const char *text) { return (struct imap_answer){ IMAP_OK, text }; }
static inline struct imap_answer imap_no(const char *text) { return (struct imap_answer){ IMAP_NO, text }; }
static inline struct imap_answer imap_bad(const struct imap_parse *p) {
	return (struct imap_answer){ IMAP_BAD, p->error != NULL ? p->error : "Invalid arguments." };
}
/* The answer to a result other than 0 of the rooms below: a store_answer in words, or a failure, which is logged. */
struct imap_answer imap_refused(struct imap_session *s, int result, const char *what);

/* A command as it is run: the parser stands behind its name. */
struct imap_call {
	struct slice tag;
	bool uid;                /* UID FETCH and the like */
	bool numbers;            /* its search keys hold message numbers */
	struct imap_parse p;
};
enum imap_when {
	IMAP_SELECTED = 1,       /* wants an open mailbox */
	IMAP_UID = 2,            /* has a UID form */
	IMAP_UID_ONLY = 4,
	IMAP_READS = 8,          /* reads the literals behind its mailbox's name itself (APPEND) */
	IMAP_NO_EXPUNGE = 16,    /* RFC 3501 §7.4.1: no EXPUNGE response while it runs, unless in its UID form */
	IMAP_NO_NEWS = 32,       /* leaves or changes the mailbox: nothing is told after it */
	IMAP_WRITES = 64,        /* wants a mailbox opened by SELECT */
	IMAP_NUMBERS = 128,      /* without UID its arguments or answers are message numbers */
};
struct imap_command {
	const char *name;
	struct imap_answer (*run)(struct imap_session *s, struct imap_call *call);
	unsigned when;
};
const struct imap_command *imap_command_find(struct slice name);
/* Is it kept from this client? imapd_discard_capabilities, and what it is known to misuse */
bool imap_discards(const struct imap_session *s, struct slice capability);
void imap_put_capabilities(struct imap_session *s); /* "CAPABILITY IMAP4rev1 …" */

/* Output: what is queued is written when it has grown; false: the client is gone, stop. */
struct buf *imap_out(struct imap_session *s);
/* The end of a response in the client's language, with its line end: "* BYE Text.", "[CODE] Text.", "Text." */
void imap_say(struct imap_session *s, const char *response);
bool imap_flush(struct imap_session *s);                      /* writes all; may wait for the client */
bool imap_drain(struct imap_session *s);                      /* writes if there is much; may wait for the client */
/* The begin of a message's response, "* 7 FETCH (" or with UIDONLY "* 12 UIDFETCH ("; uid is in the view. */
void imap_put_fetch(struct imap_session *s, uint32_t uid);
void imap_put_message_flags(struct imap_session *s, uint32_t uid, uint32_t bits,
			    struct slice keywords); /* with \Recent where due */
/* The whole response for a change of flags, with its MODSEQ where that is enabled. flags: false for .SILENT, then
 * nothing but the MODSEQ is said, if anything. */
void imap_put_change(struct imap_session *s, const struct message *m, bool flags);
/* For commands that take long: tells how far it is when that is due (RFC 9585), and writes. goal 0: not known.
 * imap_walk does it between its pages. False: the client is gone. */
bool imap_progress(struct imap_session *s, uint64_t done, uint64_t goal);
bool imap_put_large(struct imap_session *s, struct slice bytes);
void imap_end(struct imap_session *s, const char *why);       /* after what is queued has been written */
/* The rest of a command behind an announced literal, waiting for the client. Each piece goes to take. <0: gone. */
int imap_read_literal(struct imap_session *s, uint64_t size, int (*take)(void *ctx, struct slice piece), void *ctx);
int imap_read_line(struct imap_session *s, struct slice *line); /* 0; 1: too long; <0: gone */

/* Names. False: p->error says why. The name is UTF-8 in s->mem; INBOX is in capitals. */
bool imap_parse_mailbox(struct imap_session *s, struct imap_parse *p, struct slice *out);
/* A name or pattern as this client writes it, added as UTF-8. False: it is not valid. */
bool imap_read_name(const struct imap_session *s, struct buf *out, struct slice said);
/* Text for people: quoted, with UTF-8 where the client has said that it reads it, else a literal. */
void imap_add_text(struct imap_session *s, struct buf *out, struct slice text);
void imap_put_mailbox(struct imap_session *s, struct slice name);
void imap_add_mailbox(struct imap_session *s, struct buf *out, struct slice name);
void imap_put_mailbox_id(struct buf *out, int64_t account, int64_t object_id); /* RFC 8474 MAILBOXID */
/* "(\Seen $Junk)", or without parentheses (STORE) */
struct imap_flags { uint32_t bits; struct slice keywords; };
bool imap_parse_flags(struct imap_session *s, struct imap_parse *p, struct imap_flags *out);
void imap_put_flags(struct buf *out, uint32_t bits, struct slice keywords, bool recent);
struct slice imap_flags_text(uint32_t bits, bool recent); /* the system flags alone, without brackets */

/* The selected mailbox. */
struct imap_select_params {
	bool read_only, condstore;
	bool qresync;
	uint32_t uidvalidity;    /* what the client remembers (RFC 7162 §3.2.5) */
	uint64_t modseq;
	const struct imap_set *known; /* of UIDs, settled; NULL: all */
};
struct imap_answer imap_select(struct imap_session *s, struct slice name, const struct imap_select_params *how);
/* A client that has been told everything up to this modseq has missed nothing. */
static inline uint64_t imap_safe_modseq(const struct imap_session *s) {
	return s->box.gone.set.count != 0 ? s->box.gone_since : s->box.modseq;
}
void imap_deselect(struct imap_session *s);
bool imap_load(struct imap_session *s);                       /* the view's uids; false: lost, the session ends */
/* Tells what happened since the last time: EXISTS, FETCH, and EXPUNGE where that is allowed. */
void imap_sync(struct imap_session *s, bool may_expunge);
/* A set of numbers or UIDs as a settled set of UIDs, all of them known to the client. False: error set in p. */
bool imap_parse_messages(struct imap_session *s, struct imap_call *call, struct imap_set *out);
/* The same for a set that was already read; in place. */
bool imap_messages_of(struct imap_session *s, bool uid, struct imap_set *set);
static inline struct uid_set imap_uid_set(const struct imap_set *set) {
	_Static_assert(sizeof(struct uid_range) == sizeof(struct imap_range), "one layout");
	return (struct uid_set){ (const struct uid_range *)(const void *)set->ranges, set->count };
}
/* When nobody else has changed the mailbox since the client was told of everything, our own change needs no telling. */
struct imap_own_change { uint64_t before, after; };
int imap_own_begin(struct db_conn *tx, struct box box, struct imap_own_change *own);
void imap_own_end(struct imap_session *s, const struct imap_own_change *own);

/* The commands, one file a family. */
#define IMAP_COMMAND(name) struct imap_answer name(struct imap_session *s, struct imap_call *call)
IMAP_COMMAND(imap_do_capability);
IMAP_COMMAND(imap_do_noop);
IMAP_COMMAND(imap_do_logout);
IMAP_COMMAND(imap_do_id);
IMAP_COMMAND(imap_do_namespace);
IMAP_COMMAND(imap_do_language);
IMAP_COMMAND(imap_do_enable);
IMAP_COMMAND(imap_do_list);
IMAP_COMMAND(imap_do_lsub);
IMAP_COMMAND(imap_do_status);
IMAP_COMMAND(imap_do_subscribe);
IMAP_COMMAND(imap_do_unsubscribe);
IMAP_COMMAND(imap_do_create);
IMAP_COMMAND(imap_do_delete);
IMAP_COMMAND(imap_do_rename);
IMAP_COMMAND(imap_do_select);
IMAP_COMMAND(imap_do_examine);
IMAP_COMMAND(imap_do_check);
IMAP_COMMAND(imap_do_close);
IMAP_COMMAND(imap_do_unselect);
IMAP_COMMAND(imap_do_append);
IMAP_COMMAND(imap_do_uidbatches);
IMAP_COMMAND(imap_do_notify);
IMAP_COMMAND(imap_do_unauthenticate);
IMAP_COMMAND(imap_do_replace);
IMAP_COMMAND(imap_do_compress);
IMAP_COMMAND(imap_do_expunge);
IMAP_COMMAND(imap_do_fetch);
IMAP_COMMAND(imap_do_store);
IMAP_COMMAND(imap_do_copy);
IMAP_COMMAND(imap_do_move);
IMAP_COMMAND(imap_do_search);
IMAP_COMMAND(imap_do_sort);
IMAP_COMMAND(imap_do_thread);
IMAP_COMMAND(imap_do_esearch);
IMAP_COMMAND(imap_do_cancelupdate);
IMAP_COMMAND(imap_do_idle);
IMAP_COMMAND(imap_do_setacl);
IMAP_COMMAND(imap_do_deleteacl);
IMAP_COMMAND(imap_do_getacl);
IMAP_COMMAND(imap_do_listrights);
IMAP_COMMAND(imap_do_myrights);
IMAP_COMMAND(imap_do_getmetadata);
IMAP_COMMAND(imap_do_setmetadata);
IMAP_COMMAND(imap_do_getquota);
IMAP_COMMAND(imap_do_getquotaroot);
IMAP_COMMAND(imap_do_setquota);
void imap_idle_done(struct imap_session *s, struct slice line); /* the line that ends IDLE */
