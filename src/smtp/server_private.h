/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "smtp/body.h"
#include "smtp/server.h"
/* The inside of a session, shared by server.c (stepping, limits), server_commands.c (the table of commands) and
 * server_mail.c (a transaction). */
enum mode {             /* what the next input is */
	MODE_HANDSHAKE, /* TLS */
	MODE_COMMAND,
	MODE_LONG_LINE, /* the rest of a command line that was too long */
	MODE_AUTH,      /* an answer to 334 */
	MODE_DATA,
	MODE_CHUNK,     /* BDAT */
	MODE_LAST,      /* nothing: the last reply is on its way out */
};

/* The first word of a command line and all that is true of it. */
struct smtp_server;
struct smtp_command {
	struct slice word;
	unsigned rules; /* enum command_rule */
	struct smtp_reply (*run)(struct smtp_server *s, struct slice args); /* code 0: the reply comes later */
};
enum { COMMAND_LAST = 2 }; /* of rules: the client must wait for its reply */
enum { COMMANDS = 18, NO_COMMAND = COMMANDS }; /* the last row of the table counts what is no command */

struct smtp_server {
	struct stream *stream;
	const struct smtp_server_params *params;
	const struct smtp_server_ops *ops;
	void *owner;
	enum mode mode;
	bool greeted, refused;      /* refused: the greeting was none, wait for QUIT */
	bool talked_out_of_turn;    /* noted once */
	bool noted_end;
	const char *where;
	size_t command;             /* under way: index into the table, or NO_COMMAND */
	unsigned offer;
	struct smtp_session facts;  /* its slices are kept in: */
	char *helo, *login;
	const char *mechanism;
	struct sasl sasl;
	struct sasl_ops sasl_ops;   /* our ops->auth */
	char judged[SASL_NAME_MAX]; /* facts.mechanism, of a log-in that somebody else judged */

	bool in_tx;                 /* the owner has a transaction open */
	struct arena tx;            /* lives with the transaction: */
	struct smtp_mail mail;
	struct body body;
	uint64_t chunk_size, chunk_left;
	bool chunked, chunk_last;   /* BDAT was used in this transaction; the chunk under way is its last */
	bool chunk_failed;          /* nothing but BDAT … LAST or RSET ends this transaction */
	struct smtp_reply late;     /* refusal to be given when the chunk was read, text in mem */

	struct arena mem;           /* lives until the reply is queued */
	unsigned junk, auth_failures, overshoot;
	bool forgiven;              /* the refusal being given is no error */
	int64_t deadline;           /* of the request or reply under way */
	int64_t held_until;         /* replies are held back; 0: not */
	/* what is asked again when the hold is over */
	enum { AGAIN_NOT, AGAIN_GREET, AGAIN_LINE, AGAIN_AUTH, AGAIN_END } again;
	char *again_args;           /* of the command */
	int64_t pause_ms;
	int awaited;               /* held until this can be read as well; -1: nothing */
	size_t budget;              /* bytes of work left in this step */
	bool yielding;              /* more input is here, but others wait too */
	struct { unsigned ok, all; } counts[COMMANDS];
};
#define TAKE_REPLY(reply) ({ struct smtp_reply taken_ = (reply); (reply) = (struct smtp_reply){ 0 }; taken_; })

/* server.c */
struct smtp_reply server_greet(struct smtp_server *s);
void server_pause(struct smtp_server *s, int again, struct slice args); /* an op answered SMTP_PAUSE */
/* server_reply.c */
void server_queue(struct smtp_server *s, const struct smtp_reply *r);   /* only that */
void server_answer(struct smtp_server *s, struct smtp_reply r); /* queues, counts, resets mem; code 0: nothing */
void server_last(struct smtp_server *s);                                /* nothing more is read */
void server_good_bye(struct smtp_server *s, const char *status, const char *why); /* 421 */
void server_too_many_errors(struct smtp_server *s);
void server_note(struct smtp_server *s, enum smtp_event event, const struct smtp_reply *reply, struct slice to,
                 struct slice text);
void server_note_end(struct smtp_server *s);
void server_reject(struct smtp_server *s, const struct smtp_reply *reply, struct slice to); /* notes it if it refuses */
struct slice server_printable(struct smtp_server *s, struct slice bytes); /* in mem, shortened, for a log line */
struct slice server_progress(struct smtp_server *s); /* "123 bytes" while a message is under way, in mem */
/* server_commands.c */
const struct smtp_command *server_commands(void);
void server_line(struct smtp_server *s, struct slice line); /* runs one command line */
void server_line_again(struct smtp_server *s, struct slice args);
void server_auth_again(struct smtp_server *s);
void server_auth_line(struct smtp_server *s, struct slice line);
unsigned server_offer(const struct smtp_server *s);
void server_set_helo(struct smtp_server *s, struct slice name); /* at == NULL: none */
void server_set_login(struct smtp_server *s, struct slice login, struct slice mechanism);
bool server_out_of_turn(struct smtp_server *s); /* is input here that should wait? Noted; true: all over */
/* server_mail.c */
void server_tx_end(struct smtp_server *s); /* forgets the transaction, with reset if the owner has it open */
void server_message_end(struct smtp_server *s);
bool server_data(struct smtp_server *s);   /* consume input; false: there is not enough */
bool server_chunk(struct smtp_server *s);
struct smtp_reply server_mail(struct smtp_server *s, struct slice args);
struct smtp_reply server_rcpt(struct smtp_server *s, struct slice args);
struct smtp_reply server_data_begin(struct smtp_server *s, struct slice args);
struct smtp_reply server_bdat(struct smtp_server *s, struct slice args);
/* server_xclient.c */
struct smtp_reply server_xclient(struct smtp_server *s, struct slice args);
struct smtp_reply server_xforward(struct smtp_server *s, struct slice args);
