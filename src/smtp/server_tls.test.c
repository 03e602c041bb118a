/* SPDX-License-Identifier: Apache-2.0 */
/* STARTTLS and the wrapper mode, with a client of our own at the other end of a socket pair. */
#include "smtp/server.test.h"

struct ends {
	struct play p;
	struct stream *client; /* once TLS is on */
	struct tls_client *tls;
};

static const struct smtp_server_params usual = {
	.host = "mx.test",
	.offer = OFFER_STARTTLS | OFFER_AUTH | OFFER_PIPELINING,
	.tls_required = true,
	.helo_required = true,
	.strict_pipelining = true,
	.auth_tls = SASL_PLAIN | SASL_LOGIN,
	.line_limit = 200,
	.recipient_limit = 3,
	.soft_error_limit = 100,
	.hard_error_limit = 100,
	.junk_command_limit = 100,
	.timeout = 5000,
	.starttls_timeout = 2000,
	.min_data_rate = 500,
};

static void ends_open(struct ends *e, const char *name, const struct smtp_server_params *params) {
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	*e = (struct ends){ .p = { .name = name, .fd = pair[1], .said = BUF(MIB(1)) } };
	e->p.owner = (struct owner){ .log = BUF(MIB(1)), .text = BUF(MIB(1)), .host = params->host };
	AUTO_BUF struct buf cert = BUF(KIB(16)), key = BUF(KIB(16));
	assert_int_equal(tls_make_self_signed("mx.test", &cert, &key), 0);
	struct tls_identity identity = { .chain_pem = buf_slice(&cert), .key_pem = buf_slice(&key) };
	assert_int_equal(tls_server_new(&(struct tls_server_params){ .identities = &identity, .identities_count = 1 },
					&e->p.owner.tls),
			 0);
	assert_int_equal(
		tls_client_new(&(struct tls_client_params){ .verify = TLS_VERIFY_NONE, .ca_file = "" }, &e->tls), 0);
	e->p.stream = stream_new(pair[0], KIB(32), KIB(64));
	e->p.owner.server = smtp_server_new(e->p.stream, params, &tls_ops, &e->p.owner);
	play_step(&e->p, WAKE_CALL);
}

static void ends_close(struct ends *e) {
	smtp_server_free(&e->p.owner.server);
	stream_close(&e->p.stream);
	if (e->client != NULL) stream_close(&e->client);
	else close(e->p.fd);
	tls_server_unref(&e->p.owner.tls);
	tls_client_unref(&e->tls);
	buf_done(&e->p.said);
	buf_done(&e->p.owner.log);
	buf_done(&e->p.owner.text);
}

/* Without play_listen, which would take the client's TLS records away. */
static void step(struct ends *e) {
	if (e->p.next == SMTP_PARK) e->p.next = smtp_server_step(e->p.owner.server, WAKE_IO);
}

static void shake_hands(struct ends *e) {
	e->client = stream_new(e->p.fd, KIB(32), KIB(32));
	assert_int_equal(stream_start_tls_client(e->client, e->tls, "mx.test"), 0);
	for (int i = 0; i < 100 && (!stream_is_tls(e->client) || !stream_is_tls(e->p.stream)); i++) {
		stream_fill(e->client);
		step(e);
	}
	assert_true(stream_is_tls(e->client) && stream_is_tls(e->p.stream));
}

/* Sends text, and expects what the server says to be want. */
static void talk(struct ends *e, const char *text, const char *want) {
	stream_put(e->client, slice_of(text));
	assert_int_equal(stream_flush(e->client), STREAM_OK);
	struct slice have = S("");
	for (int i = 0; i < 100 && have.len < strlen(want); i++) {
		step(e);
		stream_fill(e->client);
		have = stream_peek(e->client);
	}
	if (!slice_eq(have, slice_of(want))) fail_msg("%s: to '%s' got '%.*s'", e->p.name, text, SLICE_ARG(have));
	stream_eat(e->client, have.len);
}

static const char *const up_to_starttls[64] = {
	"S: 220 mx.test ESMTP",
	"C: EHLO c.test",
	"S: 250-mx.test",
	"S: 250-PIPELINING",
	"S: 250 STARTTLS",
	"C: AUTH PLAIN x",
	"S: 530 5.7.0 Must issue a STARTTLS command first",
	"C: STARTTLS now",
	"S: 501 5.5.4 Syntax: STARTTLS",
	"C: STARTTLS",
	"S: 220 2.0.0 Ready to start TLS",
};

static void test_starttls(void **state) {
	(void)state;
	struct ends e;
	ends_open(&e, "starttls", &usual);
	play_lines(&e.p, up_to_starttls, 1000);
	shake_hands(&e);
	talk(&e, "MAIL FROM:<a@b>\r\n", "503 5.5.1 Error: send HELO/EHLO first\r\n"); /* all is forgotten */
	talk(&e, "STARTTLS\r\n", "554 5.5.1 Error: TLS already active\r\n");
	talk(&e, "EHLO c.test\r\n", "250-mx.test\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN\r\n");
	talk(&e, "AUTH PLAIN AHVzZXIAc2VjcmV0\r\n", "235 2.7.0 Authentication successful\r\n");
	talk(&e, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
	     "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n");
	talk(&e, "x\r\n.\r\n", "250 2.0.0 Ok: queued as ID\r\n");
	talk(&e, "QUIT\r\n", "221 2.0.0 Bye\r\n");
	assert_int_equal(e.p.next, SMTP_OVER);
	play_expect_log(&e.p, "mail <a@b>");
	play_expect_log(&e.p, "text 'x\\r\\n' 3 as ESMTPSA");
	play_expect_log(&e.p, "disconnect from h[192.0.2.7] ehlo=2 starttls=1/3 auth=1/2 mail=1/2 rcpt=1 data=1 quit=1 "
			      "commands=8/12");
	assert_true(slice_search(buf_slice(&e.p.owner.log),
				 S("TLS connection established from h[192.0.2.7]: TLSv1.3 with cipher ")) <
		    e.p.owner.log.len);
	ends_close(&e);
}

static void test_big_message(void **state) {
	(void)state;
	struct ends e;
	ends_open(&e, "big message", &usual);
	play_lines(&e.p, up_to_starttls, 1000);
	shake_hands(&e);
	talk(&e, "EHLO c.test\r\n", "250-mx.test\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN\r\n");
	talk(&e, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
	     "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n");
	struct slice line = S("a line of a message that is longer than what fits one TLS record, by far\r\n");
	for (int i = 0; i < 2000; i++) {
		while (stream_flush(e.client) == STREAM_AGAIN) step(&e);
		for (int k = 0; k < 4; k++) stream_put(e.client, line);
	}
	while (stream_flush(e.client) == STREAM_AGAIN) step(&e);
	play_expect_log(&e.p, "begin");
	buf_clear(&e.p.owner.log);
	e.p.owner.text.limit = MIB(2);
	stream_put(e.client, S(".\r\n"));
	while (stream_flush(e.client) == STREAM_AGAIN) step(&e);
	for (int i = 0; i < 100 && stream_peek(e.client).len == 0; i++) {
		step(&e);
		stream_fill(e.client);
	}
	assert_true(slice_eq(stream_peek(e.client), S("250 2.0.0 Ok: queued as ID\r\n")));
	assert_int_equal(e.p.owner.text.len, 2000 * 4 * line.len);
	ends_close(&e);
}

static void test_injection(void **state) {
	(void)state;
	struct smtp_server_params params = usual;
	for (int strict = 0; strict < 2; strict++) {
		struct ends e;
		params.strict_pipelining = strict;
		ends_open(&e, "injection", &params);
		play_lines(&e.p,
			   (const char *const[64]){ "S: 220 mx.test ESMTP", "C: EHLO c.test", "S: 250-mx.test",
						    "S: 250-PIPELINING", "S: 250 STARTTLS", "C: STARTTLS",
						    "C: EHLO evil", "S: 554 5.5.0 Error: SMTP protocol synchronization",
						    "X:" },
			   1000);
		play_expect_log(&e.p, "improper command pipelining after STARTTLS from h[192.0.2.7]: EHLO evil\\r\\n");
		assert_false(stream_is_tls(e.p.stream));
		ends_close(&e);
	}
}

static void test_wrapper(void **state) {
	(void)state;
	struct smtp_server_params params = usual;
	params.tls_wrapper = true;
	struct ends e;
	ends_open(&e, "wrapper", &params);
	shake_hands(&e);
	talk(&e, "", "220 mx.test ESMTP\r\n");
	talk(&e, "EHLO c.test\r\n", "250-mx.test\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN\r\n");
	talk(&e, "QUIT\r\n", "221 2.0.0 Bye\r\n");
	ends_close(&e);
}

static void test_broken_handshake(void **state) {
	(void)state;
	struct smtp_server_params params = usual;
	params.tls_wrapper = true;
	struct ends e;
	ends_open(&e, "broken handshake", &params);
	play_send(&e.p, S("EHLO in clear text, where a handshake is due\r\n"), 1000);
	assert_int_equal(e.p.next, SMTP_OVER);
	assert_true(slice_starts(buf_slice(&e.p.owner.log), S("SSL_accept error from h[192.0.2.7]: ")));
	play_expect_log(&e.p, "lost connection after CONNECT from h[192.0.2.7]");
	ends_close(&e);

	params.starttls_timeout = 5;
	ends_open(&e, "silent handshake", &params);
	usleep(10000);
	play_step(&e.p, WAKE_DEADLINE);
	assert_int_equal(e.p.next, SMTP_OVER);
	play_expect_log(&e.p, "timeout after CONNECT from h[192.0.2.7]");
	ends_close(&e);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_starttls), cmocka_unit_test(test_big_message), cmocka_unit_test(test_injection),
		cmocka_unit_test(test_wrapper), cmocka_unit_test(test_broken_handshake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
