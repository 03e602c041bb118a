/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* The list of all settings. Each is declared once, in settings.def; parser, postconf and manual page are made from
 * there. One entry is SETTING(state, name, kind, default, "what it means"), in groups opened by GROUP("title"). */
enum setting_id {
#define GROUP(title)
#define SETTING(state, name, kind, fallback, doc) SET_##name,
#include "conf/settings.def"
#undef SETTING
#undef GROUP
	SETTINGS_COUNT
};
/* ACTED: does what the manual says. NOT_YET: understood and checked, but not acted on by this version: setting it gives
 * a warning. UNNEEDED: Postfix needs it and hato does not: setting it gives an info line. OLD: an old spelling, which
 * sets the default of the setting that took its place, with a warning that names it. GONE: the same, of a name that
 * Postfix itself no longer has: postconf shows it only when the file sets it. */
enum setting_state { ACTED, NOT_YET, UNNEEDED, OLD, GONE };

/* What a value may be, and how it is read from C:
 *   TEXT      anything                                            conf_text
 *   RAW       anything, and $name is not expanded at load         conf_text
 *   LEVEL     a release, such as 3.11                             conf_text
 *   ORIGIN    text, or /path of a file whose first line counts    conf_text
 *   BOOL      yes or no                                           conf_bool
 *   NUMBER    whole, between least and most                       conf_number
 *   TIME      number with s, m, h, d or w; `unit` when without    conf_time_ms
 *   SIZE      bytes; k, M and G are an extension                  conf_size
 *   WORDS     one of `words`; an empty value means the default,   conf_enum
 *             or, where that is empty too, the first word
 *   LIST      words separated by commas and blanks; { } groups    conf_list
 *   NETWORKS, DOMAINS                                             conf_networks, conf_domains (network.h) */
enum setting_kind {
	KIND_TEXT,
	KIND_RAW,
	KIND_LEVEL,
	KIND_ORIGIN,
	KIND_BOOL,
	KIND_NUMBER,
	KIND_TIME,
	KIND_SIZE,
	KIND_WORDS,
	KIND_LIST,
	KIND_NETWORKS,
	KIND_DOMAINS,
};
struct setting {
	const char *name;
	enum setting_state state;
	enum setting_kind kind;
	const char *fallback;       /* the default, unexpanded; NULL: taken from the machine when loading */
	const char *doc;
	int64_t least, most;        /* NUMBER */
	char unit;                  /* TIME */
	const char *const *words;   /* WORDS: ends with NULL; conf_enum gives the index */
};
const struct setting *setting_of(enum setting_id id) NONNULL_RESULT;
/* NULL when there is none; names are case-sensitive. */
const struct setting *setting_find(struct slice name);
enum setting_id setting_in_order(size_t i); /* by name, as strcmp orders them */
enum setting_id setting_id_of(const struct setting *s);
/* The known name that is closest to a mistyped one, at most 2 slips away (1 for short names); NULL when none is. */
const struct setting *setting_nearest(struct slice name);
/* Slips (insertion, deletion, substitution, swap of neighbours) between two words, or limit + 1 when more than limit.
 */
size_t word_distance(struct slice a, struct slice b, size_t limit);

/* The words of each WORDS kind, and the enum that conf_enum's result is of. */
#define SERVER_TLS_WORDS(W) W(SERVER_TLS_NONE, "none") W(SERVER_TLS_MAY, "may") W(SERVER_TLS_ENCRYPT, "encrypt")
#define CLIENT_TLS_WORDS(W) \
	W(CLIENT_TLS_NONE, "none") \
	W(CLIENT_TLS_MAY, "may") W(CLIENT_TLS_ENCRYPT, "encrypt") W(CLIENT_TLS_DANE, "dane") \
		W(CLIENT_TLS_DANE_ONLY, "dane-only") W(CLIENT_TLS_FINGERPRINT, "fingerprint") \
			W(CLIENT_TLS_VERIFY, "verify") W(CLIENT_TLS_SECURE, "secure")
#define TLS_GRADE_WORDS(W) \
	W(TLS_GRADE_MEDIUM, "medium") W(TLS_GRADE_HIGH, "high") W(TLS_GRADE_LOW, "low") W(TLS_GRADE_EXPORT, "export") \
	W(TLS_GRADE_NULL, "null")
#define NETWORKS_STYLE_WORDS(W) \
	W(NETWORKS_STYLE_HOST, "host") W(NETWORKS_STYLE_SUBNET, "subnet") W(NETWORKS_STYLE_CLASS, "class")
#define ADDRESS_PREFERENCE_WORDS(W) \
	W(ADDRESS_PREFERENCE_ANY, "any") W(ADDRESS_PREFERENCE_IPV4, "ipv4") W(ADDRESS_PREFERENCE_IPV6, "ipv6")
#define BARE_NEWLINE_WORDS(W) \
	W(BARE_NEWLINE_NO, "no") W(BARE_NEWLINE_NORMALIZE, "normalize") W(BARE_NEWLINE_YES, "yes") \
	W(BARE_NEWLINE_REJECT, "reject") W(BARE_NEWLINE_NOTE, "note")
#define LOG_FORMAT_WORDS(W) W(LOG_FORMAT_TEXT, "text") W(LOG_FORMAT_JSON, "json")
#define LOG_LEVEL_WORDS(W) \
	W(LOG_LEVEL_DEBUG, "debug") \
	W(LOG_LEVEL_INFO, "info") W(LOG_LEVEL_WARNING, "warning") W(LOG_LEVEL_ERROR, "error") \
		W(LOG_LEVEL_FATAL, "fatal")
#define SYSLOG_FACILITY_WORDS(W) \
	W(SYSLOG_MAIL, "mail") \
	W(SYSLOG_AUTH, "auth") W(SYSLOG_AUTHPRIV, "authpriv") W(SYSLOG_CRON, "cron") W(SYSLOG_DAEMON, "daemon") \
		W(SYSLOG_FTP, "ftp") W(SYSLOG_KERN, "kern") W(SYSLOG_LPR, "lpr") W(SYSLOG_NEWS, "news") \
			W(SYSLOG_SECURITY, "security") W(SYSLOG_SYSLOG, "syslog") W(SYSLOG_USER, "user") \
				W(SYSLOG_UUCP, "uucp") W(SYSLOG_LOCAL0, "local0") W(SYSLOG_LOCAL1, "local1") \
					W(SYSLOG_LOCAL2, "local2") W(SYSLOG_LOCAL3, "local3") \
						W(SYSLOG_LOCAL4, "local4") W(SYSLOG_LOCAL5, "local5") \
							W(SYSLOG_LOCAL6, "local6") W(SYSLOG_LOCAL7, "local7")
#define MILTER_ACTION_WORDS(W) \
	W(MILTER_TEMPFAIL, "tempfail") W(MILTER_ACCEPT, "accept") W(MILTER_REJECT, "reject") \
	W(MILTER_QUARANTINE, "quarantine") W(MILTER_SHUTDOWN, "shutdown")
#define SCREEN_ACTION_WORDS(W) W(SCREEN_IGNORE, "ignore") W(SCREEN_ENFORCE, "enforce") W(SCREEN_DROP, "drop")
#define TEMPFAIL_ACTION_WORDS(W) \
	W(TEMPFAIL_DEFER_IF_PERMIT, "defer_if_permit") W(TEMPFAIL_DEFER, "defer") W(TEMPFAIL_REJECT, "reject") \
	W(TEMPFAIL_PERMIT, "permit")
#define HEADER_END_WORDS(W) \
	W(HEADER_END_FIX, "fix_quietly") W(HEADER_END_ADD, "add_header") W(HEADER_END_REJECT, "reject")
#define SRS_WORDS(W) W(SRS_NO, "no") W(SRS_YES, "yes") W(SRS_AUTO, "auto")
#define FORWARD_BAD_WORDS(W) W(FORWARD_BAD_REJECT, "reject") W(FORWARD_BAD_KEEP, "keep") W(FORWARD_BAD_SEND, "send")
#define FORWARD_FAILING_WORDS(W) \
	W(FORWARD_FAILING_SEND, "send") W(FORWARD_FAILING_KEEP, "keep") W(FORWARD_FAILING_WRAP, "wrap")

#define FROM_FORMAT_WORDS(W) W(FROM_STANDARD, "standard") W(FROM_OBSOLETE, "obsolete")
#define LINE_ENDS_WORDS(W) W(LINE_ENDS_ALWAYS, "always") W(LINE_ENDS_STRICT, "strict") W(LINE_ENDS_NEVER, "never")
#define SPF_ACTION_WORDS(W) W(SPF_ACTION_NONE, "none") W(SPF_ACTION_DEFER, "defer") W(SPF_ACTION_REJECT, "reject")
#define DMARC_QUARANTINE_WORDS(W) \
	W(DMARC_QUARANTINE_JUNK, "junk") W(DMARC_QUARANTINE_HOLD, "hold") W(DMARC_QUARANTINE_NONE, "none")
#define TEMPERROR_ACTION_WORDS(W) W(TEMPERROR_NONE, "none") W(TEMPERROR_DEFER, "defer")

#define OAUTH2_MODE_WORDS(W) W(OAUTH2_MODE_POST, "post") W(OAUTH2_MODE_GET, "get") W(OAUTH2_MODE_AUTH, "auth")
#define DKIM_LOCAL_WORDS(W) \
	W(DKIM_LOCAL_NO, "no") W(DKIM_LOCAL_AUTHENTICATED, "authenticated") W(DKIM_LOCAL_YES, "yes")
#define DKIM_ON_ERROR_WORDS(W) W(DKIM_ON_ERROR_TEMPFAIL, "tempfail") W(DKIM_ON_ERROR_ACCEPT, "accept")
#define DKIM_ACTION_WORDS(W) \
	W(DKIM_ACTION_ACCEPT, "accept") W(DKIM_ACTION_DISCARD, "discard") W(DKIM_ACTION_QUARANTINE, "quarantine") \
	W(DKIM_ACTION_REJECT, "reject") W(DKIM_ACTION_TEMPFAIL, "tempfail")
#define UNPROTECTED_KEY_WORDS(W) \
	W(UNPROTECTED_KEY_NONE, "none") W(UNPROTECTED_KEY_NEUTRAL, "neutral") W(UNPROTECTED_KEY_FAIL, "fail")
#define REPORT_FORMAT_WORDS(W) W(REPORT_FORMAT_RFC9990, "rfc9990") W(REPORT_FORMAT_RFC7489, "rfc7489")
#define ALL_WORDS(SET) \
	SET(report_format, REPORT_FORMAT_WORDS) \
	SET(dkim_on_error_word, DKIM_ON_ERROR_WORDS) \
	SET(dkim_action, DKIM_ACTION_WORDS) \
	SET(unprotected_key_word, UNPROTECTED_KEY_WORDS) \
	SET(oauth2_mode, OAUTH2_MODE_WORDS) \
	SET(dkim_local_word, DKIM_LOCAL_WORDS) \
	SET(srs_word, SRS_WORDS) \
	SET(header_end, HEADER_END_WORDS) \
	SET(forward_bad_word, FORWARD_BAD_WORDS) SET(forward_failing_word, FORWARD_FAILING_WORDS) SET( \
		server_tls, SERVER_TLS_WORDS) SET(client_tls, CLIENT_TLS_WORDS) SET(tls_grade, TLS_GRADE_WORDS) \
		SET(networks_style, NETWORKS_STYLE_WORDS) SET(address_preference, ADDRESS_PREFERENCE_WORDS) \
			SET(bare_newline, BARE_NEWLINE_WORDS) SET(log_format, LOG_FORMAT_WORDS) \
				SET(log_level_word, LOG_LEVEL_WORDS) SET(syslog_facility, SYSLOG_FACILITY_WORDS) SET( \
					milter_action, MILTER_ACTION_WORDS) SET(screen_action, SCREEN_ACTION_WORDS) \
					SET(tempfail_action, TEMPFAIL_ACTION_WORDS) \
						SET(from_format, FROM_FORMAT_WORDS) SET(line_ends, LINE_ENDS_WORDS) \
							SET(spf_action, SPF_ACTION_WORDS) \
								SET(dmarc_quarantine_word, DMARC_QUARANTINE_WORDS) \
									SET(temperror_action, TEMPERROR_ACTION_WORDS)
#define WORD_ID(id, text) id,
#define WORDS_ENUM(name, list) enum name { list(WORD_ID) };
ALL_WORDS(WORDS_ENUM)
