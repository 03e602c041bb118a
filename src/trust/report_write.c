/* SPDX-License-Identifier: Apache-2.0 */
/* Names and values come from strangers' messages and DNS records: each is escaped, cut to what a consumer expects, and
 * put in the order of the schema. What one form does not know is said in the words it has. */
#include "trust/report_write.h"
#include "base/encode.h"
#include "base/fail.h"
#include "mime/address.h"
#include "mime/compose.h"
#include "trust/canon.h"

#include <zlib.h>

static void escaped(struct buf *out, struct slice s) {
	while (s.len != 0) {
		uint32_t c = utf8_next(&s);
		if (c == '&') buf_add(out, S("&amp;"));
		else if (c == '<') buf_add(out, S("&lt;"));
		else if (c == '>') buf_add(out, S("&gt;"));
		else if (c < 0x20 || c == 0x7f || c == 0xfffe || c == 0xffff) buf_byte(out, '?');
		else utf8_add(out, c);
	}
}

static void leaf(struct buf *out, int depth, const char *name, struct slice text) {
	buf_addf(out, "%*s<%s>", depth * 2, "", name);
	escaped(out, text);
	buf_addf(out, "</%s>\n", name);
}

static void maybe(struct buf *out, int depth, const char *name, struct slice text) {
	if (text.len != 0) leaf(out, depth, name, text);
}

static void number(struct buf *out, int depth, const char *name, int64_t n) {
	buf_addf(out, "%*s<%s>%lld</%s>\n", depth * 2, "", name, (long long)n, name);
}

static void metadata(struct buf *out, const struct report_dmarc *d, enum report_form form) {
	buf_add(out, S("  <report_metadata>\n"));
	leaf(out, 2, "org_name", d->org);
	leaf(out, 2, "email", d->email);
	maybe(out, 2, "extra_contact_info", d->contact);
	leaf(out, 2, "report_id", d->id);
	buf_add(out, S("    <date_range>\n"));
	number(out, 3, "begin", d->begin_s);
	number(out, 3, "end", d->end_s);
	buf_add(out, S("    </date_range>\n"));
	for (size_t i = 0; i < d->errors_count; i++) leaf(out, 2, "error", d->errors[i].text);
	if (form == REPORT_FORM_RFC9990) maybe(out, 2, "generator", d->generator);
	buf_add(out, S("  </report_metadata>\n"));
}

static void policy(struct buf *out, const struct report_dmarc *d, enum report_form form) {
	buf_add(out, S("  <policy_published>\n"));
	leaf(out, 2, "domain", d->domain);
	if (form == REPORT_FORM_RFC9990) {
		maybe(out, 2, "discovery_method", d->discovery);
		leaf(out, 2, "p", d->p);
		maybe(out, 2, "sp", d->sp);
		maybe(out, 2, "np", d->np);
		maybe(out, 2, "fo", d->fo);
		maybe(out, 2, "adkim", d->adkim);
		maybe(out, 2, "aspf", d->aspf);
		maybe(out, 2, "testing", d->testing);
	} else {
		leaf(out, 2, "adkim", d->adkim);
		leaf(out, 2, "aspf", d->aspf);
		leaf(out, 2, "p", d->p);
		leaf(out, 2, "sp", d->sp.len != 0 ? d->sp : d->p);
		leaf(out, 2, "pct", d->percent.len != 0 ? d->percent : S("100"));
		leaf(out, 2, "fo", d->fo.len != 0 ? d->fo : S("0"));
	}
	buf_add(out, S("  </policy_published>\n"));
}

static struct slice reason_word(struct slice type, enum report_form form) {
	static const char *const both[] = { "local_policy", "mailing_list", "trusted_forwarder", "other" };
	for (size_t i = 0; i < LEN(both); i++)
		if (slice_eq(type, slice_of(both[i]))) return type;
	bool test = slice_eq(type, S("policy_test_mode")), sampled = slice_eq(type, S("sampled_out")),
	     forwarded = slice_eq(type, S("forwarded"));
	if (form == REPORT_FORM_RFC9990)
		return test ? type : sampled ? S("policy_test_mode") : forwarded ? S("trusted_forwarder") : S("other");
	return sampled || forwarded ? type : test ? S("sampled_out") : S("other");
}

static void record(struct buf *out, const struct report_record *r, enum report_form form) {
	buf_add(out, S("  <record>\n    <row>\n"));
	leaf(out, 3, "source_ip", r->source);
	number(out, 3, "count", (int64_t)r->count);
	buf_add(out, S("      <policy_evaluated>\n"));
	bool unknown = form == REPORT_FORM_RFC7489 && slice_eq(r->disposition, S("pass"));
	leaf(out, 4, "disposition", unknown ? S("none") : r->disposition);
	leaf(out, 4, "dkim", r->dkim);
	leaf(out, 4, "spf", r->spf);
	for (size_t i = 0; i < r->reasons_count; i++) {
		buf_add(out, S("        <reason>\n"));
		leaf(out, 5, "type", reason_word(r->reasons[i].type, form));
		maybe(out, 5, "comment", r->reasons[i].comment);
		buf_add(out, S("        </reason>\n"));
	}
	buf_add(out, S("      </policy_evaluated>\n    </row>\n    <identifiers>\n"));
	leaf(out, 3, "envelope_from", r->envelope_from);
	leaf(out, 3, "header_from", r->header_from);
	buf_add(out, S("    </identifiers>\n    <auth_results>\n"));
	for (size_t i = 0; i < r->dkims_count; i++) {
		buf_add(out, S("      <dkim>\n"));
		leaf(out, 4, "domain", r->dkims[i].domain);
		leaf(out, 4, "selector", r->dkims[i].selector);
		leaf(out, 4, "result", r->dkims[i].result);
		maybe(out, 4, "human_result", r->dkims[i].human);
		buf_add(out, S("      </dkim>\n"));
	}
	for (size_t i = 0; i < r->spfs_count; i++) {
		if (form == REPORT_FORM_RFC9990 && r->spfs[i].domain.len == 0) continue; /* it was not checked */
		buf_add(out, S("      <spf>\n"));
		leaf(out, 4, "domain", r->spfs[i].domain);
		leaf(out, 4, "scope",
		     form == REPORT_FORM_RFC9990 || r->spfs[i].scope.len == 0 ? S("mfrom") : r->spfs[i].scope);
		leaf(out, 4, "result", r->spfs[i].result);
		buf_add(out, S("      </spf>\n"));
		if (form == REPORT_FORM_RFC9990) break;
	}
	buf_add(out, S("    </auth_results>\n  </record>\n"));
}

void report_write_xml(struct buf *out, const struct report_dmarc *d, enum report_form form) {
	buf_add(out, S("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
	buf_add(out, form == REPORT_FORM_RFC9990 ? S("<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">\n")
						 : S("<feedback>\n"));
	leaf(out, 1, "version", S("1.0"));
	metadata(out, d, form);
	policy(out, d, form);
	for (size_t i = 0; i < d->records_count; i++) record(out, &d->records[i], form);
	buf_add(out, S("</feedback>\n"));
}

/* Whom it goes to. */

static bool percent_decode(struct slice in, struct arena *mem, struct slice *out) {
	char *at = arena_get(mem, in.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < in.len; i++) {
		if (in.at[i] != '%') {
			at[n++] = in.at[i];
			continue;
		}
		if (in.len - i < 3 || ascii_hex(in.at[i + 1]) < 0 || ascii_hex(in.at[i + 2]) < 0) return false;
		at[n++] = (char)(ascii_hex(in.at[i + 1]) << 4 | ascii_hex(in.at[i + 2]));
		i += 2;
	}
	*out = slice_from(at, n);
	return true;
}

/* "10m": false: no size */
static bool read_limit(struct slice text, uint64_t *out) {
	static const char units[] = "kmgt";
	unsigned shift = 0;
	const char *unit = text.len != 0 ? strchr(units, ascii_lower(text.at[text.len - 1])) : NULL;
	if (unit != NULL && *unit != '\0') {
		shift = 10 * (unsigned)(unit - units + 1);
		text.len--;
	}
	if (!slice_number(text, UINT64_MAX >> 44, out)) return false;
	*out <<= shift;
	return true;
}

static bool read_target(struct slice uri, struct arena *mem, struct report_target *out) {
	struct mailbox box;
	*out = (struct report_target){ 0 };
	uri = slice_trim(uri);
	if (!slice_starts_same(uri, S("mailto:"))) return false;
	uri = slice_skip(uri, 7);
	size_t mark = slice_find_last(uri, '!');
	if (mark < uri.len) {
		if (!read_limit(slice_skip(uri, mark + 1), &out->limit)) return false;
		uri = slice_head(uri, mark);
	}
	uri = slice_head(uri, slice_find(uri, '?'));
	if (!percent_decode(uri, mem, &uri) || address_parse(uri, 0, mem, &box) != ADDRESS_OK ||
	    domain_is_literal(box.domain))
		return false;
	out->address = mailbox_text(mem, box);
	return domain_ascii(box.domain, mem, &out->host);
}

size_t report_targets(struct slice uris, struct arena *mem, struct report_target out[static REPORT_TARGETS_MAX]) {
	struct slice rest = uris;
	size_t n = 0;
	while (rest.at != NULL && n < REPORT_TARGETS_MAX) {
		bool good = read_target(slice_cut(&rest, ','), mem, &out[n]);
		for (size_t i = 0; i < n && good; i++) good = !slice_same(out[i].address, out[n].address);
		n += good;
	}
	return n;
}

bool report_permission_name(struct slice domain, struct slice host, struct arena *mem, struct slice *out) {
	*out = arena_fmt(mem, "%.*s._report._dmarc.%.*s", SLICE_ARG(domain), SLICE_ARG(host));
	return out->len <= 253;
}

bool report_permitted(const struct slice *records, size_t count, struct slice host, bool failure, struct arena *mem,
		      struct report_target others[static REPORT_TARGETS_MAX], size_t *others_count) {
	bool permitted = false;
	*others_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct slice rest = records[i], name, value;
		if (!tag_next(&rest, &name, &value) || !slice_eq(name, S("v")) || !slice_eq(value, S("DMARC1")))
			continue;
		permitted = true;
		while (tag_next(&rest, &name, &value)) {
			if (!slice_eq(name, failure ? S("ruf") : S("rua"))) continue;
			*others_count = report_targets(value, mem, others);
			/* an address elsewhere would be a way around the check: then nobody gets it (RFC 9990 §4) */
			for (size_t k = 0; k < *others_count; k++)
				if (!slice_eq(others[k].host, host)) return false;
			if (*others_count == 0) return false;
		}
	}
	return permitted;
}

/* The mail. */

int report_gzip(const struct report_mail *m, struct buf *out) {
	AUTO_BUF struct buf xml = BUF(REPORT_UNPACKED_MAX);
	z_stream z = { 0 };
	report_write_xml(&xml, m->report, m->form);
	if (xml.full) return fail("the report is too large");
	if (deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return fail("no memory to pack a report");
	size_t room = deflateBound(&z, xml.len);
	char *at = buf_room(out, room);
	int r = Z_BUF_ERROR;
	if (at != NULL) {
		z.next_in = (Bytef *)xml.at;
		z.avail_in = (uInt)xml.len;
		z.next_out = (Bytef *)at;
		z.avail_out = (uInt)room;
		r = deflate(&z, Z_FINISH);
		out->len += room - z.avail_out;
	}
	deflateEnd(&z);
	return r == Z_STREAM_END ? 0 : fail("the report is too large");
}

uint64_t report_packed_size(struct slice packed) {
	uint64_t base64 = (packed.len + 2) / 3 * 4;
	return base64 + (base64 / 76 + 1) * 2;
}

void report_compose(struct buf *out, const struct report_mail *m, struct slice packed, struct arena *mem) {
	const struct report_dmarc *d = m->report;
	struct slice file = arena_fmt(mem, "%.*s!%.*s!%lld!%lld.xml.gz", SLICE_ARG(m->submitter), SLICE_ARG(d->domain),
				      (long long)d->begin_s, (long long)d->end_s);
	struct mailbox from = { 0 }, to = { 0 };
	address_parse(m->sender, 0, mem, &from);
	address_parse(m->to, 0, mem, &to);
	compose_mailbox_field(out, "From", d->org, from);
	compose_mailbox_field(out, "To", S(""), to);
	compose_text_field(out, "Subject",
			   arena_fmt(mem, "Report Domain: %.*s Submitter: %.*s Report-ID: <%.*s>", SLICE_ARG(d->domain),
				     SLICE_ARG(m->submitter), SLICE_ARG(d->id)));
	compose_date_field(out, date_local(m->now_s));
	compose_field(out, "Message-ID", compose_message_id(mem, m->host));
	compose_field(out, "Auto-Submitted", S("auto-generated"));
	compose_field(out, "MIME-Version", S("1.0"));
	struct multipart parts = multipart_begin(out, "multipart/mixed");
	multipart_part(out, &parts);
	compose_text(out, "plain",
		     arena_fmt(mem,
			       "This is a DMARC aggregate report (RFC 9990).\n\nAbout mail in the name of: %.*s\nSeen "
			       "by: %.*s\n"
			       "Report: %.*s\n\nThe attached file is for a program to read.\n",
			       SLICE_ARG(d->domain), SLICE_ARG(d->org), SLICE_ARG(d->id)),
		     false);
	multipart_part(out, &parts);
	buf_add(out, S("Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n"));
	buf_addf(out, "Content-Disposition: attachment;\r\n\tfilename=\"%.*s\"\r\n\r\n", SLICE_ARG(file));
	compose_base64(out, packed);
	multipart_end(out, &parts);
}
