/* SPDX-License-Identifier: Apache-2.0 */
/* policyd-spf.conf(5) of spf-engine (python3-policyd-spf). One table says what becomes of each key. */
#include "base/fail.h"
#include "conf/adopt.h"
#include "conf/equal_file.h"

static bool is_true(struct adoption *w, const char *key) {
	const struct opendkim_line *l = opendkim_find(&w->file, key);
	bool yes = false;
	return l != NULL && opendkim_bool(l->value, &yes) && yes;
}

static struct slice value_of(struct adoption *w, const char *key, struct slice usual) {
	const struct opendkim_line *l = opendkim_find(&w->file, key);
	return l != NULL ? l->value : usual;
}

static bool only_tests(struct adoption *w) {
	struct slice old = value_of(w, "defaultSeedOnly", S("1"));
	return slice_eq(value_of(w, "TestOnly", old), S("0"));
}

/* Which results are refused. */
static struct slice results_of(struct adoption *w, struct slice value) {
	static const struct { const char *word, *results;
	} known[] = {
		{ "Fail", "fail" },
		{ "Softfail", "fail softfail" },
		{ "SPF_Not_Pass", "fail softfail neutral permerror" },
		{ "Null", "fail null" },
		{ "False", "" },
		{ "No_Check", "" },
	};
	for (size_t i = 0; i < LEN(known); i++) {
		if (!slice_same(value, slice_of(known[i].word))) continue;
		bool errors = is_true(w, "PermError_reject") && known[i].results[0] != '\0';
		struct slice text = arena_fmt(&w->c->mem, "%s%s", only_tests(w) ? "" : known[i].results,
					      errors && !only_tests(w) ? " permerror" : "");
		return text.len != 0 ? text : S(".");
	}
	adopt_warn(w, "none of Fail, Softfail, SPF_Not_Pass, Null, False, No_Check: Fail is meant");
	return S("fail");
}

static void decide(struct adoption *w) {
	struct slice helo = value_of(w, "HELO_reject", S("Fail"));
	adopt_put(w, "spf_helo_check", slice_same(helo, S("No_Check")) ? S("no") : S("yes"));
	adopt_put(w, "spf_helo_fail_results", results_of(w, helo));
	adopt_put(w, "spf_fail_results", results_of(w, value_of(w, "Mail_From_reject", S("Fail"))));
	adopt_put(w, "spf_fail_action", S("reject"));
	if (is_true(w, "TempError_Defer")) adopt_put(w, "spf_temperror_action", S("defer"));
	if (only_tests(w))
		problem_add(&w->c->problems, PROBLEM_INFO, w->line->where,
			    "TestOnly is 0: nothing is refused by SPF alone");
}

static void networks_add(struct adoption *w, const char *key, struct buf *out) {
	struct slice list = value_of(w, key, SLICE_NONE);
	while (list.at != NULL) {
		struct slice word = slice_trim(slice_cut(&list, ','));
		size_t before = out->len;
		if (word.len == 0 || slice_starts_same(word, S("::ffff:")))
			continue; /* IPv4's own form stands for it */
		if (adopt_network(out, word)) continue;
		out->len = before;
		problem_add(&w->c->problems, PROBLEM_WARNING, w->line->where,
			    "%s: \"%.*s\" is no address or network: left out", key, SLICE_ARG(word));
	}
}

/* skip_addresses and Whitelist are one list here. */
static void networks(struct adoption *w) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	networks_add(w, "skip_addresses", &out);
	networks_add(w, "Whitelist", &out);
	adopt_put(w, "spf_exempt_networks", buf_slice(&out));
}

/* So are HELO_Whitelist, whose names must lead back to the client, and Domain_Whitelist_PTR, with what is below its
 * names. */
static void hosts(struct adoption *w) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	struct slice exact = value_of(w, "HELO_Whitelist", SLICE_NONE),
		     below = value_of(w, "Domain_Whitelist_PTR", SLICE_NONE), word;
	while (exact.at != NULL)
		if ((word = slice_trim(slice_cut(&exact, ','))).len != 0) buf_addf(&out, "%.*s ", SLICE_ARG(word));
	while (below.at != NULL)
		if ((word = slice_trim(slice_cut(&below, ','))).len != 0)
			buf_addf(&out, "%.*s .%.*s ", SLICE_ARG(word), SLICE_ARG(word));
	adopt_put(w, "spf_exempt_hosts", buf_slice(&out));
}

static void header_type(struct adoption *w) {
	adopt_put(w, "spf_header",
		  slice_same(w->line->value, S("SPF")) ? S("yes")
						       : S("no")); /* Authentication-Results stands there always */
}

static void authserv_id(struct adoption *w) {
	adopt_put(w, "authserv_id", slice_same(w->line->value, S("HOSTNAME")) ? w->c->machine.host : w->line->value);
}

static void seconds(struct adoption *w) {
	uint64_t n;
	if (slice_number(w->line->value, 3600, &n) && n != 0)
		adopt_put(w, w->setting, arena_fmt(&w->c->mem, "%us", (unsigned)n));
	else adopt_warn(w, "no number of seconds (1 to 3600): left out");
}

static void void_limit(struct adoption *w) {
	if (!slice_eq(w->line->value, S("2"))) adopt_warn(w, "the limit is always 2, as RFC 7208 (4.6.4) has it");
}

static const struct adopted_key keys[] = {
	{ "HELO_reject", adopt_silently },
	{ "Mail_From_reject", adopt_silently },
	{ "PermError_reject", adopt_silently }, /* see decide */
	{ "TempError_Defer", adopt_silently },
	{ "TestOnly", adopt_silently },
	{ "defaultSeedOnly", adopt_silently },
	{ "skip_addresses", networks },
	{ "Whitelist", networks },
	{ "HELO_Whitelist", hosts },
	{ "Domain_Whitelist_PTR", hosts },
	{ "Domain_Whitelist", adopt_text, "spf_exempt_domains" },
	{ "Reject_Not_Pass_Domains", adopt_text, "spf_strict_domains" },
	{ "Header_Type", header_type },
	{ "Authserv_Id", authserv_id },
	{ "Lookup_Time", seconds, "spf_timeout" },
	{ "Whitelist_Lookup_Time", adopt_silently }, /* in spf_timeout */
	{ "Void_Limit", void_limit },
	{ "No_Mail", adopt_warn_if_true, "what is refused depends on the result, not on how the record is written" },
	{ "Hide_Receiver", adopt_warn_if_true, "Received-SPF names this server, as Received does" },
	{ "Reason_Message", adopt_warn_always, "the reply says in its own words what failed and why" },
	{ "HELO_pass_restriction", adopt_warn_always,
	  "a pass opens no restriction class: permit such clients by name (check_client_access)" },
	{ "Mail_From_pass_restriction", adopt_warn_always,
	  "a pass opens no restriction class: permit such senders by name (check_sender_access)" },
	{ "Prospective", adopt_warn_always,
	  "mail of our own is checked by hato doctor and hato dns, not while it is sent" },
	{ "SPF_Enhanced_Status_Codes", adopt_silently },
	{ "debugLevel", adopt_silently },
	{ "Mock", adopt_warn_if_true, "nothing is refused as if for a test" },
	{ "QueueID", adopt_silently },
	{ "Socket", adopt_silently },
	{ "PidFile", adopt_silently },
	{ "UserID", adopt_silently },
	{ "UMask", adopt_silently },
	{ "InternalHosts", adopt_silently },
	{ "IntHosts", adopt_silently },
	{ "MacroList", adopt_silently },
	{ "MacroListVerify", adopt_silently },
};

static void take_rest(struct adoption *w, struct slice path) {
	struct opendkim_line none = { S("HELO_reject, Mail_From_reject"), S("Fail"), { path, 0 } };
	const struct opendkim_line *said = opendkim_find(&w->file, "Mail_From_reject");
	w->line = said != NULL ? said : &none;
	decide(w);
	none.value = S("SPF");
	w->line = &none;
	if (opendkim_find(&w->file, "Header_Type") == NULL) header_type(w);
}

void policyd_spf_adopt(struct conf *c) {
	static const struct adopted_program program = {
		.name = "policyd-spf",
		.setting = "policyd_spf_config",
		.id = SET_policyd_spf_config,
		.keys = keys,
		.keys_count = LEN(keys),
		.read = equal_file_read,
		.defaults = take_rest,
	};
	adopt_file(c, &program);
}
