/* SPDX-License-Identifier: Apache-2.0 */
/* One table says what becomes of each key (compat.md 5.1). OpenDKIM's defaults count where its file is used, since that is what
 * the machine did yesterday. */
#include "conf/opendkim.h"
#include "base/fail.h"
#include "conf/opendkim_file.h"
#include "conf/opendmarc.h"

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

/* ---- forms of values ---- */

static void to_text(struct work *w) { put(w, w->setting, w->line->value); }

static bool truth(struct work *w, bool *out) {
	if (opendkim_bool(w->line->value, out)) return true;
	warn(w, "neither true nor false: left out");
	return false;
}

static void to_bool(struct work *w) {
	bool yes;
	if (truth(w, &yes)) put(w, w->setting, yes ? S("yes") : S("no"));
}

static void to_number(struct work *w) {
	uint64_t n;
	if (slice_number(w->line->value, INT32_MAX, &n)) put(w, w->setting, w->line->value);
	else warn(w, "no number: left out");
}

static void to_seconds(struct work *w) {
	uint64_t n;
	if (slice_number(w->line->value, INT32_MAX, &n)) put(w, w->setting, arena_fmt(&w->c->mem, "%llus", (unsigned long long)n));
	else warn(w, "no number of seconds: left out");
}

/* A data set's keys. */
static bool words_of(struct work *w, struct slice value, struct buf *out) {
	struct opendkim_set set = { 0 };
	struct opendkim_line line = *w->line;
	line.value = value;
	int found = opendkim_set_read(&w->c->files, &line, &w->c->problems, &set);
	if (found < 0) warn(w, fail_text());
	for (size_t i = 0; i < set.count; i++) buf_addf(out, "%s%.*s", i == 0 ? "" : " ", SLICE_ARG(set.at[i].key));
	return found == SOURCE_FOUND;
}

static void to_list(struct work *w) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	if (words_of(w, w->line->value, &out)) put(w, w->setting, buf_slice(&out));
}

/* Lists of header names keep their signs (*,+X,-Y); an empty one is "." here. */
static void to_names(struct work *w) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	if (words_of(w, w->line->value, &out)) put(w, w->setting, out.len != 0 ? buf_slice(&out) : S("."));
}

static void warn_always(struct work *w) { warn(w, w->setting); }
static void accept_silently(struct work *w UNUSED) {}
static void not_done(struct work *w) { warn(w, "this version of hato does not do it"); }

static void warn_if_true(struct work *w) {
	bool yes;
	if (truth(w, &yes) && yes) warn(w, w->setting);
}

/* Hosts are addresses and networks; names would need the DNS of every client. */
static void internal_hosts(struct work *w) {
	AUTO_BUF struct buf words = BUF(MIB(1));
	AUTO_BUF struct buf out = BUF(MIB(1));
	if (!words_of(w, w->line->value, &words)) {
		put(w, "dkim_sign_networks", S("127.0.0.1/32"));
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
	put(w, "dkim_sign_networks", buf_slice(&out));
}

static void mode(struct work *w) {
	struct slice v = w->line->value;
	put(w, "dkim_sign", slice_find(v, 's') < v.len ? S("yes") : S("no"));
	put(w, "dkim_verify", slice_find(v, 'v') < v.len ? S("yes") : S("no"));
}

static void algorithm(struct work *w) {
	if (slice_same(w->line->value, S("rsa-sha1"))) warn(w, "rsa-sha1 proves nothing any more (RFC 8301): mail is signed with rsa-sha256");
}

static void on_error(struct work *w) {
	bool wait = slice_starts_same(w->line->value, S("t"));
	if (wait || slice_starts_same(w->line->value, S("a"))) put(w, "dkim_on_error", wait ? S("tempfail") : S("accept"));
	else warn(w, "mail that cannot be signed now waits (tempfail)");
}

/* What a bad signature means is DMARC's business; others' actions are told. */
static void on_finding(struct work *w) {
	if (!slice_starts_same(w->line->value, S("a"))) warn(w, "the results of DKIM alone have no consequence here; dmarc_check acts on them");
}

static const char socket_of_its_own[] = "a filter's own process needs it; hato signs itself";
static const struct {
	const char *key;
	void (*take)(struct work *w);
	const char *setting; /* or the reason of a warning */
} keys[] = {
	{ "Domain", to_list, "dkim_key_domains" },
	{ "Selector", to_text, "dkim_key_selector" },
	{ "KeyFile", to_text, "dkim_key_file" },
	{ "KeyTable", to_text, "dkim_key_table" },
	{ "SigningTable", to_text, "dkim_signing_table" },
	{ "MultipleSignatures", to_bool, "dkim_multiple_signatures" },
	{ "SubDomains", to_bool, "dkim_subdomains" },
	{ "InternalHosts", internal_hosts },
	{ "ExternalIgnoreList", accept_silently }, /* it spares log lines */
	{ "Mode", mode },
	{ "Canonicalization", to_text, "dkim_canonicalization" },
	{ "SignatureAlgorithm", algorithm },
	{ "SignatureTTL", to_seconds, "dkim_signature_lifetime" },
	{ "SignHeaders", to_names, "dkim_sign_headers" },
	{ "OmitHeaders", to_names, "dkim_omit_headers" },
	{ "OversignHeaders", to_names, "dkim_oversign_headers" },
	{ "SenderHeaders", to_list, "dkim_sender_headers" },
	{ "RemoveOldSignatures", to_bool, "dkim_remove_old_signatures" },
	{ "MinimumKeyBits", to_number, "dkim_key_bits_min" },
	{ "ClockDrift", to_seconds, "dkim_clock_drift" },
	{ "MaximumSignaturesToVerify", to_number, "dkim_signature_limit" },
	{ "AuthservID", to_text, "authserv_id" },
	{ "Nameservers", to_text, "dns_resolvers" },
	{ "TrustAnchorFile", to_text, "dns_trust_anchor_file" },
	{ "On-InternalError", on_error },
	{ "On-SignatureError", on_error },
	{ "On-Default", on_finding },
	{ "On-BadSignature", on_finding },
	{ "On-NoSignature", on_finding },
	{ "On-KeyNotFound", on_finding },
	{ "On-DNSError", accept_silently },
	{ "On-Security", accept_silently },
	{ "RequireSafeKeys", accept_silently }, /* a key that others may read is told of, and used */
	{ "SoftwareHeader", warn_if_true, "no field that names the software is added" },
	{ "AuthservIDWithJobID", warn_if_true, "the queue id is not added to the name in Authentication-Results" },
	{ "AlwaysAddARHeader", accept_silently },
	{ "PeerList", not_done }, { "ExemptDomains", not_done }, { "DontSignMailTo", not_done }, { "MacroList", not_done }, { "MTA", not_done },
	{ "MaximumHeaders", accept_silently }, { "MaximumSignedBytes", not_done }, { "BodyLengthDB", not_done }, { "Minimum", not_done },
	{ "KeepAuthResults", not_done }, { "RemoveARAll", not_done }, { "RemoveARFrom", not_done }, { "NoHeaderB", not_done },
	{ "MustBeSigned", not_done }, { "TrustSignaturesFrom", not_done }, { "RequiredHeaders", not_done }, { "StrictHeaders", not_done },
	{ "BogusKey", not_done }, { "UnprotectedKey", not_done }, { "Quarantine", not_done }, { "RedirectFailuresTo", not_done },
	{ "CaptureUnknownErrors", not_done },
	{ "SendReports", warn_if_true, "reports about signatures (RFC 6651) are not sent; DMARC's are (dmarc_…)" },
	{ "ReportAddress", accept_silently }, { "ReportBccAddress", accept_silently }, { "RequestReports", warn_if_true, "r=y is not added" },
	{ "MTACommand", accept_silently },
	{ "Syslog", accept_silently }, { "SyslogSuccess", accept_silently }, { "SyslogFacility", accept_silently }, { "SyslogName", accept_silently },
	{ "LogWhy", accept_silently }, { "LogResults", accept_silently }, { "DNSTimeout", accept_silently },
	{ "ResolverConfiguration", accept_silently }, { "QueryCache", accept_silently }, { "Socket", accept_silently }, { "UMask", accept_silently },
	{ "UserID", accept_silently }, { "PidFile", accept_silently }, { "AutoRestart", accept_silently }, { "AutoRestartCount", accept_silently },
	{ "AutoRestartRate", accept_silently }, { "Background", accept_silently }, { "BaseDirectory", accept_silently },
	{ "ChangeRootDirectory", accept_silently }, { "EnableCoredumps", accept_silently }, { "MilterDebug", accept_silently },
	{ "SoftStart", accept_silently }, { "TemporaryDirectory", accept_silently }, { "KeepTemporaryFiles", accept_silently },
	{ "DisableCryptoInit", accept_silently },
	{ "ADSPAction", warn_always, "ADSP is history (RFC 5617): DMARC took its place" },
	{ "ADSPNoSuchDomain", warn_always, "ADSP is history (RFC 5617): DMARC took its place" },
	{ "LocalADSP", warn_always, "ADSP is history (RFC 5617): DMARC took its place" },
	{ "SendADSPReports", warn_always, "ADSP is history (RFC 5617): DMARC took its place" },
	{ "Diagnostics", not_done }, { "DiagnosticDirectory", not_done }, { "FixCRLF", accept_silently }, { "IgnoreMalformedMail", accept_silently },
	{ "WeakSyntaxChecks", accept_silently }, { "SelectCanonicalizationHeader", accept_silently }, { "ReplaceRules", accept_silently },
	{ "ReplaceHeaders", accept_silently }, { "IdentityHeader", accept_silently }, { "IdentityHeaderRemove", accept_silently },
	{ "SenderMacro", accept_silently }, { "DomainKeysCompat", accept_silently }, { "AllowSHA1Only", accept_silently },
};

static const char *const others[] = { /* of optional parts of OpenDKIM */
	"LDAP", "POPDBFile", "Resign", "ATPS", "VBR-", "Statistics", "SetupPolicyScript", "ScreenPolicyScript", "FinalPolicyScript", "SMTPURI",
	"TestPublicKeys", "TestDNSData", "StrictTestMode", "DNSConnect", "ResolverTracing",
};

static void take_line(struct work *w, const struct opendkim_line *l) {
	w->line = l;
	for (size_t i = 0; i < LEN(keys); i++) {
		if (!slice_same(l->key, slice_of(keys[i].key))) continue;
		w->setting = keys[i].setting;
		if (opendkim_find(&w->file, keys[i].key) == l) keys[i].take(w); /* an earlier line does not count */
		return;
	}
	for (size_t i = 0; i < LEN(others); i++)
		if (slice_starts_same(l->key, slice_of(others[i]))) return warn(w, socket_of_its_own);
	warn(w, "no such setting of OpenDKIM: left out");
}

/* What OpenDKIM does without a line in its file. */
static void take_defaults(struct work *w, struct slice path) {
	static const struct { const char *key, *setting, *value; } defaults[] = {
		{ "Canonicalization", "dkim_canonicalization", "simple/simple" },
		{ "SubDomains", "dkim_subdomains", "no" },
		{ "InternalHosts", "dkim_sign_networks", "127.0.0.1/32" },
		{ "OversignHeaders", "dkim_oversign_headers", "." },
	};
	for (size_t i = 0; i < LEN(defaults); i++) {
		struct opendkim_line none = { slice_of(defaults[i].key), SLICE_NONE, { path, 0 } };
		w->line = &none;
		if (opendkim_find(&w->file, defaults[i].key) == NULL) put(w, defaults[i].setting, slice_of(defaults[i].value));
	}
	const struct opendkim_line *file = opendkim_find(&w->file, "KeyFile");
	if (file != NULL && opendkim_find(&w->file, "Domain") == NULL && opendkim_find(&w->file, "KeyTable") == NULL)
		problem_add(&w->c->problems, PROBLEM_INFO, file->where, "KeyFile without Domain: OpenDKIM signs nothing so; hato signs for $mydomain and $myhostname");
}

void opendkim_adopt(struct conf *c) {
	struct work w = { .c = c };
	struct slice path;
	if (evaluate(&c->main, c->params[SET_opendkim_config], &path) < 0 || slice_same(path, S("none"))) return;
	bool told = path.len != 0;
	struct problems later = { .mem = &c->mem }, *problems = told ? &c->problems : &later;
	if (!told && !adopt_any_milters(c)) return;
	if (!told) path = S(OPENDKIM_USUAL);
	int found = opendkim_file_read(&c->files, path, problems, &w.file);
	struct place where = c->main_raws[SET_opendkim_config].where;
	if (found < 0 && told) problem_add(&c->problems, PROBLEM_ERROR, where, "opendkim_config: %s", fail_text());
	if (found == SOURCE_ABSENT && told) problem_add(&c->problems, PROBLEM_ERROR, where, "opendkim_config: %.*s: no such file", SLICE_ARG(path));
	if (found != SOURCE_FOUND) return;
	const struct opendkim_line *socket = opendkim_find(&w.file, "Socket");
	if (!told && (socket == NULL || !adopt_names_socket(c, socket->value))) return;
	if (!told) problem_add(&c->problems, PROBLEM_INFO, socket->where, "hato does itself what OpenDKIM does, as this file says (opendkim_config = none: not)");
	for (size_t i = 0; i < later.count; i++)
		problem_add(&c->problems, later.at[i].level, (struct place){ later.at[i].file, later.at[i].line }, "%.*s", SLICE_ARG(later.at[i].text));
	if (socket != NULL) adopt_socket(c, socket->value);
	for (size_t i = 0; i < w.file.count; i++) take_line(&w, &w.file.lines[i]);
	take_defaults(&w, path);
}
