/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/dkim.h"
#include "trust/report.h"
#include "trust/spf.h"
/* Reports that we send: the XML of an aggregate report, the mail it travels in, and whom it goes to. */
enum report_form { REPORT_FORM_RFC9990, REPORT_FORM_RFC7489 };
void report_write_xml(struct buf *out, const struct report_dmarc *d, enum report_form form);

/* rua= and ruf= (RFC 9989 §4.7): "mailto:a@b.example!10m,mailto:…". Only mailto; other URIs and broken ones are left
 * out. */
struct report_target {
	struct slice address, host;      /* host: of the address, ASCII lower case */
	uint64_t limit;                  /* bytes as sent, after base64, for RFC 7489; 0: none */
};
enum { REPORT_TARGETS_MAX = 10 };
size_t report_targets(struct slice uris, struct arena *mem, struct report_target out[static REPORT_TARGETS_MAX]);
/* The name whose TXT record says that reports about domain may go to host (RFC 9990 §4). False: too long. */
bool report_permission_name(struct slice domain, struct slice host, struct arena *mem, struct slice *out);
/* Do these records permit it? failure: ruf= counts, not rua=. others: addresses that the host prefers, all of the same
 * host; *others_count may be 0. */
bool report_permitted(const struct slice *records, size_t count, struct slice host, bool failure, struct arena *mem,
		      struct report_target others[static REPORT_TARGETS_MAX], size_t *others_count);

struct report_mail {
	const struct report_dmarc *report;
	enum report_form form;
	struct slice submitter;          /* our domain: stands in the subject and the file's name */
	struct slice sender, to;         /* addresses */
	struct slice host;               /* for the Message-ID */
	int64_t now_s;
};
/* Bytes of the attachment as sent, to be compared with report_target's limit. */
uint64_t report_packed_size(struct slice packed);
/* gzip of the XML. <0: fail() */
int report_gzip(const struct report_mail *m, struct buf *out);
/* The whole message, header and body. */
void report_compose(struct buf *out, const struct report_mail *m, struct slice packed, struct arena *mem);

/* A failure report (RFC 9991, RFC 6651, RFC 6591): one way in which mail failed, told without what is private: no local
 * parts, no text, none of the message's fields but the author's domain. */
struct report_failure {
	enum dkim_fault signature;       /* this one's domain is told (RFC 6651); DKIM_FAULT_NONE: DMARC's is */
	struct slice reason;             /* of a signature's fault, for people */
	struct slice domain, from;       /* of the policy, or of the signature; of the author, may be empty */
	struct slice source;             /* IP address */
	struct slice envelope_domain;    /* of MAIL FROM; may be empty */
	bool spf_failed, dkim_failed;    /* to prove the author */
	struct slice spf, dkim;          /* results */
	struct slice dkim_domain, dkim_selector, dkim_identity; /* of a signature that failed; may be empty */
	const struct spf_source *sources; /* the SPF records that were read, where SPF failed */
	size_t sources_count;
	struct slice delivery;           /* RFC 6591: "delivered", "reject", "policy" (quarantine) */
	uint64_t incidents;
	int64_t arrived_s;
	struct slice org, sender, to, host;
};
/* Does fo= ask for it (RFC 9989 §4.7)? fo empty: "0". */
bool report_failure_wanted(struct slice fo, bool spf_aligned, bool dkim_aligned, bool spf_passed, bool dkim_broken);
void report_compose_failure(struct buf *out, const struct report_failure *f, struct arena *mem);
