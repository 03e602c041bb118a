/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/wire.h"
/* Reports that other servers send about mail in our name:
 *   DMARC aggregate reports   XML of RFC 7489 (with and without namespace, and its drafts) and of RFC 9990
 *   TLS reports               JSON of RFC 8460
 *   ARF                       abuse and failure reports, RFC 5965, 6591 and 9991
 * They come as .xml, .json, in gzip or zip, alone or attached to a mail. Everything in them is a stranger's: what is
 * read is bounded, entities and document types are refused, archives in archives too, nothing is looked up anywhere.
 * Text is UTF-8, without blanks at its ends; words with a fixed set of values are lower case, and otherwise as they
 * came. */

enum report_kind {
	REPORT_REFUSED, /* there was something, but not to be read: reason says why */
	REPORT_DMARC,
	REPORT_TLS,
	REPORT_ARF,
};

struct report_text { struct slice text; };
#define REPORT_TEXT_FIELDS(F) F(text, text)
struct report_reason { struct slice type, comment; };
#define REPORT_REASON_FIELDS(F) F(text, type) F(text, comment)
struct report_dkim { struct slice domain, selector, result, human; };
#define REPORT_DKIM_FIELDS(F) F(text, domain) F(text, selector) F(text, result) F(text, human)
struct report_spf { struct slice domain, scope, result, human; };
#define REPORT_SPF_FIELDS(F) F(text, domain) F(text, scope) F(text, result) F(text, human)

/* One row: so many messages from one address with the same results. */
struct report_record {
	struct slice source;            /* IP address as text, as sent */
	uint64_t count;
	struct slice disposition;       /* "none", "quarantine", "reject"; RFC 9990 also "pass" */
	struct slice dkim, spf;         /* aligned? "pass", "fail" */
	struct report_reason *reasons;
	size_t reasons_count;
	struct slice header_from, envelope_from, envelope_to;
	struct report_dkim *dkims;      /* what was found, aligned or not */
	size_t dkims_count;
	struct report_spf *spfs;
	size_t spfs_count;
};
#define REPORT_RECORD_FIELDS(F) \
	F(text, source) \
	F(u64, count) F(text, disposition) F(text, dkim) F(text, spf) F(list, reasons, report_reason) \
		F(text, header_from) F(text, envelope_from) F(text, envelope_to) F(list, dkims, report_dkim) \
			F(list, spfs, report_spf)

struct report_dmarc {
	struct slice version, org, email, contact, id, generator;
	int64_t begin_s, end_s;         /* UTC seconds; 0: not said */
	struct report_text *errors;
	size_t errors_count;
	struct slice domain, adkim, aspf, p, sp, np, percent, fo, testing, discovery; /* policy_published */
	struct report_record *records;
	size_t records_count;
	bool repaired;                  /* the XML was not well-formed, and read as far as it made sense */
};
#define REPORT_DMARC_FIELDS(F) \
	F(text, version) \
	F(text, org) F(text, email) F(text, contact) F(text, id) F(text, generator) F(i64, begin_s) F(i64, end_s) \
		F(list, errors, report_text) F(text, domain) F(text, adkim) F(text, aspf) F(text, p) F(text, sp) \
			F(text, np) F(text, percent) F(text, fo) F(text, testing) F(text, discovery) \
				F(list, records, report_record) F(bool_, repaired)

struct report_tls_failure {
	struct slice type;              /* "certificate-expired", … */
	struct slice sending_ip, receiving_ip, receiving_host, receiving_helo, info, code;
	uint64_t count;
};
#define REPORT_TLS_FAILURE_FIELDS(F) \
	F(text, type) \
	F(text, sending_ip) F(text, receiving_ip) F(text, receiving_host) F(text, receiving_helo) F(text, info) \
		F(text, code) F(u64, count)
struct report_tls_policy {
	struct slice type, domain;      /* "sts", "tlsa", "no-policy-found" */
	struct report_text *strings, *hosts;
	size_t strings_count, hosts_count;
	uint64_t successes, failures;
	struct report_tls_failure *details;
	size_t details_count;
};
#define REPORT_TLS_POLICY_FIELDS(F) \
	F(text, type) \
	F(text, domain) F(list, strings, report_text) F(list, hosts, report_text) F(u64, successes) F(u64, failures) \
		F(list, details, report_tls_failure)
struct report_tls {
	struct slice org, contact, id, begin, end; /* times as they came, RFC 3339 */
	int64_t begin_s, end_s;                    /* 0: unreadable */
	struct report_tls_policy *policies;
	size_t policies_count;
};
#define REPORT_TLS_FIELDS(F) \
	F(text, org) F(text, contact) F(text, id) F(text, begin) F(text, end) F(i64, begin_s) F(i64, end_s) \
	F(list, policies, report_tls_policy)

struct report_arf {
	struct slice feedback_type, user_agent, version;
	struct slice arrival;            /* as it stands; arrived_s: 0 when it cannot be read */
	int64_t arrived_s;
	struct slice envelope_id, mail_from, rcpt_to, reporting_mta, source_ip, source_port;
	struct report_text *results, *domains, *uris; /* Authentication-Results, Reported-Domain, Reported-URI */
	size_t results_count, domains_count, uris_count;
	uint64_t incidents;              /* 1 when not said */
	struct slice auth_failure, delivery_result, alignment;
	struct slice dkim_domain, dkim_identity, dkim_selector, dkim_selector_dns, spf_dns;
	struct slice subject, from, message_id; /* of the message it is about, when it came along */
	struct slice headers;            /* its header, as far as it came */
};
#define REPORT_ARF_FIELDS(F) \
	F(text, feedback_type) \
	F(text, user_agent) F(text, version) F(text, arrival) F(i64, arrived_s) F(text, envelope_id) \
		F(text, mail_from) F(text, rcpt_to) F(text, reporting_mta) F(text, source_ip) F(text, source_port) \
			F(list, results, report_text) F(list, domains, report_text) F(list, uris, report_text) \
				F(u64, incidents) F(text, auth_failure) F(text, delivery_result) F(text, alignment) \
					F(text, dkim_domain) F(text, dkim_identity) F(text, dkim_selector) \
						F(text, dkim_selector_dns) F(text, spf_dns) F(text, subject) \
							F(text, from) F(text, message_id) F(text, headers)

struct report {
	uint32_t kind;                   /* enum report_kind; the struct of that name is filled */
	struct slice file;               /* its name in the mail or archive; may be empty */
	struct slice reason;             /* REPORT_REFUSED: "the XML has a document type" */
	struct report_dmarc dmarc;
	struct report_tls tls;
	struct report_arf arf;
};
#define REPORT_FIELDS(F) \
	F(u32, kind) \
	F(text, file) F(text, reason) F(part, dmarc, report_dmarc) F(part, tls, report_tls) F(part, arf, report_arf)
struct report_list {
	struct report *items;
	size_t items_count;
	struct slice nothing;            /* without items: why there are none, "no report in this mail" */
};
#define REPORT_LIST_FIELDS(F) F(list, items, report) F(text, nothing)
WIRE_DECLARE(report_text)
WIRE_DECLARE(report_reason) WIRE_DECLARE(report_dkim) WIRE_DECLARE(report_spf) WIRE_DECLARE(report_record)
	WIRE_DECLARE(report_dmarc) WIRE_DECLARE(report_tls_failure) WIRE_DECLARE(report_tls_policy)
		WIRE_DECLARE(report_tls) WIRE_DECLARE(report_arf) WIRE_DECLARE(report) WIRE_DECLARE(report_list)

	/* The bounds. Whoever reaches one gets REPORT_REFUSED, but texts, which are cut. */
	enum { REPORT_FILE_MAX = 64 << 20,     /* what report_read takes */
	       REPORT_UNPACKED_MAX = 32 << 20, /* of all archives of one call together */
	       REPORT_RATIO_MAX = 300,         /* unpacked against packed, above 1 MiB */
	       REPORT_JSON_MAX = 4 << 20,
	       REPORT_JSON_VALUES = 200000,
	       REPORT_RECORDS_MAX = 50000,
	       REPORT_DEPTH_MAX = 100, /* of elements */
	       REPORT_LIST_MAX = 100,  /* signatures of a record, entries of a zip, … */
	       REPORT_TEXT_MAX = 2000,
	};
/* Finds out what it is, and reads it: a mail, an archive, XML or JSON. Never fails. */
void report_read(struct slice bytes, struct arena *mem, struct report_list *out);

/* The pieces, each of one file (report_xml.c, report_json.c, report_arf.c, report_archive.c). False: *reason is set. */
bool report_read_xml(struct slice text, struct arena *mem, struct report_dmarc *out, struct slice *reason);
bool report_read_json(struct slice text, struct arena *mem, struct report_tls *out, struct slice *reason);
/* fields: the part message/feedback-report; original: the message it is about, or empty. */
bool report_read_arf(struct slice fields, struct slice original, struct arena *mem, struct report_arf *out,
		     struct slice *reason);
/* Unpacks: each file is told. *budget: bytes that may still be unpacked, counted down. */
enum report_archive { REPORT_PLAIN, REPORT_GZIP, REPORT_ZIP };
enum report_archive report_archive_of(struct slice bytes);
struct report_archive_ops {
	void (*file)(void *ctx, struct slice name, struct slice bytes); /* borrowed for the call */
	void *ctx;
};
bool report_archive_each(struct slice bytes, size_t *budget, const struct report_archive_ops *ops,
			 struct slice *reason);
