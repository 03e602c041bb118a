/* SPDX-License-Identifier: Apache-2.0 */
/* An answering machine can be turned against others by a forged sender. So what is answered has been proved, and
 * everything that might be a machine is left alone: two of these must never talk to each other. */
#include "flow/check_answer.h"
#include "base/clock.h"
#include "mime/compose.h"
#include "mime/header.h"

#include <pthread.h>

struct check_memory {
	pthread_mutex_t lock;
	struct { uint64_t domain; int64_t at; } last[CHECK_ANSWERS_MAX]; /* a ring; at 0: free */
	size_t next;
};

struct check_memory *check_memory_new(void) {
	struct check_memory *m = mem_get(sizeof *m);
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

void check_memory_free(struct check_memory **m) {
	if (*m == NULL) return;
	pthread_mutex_destroy(&(*m)->lock);
	free(*m);
	*m = NULL;
}

bool check_memory_may(struct check_memory *m, struct slice domain, unsigned hourly) {
	int64_t now = clock_ms(), since = now - MINUTES(60);
	uint64_t hash = 14695981039346656037u; /* FNV-1a: who makes two names collide shares their limit */
	for (size_t i = 0; i < domain.len; i++)
		hash = (hash ^ (unsigned char)ascii_lower(domain.at[i])) * 1099511628211u;
	unsigned seen = 0;
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < LEN(m->last); i++)
		seen += m->last[i].at > since && m->last[i].at != 0 && m->last[i].domain == hash;
	bool full = m->last[m->next].at != 0 && m->last[m->next].at > since;
	bool may = seen < hourly && !full;
	if (may) {
		m->last[m->next].domain = hash;
		m->last[m->next].at = MAX_OF(now, 1);
		m->next = (m->next + 1) % LEN(m->last);
	}
	pthread_mutex_unlock(&m->lock);
	return may;
}

/* ---- whether ---- */

static bool is_machine(struct slice sender) {
	static const char *const names[] = { "mailer-daemon", "postmaster", "noreply",  "no-reply",
					     "bounce",        "bounces",    "listserv", "majordomo" };
	struct slice local = slice_head(sender, slice_find_last(sender, '@'));
	for (size_t i = 0; i < LEN(names); i++)
		if (slice_same(local, slice_of(names[i]))) return true;
	return slice_starts_same(local, S("owner-")) || slice_starts_same(local, S("srs0")) ||
	       slice_starts_same(local, S("srs1")) || slice_ends_same(local, S("-request")) ||
	       slice_ends_same(local, S("-bounces")) || slice_find(local, '=') < local.len;
}

static bool says_machine(struct slice header, struct arena *mem) {
	struct fields f = { .block = header };
	for (struct field one; fields_next(&f, &one);) {
		struct slice value = header_unfold(one.value, mem);
		if (slice_same(one.name, S("Auto-Submitted")) && !slice_starts_same(value, S("no"))) return true;
		if (slice_same(one.name, S("Precedence")) &&
		    (slice_same(value, S("bulk")) || slice_same(value, S("list")) || slice_same(value, S("junk"))))
			return true;
		if (slice_starts_same(one.name, S("List-")) || slice_same(one.name, S("X-Auto-Response-Suppress")) ||
		    slice_same(one.name, S("X-Loop")))
			return true;
	}
	return false;
}

static bool is_proved(const struct evidence_params *p, struct slice domain, const struct evidence_verdict *v,
		      struct arena *mem) {
	int64_t deadline = deadline_in(SECONDS(10));
	if (v->spf.result == TRUST_PASS && slice_same(v->spf.domain, domain)) return true;
	for (size_t i = 0; i < v->dkim_count; i++)
		if (v->dkim[i].result == TRUST_PASS &&
		    dmarc_aligned(&p->dmarc, domain, v->dkim[i].domain, false, deadline, mem))
			return true;
	return false;
}

struct slice check_unwanted(const struct evidence_params *p, struct slice sender, struct slice header,
			    const struct evidence_verdict *v, struct arena *mem) {
	struct slice domain = slice_skip(sender, slice_find_last(sender, '@') + 1);
	if (sender.len == 0 || domain.len == 0) return S("it has no sender");
	if (is_machine(sender) || says_machine(header, mem)) return S("it comes from a list or a machine");
	if (v->dmarc.result == TRUST_FAIL) return arena_fmt(mem, "it fails DMARC: %.*s", SLICE_ARG(v->dmarc.reason));
	if (!is_proved(p, domain, v, mem)) {
		AUTO_BUF struct buf found = BUF(KIB(1));
		evidence_tell(&found, &v->record);
		return arena_fmt(mem, "neither SPF nor DKIM proves that it comes from %.*s: %.*s", SLICE_ARG(domain),
				 SLICE_ARG(buf_slice(&found)));
	}
	return SLICE_NONE;
}

/* ---- what ---- */

static const struct { const char *sign, *colour; } looks[] = {
	[FINDING_GOOD] = { "+", "#1a7f37" }, [FINDING_NOTE] = { "~", "#9a6700" }, [FINDING_BAD] = { "!", "#cf222e" },
};

static size_t to_do(const struct check_answer *a) {
	size_t n = 0;
	for (size_t i = 0; i < a->count; i++) n += a->findings[i].advice.len != 0;
	return n;
}

static void plain(struct buf *out, const struct check_answer *a) {
	size_t n = to_do(a);
	buf_addf(out, "This is what %.*s found out about your message.\n\n", SLICE_ARG(a->host));
	for (size_t i = 0; i < a->count; i++) {
		const struct finding *f = &a->findings[i];
		buf_addf(out, "%s %-6s %.*s: %.*s.\n", looks[f->mood].sign, f->check, SLICE_ARG(f->word),
			 SLICE_ARG(f->text));
		if (f->advice.len != 0) buf_addf(out, "         -> %.*s.\n", SLICE_ARG(f->advice));
	}
	if (n == 0) buf_add(out, S("\nNothing needs to be done.\n"));
	else buf_addf(out, "\n%zu thing%s can be done better: see the arrows.\n", n, n == 1 ? "" : "s");
	buf_addf(out, "\nAs mail programs read it:\n\nAuthentication-Results: %.*s\n", SLICE_ARG(a->results));
}

static void escaped(struct buf *out, struct slice text) {
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];
		if (c == '<') buf_add(out, S("&lt;"));
		else if (c == '>') buf_add(out, S("&gt;"));
		else if (c == '&') buf_add(out, S("&amp;"));
		else if (c == '"') buf_add(out, S("&quot;"));
		else buf_byte(out, c);
	}
}

static void html(struct buf *out, const struct check_answer *a) {
	size_t n = to_do(a);
	buf_add(out,
		S("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Mail check</title></head>\n"
		  "<body style=\"font-family:sans-serif;max-width:50em\">\n<p>This is what "));
	escaped(out, a->host);
	buf_add(out, S(" found out about your message.</p>\n<table cellpadding=\"6\" "
		       "style=\"border-collapse:collapse\">\n"));
	for (size_t i = 0; i < a->count; i++) {
		const struct finding *f = &a->findings[i];
		buf_addf(out,
			 "<tr style=\"border-top:1px solid #ddd;vertical-align:top\"><th align=\"left\">%s</th><td "
			 "style=\"color:%s\"><b>",
			 f->check, looks[f->mood].colour);
		escaped(out, f->word);
		buf_add(out, S("</b></td>\n<td>"));
		escaped(out, f->text);
		buf_add(out, S("."));
		if (f->advice.len != 0) {
			buf_add(out, S("<br>\n&rarr; "));
			escaped(out, f->advice);
			buf_byte(out, '.');
		}
		buf_add(out, S("</td></tr>\n"));
	}
	if (n == 0) buf_add(out, S("</table>\n<p>Nothing needs to be done.</p>\n"));
	else buf_addf(out, "</table>\n<p>%zu thing%s can be done better: see the arrows.</p>\n", n, n == 1 ? "" : "s");
	buf_add(out,
		S("<p>As mail programs read it:</p>\n<pre style=\"white-space:pre-wrap\">Authentication-Results: "));
	escaped(out, a->results);
	buf_add(out, S("</pre>\n</body></html>\n"));
}

static void thread(struct buf *out, const struct check_answer *a, struct arena *mem) {
	struct field f;
	struct slice id, rest, subject = S("your message");
	if (header_find(a->header, S("Subject"), &f)) subject = header_text(slice_head(f.value, 300), mem);
	compose_text_field(out, "Subject", arena_fmt(mem, "Mail check: %.*s", SLICE_ARG(subject)));
	if (!header_find(a->header, S("Message-ID"), &f)) return;
	rest = header_unfold(f.value, mem);
	if (!msgid_next(&rest, &id) || id.len > 500) return;
	struct slice whole = arena_fmt(mem, "<%.*s>", SLICE_ARG(id));
	compose_field(out, "In-Reply-To", whole);
	compose_field(out, "References", whole);
}

void check_answer_compose(struct buf *out, const struct check_answer *a) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_BUF struct buf text = BUF(MIB(1)), page = BUF(MIB(1));
	compose_date_field(out, date_local(wall_s()));
	compose_mailbox_field(out, "From", S("Mail check"), a->from);
	compose_mailbox_field(out, "To", SLICE_NONE, a->to);
	thread(out, a, &mem);
	compose_field(out, "Message-ID", a->message_id);
	compose_field(out, "Auto-Submitted", S("auto-replied"));
	compose_field(out, "MIME-Version", S("1.0"));
	struct multipart parts = multipart_begin(out, "multipart/alternative");
	plain(&text, a);
	html(&page, a);
	multipart_part(out, &parts);
	compose_text(out, "plain", buf_slice(&text), false);
	multipart_part(out, &parts);
	compose_text(out, "html", buf_slice(&page), false);
	multipart_end(out, &parts);
}
