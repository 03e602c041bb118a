/* SPDX-License-Identifier: Apache-2.0 */
/* One table says what becomes of each key (compat.md 5.1). OpenDKIM's defaults count where its file is used, since that
 * is what the machine did yesterday. */
#include "conf/opendkim.h"
#include "base/fail.h"
#include "conf/adopt.h"

/* ---- forms of values ---- */

static void to_number(struct adoption *w) {
	uint64_t n;
	if (slice_number(w->line->value, INT32_MAX, &n)) adopt_put(w, w->setting, w->line->value);
	else adopt_warn(w, "no number: left out");
}

static void to_key_bits(struct adoption *w) {
	uint64_t n;
	if (!slice_number(w->line->value, 16384, &n)) adopt_warn(w, "no number up to 16384: left out");
	else if (n < 1024) adopt_warn(w, "keys with fewer than 1024 bits prove nothing (RFC 8301): 1024 stays");
	else adopt_put(w, w->setting, w->line->value);
}

static void to_seconds(struct adoption *w) {
	uint64_t n;
	if (slice_number(w->line->value, INT32_MAX, &n))
		adopt_put(w, w->setting, arena_fmt(&w->c->mem, "%llus", (unsigned long long)n));
	else adopt_warn(w, "no number of seconds: left out");
}

/* As it would stand in a field: "Reports <a@b.example>". */
static void to_address(struct adoption *w) {
	struct slice text = slice_trim(w->line->value);
	size_t open = slice_find_last(text, '<');
	if (open < text.len && slice_ends(text, S(">")))
		text = slice_trim(slice_from(text.at + open + 1, text.len - open - 2));
	adopt_put(w, w->setting, text);
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

/* Addresses and networks on one side; confirmed host names and ".domains" on the other. */
static bool hosts_of(struct adoption *w, struct buf *networks, struct buf *names) {
	AUTO_BUF struct buf words = BUF(MIB(1));
	if (!words_of(w, w->line->value, &words)) return false;
	struct slice rest = buf_slice(&words);
	for (struct slice word; (word = slice_word(&rest, " ")).len != 0;) {
		bool not = word.at[0] == '!';
		struct slice plain = not ? slice_skip(word, 1) : word;
		if (slice_same(plain, S("localhost"))) {
			buf_add(networks, not ? S("!127.0.0.0/8 ![::1]/128 ") : S("127.0.0.0/8 [::1]/128 "));
			continue;
		}
		size_t before = networks->len;
		if (not) buf_byte(networks, '!');
		if (adopt_network(networks, plain)) continue;
		networks->len = before;
		if (slice_find(plain, '/') == plain.len && slice_find(plain, ':') == plain.len)
			buf_addf(names, "%.*s ", SLICE_ARG(word));
		else
			problem_add(&w->c->problems, PROBLEM_WARNING, w->line->where,
				    "%.*s: \"%.*s\" is no address, network or host name: left out",
				    SLICE_ARG(w->line->key), SLICE_ARG(word));
	}
	return true;
}

static void internal_hosts(struct adoption *w) {
	AUTO_BUF struct buf networks = BUF(MIB(1));
	AUTO_BUF struct buf names = BUF(MIB(1));
	if (!hosts_of(w, &networks, &names)) buf_add(&networks, S("127.0.0.1/32"));
	adopt_put(w, "dkim_sign_networks", buf_slice(&networks));
	if (names.len != 0) adopt_put(w, "dkim_sign_hosts", buf_slice(&names));
}

static void peers(struct adoption *w) {
	AUTO_BUF struct buf networks = BUF(MIB(1));
	AUTO_BUF struct buf names = BUF(MIB(1));
	if (!hosts_of(w, &networks, &names)) return;
	if (networks.len != 0) adopt_put(w, "dkim_exempt_networks", buf_slice(&networks));
	if (names.len != 0) adopt_put(w, "dkim_exempt_hosts", buf_slice(&names));
}

/* Each word is "name" or "name=value|value"; of those that hato does not know nothing can match. */
static void macros(struct adoption *w) {
	static const char *const known[] = { "daemon_name", "j",           "auth_type",
					     "auth_authen", "client_addr", "client_name" };
	struct opendkim_set set = { 0 };
	AUTO_BUF struct buf out = BUF(MIB(1));
	if (opendkim_set_read(&w->c->files, w->line, &w->c->problems, &set) < 0) adopt_warn(w, fail_text());
	for (size_t i = 0; i < set.count; i++) {
		struct slice values = set.at[i].value, key = set.at[i].key, first = slice_cut(&key, '|');
		if (values.len == 0 && key.at != NULL) values = key; /* "name|value", as many write it */
		bool found = false;
		for (size_t k = 0; k < LEN(known); k++)
			found = found || slice_eq(slice_of(known[k]), first) ||
				slice_eq(arena_fmt(&w->c->mem, "{%s}", known[k]), first);
		if (!found)
			problem_add(&w->c->problems, PROBLEM_WARNING, w->line->where,
				    "MacroList: hato has no macro \"%.*s\" when it decides what to sign: left out",
				    SLICE_ARG(first));
		else if (values.len != 0) buf_addf(&out, "%.*s=%.*s ", SLICE_ARG(first), SLICE_ARG(values));
		else buf_addf(&out, "%.*s ", SLICE_ARG(first));
	}
	if (out.len != 0) adopt_put(w, "dkim_sign_macros", buf_slice(&out));
}

/* Beside what OpenDMARC's file trusts. */
static void remove_from(struct adoption *w) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	const struct opendkim_line *all = opendkim_find(&w->file, "RemoveARAll");
	bool every = false;
	if (all != NULL) (void)opendkim_bool(all->value, &every);
	if (words_of(w, w->line->value, &out)) adopt_put(w, "trusted_authserv_ids", buf_slice(&out));
	if (!every)
		problem_add(&w->c->problems, PROBLEM_INFO, w->line->where,
			    "RemoveARFrom: hato takes out all fields of these hosts, not only those with a DKIM result "
			    "(as with RemoveARAll)");
}

static void mode(struct adoption *w) {
	struct slice v = w->line->value;
	adopt_put(w, "dkim_sign", slice_find(v, 's') < v.len ? S("yes") : S("no"));
	adopt_put(w, "dkim_verify", slice_find(v, 'v') < v.len ? S("yes") : S("no"));
}

static void algorithm(struct adoption *w) {
	if (slice_same(w->line->value, S("rsa-sha1")))
		adopt_warn(w, "rsa-sha1 proves nothing any more (RFC 8301): mail is signed with rsa-sha256");
}

static void on_error(struct adoption *w) {
	bool wait = slice_starts_same(w->line->value, S("t"));
	if (wait || slice_starts_same(w->line->value, S("a")))
		adopt_put(w, "dkim_on_error", wait ? S("tempfail") : S("accept"));
	else
		adopt_warn(w, "mail is signed as it leaves, when it has been taken already: what cannot be signed "
			      "waits (dkim_on_error = tempfail) and returns to its sender when it has waited too long");
}

/* By the first letter, as OpenDKIM reads it. */
static bool action_of(struct adoption *w, struct slice *word) {
	static const char *const words[] = { "accept", "discard", "quarantine", "reject", "tempfail" };
	for (size_t i = 0; i < LEN(words); i++)
		if (w->line->value.len != 0 && ascii_lower(w->line->value.at[0]) == words[i][0])
			return *word = slice_of(words[i]), true;
	adopt_warn(w, "none of accept, discard, quarantine, reject, tempfail: left out");
	return false;
}

static void on_finding(struct adoption *w) {
	struct slice word;
	if (action_of(w, &word)) adopt_put(w, w->setting, word);
}

static bool has_line(const struct adoption *w, const char *key) {
	return opendkim_find(&w->file, key) != NULL;
}

/* For all that have no line of their own, wherever it stands. */
static void on_default(struct adoption *w) {
	static const struct { const char *key, *setting;
	} of[] = { { "On-BadSignature", "dkim_on_bad_signature" },
		   { "On-KeyNotFound", "dkim_on_key_not_found" },
		   { "On-DNSError", "dkim_on_dns_error" },
		   { "On-NoSignature", "dkim_on_no_signature" } };
	struct slice word;
	if (!action_of(w, &word)) return;
	for (size_t i = 0; i < LEN(of); i++)
		if (!has_line(w, of[i].key)) adopt_put(w, of[i].setting, word);
}

static void on_security(struct adoption *w) {
	struct slice word;
	if (action_of(w, &word) && !slice_eq(word, S("tempfail")))
		adopt_warn(w, "what OpenDKIM means by it, a key that DNSSEC shows to be forged, counts as a key that "
			      "cannot be looked up: On-DNSError (dkim_on_dns_error) says what becomes of such mail");
}

static void no_header_b(struct adoption *w) {
	bool yes;
	if (adopt_truth(w, &yes)) adopt_put(w, "authserv_header_b", yes ? S("no") : S("yes"));
}

static void quarantine(struct adoption *w) {
	bool yes;
	if (adopt_truth(w, &yes) && yes && !has_line(w, "On-BadSignature"))
		adopt_put(w, "dkim_on_bad_signature", S("quarantine"));
}

/* Forged answers of a signed zone are no answers here, whatever the file says: temperror. */
static void bogus_key(struct adoption *w) {
	if (!slice_starts_same(w->line->value, S("f")))
		adopt_warn(
			w,
			"a key that DNSSEC shows to be forged is never used: the signature has no result (temperror)");
}

static void unprotected_key(struct adoption *w) {
	if (slice_same(w->line->value, S("none")) || slice_same(w->line->value, S("neutral")) ||
	    slice_same(w->line->value, S("fail")))
		adopt_put(w, "dkim_unprotected_key", arena_lower(&w->c->mem, w->line->value));
	else adopt_warn(w, "none of none, neutral, fail: left out");
}

static void partial(struct adoption *w) {
	uint64_t n;
	if (!slice_number(w->line->value, UINT64_MAX, &n) || n != 0) adopt_warn_always(w); /* 0: no limit */
}

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
	{ "MinimumKeyBits", to_key_bits, "dkim_key_bits_min" },
	{ "ClockDrift", to_seconds, "dkim_clock_drift" },
	{ "MaximumSignaturesToVerify", to_number, "dkim_signature_limit" },
	{ "AuthservID", adopt_text, "authserv_id" },
	{ "Nameservers", adopt_text, "dns_resolvers" },
	{ "TrustAnchorFile", adopt_text, "dns_trust_anchor_file" },
	{ "On-InternalError", on_error },
	{ "On-SignatureError", on_error },
	{ "On-Default", on_default },
	{ "On-BadSignature", on_finding, "dkim_on_bad_signature" },
	{ "On-NoSignature", on_finding, "dkim_on_no_signature" },
	{ "On-KeyNotFound", on_finding, "dkim_on_key_not_found" },
	{ "On-DNSError", on_finding, "dkim_on_dns_error" },
	{ "On-Security", on_security },
	{ "RequireSafeKeys", adopt_silently }, /* a key that others may read is told of, and used */
	{ "SoftwareHeader", adopt_bool, "dkim_software_header" },
	{ "AuthservIDWithJobID", adopt_bool, "authserv_id_with_queue_id" },
	{ "AlwaysAddARHeader", adopt_silently }, /* always */
	{ "PeerList", peers },
	{ "ExemptDomains", to_list, "dkim_exempt_authors" },
	{ "DontSignMailTo", to_list, "dkim_exempt_recipients" },
	{ "MacroList", macros },
	{ "MTA", to_list, "dkim_sign_daemon_names" },
	{ "MustBeSigned", to_list, "dkim_must_be_signed" },
	{ "MaximumHeaders", adopt_silently }, /* a header has a limit of its own, 1 MiB */
	{ "MaximumSignedBytes", partial,
	  "a signature over a part of a message lets anybody add to it: mail is signed whole" },
	{ "BodyLengthDB", adopt_warn_always,
	  "a signature over a part of a message lets anybody add to it: mail is signed whole" },
	{ "Minimum", adopt_text, "dkim_partial_min" },
	{ "KeepAuthResults", adopt_warn_if_true,
	  "Authentication-Results that strangers write in this server's name are always taken out: others would "
	  "believe them. Fields of other servers of yours stay where their addresses are in "
	  "sender_check_exempt_networks" },
	{ "RemoveARAll", adopt_silently },
	{ "RemoveARFrom", remove_from },
	{ "NoHeaderB", no_header_b },
	{ "TrustSignaturesFrom", to_list, "dkim_trusted_signers" },
	{ "RequiredHeaders", adopt_bool, "dmarc_required_headers" },
	{ "StrictHeaders", adopt_bool, "dmarc_required_headers" },
	{ "BogusKey", bogus_key },
	{ "UnprotectedKey", unprotected_key },
	{ "Quarantine", quarantine },
	{ "RedirectFailuresTo", adopt_text, "dkim_redirect_failures_to" },
	{ "CaptureUnknownErrors", adopt_silently }, /* mail that cannot be signed waits in the queue by itself */
	{ "SendReports", adopt_bool, "dkim_failure_reports" },
	{ "ReportAddress", to_address, "dkim_failure_report_sender" },
	{ "ReportBccAddress", to_address, "dkim_failure_report_bcc" },
	{ "MTACommand", adopt_warn_always, "not needed: reports go into the queue, no program is called for them" },
	{ "RequestReports", adopt_bool, "dkim_request_reports" },
	{ "Syslog", adopt_silently },
	{ "SyslogSuccess", adopt_silently },
	{ "SyslogFacility", adopt_silently },
	{ "SyslogName", adopt_silently },
	{ "LogWhy", adopt_bool, "dkim_log_why" },
	{ "LogResults", adopt_silently },
	{ "DNSTimeout", adopt_silently },
	{ "ResolverConfiguration", adopt_silently },
	{ "QueryCache", adopt_silently },
	{ "Socket", adopt_silently },
	{ "UMask", adopt_silently },
	{ "UserID", adopt_silently },
	{ "PidFile", adopt_silently },
	{ "AutoRestart", adopt_silently },
	{ "AutoRestartCount", adopt_silently },
	{ "AutoRestartRate", adopt_silently },
	{ "Background", adopt_silently },
	{ "BaseDirectory", adopt_silently },
	{ "ChangeRootDirectory", adopt_silently },
	{ "EnableCoredumps", adopt_silently },
	{ "MilterDebug", adopt_silently },
	{ "SoftStart", adopt_silently },
	{ "TemporaryDirectory", adopt_silently },
	{ "KeepTemporaryFiles", adopt_silently },
	{ "DisableCryptoInit", adopt_silently },
	{ "ADSPAction", adopt_warn_always, "ADSP is history (RFC 5617): DMARC took its place" },
	{ "ADSPNoSuchDomain", adopt_warn_always, "ADSP is history (RFC 5617): DMARC took its place" },
	{ "LocalADSP", adopt_warn_always, "ADSP is history (RFC 5617): DMARC took its place" },
	{ "SendADSPReports", adopt_warn_always, "ADSP is history (RFC 5617): DMARC took its place" },
	{ "Diagnostics", adopt_warn_if_true,
	  "z= is not added: it doubles the header and tells strangers what Bcc and the like said" },
	{ "DiagnosticDirectory", adopt_silently }, /* of Diagnostics */
	{ "FixCRLF", adopt_silently },
	{ "IgnoreMalformedMail", adopt_silently },
	{ "WeakSyntaxChecks", adopt_silently },
	{ "SelectCanonicalizationHeader", adopt_silently },
	{ "ReplaceRules", adopt_silently },
	{ "ReplaceHeaders", adopt_silently },
	{ "IdentityHeader", adopt_silently },
	{ "IdentityHeaderRemove", adopt_silently },
	{ "SenderMacro", adopt_silently },
	{ "DomainKeysCompat", adopt_silently },
	{ "AllowSHA1Only", adopt_silently },
};

/* Of optional parts of OpenDKIM, and for its tests. */
static const struct { const char *start, *why;
} others[] = {
	{ "LDAP", "it is about data sets in LDAP, which hato's tables have settings of their own for" },
	{ "POPDBFile", "who may send is known by log-in (smtpd_sasl_auth_enable), not by a POP session before" },
	{ "Resign",
	  "mail of strangers that is sent on is sealed instead (arc_seal): a signature of ours would vouch for them" },
	{ "ATPS", "authorized third-party signatures (RFC 6541) are asked for by nobody; DMARC counts signatures of "
		  "the author's domain" },
	{ "VBR-", "vouch by reference (RFC 5518) has no certifiers any more" },
	{ "Statistics", "hato keeps its own history (hato why, hato reports)" },
	{ "SetupPolicyScript", "scripts in Lua are not run" },
	{ "ScreenPolicyScript", "scripts in Lua are not run" },
	{ "FinalPolicyScript", "scripts in Lua are not run" },
	{ "SMTPURI", "reports go the way of all mail of hato's" },
	{ "TestPublicKeys", "DNS is asked, never a file" },
	{ "TestDNSData", "DNS is asked, never a file" },
	{ "StrictTestMode", "it is for tests of OpenDKIM" },
	{ "DNSConnect", "hato's resolver uses TCP where it must" },
	{ "ResolverTracing", "it is for tests of OpenDKIM" },
};

static bool is_of_other_parts(struct adoption *w) {
	for (size_t i = 0; i < LEN(others); i++)
		if (slice_starts_same(w->line->key, slice_of(others[i].start)))
			return adopt_warn(w, others[i].why), true;
	return false;
}

/* What OpenDKIM does without a line in its file. */
static void take_defaults(struct adoption *w, struct slice path) {
	static const struct { const char *key, *setting, *value; } defaults[] = {
		{ "Canonicalization", "dkim_canonicalization", "simple/simple" },
		{ "SubDomains", "dkim_subdomains", "no" },
		{ "InternalHosts", "dkim_sign_networks", "127.0.0.1/32" },
		{ "OversignHeaders", "dkim_oversign_headers", "." },
		{ "On-DNSError", "dkim_on_dns_error", "tempfail" },
	};
	for (size_t i = 0; i < LEN(defaults); i++) {
		struct opendkim_line none = { slice_of(defaults[i].key), SLICE_NONE, { path, 0 } };
		bool said = has_line(w, defaults[i].key) ||
			    (slice_starts(none.key, S("On-")) && has_line(w, "On-Default"));
		w->line = &none;
		if (!said)
			adopt_put(w, defaults[i].setting, slice_of(defaults[i].value));
	}
	const struct opendkim_line *file = opendkim_find(&w->file, "KeyFile");
	if (file != NULL && opendkim_find(&w->file, "Domain") == NULL && opendkim_find(&w->file, "KeyTable") == NULL)
		problem_add(
			&w->c->problems, PROBLEM_INFO, file->where,
			"KeyFile without Domain: OpenDKIM signs nothing so; hato signs for $mydomain and $myhostname");
}

void opendkim_adopt(struct conf *c) {
	static const struct adopted_program program = {
		.name = "OpenDKIM", .setting = "opendkim_config", .id = SET_opendkim_config, .usual = OPENDKIM_USUAL,
		.keys = keys, .keys_count = LEN(keys), .other = is_of_other_parts, .defaults = take_defaults,
	};
	adopt_file(c, &program);
}
