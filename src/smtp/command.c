/* SPDX-License-Identifier: Apache-2.0 */
/* MAIL and RCPT are a path, then parameters. Each parameter is one row: its name, what must have been offered for
 * it, its reader and what is said when it cannot be read. */
#include "smtp/command.h"
#include "base/encode.h"

struct slice command_word(struct slice *rest) {
	return slice_word(rest, " \t");
}

enum command_line command_line_check(struct slice line) {
	bool high = false;
	for (size_t i = 0; i < line.len; i++) {
		char c = line.at[i];
		if (c == '\r') return COMMAND_LINE_BARE_CR;
		if (ascii_control(c) && c != '\t') return COMMAND_LINE_CONTROL;
		high |= (unsigned char)c > 127;
	}
	return high && !utf8_valid(line) ? COMMAND_LINE_NOT_UTF8 : COMMAND_LINE_OK;
}

enum reading { READ_OK, READ_BAD, READ_UNSUPPORTED };
struct parameter {
	struct slice name;
	unsigned offer;                                      /* bit of enum smtp_offer; 0: always taken */
	/* value.at == NULL: there was no "=" */
	enum reading (*read)(struct slice value, const struct smtp_server_params *params, void *out);
	struct slice complaint;
};

static enum reading read_size(struct slice value, const struct smtp_server_params *params, void *out) {
	(void)params;
	struct smtp_mail *m = out;
	uint64_t size = UINT64_MAX; /* what does not fit 64 bits is above every limit */
	if (value.len == 0) return READ_BAD;
	for (size_t i = 0; i < value.len; i++)
		if (!ascii_digit(value.at[i])) return READ_BAD;
	slice_number(value, UINT64_MAX, &size);
	m->size = size;
	return READ_OK;
}

static enum reading read_body(struct slice value, const struct smtp_server_params *params, void *out) {
	(void)params;
	struct smtp_mail *m = out;
	if (slice_same(value, S("7BIT"))) m->body = SMTP_BODY_7BIT;
	else if (slice_same(value, S("8BITMIME"))) m->body = SMTP_BODY_8BITMIME;
	else return READ_UNSUPPORTED; /* BINARYMIME is not offered: the store keeps lines */
	return READ_OK;
}

static enum reading read_utf8(struct slice value, const struct smtp_server_params *params, void *out) {
	(void)params;
	struct smtp_mail *m = out;
	if (value.at != NULL) return READ_UNSUPPORTED;
	m->utf8 = true;
	return READ_OK;
}

static enum reading read_require_tls(struct slice value, const struct smtp_server_params *params, void *out) {
	(void)params;
	struct smtp_mail *m = out;
	if (value.at != NULL || m->require_tls) return READ_BAD;
	m->require_tls = true;
	return READ_OK;
}

static enum reading read_ret(struct slice value, const struct smtp_server_params *params, void *out) {
	(void)params;
	struct smtp_mail *m = out;
	if (m->ret != SMTP_RET_NONE) return READ_BAD;
	if (slice_same(value, S("FULL"))) m->ret = SMTP_RET_FULL;
	else if (slice_same(value, S("HDRS"))) m->ret = SMTP_RET_HDRS;
	else return READ_BAD;
	return READ_OK;
}

static enum reading read_envid(struct slice value, const struct smtp_server_params *params, void *out) {
	(void)params;
	struct smtp_mail *m = out;
	if (m->envid.at != NULL || !xtext_valid(value)) return READ_BAD;
	m->envid = value;
	return READ_OK;
}

static enum reading read_auth(struct slice value, const struct smtp_server_params *params, void *out) {
	(void)params;
	struct smtp_mail *m = out;
	if (m->auth.at != NULL || (!slice_eq(value, S("<>")) && !xtext_valid(value))) return READ_BAD;
	m->auth = value;
	return READ_OK;
}

/* XVERP=+= (VERP_README). */
static enum reading read_verp(struct slice value, const struct smtp_server_params *params, void *out) {
	struct smtp_mail *m = out;
	struct slice filter = slice_of(params->verp_filter),
		     both = value.at != NULL ? value : slice_of(params->verp_delimiters);
	if (value.at != NULL && (both.len != 2 || slice_find(filter, both.at[0]) == filter.len ||
				 slice_find(filter, both.at[1]) == filter.len))
		return READ_BAD;
	m->verp = both;
	return READ_OK;
}

static enum reading read_notify(struct slice value, const struct smtp_server_params *params, void *out) {
	(void)params;
	static const struct { struct slice word; unsigned bit; } words[] = {
		{ S("NEVER"), SMTP_NOTIFY_NEVER }, { S("SUCCESS"), SMTP_NOTIFY_SUCCESS },
		{ S("FAILURE"), SMTP_NOTIFY_FAILURE }, { S("DELAY"), SMTP_NOTIFY_DELAY },
	};
	struct smtp_rcpt *r = out;
	if (r->notify != 0) return READ_BAD;
	unsigned notify = 0;
	while (value.at != NULL) {
		struct slice word = slice_cut(&value, ',');
		unsigned bit = 0;
		for (size_t i = 0; i < LEN(words); i++)
			if (slice_same(word, words[i].word)) bit = words[i].bit;
		if (bit == 0 || (notify & bit) != 0) return READ_BAD;
		notify |= bit;
	}
	if (notify == 0 || ((notify & SMTP_NOTIFY_NEVER) != 0 && notify != SMTP_NOTIFY_NEVER)) return READ_BAD;
	r->notify = notify;
	return READ_OK;
}

/* type;xtext, where the type utf-8 (RFC 6533 §3) has an encoding of its own that only its reader needs to know. */
static enum reading read_orcpt(struct slice value, const struct smtp_server_params *params, void *out) {
	(void)params;
	struct smtp_rcpt *r = out;
	struct slice address = value, type = slice_cut(&address, ';');
	if (r->orcpt.at != NULL || type.len == 0 || address.len == 0) return READ_BAD;
	for (size_t i = 0; i < type.len; i++)
		if (!ascii_alpha(type.at[i]) && !ascii_digit(type.at[i]) && type.at[i] != '-') return READ_BAD;
	if (!slice_same(type, S("utf-8")) && !xtext_valid(address)) return READ_BAD;
	r->orcpt = value;
	return READ_OK;
}

/* SIZE and BODY are taken as well where smtpd_discard_ehlo_keywords keeps them from being offered. */
static const struct parameter mail_parameters[] = {
	{ S("SIZE"), 0, read_size, S("Bad message size syntax") },
	{ S("BODY"), 0, read_body, S("Bad BODY parameter syntax") },
	{ S("SMTPUTF8"), OFFER_SMTPUTF8, read_utf8, S("Bad SMTPUTF8 parameter syntax") },
	{ S("RET"), OFFER_DSN, read_ret, S("Bad RET parameter syntax") },
	{ S("ENVID"), OFFER_DSN, read_envid, S("Bad ENVID parameter syntax") },
	{ S("XVERP"), OFFER_XVERP, read_verp, S("Error: XVERP needs two characters from ") },
	{ S("REQUIRETLS"), OFFER_REQUIRETLS, read_require_tls, S("Bad REQUIRETLS parameter syntax") },
	{ S("AUTH"), 0, read_auth, S("Bad AUTH parameter syntax") },
};
static const struct parameter rcpt_parameters[] = {
	{ S("NOTIFY"), OFFER_DSN, read_notify, S("Error: Bad NOTIFY parameter syntax") },
	{ S("ORCPT"), OFFER_DSN, read_orcpt, S("Error: Bad ORCPT parameter syntax") },
};

static struct smtp_reply read_parameters(struct slice rest, const struct parameter *known, size_t count, unsigned offer,
                                         const struct smtp_server_params *params, struct arena *mem, void *out) {
	for (struct slice word = command_word(&rest); word.len != 0; word = command_word(&rest)) {
		struct slice value = word, name = slice_cut(&value, '=');
		const struct parameter *p = NULL;
		for (size_t i = 0; i < count; i++)
			if (slice_same(name, known[i].name)) p = &known[i];
		bool offered = p != NULL && (p->offer & ~offer) == 0;
		bool hidden_dsn = p != NULL && !offered && p->offer == OFFER_DSN;
		if (hidden_dsn) return smtp_reply(501, "5.7.1", S("DSN support is disabled"));
		enum reading r = offered ? p->read(value, params, out) : READ_UNSUPPORTED;
		if (r == READ_BAD && p->offer == OFFER_XVERP)
			return smtp_reply_fmt(mem, 501, "5.5.4", "%.*s%s", SLICE_ARG(p->complaint),
					      params->verp_filter);
		if (r == READ_BAD) return smtp_reply(501, "5.5.4", p->complaint);
		if (r == READ_UNSUPPORTED)
			return smtp_reply_fmt(mem, 555, "5.5.4", "Unsupported option: %.*s", SLICE_ARG(word));
	}
	return (struct smtp_reply){ 0 };
}

/* Cuts "FROM:" or "TO:" off; false when it is not there or nothing follows. */
static bool skip_prefix(struct slice *args, struct slice prefix) {
	*args = slice_trim(*args);
	if (!slice_starts_same(*args, prefix)) return false;
	*args = slice_trim(slice_skip(*args, prefix.len));
	return args->len != 0;
}

static unsigned path_flags(const struct smtp_server_params *params, bool utf8) {
	return ADDRESS_LONG_LOCAL | (params->strict_paths ? ADDRESS_STRICT : 0u) | (utf8 ? ADDRESS_UTF8 : 0u);
}

/* A path whose domain is missing or an address, as some write them, in the form that everybody reads. */
static struct slice repaired(struct slice args, const struct smtp_server_params *params, struct arena *mem) {
	size_t end = slice_find(args, '>'), at = slice_find_last(slice_head(args, end), '@'), digits = 0;
	if ((!params->null_domain && !params->numeric_domain) || at >= end || end == args.len) return args;
	struct slice local = slice_head(args, at), domain = slice_head(slice_skip(args, at + 1), end - at - 1),
		     rest = slice_skip(args, end);
	while (digits < domain.len && (ascii_digit(domain.at[digits]) || domain.at[digits] == '.')) digits++;
	if (params->null_domain && domain.len == 0)
		return arena_fmt(mem, "%.*s@%s%.*s", SLICE_ARG(local), params->host, SLICE_ARG(rest));
	if (params->numeric_domain && domain.len != 0 && digits == domain.len)
		return arena_fmt(mem, "%.*s@[%.*s]%.*s", SLICE_ARG(local), SLICE_ARG(domain), SLICE_ARG(rest));
	return args;
}

static const char undeclared[] = "Must declare SMTPUTF8 to send unicode address";

struct smtp_reply command_mail(struct slice args, const struct smtp_server_params *params, unsigned offer,
                               struct arena *mem, struct smtp_mail *out) {
	struct smtp_mail m = { 0 };
	struct slice rest;
	if (!skip_prefix(&args, S("FROM:"))) return smtp_reply(501, "5.5.4", S("Syntax: MAIL FROM:<address>"));
	/* whether UTF-8 is allowed in the path is said behind it */
	m.kind = address_parse_path(repaired(args, params, mem), path_flags(params, (offer & OFFER_SMTPUTF8) != 0), mem,
				    &m.from, &rest);
	if (m.kind == ADDRESS_BAD || (!params->dash_user && slice_starts(m.from.local, S("-"))))
		return smtp_reply(501, "5.1.7", S("Bad sender address syntax"));
	struct smtp_reply r = read_parameters(rest, mail_parameters, LEN(mail_parameters), offer, params, mem, &m);
	if (r.code != 0) return r;
	if (m.verp.len != 0 && m.kind == ADDRESS_EMPTY)
		return smtp_reply(503, "5.5.4", S("Error: XVERP requires non-null sender"));
	m.text = mailbox_text(mem, m.from);
	if (!m.utf8 && !params->utf8_unasked && !slice_is_ascii(m.text))
		return smtp_reply(553, "5.6.7", slice_of(undeclared));
	*out = m;
	return r;
}

struct smtp_reply command_rcpt(struct slice args, const struct smtp_server_params *params, unsigned offer, bool utf8,
                               struct arena *mem, struct smtp_rcpt *out) {
	struct smtp_rcpt to = { 0 };
	struct slice rest;
	if (!skip_prefix(&args, S("TO:"))) return smtp_reply(501, "5.5.4", S("Syntax: RCPT TO:<address>"));
	to.kind = address_parse_path(repaired(args, params, mem), path_flags(params, (offer & OFFER_SMTPUTF8) != 0),
				     mem, &to.to, &rest);
	bool bad = to.kind == ADDRESS_BAD || to.kind == ADDRESS_EMPTY ||
		   (!params->dash_user && slice_starts(to.to.local, S("-")));
	if (bad) return smtp_reply(501, "5.1.3", S("Bad recipient address syntax"));
	struct smtp_reply r = read_parameters(rest, rcpt_parameters, LEN(rcpt_parameters), offer, params, mem, &to);
	if (r.code != 0) return r;
	to.text = mailbox_text(mem, to.to);
	if (!utf8 && !params->utf8_unasked && !slice_is_ascii(args))
		return smtp_reply(553, "5.6.7", slice_of(undeclared));
	*out = to;
	return r;
}

bool command_bdat(struct slice args, uint64_t *count, bool *last) {
	struct slice number = command_word(&args), word = command_word(&args);
	uint64_t n;
	if (!slice_number(number, INT64_MAX, &n)) return false;
	if (word.len != 0 && !slice_same(word, S("LAST"))) return false;
	if (command_word(&args).len != 0) return false;
	*count = n;
	*last = word.len != 0;
	return true;
}
