/* SPDX-License-Identifier: Apache-2.0 */
/* One table says what becomes of each key (compat.md 5.3). OpenDMARC's defaults count where its file is used, since that is
 * what the machine did yesterday: without RejectFailures nothing is refused. */
#include "conf/opendmarc.h"
#include "base/fail.h"
#include "conf/opendkim_file.h"
#include "net/addr.h"

struct work {
	struct conf *c;
	struct opendkim_file file;
	const struct opendkim_line *line; /* under work */
	const char *setting;
};

static void warn(struct work *w, const char *text) {
	problem_add(&w->c->problems, PROBLEM_WARNING, w->line->where, "%.*s: %s", SLICE_ARG(w->line->key), text);
}

static void put(struct work *w, const char *setting, struct slice text) {
	if (!adopt_setting(w->c, setting, text, w->line->where)) warn(w, "this version of hato does not do it");
}

static bool truth(struct work *w, bool *out) {
	if (opendkim_bool(w->line->value, out)) return true;
	warn(w, "neither true nor false: left out");
	return false;
}

static bool is_true(struct work *w, const char *key) {
	const struct opendkim_line *l = opendkim_find(&w->file, key);
	bool yes = false;
	return l != NULL && opendkim_bool(l->value, &yes) && yes;
}

/* ---- forms of values ---- */

static void to_text(struct work *w) { put(w, w->setting, w->line->value); }

static void to_bool(struct work *w) {
	bool yes;
	if (truth(w, &yes)) put(w, w->setting, yes ? S("yes") : S("no"));
}

static void to_seconds(struct work *w) {
	uint64_t n;
	if (!slice_number(w->line->value, 3600, &n)) warn(w, "no number of seconds (at most 3600): left out");
	else if (n != 0) put(w, w->setting, arena_fmt(&w->c->mem, "%us", (unsigned)n));
}

/* A list with commas; the word HOSTNAME is this machine's name. */
static struct slice names(struct work *w, struct slice value, struct buf *out) {
	while (value.at != NULL) {
		struct slice word = slice_trim(slice_cut(&value, ','));
		if (word.len == 0) continue;
		if (out->len != 0) buf_byte(out, ' ');
		buf_add(out, slice_same(word, S("HOSTNAME")) ? w->c->machine.host : word);
	}
	return buf_slice(out);
}

static void to_list(struct work *w) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	put(w, w->setting, names(w, w->line->value, &out));
}

static void warn_if_true(struct work *w) {
	bool yes;
	if (truth(w, &yes) && yes) warn(w, w->setting);
}

static void warn_always(struct work *w) { warn(w, w->setting); }
static void accept_silently(struct work *w UNUSED) {}

/* ---- keys that need more ---- */

static void reject_failures(struct work *w) {
	bool yes;
	if (!truth(w, &yes)) return;
	put(w, "dmarc_reject", yes ? S("yes") : S("no"));
	if (yes) put(w, "dmarc_temperror_action", S("defer"));
	if (!yes) put(w, "dmarc_quarantine", S("none"));
	else if (is_true(w, "HoldQuarantinedMessages")) put(w, "dmarc_quarantine", S("hold"));
	if (!yes) problem_add(&w->c->problems, PROBLEM_INFO, w->line->where, "RejectFailures is false: mail that fails DMARC is marked and not refused");
}

static void hold_quarantined(struct work *w) {
	bool yes;
	if (truth(w, &yes) && yes && !is_true(w, "RejectFailures")) warn(w, "has no effect without RejectFailures true, as in OpenDMARC");
}

/* "192.0.2.7/24" in our form "192.0.2.0/24", IPv6 in brackets. False: no address. */
bool adopt_network(struct buf *out, struct slice word) {
	struct addr a, whole;
	char room[ADDR_TEXT_ROOM];
	struct slice mask = word, address = slice_cut(&mask, '/');
	if (address.len == 0 || slice_find(address, '%') < address.len || !addr_parse(address, &a) || addr_port(&a) != 0) return false;
	bool v6 = addr_family(&a) == AF_INET6;
	uint64_t bits = v6 ? 128 : 32;
	if (mask.at != NULL && !slice_number(mask, bits, &bits)) return false;
	struct addr_key key = addr_key(&a, (unsigned)bits);
	if (!addr_from_bytes(v6 ? slice_from(key.bytes, 16) : slice_from(key.bytes + 12, 4), 0, &whole)) return false;
	if (addr_family(&whole) != addr_family(&a)) v6 = false;
	buf_addf(out, v6 ? "[%s]/%u " : "%s/%u ", addr_text(&whole, room), (unsigned)bits);
	return true;
}

static void ignore_hosts(struct work *w) {
	AUTO_BUF struct buf networks = BUF(MIB(1)), hosts = BUF(MIB(1));
	struct opendkim_set set = {0};
	struct opendkim_line file = *w->line;
	if (!slice_starts(file.value, S("/")) && !slice_starts_same(file.value, S("file:")))
		file.value = arena_fmt(&w->c->mem, "file:%.*s", SLICE_ARG(file.value));
	int found = opendkim_set_read(&w->c->files, &file, &w->c->problems, &set);
	if (found < 0) warn(w, fail_text());
	if (found != SOURCE_FOUND) {
		put(w, "dmarc_exempt_networks", S("127.0.0.1/32 [::1]/128"));
		return;
	}
	for (size_t i = 0; i < set.count; i++) {
		struct slice word = set.at[i].key;
		if (slice_same(word, S("localhost"))) buf_add(&networks, S("127.0.0.0/8 [::1]/128 "));
		if (adopt_network(&networks, word)) continue;
		bool name = slice_find(word, '/') == word.len && slice_find(word, ':') == word.len && word.at[0] != '!';
		if (name) buf_addf(&hosts, "%.*s ", SLICE_ARG(word));
		else problem_add(&w->c->problems, PROBLEM_WARNING, (struct place){ set.path, set.at[i].line }, "IgnoreHosts: \"%.*s\" is no address, network or host name: left out", SLICE_ARG(word));
	}
	put(w, "dmarc_exempt_networks", buf_slice(&networks));
	if (hosts.len != 0) put(w, "dmarc_exempt_hosts", buf_slice(&hosts));
}

static void suffix_list(struct work *w) {
	struct slice text, path = w->line->value;
	int found = source_read(&w->c->files, path, &text);
	if (found == SOURCE_FOUND) {
		put(w, "dmarc_public_suffix_list", path);
		return;
	}
	if (found < 0) warn(w, fail_text());
	else opendkim_tell_absent(&w->c->files, w->line, path, &w->c->problems);
	put(w, "dmarc_public_suffix_list", S("builtin"));
}

/* DomainWhitelist and DomainWhitelistFile are one list; whichever comes first brings both. */
static void whitelist(struct work *w) {
	const struct opendkim_line *direct = opendkim_find(&w->file, "DomainWhitelist"), *file = opendkim_find(&w->file, "DomainWhitelistFile");
	AUTO_BUF struct buf out = BUF(MIB(1));
	struct opendkim_set set = {0};
	if (direct != NULL && file != NULL && w->line != direct) return;
	if (direct != NULL) names(w, direct->value, &out);
	if (file != NULL && opendkim_set_read(&w->c->files, file, &w->c->problems, &set) < 0) warn(w, fail_text());
	for (size_t i = 0; i < set.count; i++) buf_addf(&out, " %.*s", SLICE_ARG(set.at[i].key));
	put(w, "arc_trusted_sealers", slice_trim(buf_slice(&out)));
}

static const struct {
	const char *key;
	void (*take)(struct work *w);
	const char *setting; /* or the reason of a warning */
} keys[] = {
	{ "AuthservID", to_list, "authserv_id" },
	{ "AuthservIDWithJobID", warn_if_true, "the queue id is not added to the name in Authentication-Results" },
	{ "TrustedAuthservIDs", to_list, "trusted_authserv_ids" },
	{ "RejectFailures", reject_failures },
	{ "HoldQuarantinedMessages", hold_quarantined },
	{ "RejectString", to_text, "dmarc_reject_text" },
	{ "RejectMultiValueFrom", to_bool, "dmarc_reject_many_from" },
	{ "IgnoreAuthenticatedClients", accept_silently }, /* who has logged in is never checked */
	{ "IgnoreHosts", ignore_hosts },
	{ "IgnoreMailFrom", to_list, "dmarc_exempt_senders" },
	{ "IgnoreMailTo", accept_silently }, /* about HistoryFile */
	{ "RequiredHeaders", to_bool, "dmarc_required_headers" },
	{ "SPFIgnoreResults", accept_silently }, /* SPF is checked here; fields of others are never believed for it */
	{ "SPFSelfValidate", accept_silently },
	{ "CopyFailuresTo", to_text, "dmarc_copy_failures_to" },
	{ "FailureReports", warn_if_true, "reports about single messages are not sent, only the daily ones (dmarc_report_send)" },
	{ "FailureReportsBcc", accept_silently }, { "FailureReportsOnNone", accept_silently }, { "FailureReportsSentBy", accept_silently },
	{ "ReportCommand", accept_silently }, /* reports go the way of all mail of ours */
	{ "HistoryFile", warn_always, "not written: the daily reports that were made of it are sent without it (dmarc_report_send)" },
	{ "RecordAllMessages", accept_silently }, /* about HistoryFile */
	{ "PublicSuffixList", suffix_list },
	{ "DomainWhitelist", whitelist },
	{ "DomainWhitelistFile", whitelist },
	{ "DomainWhitelistSize", accept_silently },
	{ "DNSTimeout", to_seconds, "sender_check_timeout" },
	{ "SoftwareHeader", warn_if_true, "no field that names the software is added" },
	{ "TestDNSData", warn_always, "DNS is asked, never a file" },
	{ "Syslog", accept_silently }, { "SyslogFacility", accept_silently }, { "Socket", accept_silently }, { "UserID", accept_silently },
	{ "UMask", accept_silently }, { "PidFile", accept_silently }, { "AutoRestart", accept_silently }, { "AutoRestartCount", accept_silently },
	{ "AutoRestartRate", accept_silently }, { "Background", accept_silently }, { "BaseDirectory", accept_silently },
	{ "ChangeRootDirectory", accept_silently }, { "EnableCoredumps", accept_silently }, { "MilterDebug", accept_silently },
};

static void take_line(struct work *w, const struct opendkim_line *l) {
	w->line = l;
	for (size_t i = 0; i < LEN(keys); i++) {
		if (!slice_same(l->key, slice_of(keys[i].key))) continue;
		w->setting = keys[i].setting;
		if (opendkim_find(&w->file, keys[i].key) == l) keys[i].take(w); /* an earlier line does not count */
		return;
	}
	warn(w, "no such setting of OpenDMARC: left out");
}

/* What OpenDMARC does without a line in its file. */
static void take_defaults(struct work *w, struct slice path) {
	struct opendkim_line none = { S("RejectFailures"), S("false"), { path, 0 } };
	w->line = &none;
	if (opendkim_find(&w->file, "RejectFailures") == NULL) reject_failures(w);
	none.key = S("IgnoreHosts");
	if (opendkim_find(&w->file, "IgnoreHosts") == NULL) put(w, "dmarc_exempt_networks", S("127.0.0.1/32"));
}

void opendmarc_adopt(struct conf *c) {
	struct work w = { .c = c };
	struct slice path;
	if (evaluate(&c->main, c->params[SET_opendmarc_config], &path) < 0 || slice_same(path, S("none"))) return;
	bool told = path.len != 0;
	struct problems later = { .mem = &c->mem }, *problems = told ? &c->problems : &later;
	if (!told && !adopt_any_milters(c)) return;
	if (!told) path = S(OPENDMARC_USUAL);
	int found = opendkim_file_read(&c->files, path, problems, &w.file);
	struct place where = c->main_raws[SET_opendmarc_config].where;
	if (found < 0 && told) problem_add(&c->problems, PROBLEM_ERROR, where, "opendmarc_config: %s", fail_text());
	if (found == SOURCE_ABSENT && told) problem_add(&c->problems, PROBLEM_ERROR, where, "opendmarc_config: %.*s: no such file", SLICE_ARG(path));
	if (found != SOURCE_FOUND) return;
	const struct opendkim_line *socket = opendkim_find(&w.file, "Socket");
	if (!told && (socket == NULL || !adopt_names_socket(c, socket->value))) return;
	if (!told) problem_add(&c->problems, PROBLEM_INFO, socket->where, "hato does itself what OpenDMARC does, as this file says (opendmarc_config = none: not)");
	for (size_t i = 0; i < later.count; i++)
		problem_add(&c->problems, later.at[i].level, (struct place){ later.at[i].file, later.at[i].line }, "%.*s", SLICE_ARG(later.at[i].text));
	if (socket != NULL) adopt_socket(c, socket->value);
	for (size_t i = 0; i < w.file.count; i++) take_line(&w, &w.file.lines[i]);
	take_defaults(&w, path);
}
