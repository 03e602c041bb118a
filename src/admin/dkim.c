/* SPDX-License-Identifier: Apache-2.0 */
/* DKIM's keys for an operator. What must go into DNS is printed in every form that somebody's DNS wants: a zone file's,
 * one line for a web form, and strings of 255 bytes. */
#include "admin/inside.h"
#include "admin/json.h"
#include "admin/text.h"
#include "trust/dkim_text.h"

#include <sysexits.h>

static int keys_of(struct admin_call *c, struct slice domain, struct keyring_key **keys, size_t *count) {
	if (c->a->ops->dkim_list == NULL) return refuse(c, EX_UNAVAILABLE, "the keys are not to be had here");
	struct slice lower = arena_lower(c->mem, domain);
	return c->a->ops->dkim_list(c->a->ctx, lower, c->mem, keys, count) < 0 ? broken(c) : EX_OK;
}

static int change(struct admin_call *c, const struct admin_dkim *what) {
	struct slice d = what->domain, s = what->selector;
	if (c->a->ops->dkim_change == NULL) return refuse(c, EX_UNAVAILABLE, "the keys are not to be had here");
	int r = c->a->ops->dkim_change(c->a->ctx, what);
	if (r < 0) return broken(c);
	switch (r) {
	case 0: return EX_OK;
	case KEYRING_EXISTS:
		if (what->what == ADMIN_DKIM_IMPORT)
			return refuse(c, EX_DATAERR, "%.*s: the domain has a key of the name %.*s", SLICE_ARG(d),
				      SLICE_ARG(s));
		return refuse(c, EX_DATAERR,
			      "%.*s: has keys already (hato dkim show %.*s; hato dkim rotate %.*s makes new ones)",
			      SLICE_ARG(d), SLICE_ARG(d), SLICE_ARG(d));
	case KEYRING_BAD_NAME:
		return keyring_name(d)
			       ? refuse(c, EX_DATAERR, "%.*s: no name for a selector (letters, digits, - and _)",
					SLICE_ARG(s))
			       : refuse(c, EX_DATAERR, "%.*s: not a domain", SLICE_ARG(d));
	case KEYRING_BAD_KEY:
		return refuse(c, EX_DATAERR,
			      "no private key for DKIM in it (PEM of an RSA key of at least 1024 bits or an Ed25519 "
			      "key, without a pass phrase)");
	case KEYRING_HAS_WAITING:
		return refuse(c, EX_DATAERR, "%.*s: new keys wait for their records already (hato dkim list %.*s)",
			      SLICE_ARG(d), SLICE_ARG(d));
	default:
		if (what->what == ADMIN_DKIM_SWITCH)
			return refuse(c, EX_NOUSER, "%.*s: no key waits for its record", SLICE_ARG(d));
		return refuse(c, EX_NOUSER, "%.*s: no such key of ours (hato dkim list)", SLICE_ARG(d));
	}
}

/* ---- list ---- */

static const struct column columns[] = {
	{ "DOMAIN", "domain", COLUMN_TEXT },       { "SELECTOR", "selector", COLUMN_TEXT },
	{ "ALGORITHM", "algorithm", COLUMN_TEXT }, { "BITS", "bits", COLUMN_COUNT },
	{ "STATE", "state", COLUMN_TEXT },         { "DNS", "dns", COLUMN_TEXT },
	{ "SINCE", "since", COLUMN_TIME },         { "FILE", "file", COLUMN_TEXT },
};

int verb_dkim_list(struct admin_call *c) {
	struct keyring_key *keys;
	size_t count;
	int code = keys_of(c, c->count != 0 ? c->args[0] : SLICE_NONE, &keys, &count);
	if (code != EX_OK) return code;
	struct table t = { .mem = c->mem, .columns = columns, .width = LEN(columns) };
	for (size_t i = 0; i < count; i++) {
		table_text(&t, keys[i].domain);
		table_text(&t, keys[i].selector);
		table_text(&t, slice_of(keys[i].algorithm == DKIM_ED25519_SHA256 ? "ed25519" : "rsa"));
		table_number(&t, keys[i].bits);
		table_text(&t, keys[i].public_key.len == 0      ? S("broken")
			       : keyring_is_weak(&keys[i]) ? S("weak")
							   : slice_of(keyring_state_word(keys[i].state)));
		table_text(&t, slice_of(keyring_dns_word(keys[i].dns)));
		table_number(&t, keys[i].since_s * 1000000);
		table_text(&t, keys[i].source);
	}
	return show_table(c, &t, "no keys (hato dkim add DOMAIN)");
}

struct slice dkim_unseen(struct admin_call *c) {
	struct keyring_key *keys;
	size_t count;
	struct slice last = SLICE_NONE;
	AUTO_BUF struct buf out = BUF(KIB(2));
	if (c->a->ops->dkim_list == NULL || c->a->ops->dkim_list(c->a->ctx, SLICE_NONE, c->mem, &keys, &count) < 0)
		return SLICE_NONE;
	for (size_t i = 0; i < count; i++) { /* in the order of domains */
		bool signs = keys[i].state == KEYRING_ACTIVE || keys[i].state == KEYRING_GIVEN,
		     unseen = keys[i].dns == KEYRING_DNS_MISSING || keys[i].dns == KEYRING_DNS_OTHER;
		if (!signs || !unseen || keyring_is_weak(&keys[i]) || slice_eq(keys[i].domain, last)) continue;
		last = keys[i].domain;
		buf_addf(&out, "%s%.*s", out.len != 0 ? " " : "", SLICE_ARG(last));
	}
	return arena_slice(c->mem, buf_slice(&out));
}

/* "domain selector algorithm state public-key-in-hex" for the command, which asks DNS. */
int verb_dkim_keys(struct admin_call *c) {
	struct keyring_key *keys;
	size_t count;
	int code = keys_of(c, c->count != 0 ? c->args[0] : SLICE_NONE, &keys, &count);
	for (size_t i = 0; i < count && code == EX_OK; i++) {
		buf_addf(c->out, "%.*s %.*s %u %s ", SLICE_ARG(keys[i].domain), SLICE_ARG(keys[i].selector),
			 keys[i].algorithm, keyring_state_word(keys[i].state));
		for (size_t k = 0; k < keys[i].public_key.len; k++)
			buf_addf(c->out, "%02x", (unsigned char)keys[i].public_key.at[k]);
		buf_byte(c->out, '\n');
	}
	return code;
}

/* ---- show ---- */

struct texts {
	struct slice host, name, line, strings, zone;
};

static struct texts texts_of(struct admin_call *c, const struct keyring_key *k) {
	AUTO_BUF struct buf zone = BUF(KIB(32));
	struct dkim_record_text r = { .domain = k->domain,
				      .selector = k->selector,
				      .algorithm = (enum dkim_algorithm)k->algorithm,
				      .public_key = k->public_key,
				      .hashes = S("sha256") };
	struct texts t = { .host = arena_fmt(c->mem, "%.*s._domainkey", SLICE_ARG(k->selector)) };
	t.name = arena_fmt(c->mem, "%.*s.%.*s", SLICE_ARG(t.host), SLICE_ARG(k->domain));
	t.line = dkim_record_line(&r, c->mem);
	t.strings = dkim_record_strings(t.line, c->mem);
	dkim_record_zone(&zone, &r);
	t.zone = arena_slice(c->mem, buf_slice(&zone));
	return t;
}

static const char *advice_of(const struct keyring_key *k) {
	if (keyring_is_weak(k)) return "does not sign, since RSA keys of fewer than 1024 bits prove nothing (RFC 8301)";
	switch (k->state) {
	case KEYRING_WAITING: return "new: publish its record; the key signs as soon as DNS has it";
	case KEYRING_RETIRED: return "signs no more: leave its record until the key is gone from this list";
	default: return NULL; /* it signs */
	}
}

static const char *record_of(const struct keyring_key *k) {
	switch (k->dns) {
	case KEYRING_DNS_MISSING: return ", but its record is not in DNS: nobody can verify what it signs";
	case KEYRING_DNS_OTHER: return ", but the record in DNS is another one: nobody can verify what it signs";
	case KEYRING_DNS_PUBLISHED: return "; its record is in DNS";
	default: return "";
	}
}

static void show_one(struct admin_call *c, const struct keyring_key *k) {
	struct texts t = texts_of(c, k);
	const char *kind = k->algorithm == DKIM_ED25519_SHA256 ? "Ed25519" : "RSA";
	const char *advice = advice_of(k);
	buf_addf(c->out, "%.*s, %s key of %u bits: %s%s\n\n", SLICE_ARG(k->domain), kind, k->bits,
		 advice != NULL ? advice : "signs", advice != NULL ? "" : record_of(k));
	buf_addf(c->out, "TXT record for a web form. Host (with the domain: %.*s):\n%.*s\nValue:\n%.*s\n\n",
		 SLICE_ARG(t.name), SLICE_ARG(t.host), SLICE_ARG(t.line));
	buf_addf(c->out, "In strings of at most 255 bytes:\n%.*s\n\nFor a zone file:\n%.*s\n", SLICE_ARG(t.strings),
		 SLICE_ARG(t.zone));
}

static void show_json(struct json *j, struct admin_call *c, const struct keyring_key *k) {
	struct texts t = texts_of(c, k);
	json_open(j, NULL, '{');
	json_text(j, "domain", k->domain);
	json_text(j, "selector", k->selector);
	json_text(j, "algorithm", slice_of(k->algorithm == DKIM_ED25519_SHA256 ? "ed25519" : "rsa"));
	json_number(j, "bits", k->bits);
	json_text(j, "state", slice_of(keyring_state_word(k->state)));
	json_text(j, "dns", slice_of(keyring_dns_word(k->dns)));
	json_time(j, "since", k->since_s * 1000000);
	json_text(j, "file", k->source.len != 0 ? k->source : SLICE_NONE);
	json_text(j, "host", t.host);
	json_text(j, "name", t.name);
	json_text(j, "value", t.line);
	json_text(j, "strings", t.strings);
	json_text(j, "zone", t.zone);
	json_close(j, '}');
}

int verb_dkim_show(struct admin_call *c) {
	struct keyring_key *keys;
	size_t count, shown = 0;
	struct slice selector = SLICE_NONE;
	call_option(c, "selector", &selector);
	int code = keys_of(c, c->count != 0 ? c->args[0] : SLICE_NONE, &keys, &count);
	if (code != EX_OK) return code;
	struct json j = { .out = c->out };
	if (c->json) json_open(&j, NULL, '[');
	for (size_t i = 0; i < count; i++) {
		if (keys[i].public_key.len == 0 || (selector.len != 0 && !slice_same(selector, keys[i].selector)))
			continue;
		if (c->json) show_json(&j, c, &keys[i]);
		else show_one(c, &keys[i]);
		shown++;
	}
	if (c->json) json_close(&j, ']');
	if (c->json) buf_byte(c->out, '\n');
	if (shown == 0 && c->count != 0)
		return refuse(c, EX_NOUSER,
			      "%.*s: no key%s (made soon after the start; hato dkim add %.*s makes some now)",
			      SLICE_ARG(c->args[0]), selector.len != 0 ? " of that selector" : "",
			      SLICE_ARG(c->args[0]));
	if (shown == 0) remark(c, "no keys (hato dkim add DOMAIN)");
	return EX_OK;
}

/* ---- changes ---- */

int verb_dkim_add(struct admin_call *c) {
	struct admin_dkim what = { .what = ADMIN_DKIM_MAKE, .domain = c->args[0] };
	call_option(c, "selector", &what.selector);
	int code = change(c, &what);
	if (code == EX_OK)
		tell(c, "%.*s has keys now; publish their records: hato dkim show %.*s", SLICE_ARG(what.domain),
		     SLICE_ARG(what.domain));
	return code;
}

static int rotate_one(struct admin_call *c, struct slice domain) {
	struct admin_dkim what = { .what = ADMIN_DKIM_ROTATE, .domain = domain };
	call_option(c, "selector", &what.selector);
	int code = change(c, &what);
	if (code == EX_OK)
		tell(c, "%.*s has new keys, which sign when their records are in DNS: hato dkim show %.*s",
		     SLICE_ARG(domain), SLICE_ARG(domain));
	return code;
}

int verb_dkim_rotate(struct admin_call *c) {
	struct keyring_key *keys;
	size_t count;
	if (c->count != 0) return rotate_one(c, c->args[0]);
	int code = keys_of(c, SLICE_NONE, &keys, &count);
	struct slice last = SLICE_NONE;
	for (size_t i = 0; i < count && code == EX_OK; i++) { /* in the order of domains */
		if (keys[i].state != KEYRING_ACTIVE || slice_eq(keys[i].domain, last)) continue;
		last = keys[i].domain;
		code = rotate_one(c, last);
	}
	return code;
}

int verb_dkim_switch(struct admin_call *c) {
	struct admin_dkim what = { .what = ADMIN_DKIM_SWITCH, .domain = c->args[0] };
	int code = change(c, &what);
	if (code == EX_OK) tell(c, "%.*s: the new keys sign from now on", SLICE_ARG(what.domain));
	return code;
}

int verb_dkim_import(struct admin_call *c) {
	if (c->count != 2) return refuse(c, EX_USAGE, "a domain and a selector are needed");
	struct admin_dkim what = {
		.what = ADMIN_DKIM_IMPORT, .domain = c->args[0], .selector = c->args[1], .pem = c->input
	};
	int code = change(c, &what);
	if (code == EX_OK)
		tell(c, "%.*s._domainkey.%.*s signs from now on", SLICE_ARG(what.selector), SLICE_ARG(what.domain));
	return code;
}

int verb_dkim_remove(struct admin_call *c) {
	struct admin_dkim what = { .what = ADMIN_DKIM_REMOVE, .domain = c->args[0], .selector = c->args[1] };
	int code = change(c, &what);
	if (code == EX_OK) tell(c, "%.*s._domainkey.%.*s is deleted", SLICE_ARG(what.selector), SLICE_ARG(what.domain));
	return code;
}
