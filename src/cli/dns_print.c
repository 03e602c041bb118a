/* SPDX-License-Identifier: Apache-2.0 */
/* A line for each record as a web form asks for it, state first; and the same for a zone file. */
#include "admin/json.h"
#include "cli/dns.h"

enum { NAME_WIDTH = 40, STRING_MAX = 255 };

static const char *const words[] = { "right", "missing", "differs", "unknown" };

static const char *word_of(const struct dns_row *r) {
	return r->optional && r->state == DNS_ROW_MISSING ? "(wanted)" : words[r->state];
}

static size_t name_width(const struct dns_sheet *s) {
	size_t width = 0;
	for (size_t i = 0; i < s->count; i++) width = MAX_OF(width, s->rows[i].name.len);
	return MIN_OF(width, (size_t)NAME_WIDTH);
}

void dns_print_states(const struct dns_sheet *s, bool values) {
	size_t width = name_width(s);
	printf("%.*s: %.*s\n", SLICE_ARG(s->name), SLICE_ARG(s->note));
	for (size_t i = 0; i < s->count; i++) {
		const struct dns_row *r = &s->rows[i];
		bool shown = values || r->state == DNS_ROW_MISSING || r->state == DNS_ROW_DIFFERS;
		struct slice value = !shown ? S("") : r->value.at != NULL ? r->value : S("?");
		printf("  %-8s  %-*.*s  ", word_of(r), (int)width, SLICE_ARG(r->name));
		if (value.len != 0)
			printf("%-4.*s  %.*s\n", SLICE_ARG(r->type), SLICE_ARG(value));
		else
			printf("%.*s\n", SLICE_ARG(r->type));
		if (r->found.len != 0) printf("            in DNS: %.*s\n", SLICE_ARG(r->found));
		if (r->reason.len != 0) printf("            %.*s\n", SLICE_ARG(r->reason));
	}
	puts("");
}

static void put_strings(struct slice text) {
	for (size_t at = 0; at == 0 || at < text.len; at += STRING_MAX) {
		struct slice part = slice_head(slice_skip(text, at), STRING_MAX);
		fputs(at == 0 ? "\"" : " \"", stdout);
		for (size_t i = 0; i < part.len; i++) {
			if (part.at[i] == '"' || part.at[i] == '\\') putchar('\\');
			putchar(part.at[i]);
		}
		putchar('"');
	}
}

void dns_print_zone(const struct dns_sheet *s) {
	printf("; %.*s\n", SLICE_ARG(s->name));
	for (size_t i = 0; i < s->count; i++) {
		const struct dns_row *r = &s->rows[i];
		if (r->value.at == NULL) {
			printf("; %.*s. IN %.*s: %.*s\n", SLICE_ARG(r->name), SLICE_ARG(r->type), SLICE_ARG(r->reason));
			continue;
		}
		printf("%s%.*s.\tIN\t%.*s\t", r->elsewhere ? "; in the zone of the address: " : "", SLICE_ARG(r->name),
		       SLICE_ARG(r->type));
		if (slice_eq(r->type, S("TXT")))
			put_strings(r->value);
		else
			printf("%.*s%s", SLICE_ARG(r->value),
			       slice_eq(r->type, S("A")) || slice_eq(r->type, S("AAAA")) ? "" : ".");
		puts("");
	}
}

static void put_row(struct json *j, struct slice domain, const struct dns_row *r) {
	json_open(j, NULL, '{');
	json_text(j, "domain", domain);
	json_text(j, "name", r->name);
	json_text(j, "type", r->type);
	json_text(j, "value", r->value);
	json_text(j, "state", slice_of(words[r->state]));
	json_bool(j, "optional", r->optional);
	json_text(j, "found", r->found.len != 0 ? r->found : SLICE_NONE);
	json_text(j, "reason", r->reason.len != 0 ? r->reason : SLICE_NONE);
	json_close(j, '}');
}

void dns_print_json(const struct dns_own *own, const struct dns_sheet *sheets, size_t count) {
	AUTO_BUF struct buf text = BUF(MIB(64));
	struct json j = { .out = &text };
	char room[ADDR_TEXT_ROOM];
	json_open(&j, NULL, '{');
	json_text(&j, "host", own->host);
	json_open(&j, "addresses", '[');
	for (size_t i = 0; i < own->sends.count; i++) json_text(&j, NULL, slice_of(addr_text(&own->sends.at[i], room)));
	json_close(&j, ']');
	json_text(&j, "relayhost", own->relay.len != 0 ? own->relay : SLICE_NONE);
	json_open(&j, "records", '[');
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < sheets[i].count; k++) put_row(&j, sheets[i].name, &sheets[i].rows[k]);
	json_close(&j, ']');
	json_close(&j, '}');
	puts(buf_text(&text));
}
