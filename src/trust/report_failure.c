/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/report_write.h"
#include "base/clock.h"
#include "mime/compose.h"
#include "trust/authres.h"

bool report_failure_wanted(struct slice fo, bool spf_aligned, bool dkim_aligned, bool spf_passed, bool dkim_broken) {
	struct slice rest = fo.len != 0 ? fo : S("0");
	bool wanted = false;
	while (rest.at != NULL) {
		struct slice word = slice_trim(slice_cut(&rest, ':'));
		wanted |= (slice_eq(word, S("0")) && !spf_aligned && !dkim_aligned) ||
			  (slice_eq(word, S("1")) && (!spf_aligned || !dkim_aligned)) ||
			  (slice_same(word, S("d")) && dkim_broken) || (slice_same(word, S("s")) && !spf_passed);
	}
	return wanted;
}

/* The domain of an identity, whose local part is private. */
static struct slice after_at(struct slice identity, struct slice domain) {
	return identity.len != 0 ? slice_skip(identity, slice_find_last(identity, '@') + 1) : domain;
}

/* "txt : example.org : \"v=spf1 …\"" (RFC 6591 §3.2.6); a stranger's text: what a field cannot hold is left out. */
static void spf_source(struct buf *out, const struct spf_source *s) {
	AUTO_BUF struct buf value = BUF(KIB(5));
	buf_addf(&value, "txt : %.*s : \"", SLICE_ARG(s->domain));
	for (size_t i = 0; i < s->record.len; i++) {
		char c = s->record.at[i];
		if (c < ' ' || c > '~') continue;
		if (c == '"' || c == '\\') buf_byte(&value, '\\');
		buf_byte(&value, c);
	}
	buf_byte(&value, '"');
	compose_field(out, "SPF-DNS", buf_slice(&value));
}

/* Of a signature (RFC 6591 §3.2.4, §3.3). */
static void signature_fields(struct buf *out, const struct report_failure *f, struct arena *mem) {
	AUTO_BUF struct buf results = BUF(KIB(4));
	struct authres_property of[] = { { S("header"), S("d"), f->dkim_domain },
					 { S("header"), S("s"), f->dkim_selector } };
	struct authres_method method = { .method = S("dkim"), .result = f->dkim, .reason = f->reason,
					 .properties = of, .properties_count = LEN(of) };
	compose_field(out, "Auth-Failure",
		      f->signature == DKIM_FAULT_BODY      ? S("bodyhash")
		      : f->signature == DKIM_FAULT_REVOKED ? S("revoked")
							   : S("signature"));
	authres_add(&results, &(struct authres){ f->host, &method, 1 });
	compose_field(out, "Authentication-Results", arena_fmt(mem, "%.*s", SLICE_ARG(buf_slice(&results))));
}

static void policy_fields(struct buf *out, const struct report_failure *f, struct arena *mem) {
	bool both = f->spf_failed && f->dkim_failed;
	compose_field(out, "Auth-Failure", S("dmarc"));
	compose_field(out, "Identity-Alignment",
		      both             ? S("dkim, spf")
		      : f->spf_failed  ? S("spf")
		      : f->dkim_failed ? S("dkim")
				       : S("none"));
	compose_field(out, "Authentication-Results",
		      arena_fmt(mem, "%.*s; dmarc=fail header.from=%.*s; spf=%.*s smtp.mailfrom=%.*s; dkim=%.*s",
				SLICE_ARG(f->host), SLICE_ARG(f->from), SLICE_ARG(f->spf),
				SLICE_ARG(f->envelope_domain.len != 0 ? f->envelope_domain : S("unknown")),
				SLICE_ARG(f->dkim)));
}

static void report_part(struct buf *out, const struct report_failure *f, struct arena *mem) {
	buf_add(out, S("Content-Type: message/feedback-report\r\n\r\n"));
	compose_field(out, "Feedback-Type", S("auth-failure"));
	compose_field(out, "User-Agent", S("hato/" HATO_VERSION));
	compose_field(out, "Version", S("1"));
	(f->signature != DKIM_FAULT_NONE ? signature_fields : policy_fields)(out, f, mem);
	if (f->dkim_domain.len != 0) {
		compose_field(out, "DKIM-Domain", f->dkim_domain);
		compose_field(out, "DKIM-Identity",
			      arena_fmt(mem, "@%.*s", SLICE_ARG(after_at(f->dkim_identity, f->dkim_domain))));
		compose_field(out, "DKIM-Selector", f->dkim_selector);
	}
	for (size_t i = 0; i < f->sources_count; i++) spf_source(out, &f->sources[i]);
	compose_field(out, "Original-Mail-From",
		      f->envelope_domain.len != 0 ? arena_fmt(mem, "redacted@%.*s", SLICE_ARG(f->envelope_domain))
						  : S("<>"));
	AUTO_BUF struct buf date = BUF(100);
	date_add(&date, (struct date){ .utc = f->arrived_s });
	compose_field(out, "Arrival-Date", buf_slice(&date));
	compose_field(out, "Source-IP", f->source);
	compose_field(out, "Delivery-Result", f->delivery);
	compose_field(out, "Reported-Domain", f->domain);
	if (f->incidents > 1) compose_field(out, "Incidents", arena_fmt(mem, "%llu", (unsigned long long)f->incidents));
	buf_add(out, S("\r\n"));
}

static struct slice words_for_people(const struct report_failure *f, struct arena *mem) {
	if (f->signature == DKIM_FAULT_NONE)
		return arena_fmt(mem,
				 "Mail from %.*s in the name of %.*s failed DMARC here. What is private was left "
				 "out.\n",
				 SLICE_ARG(f->source), SLICE_ARG(f->from));
	return arena_fmt(mem,
			 "Mail from %.*s had a DKIM signature of %.*s (selector %.*s) that does not hold here: %.*s. "
			 "You are told because the signature says r=y (RFC 6651). What is private was left out.\n",
			 SLICE_ARG(f->source), SLICE_ARG(f->dkim_domain), SLICE_ARG(f->dkim_selector),
			 SLICE_ARG(f->reason));
}

void report_compose_failure(struct buf *out, const struct report_failure *f, struct arena *mem) {
	struct mailbox from = { 0 }, to = { 0 };
	bool signature = f->signature != DKIM_FAULT_NONE;
	address_parse(f->sender, 0, mem, &from);
	address_parse(f->to, 0, mem, &to);
	compose_mailbox_field(out, "From", f->org, from);
	compose_mailbox_field(out, "To", S(""), to);
	compose_text_field(out, "Subject",
			   arena_fmt(mem, "%s failure report for %.*s from %.*s", signature ? "DKIM" : "DMARC",
				     SLICE_ARG(signature ? f->domain : f->from), SLICE_ARG(f->source)));
	compose_date_field(out, date_local(wall_s()));
	compose_field(out, "Message-ID", compose_message_id(mem, f->host));
	compose_field(out, "Auto-Submitted", S("auto-generated"));
	compose_field(out, "MIME-Version", S("1.0"));
	struct multipart parts = multipart_begin(out, "multipart/report; report-type=feedback-report");
	multipart_part(out, &parts);
	compose_text(out, "plain", words_for_people(f, mem), false);
	multipart_part(out, &parts);
	report_part(out, f, mem);
	multipart_part(out, &parts);
	buf_add(out, S("Content-Type: text/rfc822-headers\r\n\r\n"));
	compose_field(out, "From",
		      arena_fmt(mem, "<redacted@%.*s>", SLICE_ARG(f->from.len != 0 ? f->from : S("invalid"))));
	buf_add(out, S("\r\n"));
	multipart_end(out, &parts);
}
