/* SPDX-License-Identifier: Apache-2.0 */
/* One table says what becomes of each key (compat.md 5.1). OpenDKIM's defaults count where its file is used, since that is what
 * the machine did yesterday. */
#include "conf/opendkim.h"
#include "base/fail.h"
#include "conf/adopt.h"

/* ---- forms of values ---- */

static void to_number(struct adoption *w) {
	uint64_t n;
	if (slice_number(w->line->value, INT32_MAX, &n)) adopt_put(w, w->setting, w->line->value);
	else adopt_warn(w, "no number: left out");
}

static void to_seconds(struct adoption *w) {
	uint64_t n;
	if (slice_number(w->line->value, INT32_MAX, &n)) adopt_put(w, w->setting, arena_fmt(&w->c->mem, "%llus", (unsigned long long)n));
	else adopt_warn(w, "no number of seconds: left out");
}

/* A data set's keys. */
static bool words_of(struct adoption *w, struct slice value, struct buf *out) {
	struct opendkim_set set = { 0 };
	struct opendkim_line line = *w->line;
	line.value = value;
	int found = opendkim_set_read(&w->c->files, &line, &w->c->problems, &set);
	if (found < 0) adopt_warn(w, fail_text());
	for (size_t i = 0; i < set.count; i++) buf_addf(out, "%s%.*s", i == 0 ? "" : " ", SLICE_ARG(set.at[i].key));
	return found == SOURCE_FOUND;
}

static void to_list(struct adoption *w) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	if (words_of(w, w->line->value, &out)) adopt_put(w, w->setting, buf_slice(&out));
}

/* Lists of header names keep their signs (*,+X,-Y); an empty one is "." here. */
static void to_names(struct adoption *w) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	if (words_of(w, w->line->value, &out)) adopt_put(w, w->setting, out.len != 0 ? buf_slice(&out) : S("."));
}

static void not_done(struct adoption *w) { adopt_warn(w, "this version of hato does not do it"); }

/* Hosts are addresses and networks; names would need the DNS of every client. */
static void internal_hosts(struct adoption *w) {
	AUTO_BUF struct buf words = BUF(MIB(1));
	AUTO_BUF struct buf out = BUF(MIB(1));
	if (!words_of(w, w->line->value, &words)) {
		adopt_put(w, "dkim_sign_networks", S("127.0.0.1/32"));
		return;
	}
	struct slice rest = buf_slice(&words);
	for (struct slice word; (word = slice_word(&rest, " ")).len != 0;) {
		bool not = word.at[0] == '!';
		struct slice plain = not ? slice_skip(word, 1) : word;
		if (slice_same(plain, S("localhost"))) {
			buf_add(&out, S("127.0.0.0/8 [::1]/128 "));
			continue;
		}
		size_t before = out.len;
		if (not) buf_byte(&out, '!');
		if (adopt_network(&out, plain)) continue;
		out.len = before;
		problem_add(&w->c->problems, PROBLEM_WARNING, w->line->where, "%.*s: \"%.*s\" is no address or network: its mail is not signed for that", SLICE_ARG(w->line->key), SLICE_ARG(word));
	}
	adopt_put(w, "dkim_sign_networks", buf_slice(&out));
}

static void mode(struct adoption *w) {
	struct slice v = w->line->value;
	adopt_put(w, "dkim_sign", slice_find(v, 's') < v.len ? S("yes") : S("no"));
	adopt_put(w, "dkim_verify", slice_find(v, 'v') < v.len ? S("yes") : S("no"));
}

static void algorithm(struct adoption *w) {
	if (slice_same(w->line->value, S("rsa-sha1"))) adopt_warn(w, "rsa-sha1 proves nothing any more (RFC 8301): mail is signed with rsa-sha256");
}

static void on_error(struct adoption *w) {
	bool wait = slice_starts_same(w->line->value, S("t"));
	if (wait || slice_starts_same(w->line->value, S("a"))) adopt_put(w, "dkim_on_error", wait ? S("tempfail") : S("accept"));
	else adopt_warn(w, "mail that cannot be signed now waits (tempfail)");
}

/* What a bad signature means is DMARC's business; others' actions are told. */
static void on_finding(struct adoption *w) {
	if (!slice_starts_same(w->line->value, S("a"))) adopt_warn(w, "the results of DKIM alone have no consequence here; dmarc_check acts on them");
}

static const char socket_of_its_own[] = "a filter's own process needs it; hato signs itself";
static const struct adopted_key keys[] = {
	{ "Domain", to_list, "dkim_key_domains" },
	{ "Selector", adopt_text, "dkim_key_selector" },
	{ "KeyFile", adopt_text, "dkim_key_file" },
	{ "KeyTable", adopt_text, "dkim_key_table" },
	{ "SigningTable", adopt_text, "dkim_signing_table" },
	{ "MultipleSignatures", adopt_bool, "dkim_multiple_signatures" },
	{ "SubDomains", adopt_bool, "dkim_subdomains" },
	{ "InternalHosts", internal_hosts },
	{ "ExternalIgnoreList", adopt_silently }, /* it spares log lines */
	{ "Mode", mode },
	{ "Canonicalization", adopt_text, "dkim_canonicalization" },
	{ "SignatureAlgorithm", algorithm },
	{ "SignatureTTL", to_seconds, "dkim_signature_lifetime" },
	{ "SignHeaders", to_names, "dkim_sign_headers" },
	{ "OmitHeaders", to_names, "dkim_omit_headers" },
	{ "OversignHeaders", to_names, "dkim_oversign_headers" },
	{ "SenderHeaders", to_list, "dkim_sender_headers" },
	{ "RemoveOldSignatures", adopt_bool, "dkim_remove_old_signatures" },
	{ "MinimumKeyBits", to_number, "dkim_key_bits_min" },
	{ "ClockDrift", to_seconds, "dkim_clock_drift" },
	{ "MaximumSignaturesToVerify", to_number, "dkim_signature_limit" },
	{ "AuthservID", adopt_text, "authserv_id" },
	{ "Nameservers", adopt_text, "dns_resolvers" },
	{ "TrustAnchorFile", adopt_text, "dns_trust_anchor_file" },
	{ "On-InternalError", on_error },
	{ "On-SignatureError", on_error },
	{ "On-Default", on_finding },
	{ "On-BadSignature", on_finding },
	{ "On-NoSignature", on_finding },
	{ "On-KeyNotFound", on_finding },
	{ "On-DNSError", adopt_silently },
	{ "On-Security", adopt_silently },
	{ "RequireSafeKeys", adopt_silently }, /* a key that others may read is told of, and used */
	{ "SoftwareHeader", adopt_warn_if_true, "no field that names the software is added" },
	{ "AuthservIDWithJobID", adopt_warn_if_true, "the queue id is not added to the name in Authentication-Results" },
	{ "AlwaysAddARHeader", adopt_silently },
	{ "PeerList", not_done }, { "ExemptDomains", not_done }, { "DontSignMailTo", not_done }, { "MacroList", not_done }, { "MTA", not_done },
	{ "MaximumHeaders", adopt_silently }, { "MaximumSignedBytes", not_done }, { "BodyLengthDB", not_done }, { "Minimum", not_done },
	{ "KeepAuthResults", not_done }, { "RemoveARAll", not_done }, { "RemoveARFrom", not_done }, { "NoHeaderB", not_done },
	{ "MustBeSigned", not_done }, { "TrustSignaturesFrom", not_done }, { "RequiredHeaders", not_done }, { "StrictHeaders", not_done },
	{ "BogusKey", not_done }, { "UnprotectedKey", not_done }, { "Quarantine", not_done }, { "RedirectFailuresTo", not_done },
	{ "CaptureUnknownErrors", not_done },
	{ "SendReports", adopt_warn_if_true, "reports about signatures (RFC 6651) are not sent; DMARC's are (dmarc_…)" },
	{ "ReportAddress", adopt_silently }, { "ReportBccAddress", adopt_silently }, { "RequestReports", adopt_warn_if_true, "r=y is not added" },
	{ "MTACommand", adopt_silently },
	{ "Syslog", adopt_silently }, { "SyslogSuccess", adopt_silently }, { "SyslogFacility", adopt_silently }, { "SyslogName", adopt_silently },
	{ "LogWhy", adopt_silently }, { "LogResults", adopt_silently }, { "DNSTimeout", adopt_silently },
	{ "ResolverConfiguration", adopt_silently }, { "QueryCache", adopt_silently }, { "Socket", adopt_silently }, { "UMask", adopt_silently },
	{ "UserID", adopt_silently }, { "PidFile", adopt_silently }, { "AutoRestart", adopt_silently }, { "AutoRestartCount", adopt_silently },
	{ "AutoRestartRate", adopt_silently }, { "Background", adopt_silently }, { "BaseDirectory", adopt_silently },
	{ "ChangeRootDirectory", adopt_silently }, { "EnableCoredumps", adopt_silently }, { "MilterDebug", adopt_silently },
	{ "SoftStart", adopt_silently }, { "TemporaryDirectory", adopt_silently }, { "KeepTemporaryFiles", adopt_silently },
	{ "DisableCryptoInit", adopt_silently },
	{ "ADSPAction", adopt_warn_always, "ADSP is history (RFC 5617): DMARC took its place" },
	{ "ADSPNoSuchDomain", adopt_warn_always, "ADSP is history (RFC 5617): DMARC took its place" },
	{ "LocalADSP", adopt_warn_always, "ADSP is history (RFC 5617): DMARC took its place" },
	{ "SendADSPReports", adopt_warn_always, "ADSP is history (RFC 5617): DMARC took its place" },
	{ "Diagnostics", not_done }, { "DiagnosticDirectory", not_done }, { "FixCRLF", adopt_silently }, { "IgnoreMalformedMail", adopt_silently },
	{ "WeakSyntaxChecks", adopt_silently }, { "SelectCanonicalizationHeader", adopt_silently }, { "ReplaceRules", adopt_silently },
	{ "ReplaceHeaders", adopt_silently }, { "IdentityHeader", adopt_silently }, { "IdentityHeaderRemove", adopt_silently },
	{ "SenderMacro", adopt_silently }, { "DomainKeysCompat", adopt_silently }, { "AllowSHA1Only", adopt_silently },
};

static const char *const others[] = { /* of optional parts of OpenDKIM */
	"LDAP", "POPDBFile", "Resign", "ATPS", "VBR-", "Statistics", "SetupPolicyScript", "ScreenPolicyScript", "FinalPolicyScript", "SMTPURI",
	"TestPublicKeys", "TestDNSData", "StrictTestMode", "DNSConnect", "ResolverTracing",
};

static bool is_of_other_parts(struct adoption *w) {
	for (size_t i = 0; i < LEN(others); i++)
		if (slice_starts_same(w->line->key, slice_of(others[i]))) return adopt_warn(w, socket_of_its_own), true;
	return false;
}

/* What OpenDKIM does without a line in its file. */
static void take_defaults(struct adoption *w, struct slice path) {
	static const struct { const char *key, *setting, *value; } defaults[] = {
		{ "Canonicalization", "dkim_canonicalization", "simple/simple" },
		{ "SubDomains", "dkim_subdomains", "no" },
		{ "InternalHosts", "dkim_sign_networks", "127.0.0.1/32" },
		{ "OversignHeaders", "dkim_oversign_headers", "." },
	};
	for (size_t i = 0; i < LEN(defaults); i++) {
		struct opendkim_line none = { slice_of(defaults[i].key), SLICE_NONE, { path, 0 } };
		w->line = &none;
		if (opendkim_find(&w->file, defaults[i].key) == NULL) adopt_put(w, defaults[i].setting, slice_of(defaults[i].value));
	}
	const struct opendkim_line *file = opendkim_find(&w->file, "KeyFile");
	if (file != NULL && opendkim_find(&w->file, "Domain") == NULL && opendkim_find(&w->file, "KeyTable") == NULL)
		problem_add(&w->c->problems, PROBLEM_INFO, file->where, "KeyFile without Domain: OpenDKIM signs nothing so; hato signs for $mydomain and $myhostname");
}

void opendkim_adopt(struct conf *c) {
	static const struct adopted_program program = {
		.name = "OpenDKIM", .setting = "opendkim_config", .id = SET_opendkim_config, .usual = OPENDKIM_USUAL,
		.keys = keys, .keys_count = LEN(keys), .other = is_of_other_parts, .defaults = take_defaults,
	};
	adopt_file(c, &program);
}
