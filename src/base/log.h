/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* The log: one line an event, in the form that Postfix's users and their tools read, or as JSON.
 *
 *   note(L_INFO, "smtpd", session, queue_id, NULL, FA("from", sender), FN("size", size), FP("queue active"));
 *   Nov 22 04:31:39 mail hato/smtpd[10234]: 4MkL9z2bQxzJ3d: from=<a@b>, size=1432 (queue active)
 *   {"time":"2026-11-22T04:31:39.123456Z","host":"mail","service":"smtpd","session":10234,
 *    "id":"4MkL9z2bQxzJ3d","level":"info","from":"a@b","size":1432,"remark":"queue active"}   (in one line)
 *
 * Control characters and what turns a line around become '?', and all is UTF-8: nobody writes a second line into our
 * log. */
enum log_level { L_DEBUG, L_INFO, L_WARN, L_ERROR, L_FATAL, L_PANIC };
enum log_form { LOG_FORM_TEXT, LOG_FORM_JSON };

struct log_field {
	enum { FIELD_TEXT, FIELD_ADDRESS, FIELD_NUMBER, FIELD_REMARK } kind;
	const char *key;
	struct slice text;
	int64_t number;
};
#define F(key_, slice_) ((struct log_field){ FIELD_TEXT, key_, slice_, 0 })        /* key=text   */
#define FA(key_, slice_) ((struct log_field){ FIELD_ADDRESS, key_, slice_, 0 })    /* key=<text> */
#define FN(key_, number_) ((struct log_field){ FIELD_NUMBER, key_, SLICE_NONE, (int64_t)(number_) })
#define FP(text_) ((struct log_field){ FIELD_REMARK, "remark", slice_of(text_), 0 }) /*  (text)  */
#define FPS(slice_) ((struct log_field){ FIELD_REMARK, "remark", slice_, 0 })

/* Where lines go: a descriptor (stderr, file, opened by the caller with O_APPEND; one write per line) or syslog (fd
 * -1). name is "hato" or the setting syslog_name. Called once at start and again after a reload; thread-safe. */
struct log_target {
	int fd;
	enum log_form form;
	enum log_level least;  /* lines below are dropped */
	int facility;          /* of syslog(3): LOG_MAIL's number */
	bool bare_addresses; /* from=<a b@c>, not from=<"a b"@c> (info_log_address_format = internal); text form only */
	char name[64], host[256];
};
void log_open(const struct log_target *target);
/* One line. service: "smtpd", or "/postfix/submission/smtpd": behind a leading / stands the whole tag, without name;
 * "=dovecot/imap-login": the tag is dovecot's, and "imap-login: " begins the text, as people's tools look for it;
 * session: a number unique among live sessions, 0 for the process id; id: queue id, or NULL; text: NULL or the words
 * before the fields. */
void log_line(enum log_level level, const char *service, uint64_t session, const char *id, const char *text,
              const struct log_field *fields, size_t count);
#define note(level, service, session, id, text, ...) \
	log_line(level, service, session, id, text, (struct log_field[]){ __VA_ARGS__ }, \
	         sizeof((struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field))
/* Lines of this thread between the two leave in one write: for events that are told in several lines. Not nested, and
 * nothing may wait in between. */
void log_gather(void);
void log_release(void);
/* One line of plain words, for what has no fields. */
void say(enum log_level level, const char *service, const char *format, ...) PRINTF_LIKE(3, 4);
/* The line itself, as log_line writes it (for tests). */
struct buf;
void log_format(struct buf *out, const struct log_target *t, int64_t now_us, enum log_level level, const char *service,
                uint64_t session, const char *id, const char *text, const struct log_field *fields, size_t count);
