/* SPDX-License-Identifier: Apache-2.0 */
/* The domains' own records say where organisations begin; a stranger's long name costs eight questions at most. What
 * was asked once is not asked again for the same message, failures included: each could cost its whole time-out. */
#include "trust/dmarc_tree.h"
#include "base/fail.h"

static struct slice parent(struct slice domain) {
	return slice_skip(domain, slice_find(domain, '.') + 1);
}

static size_t labels(struct slice domain) {
	size_t n = domain.len != 0;
	for (size_t i = 0; i < domain.len; i++) n += domain.at[i] == '.';
	return n;
}

size_t dmarc_walk(struct slice domain, struct slice out[DMARC_WALK_MAX]) {
	size_t n = 0;
	out[n++] = domain;
	if (labels(domain) >= DMARC_WALK_MAX)
		while (labels(domain) > DMARC_WALK_MAX) domain = parent(domain);
	for (domain = parent(domain); domain.len != 0 && n < DMARC_WALK_MAX; domain = parent(domain)) out[n++] = domain;
	return n;
}

/* Of all TXT records those that claim to be DMARC's count, and only if there is one (§4.10 step 2). */
static void read_records(struct dmarc_seeker *s, struct dmarc_found *f, const struct slice *texts, size_t count) {
	size_t claims = 0;
	for (size_t i = 0; i < count; i++) {
		if (!dmarc_record_is(texts[i])) continue;
		claims++;
		f->answer = dmarc_record_parse(texts[i], s->mem, &f->record, &f->reason) ? DMARC_FOUND : DMARC_BROKEN;
	}
	if (claims == 1) return;
	f->answer = DMARC_ABSENT;
	f->record = (struct dmarc_record){0};
	f->reason = claims == 0 ? SLICE_NONE : S("there is more than one DMARC record, so none counts");
}

const struct dmarc_found *dmarc_seek(struct dmarc_seeker *s, struct slice domain) {
	for (struct dmarc_found *f = s->known; f != NULL; f = f->next)
		if (slice_eq(f->domain, domain)) return f;
	struct dmarc_found *f = arena_get(s->mem, sizeof *f);
	*f = (struct dmarc_found){ .domain = arena_slice(s->mem, domain), .answer = DMARC_ABSENT, .next = s->known };
	s->known = f;
	struct slice *texts;
	size_t count;
	switch (dns_txt(s->p->dns, arena_fmt(s->mem, "_dmarc.%.*s", SLICE_ARG(domain)), s->deadline, s->mem, &texts,
			&count, NULL)) {
	case DNS_OK: read_records(s, f, texts, count); break;
	case DNS_NODATA:
	case DNS_NXDOMAIN: break;
	default:
		f->answer = DMARC_LATER;
		f->reason = arena_slice(s->mem, slice_of(fail_text()));
	}
	return f;
}

/* The domain with one label more than `above`, on the way down to `domain`. */
static struct slice below(struct slice domain, struct slice above) {
	struct slice lower = slice_head(domain, domain.len - above.len - 1);
	return slice_skip(domain, slice_find_last(lower, '.') == lower.len ? 0 : slice_find_last(lower, '.') + 1);
}

const struct dmarc_found *dmarc_seek_organisation(struct dmarc_seeker *s, struct slice domain, struct slice *out,
						  const struct dmarc_found **psd) {
	struct slice steps[DMARC_WALK_MAX], organisation = domain;
	*psd = NULL;
	if (s->p->psl != NULL) {
		*out = psl_organisation(s->p->psl, domain);
		return NULL;
	}
	size_t n = dmarc_walk(domain, steps);
	for (size_t i = 0; i < n; i++) {
		const struct dmarc_found *f = dmarc_seek(s, steps[i]);
		if (f->answer == DMARC_LATER) return f;
		if (f->answer != DMARC_FOUND) continue;
		bool suffix = f->record.psd == 'y' && i != 0;
		organisation = suffix ? below(domain, steps[i]) : steps[i];
		if (suffix) *psd = f;
		if (f->record.psd != 'u') break;
	}
	*out = organisation;
	return NULL;
}
