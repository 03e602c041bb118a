/* SPDX-License-Identifier: Apache-2.0 */
/* One table says what becomes of each key (compat.md 5.3). OpenDMARC's defaults count where its file is used, since
 * that is what the machine did yesterday: without RejectFailures nothing is refused. */
#include "conf/opendmarc.h"
#include "base/fail.h"
#include "conf/adopt.h"

static bool is_true(struct adoption *w, const char *key) {
	const struct opendkim_line *l = opendkim_find(&w->file, key);
	bool yes = false;
	return l != NULL && opendkim_bool(l->value, &yes) && yes;
}

/* ---- forms of values ---- */

static void to_seconds(struct adoption *w) {
	uint64_t n;
	if (!slice_number(w->line->value, 3600, &n)) adopt_warn(w, "no number of seconds (at most 3600): left out");
	else if (n != 0) adopt_put(w, w->setting, arena_fmt(&w->c->mem, "%us", (unsigned)n));
}

/* A list with commas; the word HOSTNAME is this machine's name. */
static struct slice names(struct adoption *w, struct slice value, struct buf *out) {
	while (value.at != NULL) {
		struct slice word = slice_trim(slice_cut(&value, ','));
		if (word.len == 0) continue;
		if (out->len != 0) buf_byte(out, ' ');
		buf_add(out, slice_same(word, S("HOSTNAME")) ? w->c->machine.host : word);
	}
	return buf_slice(out);
}

static void to_list(struct adoption *w) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	adopt_put(w, w->setting, names(w, w->line->value, &out));
}

/* ---- keys that need more ---- */

static void reject_failures(struct adoption *w) {
	bool yes;
	if (!adopt_truth(w, &yes)) return;
	adopt_put(w, "dmarc_reject", yes ? S("yes") : S("no"));
	if (yes) adopt_put(w, "dmarc_temperror_action", S("defer"));
	if (!yes) adopt_put(w, "dmarc_quarantine", S("none"));
	else if (is_true(w, "HoldQuarantinedMessages")) adopt_put(w, "dmarc_quarantine", S("hold"));
	if (!yes)
		problem_add(&w->c->problems, PROBLEM_INFO, w->line->where,
			    "RejectFailures is false: mail that fails DMARC is marked and not refused");
}

static void hold_quarantined(struct adoption *w) {
	bool yes;
	if (adopt_truth(w, &yes) && yes && !is_true(w, "RejectFailures"))
		adopt_warn(w, "has no effect without RejectFailures true, as in OpenDMARC");
}

static void ignore_hosts(struct adoption *w) {
	AUTO_BUF struct buf networks = BUF(MIB(1)), hosts = BUF(MIB(1));
	struct opendkim_set set = {0};
	struct opendkim_line file = *w->line;
	if (!slice_starts(file.value, S("/")) && !slice_starts_same(file.value, S("file:")))
		file.value = arena_fmt(&w->c->mem, "file:%.*s", SLICE_ARG(file.value));
	int found = opendkim_set_read(&w->c->files, &file, &w->c->problems, &set);
	if (found < 0) adopt_warn(w, fail_text());
	if (found != SOURCE_FOUND) {
		adopt_put(w, "dmarc_exempt_networks", S("127.0.0.1/32 [::1]/128"));
		return;
	}
	for (size_t i = 0; i < set.count; i++) {
		struct slice word = set.at[i].key;
		if (slice_same(word, S("localhost"))) buf_add(&networks, S("127.0.0.0/8 [::1]/128 "));
		if (adopt_network(&networks, word)) continue;
		bool name = slice_find(word, '/') == word.len && slice_find(word, ':') == word.len && word.at[0] != '!';
		if (name) buf_addf(&hosts, "%.*s ", SLICE_ARG(word));
		else
			problem_add(&w->c->problems, PROBLEM_WARNING, (struct place){ set.path, set.at[i].line },
				    "IgnoreHosts: \"%.*s\" is no address, network or host name: left out",
				    SLICE_ARG(word));
	}
	adopt_put(w, "dmarc_exempt_networks", buf_slice(&networks));
	if (hosts.len != 0) adopt_put(w, "dmarc_exempt_hosts", buf_slice(&hosts));
}

static void suffix_list(struct adoption *w) {
	struct slice text, path = w->line->value;
	int found = source_read(&w->c->files, path, &text);
	if (found == SOURCE_FOUND) {
		adopt_put(w, "dmarc_public_suffix_list", path);
		return;
	}
	if (found < 0) adopt_warn(w, fail_text());
	else opendkim_tell_absent(&w->c->files, w->line, path, &w->c->problems);
	adopt_put(w, "dmarc_public_suffix_list", S("builtin"));
}

/* DomainWhitelist and DomainWhitelistFile are one list; whichever comes first brings both. */
static void whitelist(struct adoption *w) {
	const struct opendkim_line *direct = opendkim_find(&w->file, "DomainWhitelist"),
				   *file = opendkim_find(&w->file, "DomainWhitelistFile");
	AUTO_BUF struct buf out = BUF(MIB(1));
	struct opendkim_set set = {0};
	if (direct != NULL && file != NULL && w->line != direct) return;
	if (direct != NULL) names(w, direct->value, &out);
	if (file != NULL && opendkim_set_read(&w->c->files, file, &w->c->problems, &set) < 0)
		adopt_warn(w, fail_text());
	for (size_t i = 0; i < set.count; i++) buf_addf(&out, " %.*s", SLICE_ARG(set.at[i].key));
	adopt_put(w, "arc_trusted_sealers", slice_trim(buf_slice(&out)));
}

static const struct adopted_key keys[] = {
	{ "AuthservID", to_list, "authserv_id" },
	{ "AuthservIDWithJobID", adopt_bool, "authserv_id_with_queue_id" },
	{ "TrustedAuthservIDs", to_list, "trusted_authserv_ids" },
	{ "RejectFailures", reject_failures },
	{ "HoldQuarantinedMessages", hold_quarantined },
	{ "RejectString", adopt_text, "dmarc_reject_text" },
	{ "RejectMultiValueFrom", adopt_bool, "dmarc_reject_many_from" },
	{ "IgnoreAuthenticatedClients", adopt_silently }, /* who has logged in is never checked */
	{ "IgnoreHosts", ignore_hosts },
	{ "IgnoreMailFrom", to_list, "dmarc_exempt_senders" },
	{ "IgnoreMailTo", to_list, "dmarc_history_exempt_recipients" },
	{ "RequiredHeaders", adopt_bool, "dmarc_required_headers" },
	{ "SPFIgnoreResults", adopt_silently }, /* SPF is checked here; fields of others are never believed for it */
	{ "SPFSelfValidate", adopt_silently },
	{ "CopyFailuresTo", adopt_text, "dmarc_copy_failures_to" },
	{ "FailureReports", adopt_bool, "dmarc_failure_reports" },
	{ "FailureReportsBcc", adopt_text, "dmarc_failure_report_bcc" },
	{ "FailureReportsOnNone", adopt_bool, "dmarc_failure_reports_on_none" },
	{ "FailureReportsSentBy", adopt_text, "dmarc_report_sender" },
	{ "ReportCommand", adopt_silently }, /* reports go the way of all mail of ours */
	{ "HistoryFile", adopt_text, "dmarc_history_file" },
	{ "RecordAllMessages", adopt_bool, "dmarc_history_all" },
	{ "PublicSuffixList", suffix_list },
	{ "DomainWhitelist", whitelist },
	{ "DomainWhitelistFile", whitelist },
	{ "DomainWhitelistSize", adopt_silently },
	{ "DNSTimeout", to_seconds, "sender_check_timeout" },
	{ "SoftwareHeader", adopt_bool, "dmarc_software_header" },
	{ "TestDNSData", adopt_warn_always, "DNS is asked, never a file" },
	{ "Syslog", adopt_silently },
	{ "SyslogFacility", adopt_silently },
	{ "Socket", adopt_silently },
	{ "UserID", adopt_silently },
	{ "UMask", adopt_silently },
	{ "PidFile", adopt_silently },
	{ "AutoRestart", adopt_silently },
	{ "AutoRestartCount", adopt_silently },
	{ "AutoRestartRate", adopt_silently },
	{ "Background", adopt_silently },
	{ "BaseDirectory", adopt_silently },
	{ "ChangeRootDirectory", adopt_silently },
	{ "EnableCoredumps", adopt_silently },
	{ "MilterDebug", adopt_silently },
};

/* What OpenDMARC does without a line in its file. */
static void take_defaults(struct adoption *w, struct slice path) {
	struct opendkim_line none = { S("RejectFailures"), S("false"), { path, 0 } };
	w->line = &none;
	if (opendkim_find(&w->file, "RejectFailures") == NULL) reject_failures(w);
	none.key = S("FailureReportsOnNone");
	if (opendkim_find(&w->file, "FailureReportsOnNone") == NULL)
		adopt_put(w, "dmarc_failure_reports_on_none", S("no"));
	none.key = S("IgnoreHosts");
	if (opendkim_find(&w->file, "IgnoreHosts") == NULL) adopt_put(w, "dmarc_exempt_networks", S("127.0.0.1/32"));
}

void opendmarc_adopt(struct conf *c) {
	static const struct adopted_program program = {
		.name = "OpenDMARC",
		.setting = "opendmarc_config",
		.id = SET_opendmarc_config,
		.usual = OPENDMARC_USUAL,
		.keys = keys,
		.keys_count = LEN(keys),
		.defaults = take_defaults,
	};
	adopt_file(c, &program);
}
