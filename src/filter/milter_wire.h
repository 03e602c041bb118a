/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* The milter protocol on the wire, versions 2 to 6, as libmilter's mfdef.h numbers it: packets of a length (4 bytes, of
 * what follows), a letter and data. Texts end with NUL. What a milter sends is parsed here, and nowhere else. */

enum milter_command {
	MILTER_C_ABORT = 'A', MILTER_C_BODY = 'B', MILTER_C_CONNECT = 'C', MILTER_C_MACRO = 'D', MILTER_C_END = 'E',
	MILTER_C_HELO = 'H', MILTER_C_HEADER = 'L', MILTER_C_MAIL = 'M', MILTER_C_END_HEADER = 'N',
	MILTER_C_OFFER = 'O', MILTER_C_QUIT = 'Q', MILTER_C_RCPT = 'R', MILTER_C_DATA = 'T', MILTER_C_UNKNOWN = 'U',
};
enum milter_answer {
	MILTER_R_ADD_RCPT = '+', MILTER_R_DEL_RCPT = '-', MILTER_R_ADD_RCPT_PAR = '2', MILTER_R_SHUTDOWN = '4',
	MILTER_R_ACCEPT = 'a', MILTER_R_BODY = 'b', MILTER_R_CONTINUE = 'c', MILTER_R_DISCARD = 'd',
	MILTER_R_SENDER = 'e', MILTER_R_CONN_FAIL = 'f', MILTER_R_ADD_HEADER = 'h', MILTER_R_INS_HEADER = 'i',
	MILTER_R_CHG_HEADER = 'm', MILTER_R_PROGRESS = 'p', MILTER_R_QUARANTINE = 'q', MILTER_R_REJECT = 'r',
	MILTER_R_SKIP = 's', MILTER_R_TEMPFAIL = 't', MILTER_R_REPLY_CODE = 'y', MILTER_R_OFFER = 'O',
};
/* What a milter may change. */
enum milter_may {
	MILTER_MAY_ADD_HEADER = 0x1, MILTER_MAY_CHANGE_BODY = 0x2, MILTER_MAY_ADD_RCPT = 0x4, MILTER_MAY_DEL_RCPT = 0x8,
	MILTER_MAY_CHANGE_HEADER = 0x10, MILTER_MAY_QUARANTINE = 0x20, MILTER_MAY_CHANGE_SENDER = 0x40,
	MILTER_MAY_ADD_RCPT_PAR = 0x80, MILTER_MAY_SET_MACROS = 0x100,
};
/* What a milter does not want to see (NO_…) or does not answer (NR_…), and what it knows. */
enum milter_step {
	MILTER_NO_CONNECT = 0x1,
	MILTER_NO_HELO = 0x2,
	MILTER_NO_MAIL = 0x4,
	MILTER_NO_RCPT = 0x8,
	MILTER_NO_BODY = 0x10,
	MILTER_NO_HEADER = 0x20,
	MILTER_NO_END_HEADER = 0x40,
	MILTER_NR_HEADER = 0x80,
	MILTER_NO_UNKNOWN = 0x100,
	MILTER_NO_DATA = 0x200,
	MILTER_KNOWS_SKIP = 0x400,
	MILTER_WANTS_REJECTED = 0x800,
	MILTER_NR_CONNECT = 0x1000,
	MILTER_NR_HELO = 0x2000,
	MILTER_NR_MAIL = 0x4000,
	MILTER_NR_RCPT = 0x8000,
	MILTER_NR_DATA = 0x10000,
	MILTER_NR_UNKNOWN = 0x20000,
	MILTER_NR_END_HEADER = 0x40000,
	MILTER_NR_BODY = 0x80000,
	MILTER_LEADING_SPACE = 0x100000,
};
/* Where macros are sent, numbered as in the milter's own lists. */
enum milter_stage { MILTER_AT_CONNECT, MILTER_AT_HELO, MILTER_AT_MAIL, MILTER_AT_RCPT, MILTER_AT_DATA, MILTER_AT_END,
	MILTER_AT_END_HEADER, MILTER_AT_UNKNOWN, MILTER_STAGES };

enum {
	MILTER_BODY_CHUNK = 65535,
	MILTER_PACKET_MAX = 1 << 20,   /* of what a milter sends */
	MILTER_TEXT_MAX = 60000,       /* of one header value that we send */
};

/* Both sides of the option negotiation. */
struct milter_offer {
	uint32_t version, actions, steps;
	struct slice macros[MILTER_STAGES]; /* lists it asks for, blanks between the names; at == NULL: not asked for */
};
struct milter_offer milter_offer_of(unsigned version); /* all that this version knows */

/* One answer. A missing text is empty. */
struct milter_reply {
	char kind;            /* enum milter_answer */
	uint32_t index;       /* of CHG_HEADER and INS_HEADER */
	struct slice name;    /* of a header; the address of a recipient or sender; the reason of QUARANTINE */
	struct slice value;   /* of a header; its ESMTP parameters; bytes of BODY; the text of REPLY_CODE */
	int code;             /* of REPLY_CODE: 400 to 599 */
	char status[12];      /* its enhanced status code, or "" */
};
/* data: what follows the letter. Texts are borrowed, or in mem. False: not what this kind looks like, or no kind. */
bool milter_reply_parse(char kind, struct slice data, struct arena *mem, struct milter_reply *out);
bool milter_offer_parse(struct slice data, struct milter_offer *out);

/* A packet is begun, filled with the functions of buf, and ended: that writes its length. */
size_t milter_packet_begin(struct buf *out, enum milter_command command);
void milter_packet_end(struct buf *out, size_t begun);
void milter_put_text(struct buf *out, struct slice text); /* NUL behind it; a NUL inside ends it */
void milter_put_number(struct buf *out, uint32_t n);
void milter_put_offer(struct buf *out, const struct milter_offer *offer);

/* For the log: "SMFIC_MAIL". */
const char *milter_command_name(char command);
