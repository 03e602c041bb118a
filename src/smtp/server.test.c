/* SPDX-License-Identifier: Apache-2.0 */
/* Dialogues over a socket pair. Each is a table of lines:
 *
 *	"C: text"   the client sends text and CRLF
 *	"R: text"   the client sends text as it is
 *	"S: text"   the server says this line, exactly
 *	"X:"        the server has ended the session
 *	"O: text"   in order with the other O: what the owner was asked or told
 *
 * and is played twice: what stands together is sent in one write, and byte by byte. The outcome must be the same,
 *unless the dialogue is about who talks out of turn (WHOLE). */
#include "smtp/server.test.h"
#include <sys/epoll.h>

#pragma GCC diagnostic ignored "-Woverride-init" /* settings of one dialogue over the usual ones */

enum { PLAIN = 0, WHOLE = 1 };
struct dialogue {
	const char *name;
	const struct smtp_server_params *params; /* NULL: usual */
	int how;
	const char *lines[64];
};

#define DEFAULTS \
	.host = "mx.test", .offer = OFFER_USUAL | OFFER_AUTH, .strict_pipelining = true, .line_limit = 200, \
	.size_limit = 1000, .recipient_limit = 3, .soft_error_limit = 100, .hard_error_limit = 100, \
	.junk_command_limit = 100, .timeout = 5000, .starttls_timeout = 5000, .min_data_rate = 500, \
	.per_request = true, .verp_delimiters = "+=", .verp_filter = "-=+"
static const struct smtp_server_params usual = { DEFAULTS };
#define PARAMS(...) &(const struct smtp_server_params){ DEFAULTS, __VA_ARGS__ }

#define HELLO "S: 220 mx.test ESMTP", "C: EHLO c.test", "S: 250-mx.test", "S: 250-PIPELINING", "S: 250-SIZE 1000", \
	"S: 250-ENHANCEDSTATUSCODES", "S: 250-8BITMIME", "S: 250-DSN", "S: 250-SMTPUTF8", "S: 250 CHUNKING"
#define HELLO_AUTH \
	"S: 220 mx.test ESMTP", "C: EHLO c.test", "S: 250-mx.test", "S: 250-PIPELINING", "S: 250-SIZE 1000", \
		"S: 250-AUTH PLAIN LOGIN", "S: 250-ENHANCEDSTATUSCODES", "S: 250-8BITMIME", "S: 250-DSN", \
		"S: 250-SMTPUTF8", "S: 250 CHUNKING"
#define MAIL_A "C: MAIL FROM:<a@b>", "S: 250 2.1.0 Ok", "O: mail <a@b>"
#define RCPT_C "C: RCPT TO:<c@d>", "S: 250 2.1.5 Ok", "O: rcpt <c@d>"
#define TO_DATA MAIL_A, RCPT_C, "C: DATA", "O: begin", "S: 354 End data with <CR><LF>.<CR><LF>"
#define QUEUED "S: 250 2.0.0 Ok: queued as ID"
#define QUIT "C: QUIT", "S: 221 2.0.0 Bye", "X:"
#define REFUSED_BARE(what) \
	"S: 550 5.5.2 mx.test Error: " what " received", \
		"O: reject: END-OF-MESSAGE from h[192.0.2.7]: 550 5.5.2 mx.test Error: " what \
		" received; from=<a@b> proto=ESMTP helo=<c.test>", \
		"O: reset"
#define SMUGGLED(text, what) \
	{ \
		"smuggling " what, NULL, PLAIN, { \
			HELLO, TO_DATA, "R: " text, REFUSED_BARE(what), QUIT \
		} \
	}

static const struct dialogue dialogues[] = {
	{ "one message",
	  NULL,
	  PLAIN,
	  { HELLO, TO_DATA, "C: Subject: x", "C: ", "C: ..dot", "C: .",
	    "O: text 'Subject: x\\r\\n\\r\\n.dot\\r\\n' 20 as ESMTP", QUEUED, QUIT,
	    "O: disconnect from h[192.0.2.7] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5" } },
	{ "two messages, pipelined",
	  NULL,
	  PLAIN,
	  { HELLO,
	    "C: MAIL FROM:<a@b>",
	    "C: RCPT TO:<c@d>",
	    "C: DATA",
	    "S: 250 2.1.0 Ok",
	    "S: 250 2.1.5 Ok",
	    "S: 354 End data with <CR><LF>.<CR><LF>",
	    "C: 1",
	    "C: .",
	    "C: MAIL FROM:<>",
	    "C: RCPT TO:<e@f>",
	    "C: RCPT TO:<no@f>",
	    "C: DATA",
	    QUEUED,
	    "S: 250 2.1.0 Ok",
	    "S: 250 2.1.5 Ok",
	    "S: 550 5.1.1 <no@f>: Recipient address rejected: User unknown",
	    "S: 354 End data with <CR><LF>.<CR><LF>",
	    "C: .",
	    "C: QUIT",
	    QUEUED,
	    "S: 221 2.0.0 Bye",
	    "X:",
	    "O: mail <a@b>",
	    "O: rcpt <c@d>",
	    "O: begin",
	    "O: text '1\\r\\n' 3 as ESMTP",
	    "O: mail <>",
	    "O: rcpt <e@f>",
	    "O: rcpt <no@f>",
	    "O: reject: RCPT from h[192.0.2.7]: 550 5.1.1 <no@f>: Recipient address rejected: User unknown; from=<> "
	    "to=<no@f> proto=ESMTP helo=<c.test>",
	    "O: begin",
	    "O: text '' 0 as ESMTP" } },
	{ "no recipient is left",
	  NULL,
	  PLAIN,
	  { HELLO, MAIL_A, "C: RCPT TO:<no@d>", "C: DATA",
	    "S: 550 5.1.1 <no@d>: Recipient address rejected: User unknown", "S: 554 5.5.1 Error: no valid recipients",
	    "C: RSET", "S: 250 2.0.0 Ok", "C: DATA", "S: 503 5.5.1 Error: need RCPT command", "C: RCPT TO:<c@d>",
	    "S: 503 5.5.1 Error: need MAIL command", QUIT } },
	{ "HELO",
	  NULL,
	  PLAIN,
	  { "S: 220 mx.test ESMTP", "C: HELO", "S: 501 Syntax: HELO hostname", "C: helo c.test", "S: 250 mx.test",
	    TO_DATA, "C: x", "C: .", QUEUED, "O: text 'x\\r\\n' 3 as SMTP", QUIT } },
	{ "order",
	  PARAMS(.helo_required = true),
	  PLAIN,
	  { "S: 220 mx.test ESMTP",
	    "C: MAIL FROM:<a@b>",
	    "S: 503 5.5.1 Error: send HELO/EHLO first",
	    "C: LHLO x",
	    "S: 500 5.5.2 Error: command not recognized",
	    "C: EHLO",
	    "S: 501 Syntax: EHLO hostname",
	    "C: EHLO c.test",
	    "S: 250-mx.test",
	    "S: 250-PIPELINING",
	    "S: 250-SIZE 1000",
	    "S: 250-ENHANCEDSTATUSCODES",
	    "S: 250-8BITMIME",
	    "S: 250-DSN",
	    "S: 250-SMTPUTF8",
	    "S: 250 CHUNKING",
	    MAIL_A,
	    "C: MAIL FROM:<x@y>",
	    "S: 503 5.5.1 Error: nested MAIL command",
	    "C: HELO again",
	    "S: 250 mx.test",
	    "O: reset",
	    "C: RCPT TO:<c@d>",
	    "S: 503 5.5.1 Error: need MAIL command",
	    QUIT,
	    "O: disconnect from h[192.0.2.7] helo=1 ehlo=1/2 lhlo=0/1 mail=1/3 rcpt=0/1 quit=1 commands=4/9" } },
	{ "small commands",
	  PARAMS(.offer = OFFER_VRFY | OFFER_PIPELINING),
	  PLAIN,
	  { "S: 220 mx.test ESMTP",
	    "C: NOOP whatever",
	    "S: 250 2.0.0 Ok",
	    "C: RSET",
	    "S: 250 2.0.0 Ok",
	    "C: RSET x",
	    "S: 501 5.5.4 Syntax: RSET",
	    "C: VRFY c@d",
	    "S: 252 2.0.0 c@d",
	    "C: VRFY",
	    "S: 501 5.5.4 Syntax: VRFY address",
	    "C: EXPN x",
	    "S: 500 5.5.2 Error: command not recognized",
	    "C: ETRN x",
	    "S: 502 5.5.1 ETRN command is disabled",
	    "C: HELP",
	    "S: 214 2.0.0 Commands: HELO EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY ETRN QUIT HELP",
	    "C: FOO bar",
	    "S: 500 5.5.2 Error: command not recognized",
	    "C: ",
	    "S: 500 5.5.2 Error: bad syntax",
	    "C:   noop",
	    "S: 250 2.0.0 Ok",
	    "R: NOOP \xff\r\n",
	    "S: 500 5.5.2 Error: bad UTF-8 syntax",
	    "R: NOOP \x01\r\n",
	    "S: 500 5.5.2 Error: bad syntax",
	    "C: STARTTLS",
	    "S: 502 5.5.1 Error: command not implemented",
	    "C: BDAT 5",
	    "S: 521 5.5.1 Error: command not implemented",
	    "X:" } },
	{ "too many recipients",
	  PARAMS(.recipient_limit = 1, .recipient_overshoot = 2, .hard_error_limit = 1),
	  PLAIN,
	  { HELLO, MAIL_A, RCPT_C, "C: RCPT TO:<1@d>", "S: 452 4.5.3 Error: too many recipients", "C: RCPT TO:<2@d>",
	    "S: 452 4.5.3 Error: too many recipients", "C: RCPT TO:<3@d>", "S: 452 4.5.3 Error: too many recipients",
	    "S: 421 4.7.0 mx.test Error: too many errors", "X:" } },
	{ "XVERP",
	  PARAMS(.offer = OFFER_XVERP),
	  PLAIN,
	  { "S: 220 mx.test ESMTP", "C: EHLO c.test", "S: 250-mx.test", "S: 250 XVERP", "C: MAIL FROM:<a@b> XVERP=+x",
	    "S: 501 5.5.4 Error: XVERP needs two characters from -=+", "C: MAIL FROM:<a@b> XVERP=+",
	    "S: 501 5.5.4 Error: XVERP needs two characters from -=+", "C: MAIL FROM:<> XVERP",
	    "S: 503 5.5.4 Error: XVERP requires non-null sender", "C: MAIL FROM:<a@b> XVERP=-=", "S: 250 2.1.0 Ok",
	    "O: mail <a@b> verp=-=", "C: RSET", "S: 250 2.0.0 Ok", "C: MAIL FROM:<a@b> xverp", "S: 250 2.1.0 Ok",
	    "O: mail <a@b> verp=+=", QUIT } },
	{ "XVERP is not for everybody",
	  NULL,
	  PLAIN,
	  { HELLO, "C: MAIL FROM:<a@b> XVERP", "S: 555 5.5.4 Unsupported option: XVERP", QUIT } },
	{ "an answer that has to wait",
	  NULL,
	  PLAIN,
	  { HELLO, "C: MAIL FROM:<slow@b>", "S: 250 2.1.0 Ok", "O: wait", "O: mail <slow@b>", "C: RCPT TO:<c@d>",
	    "S: 250 2.1.5 Ok", "C: DATA", "S: 354 End data with <CR><LF>.<CR><LF>", "C: x", "C: .", QUEUED, "O: wait",
	    "O: text 'x\\r\\n' 3 as ESMTP", QUIT,
	    "O: disconnect from h[192.0.2.7] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5" } },
	{ "what comes while an answer waits",
	  NULL,
	  PLAIN,
	  { HELLO, "C: MAIL FROM:<slow@b>", "C: RSET", "C: NOOP", "S: 250 2.1.0 Ok", "S: 250 2.0.0 Ok",
	    "S: 250 2.0.0 Ok", QUIT } },
	{ "VRFY is off", NULL, PLAIN, { HELLO, "C: VRFY x", "S: 502 5.5.1 VRFY command is disabled", QUIT } },

	{ "MAIL's grammar",
	  NULL,
	  PLAIN,
	  { HELLO,
	    "C: MAIL",
	    "S: 501 5.5.4 Syntax: MAIL FROM:<address>",
	    "C: MAIL FROM:",
	    "S: 501 5.5.4 Syntax: MAIL FROM:<address>",
	    "C: MAIL TO:<a@b>",
	    "S: 501 5.5.4 Syntax: MAIL FROM:<address>",
	    "C: MAIL FROM:<a@b",
	    "S: 501 5.1.7 Bad sender address syntax",
	    "C: MAIL FROM:<a@b>x",
	    "S: 501 5.1.7 Bad sender address syntax",
	    "C: MAIL FROM:<a@b> SIZE=x",
	    "S: 501 5.5.4 Bad message size syntax",
	    "C: MAIL FROM:<a@b> SIZE=",
	    "S: 501 5.5.4 Bad message size syntax",
	    "C: MAIL FROM:<a@b> SIZE=1001",
	    "S: 552 5.3.4 Message size exceeds fixed limit",
	    "O: reject: MAIL from h[192.0.2.7]: 552 5.3.4 Message size exceeds fixed limit; from=<a@b> proto=ESMTP "
	    "helo=<c.test>",
	    "C: MAIL FROM:<a@b> SIZE=99999999999999999999",
	    "S: 552 5.3.4 Message size exceeds file system imposed limit",
	    "C: MAIL FROM:<a@b> BODY=BINARYMIME",
	    "S: 555 5.5.4 Unsupported option: BODY=BINARYMIME",
	    "C: MAIL FROM:<a@b> FOO=1",
	    "S: 555 5.5.4 Unsupported option: FOO=1",
	    "C: MAIL FROM:<a@b> RET=HALF",
	    "S: 501 5.5.4 Bad RET parameter syntax",
	    "C: MAIL FROM:<a@b> RET=FULL RET=FULL",
	    "S: 501 5.5.4 Bad RET parameter syntax",
	    "C: MAIL FROM:<a@b> ENVID=a+0Ab",
	    "S: 501 5.5.4 Bad ENVID parameter syntax",
	    "C: MAIL FROM:<a@b> ENVID=a+2",
	    "S: 501 5.5.4 Bad ENVID parameter syntax",
	    "R: MAIL FROM:<\xc3\xa9@b>\r\n",
	    "S: 553 5.6.7 Must declare SMTPUTF8 to send unicode address",
	    "C: mail from: <a@b> size=1000 body=8bitmime ret=hdrs envid=QQ+2B1 auth=<> SMTPUTF8",
	    "S: 250 2.1.0 Ok",
	    QUIT } },
	{ "MAIL's parameters",
	  NULL,
	  PLAIN,
	  { HELLO, "C: MAIL FROM:<a@b> SIZE=7 BODY=8BITMIME RET=HDRS ENVID=QQ+2B1 AUTH=x@y SMTPUTF8", "S: 250 2.1.0 Ok",
	    "O: mail <a@b> size=7 body=2 utf8=1 ret=2 envid=QQ+2B1 auth=x@y",
	    "R: RCPT TO:<\xc3\xa9@d> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;e+2B@d\r\n", "S: 250 2.1.5 Ok",
	    "O: rcpt <\xc3\xa9@d> notify=10 orcpt=rfc822;e+2B@d", "C: DATA", "O: begin",
	    "S: 354 End data with <CR><LF>.<CR><LF>", "C: .", QUEUED, "O: text '' 0 as UTF8SMTP", QUIT } },
	{ "RCPT's grammar",
	  NULL,
	  PLAIN,
	  { HELLO,
	    MAIL_A,
	    "C: RCPT",
	    "S: 501 5.5.4 Syntax: RCPT TO:<address>",
	    "C: RCPT TO:<>",
	    "S: 501 5.1.3 Bad recipient address syntax",
	    "C: RCPT TO:<c@d",
	    "S: 501 5.1.3 Bad recipient address syntax",
	    "C: RCPT TO:<c@d> NOTIFY=NEVER,DELAY",
	    "S: 501 5.5.4 Error: Bad NOTIFY parameter syntax",
	    "C: RCPT TO:<c@d> NOTIFY=",
	    "S: 501 5.5.4 Error: Bad NOTIFY parameter syntax",
	    "C: RCPT TO:<c@d> ORCPT=rfc822",
	    "S: 501 5.5.4 Error: Bad ORCPT parameter syntax",
	    "C: RCPT TO:<c@d> ORCPT=;x",
	    "S: 501 5.5.4 Error: Bad ORCPT parameter syntax",
	    "C: RCPT TO:<c@d> SIZE=1",
	    "S: 555 5.5.4 Unsupported option: SIZE=1",
	    "R: RCPT TO:<\xc3\xa9@d>\r\n",
	    "S: 553 5.6.7 Must declare SMTPUTF8 to send unicode address",
	    "C: RCPT TO:<postmaster>",
	    "S: 250 2.1.5 Ok",
	    "C: RCPT TO:<1@d>",
	    "S: 250 2.1.5 Ok",
	    "C: RCPT TO:<2@d>",
	    "S: 250 2.1.5 Ok",
	    "C: RCPT TO:<3@d>",
	    "S: 452 4.5.3 Error: too many recipients",
	    QUIT } },
	{ "DSN is off",
	  PARAMS(.offer = 0),
	  PLAIN,
	  { "S: 220 mx.test ESMTP", "C: MAIL FROM:<a@b> RET=FULL", "S: 501 5.7.1 DSN support is disabled",
	    "C: MAIL FROM:<a@b> SMTPUTF8", "S: 555 5.5.4 Unsupported option: SMTPUTF8", QUIT } },

	{ "the owner refuses",
	  NULL,
	  PLAIN,
	  { HELLO,
	    "C: MAIL FROM:<no@b>",
	    "S: 450 4.1.8 <no@b>: Sender address rejected",
	    "C: MAIL FROM:<nodata@b>",
	    "S: 250 2.1.0 Ok",
	    RCPT_C,
	    "C: DATA",
	    "S: 550 5.5.3 <DATA>: Data command rejected",
	    "C: RSET",
	    "S: 250 2.0.0 Ok",
	    "C: MAIL FROM:<noend@b>",
	    "S: 250 2.1.0 Ok",
	    RCPT_C,
	    "C: DATA",
	    "S: 354 End data with <CR><LF>.<CR><LF>",
	    "C: .",
	    "S: 554-5.7.1 Blocked",
	    "S: 554 5.7.1 second line",
	    "C: EHLO no",
	    "S: 504 5.5.2 <no>: Helo command rejected",
	    "C: MAIL FROM:<bye@b>",
	    "S: 421 4.7.0 mx.test go away",
	    "X:",
	    "O: reject: MAIL from h[192.0.2.7]: 421 4.7.0 mx.test go away; from=<bye@b> proto=ESMTP helo=<c.test>" } },
	{ "the owner refuses, in the log",
	  NULL,
	  PLAIN,
	  { HELLO, "C: MAIL FROM:<no@b>", "S: 450 4.1.8 <no@b>: Sender address rejected", "O: mail <no@b>",
	    "O: reject: MAIL from h[192.0.2.7]: 450 4.1.8 <no@b>: Sender address rejected; from=<no@b> proto=ESMTP "
	    "helo=<c.test>",
	    "C: MAIL FROM:<nodata@b>", "S: 250 2.1.0 Ok", "O: mail <nodata@b>", RCPT_C, "C: DATA",
	    "S: 550 5.5.3 <DATA>: Data command rejected", "O: begin",
	    "O: reject: DATA from h[192.0.2.7]: 550 5.5.3 <DATA>: Data command rejected; from=<nodata@b> proto=ESMTP "
	    "helo=<c.test>",
	    QUIT, "O: reset" } },
	{ "refused at the door",
	  PARAMS(.host = "closed"),
	  PLAIN,
	  { "S: 554 5.7.1 no", "C: EHLO x", "S: 503 5.7.0 Error: access denied", QUIT,
	    "O: reject: CONNECT from h[192.0.2.7]: 554 5.7.1 no; proto=SMTP",
	    "O: disconnect from h[192.0.2.7] ehlo=0/1 quit=1 commands=1/2" } },
	{ "shown the door", PARAMS(.host = "full"), PLAIN, { "S: 421 4.7.0 full Error: too many connections", "X:" } },

	SMUGGLED("a\n.\nMAIL FROM:<x@y>\r\n.\r\n", "bare <LF>"),
	SMUGGLED("a\n.\r\nMAIL FROM:<x@y>\r\n.\r\n", "bare <LF>"),
	SMUGGLED("a\r\n.\nMAIL FROM:<x@y>\r\n.\r\n", "bare <LF>"),
	SMUGGLED("a\r.\r\nMAIL FROM:<x@y>\r\n.\r\n", "bare <CR>"),
	SMUGGLED("a\r.\rMAIL FROM:<x@y>\r\n.\r\n", "bare <CR>"),
	SMUGGLED("a\r\n.\rMAIL FROM:<x@y>\r\n.\r\n", "bare <CR>"),
	SMUGGLED("a\r\r\n.\r\r\nMAIL FROM:<x@y>\r\n.\r\n", "bare <CR>"),
	{ "bare LF in a command",
	  NULL,
	  PLAIN,
	  { HELLO, MAIL_A, "R: RCPT TO:<c@d>\n", "S: 550 5.5.2 mx.test Error: bare <LF> received", "X:",
	    "O: reject: UNKNOWN from h[192.0.2.7]: 550 5.5.2 mx.test Error: bare <LF> received; from=<a@b> proto=ESMTP "
	    "helo=<c.test>",
	    "O: disconnect from h[192.0.2.7] ehlo=1 mail=1 commands=2" } },
	{ "bare CR in a command",
	  NULL,
	  PLAIN,
	  { HELLO, "R: MAIL FROM:<a@b>\rRCPT\r\n", "S: 550 5.5.2 mx.test Error: bare <CR> received", "X:" } },
	{ "too big",
	  NULL,
	  PLAIN,
	  { HELLO, TO_DATA, "R: @big", "C: .", "S: 552 5.3.4 Error: message file too big",
	    "O: reject: END-OF-MESSAGE from h[192.0.2.7]: 552 5.3.4 Error: message file too big; from=<a@b> "
	    "proto=ESMTP helo=<c.test>",
	    "O: reset", QUIT } },
	{ "line too long",
	  PARAMS(.text_line_limit = 64),
	  PLAIN,
	  { HELLO, TO_DATA, "R: @line", "C: .", "S: 554 5.6.0 Error: line longer than 64 bytes", QUIT } },
	{ "command too long",
	  NULL,
	  PLAIN,
	  { HELLO, "R: @line", "S: 500 5.5.2 mx.test Error: command too long", "C: NOOP", "S: 250 2.0.0 Ok", QUIT } },

	{ "BDAT",
	  NULL,
	  PLAIN,
	  { HELLO, MAIL_A, RCPT_C, "R: BDAT 5\r\na\r\n.\r", "S: 250 2.0.0 Ok: 5 bytes", "R: BDAT 3\r\n\n.x",
	    "S: 250 2.0.0 Ok: 3 bytes", "C: BDAT 0 LAST", QUEUED, "O: begin",
	    "O: text 'a\\r\\n.\\r\\n.x\\r\\n' 10 as ESMTP", QUIT,
	    "O: disconnect from h[192.0.2.7] ehlo=1 mail=1 rcpt=1 bdat=3 quit=1 commands=7" } },
	{ "BDAT, pipelined",
	  NULL,
	  PLAIN,
	  { HELLO,
	    "R: MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 4 LAST\r\n12\r\nMAIL FROM:<e@f>\r\nRCPT TO:<g@h>\r\nBDAT "
	    "2\r\n\r\nBDAT 1 LAST\r\nxQUIT\r\n",
	    "S: 250 2.1.0 Ok", "S: 250 2.1.5 Ok", QUEUED, "S: 250 2.1.0 Ok", "S: 250 2.1.5 Ok",
	    "S: 250 2.0.0 Ok: 2 bytes", QUEUED, "S: 221 2.0.0 Bye", "X:" } },
	{ "BDAT out of order",
	  NULL,
	  PLAIN,
	  { HELLO,
	    "R: BDAT 6\r\nQUIT\r\n",
	    "S: 503 5.5.1 Error: need RCPT command",
	    "C: MAIL FROM:<a@b>",
	    "S: 503 5.5.1 Error: MAIL after BDAT",
	    "R: BDAT 6 LAST\r\nQUIT\r\n",
	    "S: 551 5.0.0 Discarded 6 bytes after earlier error",
	    MAIL_A,
	    RCPT_C,
	    "R: BDAT 3\r\n1\r\n",
	    "S: 250 2.0.0 Ok: 3 bytes",
	    "C: DATA",
	    "S: 503 5.5.1 Error: DATA after BDAT",
	    "C: RCPT TO:<c@d>",
	    "S: 503 5.5.1 Error: RCPT after BDAT",
	    "C: BDAT 0",
	    "S: 551 5.7.1 Null BDAT request",
	    "C: RSET",
	    "S: 250 2.0.0 Ok",
	    "C: BDAT x",
	    "S: 521 5.5.4 Syntax: BDAT count [LAST]",
	    "X:" } },
	{ "BDAT with a bare LF",
	  NULL,
	  PLAIN,
	  { HELLO, MAIL_A, RCPT_C, "O: begin", "R: BDAT 6\r\nQUIT\n.", "S: 550 5.5.2 mx.test Error: bare <LF> received",
	    "O: reject: BDAT from h[192.0.2.7]: 550 5.5.2 mx.test Error: bare <LF> received; from=<a@b> proto=ESMTP "
	    "helo=<c.test>",
	    "O: reset", "R: BDAT 2 LAST\r\n..", "S: 551 5.0.0 Discarded 2 bytes after earlier error", MAIL_A, RCPT_C,
	    "R: BDAT 1 LAST\r\n\r", "S: 550 5.5.2 mx.test Error: bare <CR> received", QUIT } },
	{ "BDAT too big",
	  NULL,
	  PLAIN,
	  { HELLO, MAIL_A, RCPT_C, "C: BDAT 1001 LAST", "R: @big", "S: 552 5.3.4 Chunk exceeds message size limit",
	    QUIT } },

	{ "LMTP",
	  PARAMS(.lmtp = true),
	  PLAIN,
	  { "S: 220 mx.test ESMTP",
	    "C: EHLO x",
	    "S: 500 5.5.2 Error: command not recognized",
	    "C: MAIL FROM:<a@b>",
	    "S: 503 5.5.1 Error: send LHLO first",
	    "C: LHLO c.test",
	    "S: 250-mx.test",
	    "S: 250-PIPELINING",
	    "S: 250-SIZE 1000",
	    "S: 250-ENHANCEDSTATUSCODES",
	    "S: 250-8BITMIME",
	    "S: 250-DSN",
	    "S: 250-SMTPUTF8",
	    "S: 250 CHUNKING",
	    TO_DATA,
	    "C: x",
	    "C: .",
	    "S: 250 2.0.0 <c@d> Saved",
	    "O: text 'x\\r\\n' 3 as LMTP",
	    MAIL_A,
	    RCPT_C,
	    "C: RCPT TO:<no@d>",
	    "S: 550 5.1.1 <no@d>: Recipient address rejected: User unknown",
	    "C: RCPT TO:<full@d>",
	    "S: 250 2.1.5 Ok",
	    "C: DATA",
	    "S: 354 End data with <CR><LF>.<CR><LF>",
	    "C: .",
	    "S: 250 2.0.0 <c@d> Saved",
	    "S: 452 4.2.2 <full@d> Mailbox full",
	    MAIL_A,
	    RCPT_C,
	    "C: RCPT TO:<full@d>",
	    "S: 250 2.1.5 Ok",
	    "C: DATA",
	    "S: 354 End data with <CR><LF>.<CR><LF>",
	    "R: \n.\r\n\r\n.\r\n",
	    "S: 550 5.5.2 mx.test Error: bare <LF> received",
	    "S: 550 5.5.2 mx.test Error: bare <LF> received",
	    "C: DATA",
	    "S: 503 5.5.1 Error: need RCPT command",
	    QUIT } },

	{ "AUTH needs TLS",
	  NULL,
	  PLAIN,
	  { HELLO, "C: AUTH PLAIN AHVzZXIAc2VjcmV0",
	    "S: 538 5.7.11 Encryption required for requested authentication mechanism", QUIT } },
	{ "AUTH is off",
	  PARAMS(.offer = OFFER_USUAL),
	  PLAIN,
	  { HELLO, "C: AUTH PLAIN", "S: 503 5.5.1 Error: authentication not enabled", QUIT } },
	{ "AUTH PLAIN",
	  PARAMS(.auth_clear = SASL_PLAIN | SASL_LOGIN),
	  PLAIN,
	  { HELLO_AUTH,
	    "C: AUTH",
	    "S: 501 5.5.4 Syntax: AUTH mechanism",
	    "C: AUTH X-FOO",
	    "S: 504 5.5.4 Unrecognized authentication type",
	    "C: AUTH PLAIN AHVzZXIAd3Jvbmc=",
	    "S: 535 5.7.8 Error: authentication failed: wrong user name or password",
	    "O: auth PLAIN user wrong",
	    "O: h[192.0.2.7]: SASL PLAIN authentication failed: wrong user name or password, sasl_username=user",
	    "C: AUTH PLAIN AHVzZXIAc2VjcmV0!",
	    "S: 501 5.5.2 Error: authentication failed: Invalid base64 data",
	    "O: h[192.0.2.7]: SASL PLAIN authentication failed: Invalid base64 data, sasl_username=(unavailable)",
	    "C: AUTH PLAIN =",
	    "S: 535 5.7.8 Error: authentication failed: Malformed response",
	    "C: AUTH PLAIN",
	    "S: 334 ",
	    "C: *",
	    "S: 501 5.7.0 Authentication aborted",
	    "C: AUTH PLAIN",
	    "S: 334 ",
	    "C: AHVzZXIAc2VjcmV0",
	    "O: h[192.0.2.7]: SASL PLAIN authentication failed: Malformed response, sasl_username=(unavailable)",
	    "O: auth PLAIN user secret",
	    "S: 235 2.7.0 Authentication successful",
	    "C: AUTH PLAIN",
	    "S: 503 5.5.1 Error: already authenticated",
	    TO_DATA,
	    "C: .",
	    QUEUED,
	    "O: text '' 0 as ESMTPA",
	    QUIT,
	    "O: disconnect from h[192.0.2.7] ehlo=1 auth=1/8 mail=1 rcpt=1 data=1 quit=1 commands=6/13" } },
	{ "AUTH LOGIN",
	  PARAMS(.auth_clear = SASL_PLAIN | SASL_LOGIN, .auth_failure_limit = 2),
	  PLAIN,
	  { HELLO_AUTH,
	    MAIL_A,
	    "C: AUTH LOGIN",
	    "S: 503 5.5.1 Error: MAIL transaction in progress",
	    "C: RSET",
	    "S: 250 2.0.0 Ok",
	    "O: reset",
	    "C: AUTH LOGIN",
	    "S: 334 VXNlcm5hbWU6",
	    "C: dXNlcg==",
	    "S: 334 UGFzc3dvcmQ6",
	    "C: d3Jvbmc=",
	    "S: 535 5.7.8 Error: authentication failed: wrong user name or password",
	    "O: auth LOGIN user wrong",
	    "O: h[192.0.2.7]: SASL LOGIN authentication failed: wrong user name or password, sasl_username=user",
	    "C: AUTH LOGIN dXNlcg==",
	    "S: 334 UGFzc3dvcmQ6",
	    "C: d3Jvbmc=",
	    "S: 535 5.7.8 Error: authentication failed: wrong user name or password",
	    "S: 421 4.7.0 mx.test Error: too many errors",
	    "X:",
	    "O: auth LOGIN user wrong",
	    "O: h[192.0.2.7]: SASL LOGIN authentication failed: wrong user name or password, sasl_username=user",
	    "O: too many errors after AUTH from h[192.0.2.7]",
	    "O: disconnect from h[192.0.2.7] ehlo=1 auth=0/3 mail=1 rset=1 commands=3/6" } },
	{ "TLS is required",
	  PARAMS(.tls_required = true),
	  PLAIN,
	  { HELLO, "C: MAIL FROM:<a@b>", "S: 530 5.7.0 Must issue a STARTTLS command first", "C: NOOP",
	    "S: 250 2.0.0 Ok", QUIT } },

	{ "hard error limit",
	  PARAMS(.hard_error_limit = 2, .soft_error_limit = 1, .error_delay = 3),
	  PLAIN,
	  { HELLO, "C: FOO", "S: 500 5.5.2 Error: command not recognized", "C: MAIL FROM:<a@",
	    "S: 501 5.1.7 Bad sender address syntax", "S: 421 4.7.0 mx.test Error: too many errors",
	    "X:", "O: too many errors after MAIL from h[192.0.2.7]",
	    "O: disconnect from h[192.0.2.7] ehlo=1 mail=0/1 unknown=0/1 commands=1/3" } },
	{ "junk commands",
	  PARAMS(.junk_command_limit = 3, .hard_error_limit = 1),
	  PLAIN,
	  { HELLO, "C: NOOP", "S: 250 2.0.0 Ok", "C: RSET", "S: 250 2.0.0 Ok", "C: NOOP", "S: 250 2.0.0 Ok", "C: NOOP",
	    "S: 250 2.0.0 Ok", "S: 421 4.7.0 mx.test Error: too many errors", "X:" } },
	{ "web browser",
	  NULL,
	  PLAIN,
	  { "S: 220 mx.test ESMTP", "C: GET / HTTP/1.1", "S: 221 2.7.0 Error: I can break rules, too. Goodbye.",
	    "X:", "O: non-SMTP command from h[192.0.2.7]: GET / HTTP/1.1",
	    "O: disconnect from h[192.0.2.7] unknown=0/1 commands=0/1" } },
	{ "header",
	  NULL,
	  PLAIN,
	  { "S: 220 mx.test ESMTP", "C: Subject: x", "S: 221 2.7.0 Error: I can break rules, too. Goodbye.", "X:" } },
	{ "settings' words",
	  PARAMS(.forbidden = (const char *const[]){ "FOO", NULL }, .noop = (const char *const[]){ "BAR", NULL }),
	  PLAIN,
	  { "S: 220 mx.test ESMTP", "C: BAR", "S: 250 2.0.0 Ok", "C: GET /",
	    "S: 500 5.5.2 Error: command not recognized", "C: foo",
	    "S: 221 2.7.0 Error: I can break rules, too. Goodbye.", "X:" } },

	{ "text before 354",
	  NULL,
	  WHOLE,
	  { HELLO, MAIL_A, RCPT_C, "R: DATA\r\ntext\r\n.\r\n", "S: 554 5.5.0 Error: SMTP protocol synchronization",
	    "X:", "O: improper command pipelining after DATA from h[192.0.2.7]: text\\r\\n.\\r\\n", "O: reset" } },
	{ "text before 354, allowed",
	  &(const struct smtp_server_params){ DEFAULTS, .strict_pipelining = false },
	  WHOLE,
	  { HELLO, MAIL_A, RCPT_C, "R: DATA\r\ntext\r\n.\r\n", "S: 354 End data with <CR><LF>.<CR><LF>", QUEUED,
	    "O: improper command pipelining after DATA from h[192.0.2.7]: text\\r\\n.\\r\\n", QUIT } },
	{ "pipelining without EHLO",
	  NULL,
	  WHOLE,
	  { "S: 220 mx.test ESMTP", "C: HELO x", "S: 250 mx.test", "C: MAIL FROM:<a@b>", "C: RCPT TO:<c@d>",
	    "S: 554 5.5.0 Error: SMTP protocol synchronization", "X:" } },
	{ "command behind EHLO",
	  NULL,
	  WHOLE,
	  { "S: 220 mx.test ESMTP", "C: EHLO x", "C: MAIL FROM:<a@b>",
	    "S: 554 5.5.0 Error: SMTP protocol synchronization", "X:" } },
	{ "talks first",
	  NULL,
	  WHOLE,
	  { "C: EHLO x", "S: 554 5.5.0 Error: SMTP protocol synchronization",
	    "X:", "O: improper command pipelining after CONNECT from h[192.0.2.7]: EHLO x\\r\\n" } },
	{ "lost",
	  NULL,
	  PLAIN,
	  { HELLO, TO_DATA, "C: half", "R: @end", "X:", "O: lost connection after DATA (6 bytes) from h[192.0.2.7]",
	    "O: disconnect from h[192.0.2.7] ehlo=1 mail=1 rcpt=1 data=0/1 commands=3/4", "O: reset" } },
	{ "timeout",
	  PARAMS(.timeout = 30),
	  PLAIN,
	  { HELLO, "R: @wait", "S: 421 4.4.2 mx.test Error: timeout exceeded",
	    "X:", "O: timeout after EHLO from h[192.0.2.7]" } },
	{ "server stops",
	  NULL,
	  PLAIN,
	  { HELLO, MAIL_A, "R: @stop", "S: 421 4.3.2 mx.test Service shutting down", "X:", "O: reset" } },
};

static void test_dialogues(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(dialogues); i++) {
		const struct dialogue *d = &dialogues[i];
		const struct smtp_server_params *p = d->params != NULL ? d->params : &usual;
		dialogue_play(d->name, p, d->lines, 100000);
		if (d->how == PLAIN) dialogue_play(d->name, p, d->lines, 1);
	}
}

/* What dialogues cannot show: time, and amounts. */
struct bench {
	struct play p;
	struct smtp_server_params params;
};

static void bench_open(struct bench *b, const char *name, const char *const lines[64]) {
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	b->params = usual;
	b->params.junk_command_limit = 1000000;
	b->p = (struct play){ .name = name, .fd = pair[1], .said = BUF(MIB(8)) };
	b->p.owner = (struct owner){ .log = BUF(MIB(1)), .text = BUF(MIB(1)), .host = "mx.test" };
	b->p.stream = stream_new(pair[0], KIB(32), KIB(64));
	b->p.owner.server = smtp_server_new(b->p.stream, &b->params, &clear_ops, &b->p.owner);
	play_step(&b->p, WAKE_CALL);
	play_lines(&b->p, lines, 1000);
}

static void bench_close(struct bench *b) {
	smtp_server_free(&b->p.owner.server);
	stream_close(&b->p.stream);
	close(b->p.fd);
	buf_done(&b->p.said);
	buf_done(&b->p.owner.log);
	buf_done(&b->p.owner.text);
}

/* Only whole commands and the bytes of a message buy time, and the latter no more than they are worth. */
static void test_slow_client(void **state) {
	(void)state;
	struct bench b;
	bench_open(&b, "slow", (const char *const[64]){ HELLO, MAIL_A, RCPT_C });
	int64_t before = smtp_server_deadline(b.p.owner.server);
	play_send(&b.p, S("DAT"), 1);
	assert_int_equal(smtp_server_deadline(b.p.owner.server), before);
	play_send(&b.p, S("A\r\n"), 1);
	before = smtp_server_deadline(b.p.owner.server);
	usleep(30000);
	play_send(&b.p, S("12345"), 1); /* at 500 bytes a second */
	assert_int_equal(smtp_server_deadline(b.p.owner.server), before + 10);
	bench_close(&b);
}

/* Without per_request every byte buys a whole timeout. */
static void test_patience(void **state) {
	(void)state;
	struct bench b;
	bench_open(&b, "patient", (const char *const[64]){ HELLO, MAIL_A, RCPT_C });
	b.params.per_request = false;
	int64_t before = smtp_server_deadline(b.p.owner.server);
	usleep(30000);
	play_send(&b.p, S("D"), 1);
	assert_true(smtp_server_deadline(b.p.owner.server) >= before + 30);
	bench_close(&b);
}

/* Who sends much and reads nothing is not read from; who sends much is not the only one. */
static void test_greedy_client(void **state) {
	(void)state;
	struct bench b;
	bench_open(&b, "greedy", (const char *const[64]){ HELLO });
	static const char rsets[] = "RSET\r\nRSET\r\nRSET\r\nRSET\r\nRSET\r\nRSET\r\nRSET\r\nRSET\r\n";
	size_t sent = 0, blocked = 0, yielded = 0, heard = 0;
	for (int i = 0; i < 100000 && heard < 8 * 2000; i++) {
		if (sent < 8 * 2000 && send(b.p.fd, rsets, sizeof rsets - 1, MSG_DONTWAIT) > 0) sent += 8;
		if (sent < 8 * 2000 && i % 64 != 0) continue;
		assert_int_equal(smtp_server_step(b.p.owner.server, WAKE_IO), SMTP_PARK);
		blocked += smtp_server_events(b.p.owner.server) == EPOLLOUT;
		yielded += smtp_server_deadline(b.p.owner.server) == 0;
		if (i % 1000 != 0) continue;
		play_listen(&b.p);
		heard = b.p.said.len / strlen("250 2.0.0 Ok\r\n");
	}
	assert_int_equal(heard, 8 * 2000);
	assert_true(blocked > 0 && yielded > 0);
	bench_close(&b);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialogues),
		cmocka_unit_test(test_slow_client),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_greedy_client),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
