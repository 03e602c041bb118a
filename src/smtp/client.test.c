/* SPDX-License-Identifier: Apache-2.0 */
/* Dialogues with a scripted server: what is said in which order, and what is made of every answer, loss and silence. */
#include "smtp/client_script.test.h"
#include "base/encode.h"

#define GREET "S: 220 mx.example.org ESMTP\nC: EHLO me.example.net\n"
#define PLAIN_OFFER GREET "S: 250 mx.example.org\n"
#define PIPE_OFFER GREET "S: 250-mx.example.org\nS: 250-PIPELINING\nS: 250-SIZE 1000000\nS: 250-8BITMIME\nS: 250 DSN\n"
#define MAIL_OK "C: MAIL FROM:<a@b.c>\nS: 250 2.1.0 Ok\n"
#define RCPT1_OK "C: RCPT TO:<one@example.org>\nS: 250 2.1.5 Ok\n"
#define RCPT2_OK "C: RCPT TO:<two@example.org>\nS: 250 2.1.5 Ok\n"
#define BOTH_OK MAIL_OK RCPT1_OK RCPT2_OK
#define DATA_OK "C: DATA\nS: 354 go\nBODY\n"
#define SENT "250 2.0.0 Ok: queued as 1234"

enum option {
	LMTP = 1,
	NO_PIPELINING = 2,
	ENCRYPT = 4,
	MAY = 8,
	AUTH = 16,
	AUTH_CLEAR = 32,
	UTF8 = 64,
	QUICK = 128,
	BIG = 256,
	OWN = 512,
	EHLO_IF_NAMED = 1024,
	FINAL = 2048,
	FORWARD = 4096,
	DUMMY_AUTH = 8192
};

static const struct {
	const char *what, *dialogue;
	unsigned options;
	int open, send;                      /* send -1: not tried */
	enum smtp_fate fate1, fate2;
	const char *status1, *status2, *text1, *text2; /* text: a part of it */
} cases[] = {
	{ "plain", PLAIN_OFFER BOTH_OK DATA_OK "S: " SENT "\nC: QUIT", 0, SMTP_CLIENT_OK, SMTP_CLIENT_OK,
	  SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0", "2.0.0", SENT, SENT },
	{ "pipelined",
	  PIPE_OFFER "C: MAIL FROM:<a@b.c> SIZE=\nC: RCPT TO:<one@example.org>\nC: RCPT TO:<two@\nC: DATA\n"
		     "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nBODY\nS: " SENT "\nC: QUIT",
	  0, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0", "2.0.0", SENT, SENT },
	{ "pipelining switched off",
	  PIPE_OFFER "C: MAIL FROM\nS: 250 ok\n" RCPT1_OK RCPT2_OK DATA_OK "S: 250 ok\nC: QUIT", NO_PIPELINING,
	  SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0", "2.0.0", "250 ok", "250 ok" },
	{ "EHLO unknown",
	  "S: 220 old\nC: EHLO me\nS: 502 what\nC: HELO me.example.net\nS: 250 hi\n" BOTH_OK DATA_OK "S: " SENT, 0,
	  SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0", "2.0.0", SENT, SENT },
	{ "greeting 554", "S: 554-5.7.1 no service\nS: 554 5.7.1 for you\nC: QUIT", 0, SMTP_CLIENT_OVER, -1, SMTP_LATER,
	  0, "4.7.1", NULL,
	  "host mx.example.org[127.0.0.1] refused to talk to me: 554-5.7.1 no service 554 5.7.1 for you", NULL },
	{ "greeting 421", "S: 421 4.3.2 too many connections", 0, SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.3.2", NULL,
	  "refused to talk to me: 421 4.3.2 too many connections", NULL },
	{ "no greeting", "DROP", 0, SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.4.2", NULL,
	  "lost connection with mx.example.org[127.0.0.1] while receiving the initial server greeting", NULL },
	{ "silent greeting", "STALL", QUICK, SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.4.2", NULL,
	  "conversation with mx.example.org[127.0.0.1] timed out while receiving the initial server greeting", NULL },
	{ "not SMTP", "S: HTTP/1.1 400 Bad Request", 0, SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.4.2", NULL,
	  "broke the protocol", NULL },
	{ "endless line", "FLOOD 200000\nMAYBE x", 0, SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.4.2", NULL,
	  "broke the protocol", NULL },
	{ "HELO refused too", "S: 220 x\nC: EHLO\nS: 550 5.7.1 bad name\nC: HELO\nS: 550 5.7.1 bad name", 0,
	  SMTP_CLIENT_OVER, -1, SMTP_NEVER, 0, "5.7.1", NULL, "refused to talk to me: 550 5.7.1 bad name", NULL },
	{ "lost at EHLO", "S: 220 x\nC: EHLO\nDROP", 0, SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.4.2", NULL,
	  "lost connection with mx.example.org[127.0.0.1] while performing the EHLO handshake", NULL },
	{ "that is us", "S: 220 x\nC: EHLO\nS: 250 ME.example.net", OWN, SMTP_CLIENT_OVER, -1, SMTP_NEVER, 0, "5.4.6",
	  NULL, "loops back to myself", NULL },
	{ "one refused",
	  PLAIN_OFFER MAIL_OK "C: RCPT TO:<one@\nS: 550-5.1.1 no\nS: 550 5.1.1 such user\n" RCPT2_OK DATA_OK "S: " SENT,
	  0, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_NEVER, SMTP_DELIVERED, "5.1.1", "2.0.0",
	  "host mx.example.org[127.0.0.1] said: 550-5.1.1 no 550 5.1.1 such user (in reply to RCPT TO command)", SENT },
	{ "one refused, pipelined",
	  PIPE_OFFER
	  "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 5.1.1 no\nS: 250 ok\nS: 354 go\nBODY\nS: 250 ok",
	  0, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_NEVER, SMTP_DELIVERED, "5.1.1", "2.0.0",
	  "550 5.1.1 no (in reply to RCPT TO", "250 ok" },
	{ "all refused, no DATA", PLAIN_OFFER MAIL_OK "C: RCPT\nS: 550 no\nC: RCPT\nS: 450 4.2.0 greylisted\nC: QUIT",
	  0, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_NEVER, SMTP_LATER, "5.0.0", "4.2.0", "said: 550 no",
	  "450 4.2.0 greylisted (in reply to RCPT TO command)" },
	{ "all refused, 354",
	  PIPE_OFFER "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 no\nS: 550 no\nS: 354 go\nC: .\nS: 554 no "
		     "valid recipients\nC: QUIT",
	  0, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_NEVER, SMTP_NEVER, "5.0.0", "5.0.0", "550 no (in reply to RCPT",
	  "550 no (in reply to RCPT" },
	{ "all refused, 503",
	  PIPE_OFFER "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 no\nS: 550 no\nS: 503 5.5.1 no\nC: QUIT", 0,
	  SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_NEVER, SMTP_NEVER, "5.0.0", "5.0.0", "550 no (in reply to RCPT",
	  "550 no (in reply to RCPT" },
	{ "MAIL refused", PLAIN_OFFER "C: MAIL\nS: 550 5.7.1 no\nC: QUIT", 0, SMTP_CLIENT_OK, SMTP_CLIENT_OK,
	  SMTP_NEVER, SMTP_NEVER, "5.7.1", "5.7.1", "(in reply to MAIL FROM command)",
	  "(in reply to MAIL FROM command)" },
	{ "MAIL refused, pipelined",
	  PIPE_OFFER "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 451 4.7.1 wait\nS: 503 a\nS: 503 b\nS: 503 c\nC: QUIT", 0,
	  SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_LATER, SMTP_LATER, "4.7.1", "4.7.1", "451 4.7.1 wait (in reply to MAIL",
	  "451 4.7.1 wait (in reply to MAIL" },
	{ "552 to RCPT is 452", PLAIN_OFFER MAIL_OK RCPT1_OK "C: RCPT\nS: 552 5.5.3 too many\n" DATA_OK "S: 250 ok", 0,
	  SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_DELIVERED, SMTP_LATER, "2.0.0", "4.5.3", "250 ok",
	  "552 5.5.3 too many (in reply to RCPT" },
	{ "421 to MAIL", PLAIN_OFFER "C: MAIL\nS: 421 4.4.2 idle too long\nDROP", 0, SMTP_CLIENT_OK, SMTP_CLIENT_STALE,
	  SMTP_LATER, SMTP_LATER, "4.4.2", "4.4.2", "421 4.4.2 idle too long (in reply to MAIL", "421 4.4.2 idle" },
	{ "lost at MAIL", PLAIN_OFFER "C: MAIL\nDROP", 0, SMTP_CLIENT_OK, SMTP_CLIENT_STALE, SMTP_LATER, SMTP_LATER,
	  "4.4.2", "4.4.2", "lost connection with mx.example.org[127.0.0.1] while sending MAIL FROM",
	  "while sending MAIL FROM" },
	{ "421 to RCPT", PLAIN_OFFER MAIL_OK "C: RCPT\nS: 421 4.7.0 try later\nDROP", 0, SMTP_CLIENT_OK,
	  SMTP_CLIENT_OVER, SMTP_LATER, SMTP_LATER, "4.7.0", "4.4.2",
	  "421 4.7.0 try later (in reply to RCPT TO command)",
	  "lost connection with mx.example.org[127.0.0.1] while sending RCPT TO" },
	{ "lost at RCPT", PLAIN_OFFER MAIL_OK "C: RCPT\nS: 550 no\nC: RCPT\nDROP", 0, SMTP_CLIENT_OK, SMTP_CLIENT_OVER,
	  SMTP_NEVER, SMTP_LATER, "5.0.0", "4.4.2", "550 no",
	  "lost connection with mx.example.org[127.0.0.1] while sending RCPT TO" },
	{ "DATA refused", PLAIN_OFFER BOTH_OK "C: DATA\nS: 451 4.3.0 not now\nC: QUIT", 0, SMTP_CLIENT_OK,
	  SMTP_CLIENT_OK, SMTP_LATER, SMTP_LATER, "4.3.0", "4.3.0", "451 4.3.0 not now (in reply to DATA command)",
	  "(in reply to DATA command)" },
	{ "DATA answered 250", PLAIN_OFFER BOTH_OK "C: DATA\nS: 250 2.0.0 fine\nC: QUIT", 0, SMTP_CLIENT_OK,
	  SMTP_CLIENT_OK, SMTP_LATER, SMTP_LATER, "4.0.0", "4.0.0", "250 2.0.0 fine (in reply to DATA command)",
	  "(in reply to DATA command)" },
	{ "lost at DATA", PLAIN_OFFER BOTH_OK "C: DATA\nDROP", 0, SMTP_CLIENT_OK, SMTP_CLIENT_OVER, SMTP_LATER,
	  SMTP_LATER, "4.4.2", "4.4.2", "while sending DATA command", "while sending DATA command" },
	{ "text refused", PLAIN_OFFER BOTH_OK DATA_OK "S: 554 5.7.1 spam", 0, SMTP_CLIENT_OK, SMTP_CLIENT_OK,
	  SMTP_NEVER, SMTP_NEVER, "5.7.1", "5.7.1", "said: 554 5.7.1 spam (in reply to end of DATA command)",
	  "554 5.7.1 spam" },
	{ "text refused for now", PLAIN_OFFER BOTH_OK DATA_OK "S: 452 4.3.1 full", 0, SMTP_CLIENT_OK, SMTP_CLIENT_OK,
	  SMTP_LATER, SMTP_LATER, "4.3.1", "4.3.1", "(in reply to end of DATA command)", "452 4.3.1 full" },
	{ "421 to the dot", PLAIN_OFFER BOTH_OK DATA_OK "S: 421 4.3.0 bye", 0, SMTP_CLIENT_OK, SMTP_CLIENT_OVER,
	  SMTP_LATER, SMTP_LATER, "4.3.0", "4.3.0", "421 4.3.0 bye (in reply to end of DATA command)",
	  "421 4.3.0 bye" },
	{ "lost after the dot", PLAIN_OFFER BOTH_OK DATA_OK "DROP", 0, SMTP_CLIENT_OK, SMTP_CLIENT_OVER, SMTP_LATER,
	  SMTP_LATER, "4.4.2", "4.4.2",
	  "lost connection with mx.example.org[127.0.0.1] while sending end of data -- message may be sent more than "
	  "once",
	  "more than once" },
	{ "silent after the dot", PLAIN_OFFER BOTH_OK DATA_OK "STALL", QUICK, SMTP_CLIENT_OK, SMTP_CLIENT_OVER,
	  SMTP_LATER, SMTP_LATER, "4.4.2", "4.4.2",
	  "conversation with mx.example.org[127.0.0.1] timed out while sending end of data -- message may be sent more "
	  "than once",
	  "more than once" },
	{ "refused amid the text", PLAIN_OFFER BOTH_OK "C: DATA\nS: 354 go\nC: Subject\nS: 552 5.3.4 too big\nDROP",
	  BIG, SMTP_CLIENT_OK, SMTP_CLIENT_OVER, SMTP_LATER + 10, SMTP_LATER + 10, NULL, NULL, NULL,
	  NULL }, /* either way: the reply may be lost with the reset */
	{ "stalls amid the text", PLAIN_OFFER BOTH_OK "C: DATA\nS: 354 go\nC: Subject\nDEAF", BIG | QUICK,
	  SMTP_CLIENT_OK, SMTP_CLIENT_OVER, SMTP_LATER, SMTP_LATER, "4.4.2", "4.4.2", "while sending message body",
	  "while sending message body" },
	{ "too big", GREET "S: 250-mx\nS: 250 SIZE 10\nC: QUIT", 0, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_NEVER,
	  SMTP_NEVER, "5.3.4", "5.3.4", "exceeds size limit 10 of server mx.example.org[127.0.0.1]",
	  "exceeds size limit" },
	{ "no SMTPUTF8", PIPE_OFFER "C: QUIT", UTF8, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_NEVER, SMTP_NEVER, "5.6.7",
	  "5.6.7", "SMTPUTF8 is required, but was not offered by host mx.example.org[127.0.0.1]", "SMTPUTF8" },
	{ "SMTPUTF8",
	  GREET "S: 250-mx\nS: 250-SMTPUTF8\nS: 250 8BITMIME\nC: MAIL FROM:<a@b.c> BODY=8BITMIME SMTPUTF8\nS: 250 "
		"ok\n" RCPT1_OK RCPT2_OK DATA_OK "S: 250 ok",
	  UTF8, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0", "2.0.0", "250 ok", "250 ok" },
	{ "DSN",
	  PIPE_OFFER "C: MAIL FROM:<a@b.c> SIZE=22 BODY=8BITMIME RET=HDRS ENVID=abc+3D\n"
		     "C: RCPT TO:<one@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;one@example.org\nC: RCPT "
		     "TO:<two@example.org>\nC: DATA\n"
		     "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nBODY\nS: 250 ok",
	  0, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0", "2.0.0", NULL, NULL },
	{ "LMTP",
	  "S: 220 x LMTP\nC: LHLO me\nS: 250-x\nS: 250 PIPELINING\nC: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 a\nS: "
	  "250 b\nS: 250 c\nS: 354 go\nBODY\n"
	  "S: 250 2.0.0 <one> saved\nS: 452 4.2.2 <two> quota\nC: QUIT",
	  LMTP, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_DELIVERED, SMTP_LATER, "2.0.0", "4.2.2", "250 2.0.0 <one> saved",
	  "452 4.2.2 <two> quota (in reply to end of DATA command)" },
	{ "LMTP lost halfway", "S: 220 x\nC: LHLO me\nS: 250 x\n" BOTH_OK DATA_OK "S: 250 2.0.0 <one> saved\nDROP",
	  LMTP, SMTP_CLIENT_OK, SMTP_CLIENT_OVER, SMTP_DELIVERED, SMTP_LATER, "2.0.0", "4.4.2", "250 2.0.0 <one> saved",
	  "message may be sent more than once" },
	{ "LMTP has no HELO", "S: 220 x\nC: LHLO me\nS: 500 what", LMTP, SMTP_CLIENT_OVER, -1, SMTP_NEVER, 0, "5.0.0",
	  NULL, "refused to talk to me: 500 what", NULL },
	{ "AUTH needs TLS", GREET "S: 250-x\nS: 250 AUTH PLAIN\nC: QUIT", AUTH, SMTP_CLIENT_OVER, -1, SMTP_LATER, 0,
	  "4.7.0", NULL, "not encrypted", NULL },
	{ "AUTH PLAIN",
	  GREET "S: 250-x\nS: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN AHVzZXIAc2VjcmV0\nS: 235 2.7.0 ok\nC: QUIT",
	  AUTH | AUTH_CLEAR, SMTP_CLIENT_OK, -1, 0, 0, NULL, NULL, NULL, NULL },
	{ "AUTH PLAIN in two",
	  GREET "S: 250-x\nS: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 334\nC: AHVzZXIAc2VjcmV0\nS: 235 ok\nC: QUIT",
	  AUTH | AUTH_CLEAR, SMTP_CLIENT_OK, -1, 0, 0, NULL, NULL, NULL, NULL },
	{ "AUTH LOGIN",
	  GREET "S: 250-x\nS: 250 AUTH=LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dXNlcg==\nS: 334 UGFzc3dvcmQ6\nC: "
		"c2VjcmV0\nS: 235 ok\nC: QUIT",
	  AUTH | AUTH_CLEAR, SMTP_CLIENT_OK, -1, 0, 0, NULL, NULL, NULL, NULL },
	{ "AUTH refused", GREET "S: 250-x\nS: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 535 5.7.8 wrong\nC: QUIT",
	  AUTH | AUTH_CLEAR, SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.7.8", NULL,
	  "SASL authentication failed; server mx.example.org[127.0.0.1] said: 535 5.7.8 wrong", NULL },
	{ "AUTH without a mechanism", GREET "S: 250-x\nS: 250 AUTH GSSAPI\nC: QUIT", AUTH | AUTH_CLEAR,
	  SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.7.0", NULL, "no mechanism available", NULL },
	{ "AUTH refused for good", GREET "S: 250-x\nS: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 535 5.7.8 wrong\nC: QUIT",
	  AUTH | AUTH_CLEAR | FINAL, SMTP_CLIENT_OVER, -1, SMTP_NEVER, 0, "5.7.8", NULL,
	  "SASL authentication failed; server mx.example.org[127.0.0.1] said: 535 5.7.8 wrong", NULL },
	{ "AUTH by the best",
	  GREET "S: 250-x\nS: 250 AUTH LOGIN PLAIN CRAM-MD5\nC: AUTH CRAM-MD5\nS: 334 PDE+\nC: "
		"dXNlciBkNjIxNTliMmZjNWJmNTc0MmY5ZTBlOWZiMGZhODEyMg==\nS: 235 2.7.0 ok\nC: QUIT",
	  AUTH | AUTH_CLEAR, SMTP_CLIENT_OK, -1, 0, 0, NULL, NULL, NULL, NULL },
	{ "AUTH by somebody who knows no password",
	  GREET "S: 250-x\nS: 250 AUTH SCRAM-SHA-256 LOGIN\nC: AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9\nS: 235 2.7.0 "
		"welcome\nC: QUIT",
	  AUTH | AUTH_CLEAR, SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.7.0", NULL,
	  "did not prove that it knows the password", NULL },
	{ "AUTH and nonsense",
	  GREET "S: 250-x\nS: 250 AUTH SCRAM-SHA-1\nC: AUTH SCRAM-SHA-1 biwsbj11c2VyLHI9\nS: 334 !\nC: *\nS: 501 "
		"cancelled\nC: QUIT",
	  AUTH | AUTH_CLEAR, SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.7.0", NULL, "not base64", NULL },
	{ "AUTH not offered", GREET "S: 250 x\nC: QUIT", AUTH | AUTH_CLEAR, SMTP_CLIENT_OK, -1, 0, 0, NULL, NULL, NULL,
	  NULL },
	{ "AUTH=<>",
	  GREET
	  "S: 250-x\nS: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 235 ok\nC: MAIL FROM:<a@b.c> AUTH=<>\nS: 250 ok\n" RCPT1_OK
		  RCPT2_OK DATA_OK "S: 250 ok\nC: QUIT",
	  AUTH | AUTH_CLEAR | DUMMY_AUTH, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0",
	  "2.0.0", NULL, NULL },
	{ "greeting 554, for good", "S: 554 5.7.1 no service\nC: QUIT", FINAL, SMTP_CLIENT_OVER, -1, SMTP_NEVER, 0,
	  "5.7.1", NULL, "refused to talk to me: 554", NULL },
	{ "EHLO is not asked for", "S: 220 old MTA\nC: HELO me.example.net\nS: 250 hi\n" BOTH_OK DATA_OK "S: " SENT,
	  EHLO_IF_NAMED, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0", "2.0.0", SENT, SENT },
	{ "EHLO is asked for", PLAIN_OFFER BOTH_OK DATA_OK "S: " SENT, EHLO_IF_NAMED, SMTP_CLIENT_OK, SMTP_CLIENT_OK,
	  SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0", "2.0.0", SENT, SENT },
	{ "XFORWARD",
	  GREET "S: 250-x\nS: 250 XFORWARD NAME ADDR PROTO HELO SOURCE\nC: XFORWARD NAME=c+2Bd.test ADDR=192.0.2.9\nS: "
		"250 ok\n"
		"C: XFORWARD PROTO=ESMTP HELO=[UNAVAILABLE] SOURCE=REMOTE\nS: 501 no\n" BOTH_OK DATA_OK "S: " SENT,
	  FORWARD, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0", "2.0.0", SENT, SENT },
	{ "XFORWARD is not offered", PLAIN_OFFER BOTH_OK DATA_OK "S: " SENT, FORWARD, SMTP_CLIENT_OK, SMTP_CLIENT_OK,
	  SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0", "2.0.0", SENT, SENT },
	{ "TLS not offered", PLAIN_OFFER "C: QUIT", ENCRYPT, SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.7.4", NULL,
	  "TLS is required, but was not offered by host mx.example.org[127.0.0.1]", NULL },
	{ "TLS refused", GREET "S: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 not now\nC: QUIT", ENCRYPT,
	  SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.7.4", NULL,
	  "TLS is required, but host mx.example.org[127.0.0.1] refused to start TLS: 454 4.7.0 not now", NULL },
	{ "TLS refused, clear will do",
	  GREET "S: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 not now\n" BOTH_OK DATA_OK "S: 250 ok", MAY,
	  SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0", "2.0.0", NULL, NULL },
	{ "TLS",
	  GREET "S: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nC: EHLO me\nS: 250-x\nS: 250 AUTH PLAIN\nC: "
		"AUTH PLAIN\nS: 235 ok\n" BOTH_OK DATA_OK "S: 250 ok\nC: QUIT",
	  ENCRYPT | AUTH, SMTP_CLIENT_OK, SMTP_CLIENT_OK, SMTP_DELIVERED, SMTP_DELIVERED, "2.0.0", "2.0.0", NULL,
	  NULL },
	{ "TLS broken, must", GREET "S: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nBADTLS", ENCRYPT,
	  SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.7.5", NULL, "Cannot start TLS", NULL },
	{ "TLS broken, may", GREET "S: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nBADTLS", MAY,
	  SMTP_CLIENT_TLS_BROKEN, -1, SMTP_LATER, 0, "4.7.5", NULL, "Cannot start TLS", NULL },
	{ "TLS lost, may", GREET "S: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nDROP", MAY, SMTP_CLIENT_TLS_BROKEN, -1,
	  SMTP_LATER, 0, "4.4.2", NULL, "STARTTLS", NULL },
	{ "TLS lost after it, may", GREET "S: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nDROP", MAY,
	  SMTP_CLIENT_TLS_BROKEN, -1, SMTP_LATER, 0, "4.4.2", NULL, "EHLO", NULL },
	{ "TLS injection", GREET "S: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nQ: 220 go\nS: 250 injected\nMAYBE x", ENCRYPT,
	  SMTP_CLIENT_OVER, -1, SMTP_LATER, 0, "4.7.5", NULL, "Cannot start TLS", NULL },
};

static const char text[] = "Subject: x\n\n.dot\ncaf\xe9\n";
static const struct smtp_recipient recipients[] = {
	{ { "one@example.org", 15 }, { "rfc822;one@example.org", 22 }, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE },
	{ { "two@example.org", 15 }, { NULL, 0 }, 0 },
};
static struct tls_server *tls_server;
static struct tls_client *tls_client;
static const struct slice own_names[] = { { "me.example.net", 14 } };

static const struct slice words[] = { { "pipelining", 10 } };

static struct smtp_client_params params_of(unsigned options) {
	struct smtp_client_params p = { .helo_name = S("me.example.net"),
		.lmtp = options & LMTP,
		.ehlo_if_named = options & EHLO_IF_NAMED,
		.greeting_is_final = options & FINAL,
		.auth_refused_is_final = options & FINAL,
		.xforward = options & FORWARD,
		.mail_auth = options & DUMMY_AUTH,
		.discard = words,
		.discard_count = options & NO_PIPELINING ? 1 : 0,
		.mechanisms_clear = options & AUTH_CLEAR ? SMTP_MECHANISMS_ALL : 0,
		.mechanisms_tls = SMTP_MECHANISMS_ALL,
		.mechanisms_verified = SMTP_MECHANISMS_ALL,
		.tls = options & ENCRYPT ? SMTP_TLS_ENCRYPT
			: options & MAY  ? SMTP_TLS_MAY
					 : SMTP_TLS_NONE,
		.tls_client = tls_client };
	if (options & OWN) p.own_names = own_names, p.own_names_count = 1;
	if (options & AUTH) p.user = S("user"), p.password = S("secret");
	int64_t wait = options & QUICK ? 150 : SECONDS(10);
	p.timeouts = (struct smtp_timeouts){ wait, wait, wait, wait, wait, wait, wait, wait, wait, wait, wait };
	return p;
}

static void check_outcome(
	size_t i, int n, const struct smtp_outcome *o, enum smtp_fate fate, const char *status, const char *part) {
	if ((int)fate >= 10) return;
	if (o->fate != fate || (status != NULL && strcmp(o->status, status) != 0) || !slice_has(o->text, part))
		FAIL("%s, outcome %d: fate %d, %s, \"%.*s\"", cases[i].what, n, (int)o->fate, o->status,
			SLICE_ARG(o->text));
}

static void run_case(size_t i) {
	AUTO_ARENA struct arena mem = { 0 };
	struct script s = { .tls = tls_server };
	script_start(&s, "127.0.0.1", 0, &cases[i].dialogue, 1);
	struct smtp_client_params params = params_of(cases[i].options);
	struct smtp_host host = { .name = S("mx.example.org"), .addr = s.addr };
	struct smtp_outcome outcomes[2] = { 0 };
	struct smtp_client *client = NULL;
	enum smtp_client_result opened = smtp_client_open(&params, &host, &mem, &client, &outcomes[0]),
				sent = SMTP_CLIENT_OK;
	if ((int)opened != cases[i].open)
		FAIL("%s: opened %d: %.*s", cases[i].what, (int)opened, SLICE_ARG(outcomes[0].text));
	AUTO_FREE char *big = cases[i].options & BIG ? mem_get(16 << 20) : NULL;
	static const struct smtp_origin origin = { .name = S("c+d.test"),
						   .address = S("192.0.2.9"),
						   .protocol = S("ESMTP") };
	struct smtp_message m = { .sender = S("a@b.c"),
		.origin = &origin,
		.ret = SMTP_RET_HDRS,
		.envid = S("abc+3D"),
		.eight_bit = true,
		.utf8 = cases[i].options & UTF8,
		.recipients = recipients,
		.count = 2,
		.body = { .head = slice_from(text, sizeof text - 1), .fd = -1 } };
	if (big != NULL) {
		memset(big, 'x', 16 << 20);
		memcpy(big, "Subject: x\n", 11);
		m.body.head = slice_from(big, 16 << 20);
	}
	if (opened == SMTP_CLIENT_OK && cases[i].send >= 0) {
		sent = smtp_client_send(client, &m, (size_t[]){ 0, 1 }, 2, &mem, outcomes);
		if ((int)sent != cases[i].send)
			FAIL("%s: sent %d: %.*s", cases[i].what, (int)sent, SLICE_ARG(outcomes[0].text));
		check_outcome(i, 2, &outcomes[1], cases[i].fate2, cases[i].status2, cases[i].text2);
	}
	if (opened != SMTP_CLIENT_OK || cases[i].send >= 0)
		check_outcome(i, 1, &outcomes[0], cases[i].fate1, cases[i].status1, cases[i].text1);
	smtp_client_quit(&client);
	script_stop(&s);
	if (s.wrong[0] != '\0' && !(cases[i].options & BIG)) FAIL("%s: server %s", cases[i].what, s.wrong);
	if (outcomes[0].fate == SMTP_DELIVERED)
		assert_string_equal(buf_text(&s.body), "Subject: x\r\n\r\n..dot\r\ncaf\xe9\r\n");
	buf_done(&s.body);
}

static void test_dialogues(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) run_case(i);
}

static void test_settled(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	const char *dialogue = PLAIN_OFFER BOTH_OK DATA_OK "DROP";
	struct script s = { 0 };
	script_start(&s, "127.0.0.1", 0, &dialogue, 1);
	struct smtp_client_params params = params_of(0);
	struct smtp_outcome o[2] = { 0 };
	struct smtp_client *client = NULL;
	assert_int_equal(
		smtp_client_open(&params, &(struct smtp_host){ .name = S("mx"), .addr = s.addr }, &mem, &client, o),
		SMTP_CLIENT_OK);
	struct smtp_message m = { .sender = S("a@b.c"), .recipients = recipients, .count = 2, .body = { .fd = -1 } };
	assert_int_equal(smtp_client_send(client, &m, (size_t[]){ 0, 1 }, 2, &mem, o), SMTP_CLIENT_OVER);
	assert_true(o[0].settled && o[1].settled);
	assert_true(o[0].code == 0 && o[0].uses == 1 && slice_eq(o[0].host, S("mx")));
	smtp_client_quit(&client);
	script_stop(&s);
	buf_done(&s.body);
}

/* Two messages over one connection, the first refused at RCPT: RSET between them. A file that ends early never gets its
 * dot. */
static void test_several(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	const char *dialogue =
		PLAIN_OFFER MAIL_OK "C: RCPT\nS: 550 no\nC: RSET\nS: 250 ok\n" MAIL_OK RCPT2_OK DATA_OK
				    "S: 250 ok\n" MAIL_OK RCPT2_OK "C: DATA\nS: 354 go\nMAYBE half\nMAYBE .";
	struct script s = { 0 };
	script_start(&s, "127.0.0.1", 0, &dialogue, 1);
	struct smtp_client_params params = params_of(0);
	struct smtp_outcome o[2] = { 0 };
	struct smtp_client *client = NULL;
	assert_int_equal(
		smtp_client_open(&params, &(struct smtp_host){ .name = S("mx"), .addr = s.addr }, &mem, &client, o),
		SMTP_CLIENT_OK);
	char path[] = "/tmp/hato-client-XXXXXX";
	AUTO_FD int fd = mkstemp(path);
	unlink(path);
	assert_int_equal(write(fd, "skiphalf\nway\n", 13), 13);
	struct smtp_message m = { .sender = S("a@b.c"),
		.recipients = recipients,
		.count = 2,
		.body = { .head = S("X: 1\n"), .fd = fd, .offset = 4, .size = 9 } };
	assert_int_equal(smtp_client_send(client, &m, (size_t[]){ 0 }, 1, &mem, o), SMTP_CLIENT_OK);
	assert_true(smtp_client_alive(client));
	assert_int_equal(smtp_client_send(client, &m, (size_t[]){ 1 }, 1, &mem, o), SMTP_CLIENT_OK);
	assert_true(o[0].fate == SMTP_NEVER && o[1].fate == SMTP_DELIVERED && o[1].uses == 2);
	assert_string_equal(buf_text(&s.body), "X: 1\r\nhalf\r\nway\r\n");
	m.body = (struct smtp_body){ .fd = fd, .offset = 4, .size = 100 };
	assert_int_equal(smtp_client_send(client, &m, (size_t[]){ 1 }, 1, &mem, o), SMTP_CLIENT_OVER);
	assert_true(o[1].fate == SMTP_LATER && o[1].settled && strcmp(o[1].status, "4.3.0") == 0);
	smtp_client_quit(&client);
	script_stop(&s);
	assert_string_equal(s.wrong, "");
	buf_done(&s.body);
}

/* What would be a second command is not said at all. */
static void test_injection(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	const char *dialogue = PLAIN_OFFER "C: QUIT";
	struct script s = { 0 };
	script_start(&s, "127.0.0.1", 0, &dialogue, 1);
	struct smtp_client_params params = params_of(0);
	struct smtp_outcome o[2] = { 0 };
	struct smtp_client *client = NULL;
	assert_int_equal(
		smtp_client_open(&params, &(struct smtp_host){ .name = S("mx"), .addr = s.addr }, &mem, &client, o),
		SMTP_CLIENT_OK);
	const struct smtp_recipient bad[] = { { .address = S("a>\r\nRCPT TO:<b@c") }, { .address = S("") } };
	struct smtp_message m = { .sender = S("a@b.c"), .recipients = bad, .count = 2, .body = { .fd = -1 } };
	assert_int_equal(smtp_client_send(client, &m, (size_t[]){ 0, 1 }, 2, &mem, o), SMTP_CLIENT_OK);
	assert_true(o[0].fate == SMTP_NEVER && o[1].fate == SMTP_NEVER);
	assert_string_equal(o[0].status, "5.1.3");
	smtp_client_quit(&client);
	script_stop(&s);
	assert_string_equal(s.wrong, "");
	buf_done(&s.body);
}

static void test_connect(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct smtp_client_params params = params_of(QUICK);
	struct smtp_outcome o;
	struct smtp_client *client = NULL;
	struct addr closed;
	assert_true(addr_parse(S("127.0.0.1:1"), &closed));
	assert_int_equal(
		smtp_client_open(&params, &(struct smtp_host){ .name = S("mx"), .addr = closed }, &mem, &client, &o),
		SMTP_CLIENT_OVER);
	assert_true(slice_eq(o.text, S("connect to mx[127.0.0.1]:1: Connection refused")));
	assert_string_equal(o.status, "4.4.1");
	assert_true(slice_eq(o.relay, S("none")));
	struct smtp_host local = { .name = S("/nowhere/lmtp"), .path = S("/nowhere/lmtp") };
	assert_int_equal(smtp_client_open(&params, &local, &mem, &client, &o), SMTP_CLIENT_OVER);
	assert_true(slice_eq(o.text, S("connect to me.example.net[/nowhere/lmtp]: No such file or directory")));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialogues),
		cmocka_unit_test(test_settled),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_injection),
		cmocka_unit_test(test_connect),
	};
	tls_server = script_tls();
	if (tls_client_new(&(struct tls_client_params){ .verify = TLS_VERIFY_NONE }, &tls_client) < 0) return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	tls_client_unref(&tls_client);
	tls_server_unref(&tls_server);
	return failed;
}
