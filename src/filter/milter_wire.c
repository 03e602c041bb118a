/* SPDX-License-Identifier: Apache-2.0 */
/* A milter may be as wrong as any stranger: every length is checked here, so that the conversation (milter.c) can rely
 * on whole, sensible answers. */
#include "filter/milter_wire.h"

struct milter_offer milter_offer_of(unsigned version) {
	struct milter_offer o = { .version = version, .actions = 0x3f, .steps = 0x7f };
	if (version >= 3) o.steps |= MILTER_NO_UNKNOWN;
	if (version >= 4) o.steps |= MILTER_NO_DATA;
	if (version >= 6) {
		o.actions = 0x1ff;
		o.steps = 0x1fffff;
	}
	return o;
}

size_t milter_packet_begin(struct buf *out, enum milter_command command) {
	size_t at = out->len;
	milter_put_number(out, 0);
	buf_byte(out, (char)command);
	return at;
}

void milter_packet_end(struct buf *out, size_t begun) {
	if (out->full) return;
	size_t n = out->len - begun - 4;
	for (size_t i = 0; i < 4; i++) out->at[begun + i] = (char)(unsigned char)(n >> (24 - 8 * i));
}

void milter_put_text(struct buf *out, struct slice text) {
	buf_add(out, slice_head(text, slice_find(text, '\0')));
	buf_byte(out, '\0');
}

void milter_put_number(struct buf *out, uint32_t n) {
	for (unsigned i = 0; i < 4; i++) buf_byte(out, (char)(unsigned char)(n >> (24 - 8 * i)));
}

void milter_put_offer(struct buf *out, const struct milter_offer *offer) {
	size_t begun = milter_packet_begin(out, MILTER_C_OFFER);
	milter_put_number(out, offer->version);
	milter_put_number(out, offer->actions);
	milter_put_number(out, offer->steps);
	milter_packet_end(out, begun);
}

static bool take_number(struct slice *rest, uint32_t *out) {
	if (rest->len < 4) return false;
	uint32_t n = 0;
	for (size_t i = 0; i < 4; i++) n = n << 8 | (unsigned char)rest->at[i];
	*rest = slice_skip(*rest, 4);
	*out = n;
	return true;
}

static bool take_text(struct slice *rest, struct slice *out) {
	size_t n = slice_find(*rest, '\0');
	if (n == rest->len) return false;
	*out = slice_head(*rest, n);
	*rest = slice_skip(*rest, n + 1);
	return true;
}

bool milter_offer_parse(struct slice data, struct milter_offer *out) {
	struct milter_offer o = { 0 };
	if (!take_number(&data, &o.version) || !take_number(&data, &o.actions) || !take_number(&data, &o.steps))
		return false;
	while (data.len != 0) {
		uint32_t stage;
		struct slice names;
		if (!take_number(&data, &stage) || !take_text(&data, &names)) return false;
		if (stage < MILTER_AT_UNKNOWN)
			o.macros[stage] = names; /* a stage that we do not know has no use for us */
	}
	*out = o;
	return true;
}

static bool is_status(struct slice s) {
	unsigned dots = 0;
	bool digit = false;
	for (size_t i = 0; i < s.len; i++) {
		if (ascii_digit(s.at[i])) digit = true;
		else if (s.at[i] == '.' && digit) {
			dots++;
			digit = false;
		} else return false;
	}
	return dots == 2 && digit && s.len < 12;
}

/* "550-5.7.1 one\r\n550 5.7.1 two", with %% for %: code and status of the first line, and the texts. */
static bool parse_code(struct slice data, struct arena *mem, struct milter_reply *out) {
	struct slice rest;
	if (!take_text(&data, &rest) || rest.len < 3) return false;
	AUTO_BUF struct buf text = BUF(MILTER_PACKET_MAX);
	uint64_t code;
	for (unsigned lines = 0; rest.at != NULL; lines++) {
		struct slice line = slice_cut(&rest, '\n');
		if (slice_ends(line, S("\r"))) line.len--;
		if (!slice_number(slice_head(line, 3), 599, &code) || code < 400) return false;
		line = slice_skip(line, 3);
		if (line.len != 0 && line.at[0] != ' ' && line.at[0] != '-') return false;
		line = slice_skip(line, 1);
		struct slice after = line, status = slice_word(&after, " ");
		bool has_status = is_status(status);
		if (lines == 0 && has_status) memcpy(out->status, status.at, status.len);
		if (lines == 0) out->code = (int)code;
		if (has_status) line = slice_trim(after);
		if (lines != 0) buf_byte(&text, '\n');
		for (size_t i = 0; i < line.len; i++) {
			if (line.at[i] == '%' && i + 1 < line.len && line.at[i + 1] == '%') i++;
			buf_byte(&text, ascii_control(line.at[i]) ? '?' : line.at[i]);
		}
	}
	if (out->status[0] != '\0' && out->status[0] != '0' + out->code / 100)
		out->status[0] = (char)('0' + out->code / 100);
	out->value = arena_slice(mem, buf_slice(&text));
	return true;
}

bool milter_reply_parse(char kind, struct slice data, struct arena *mem, struct milter_reply *out) {
	struct milter_reply r = { .kind = kind, .name = S(""), .value = S("") };
	bool ok = true;
	switch (kind) {
	case MILTER_R_CHG_HEADER:
	case MILTER_R_INS_HEADER: ok = take_number(&data, &r.index); __attribute__((fallthrough));
	case MILTER_R_ADD_HEADER: ok = ok && take_text(&data, &r.name) && take_text(&data, &r.value); break;
	case MILTER_R_ADD_RCPT:
	case MILTER_R_DEL_RCPT:
	case MILTER_R_QUARANTINE: ok = take_text(&data, &r.name); break;
	case MILTER_R_ADD_RCPT_PAR:
	case MILTER_R_SENDER: ok = take_text(&data, &r.name) && (data.len == 0 || take_text(&data, &r.value)); break;
	case MILTER_R_BODY:
		r.value = data;
		data = SLICE_NONE;
		break;
	case MILTER_R_REPLY_CODE:
		ok = parse_code(data, mem, &r);
		data = SLICE_NONE;
		break;
	case MILTER_R_SHUTDOWN:
	case MILTER_R_ACCEPT:
	case MILTER_R_CONTINUE:
	case MILTER_R_DISCARD:
	case MILTER_R_CONN_FAIL:
	case MILTER_R_PROGRESS:
	case MILTER_R_REJECT:
	case MILTER_R_SKIP:
	case MILTER_R_TEMPFAIL: break;
	default: return false;
	}
	if (!ok || data.len != 0) return false;
	*out = r;
	return true;
}

const char *milter_command_name(char command) {
	static const struct {
		char command;
		const char *name;
	} names[] = {
		{ MILTER_C_CONNECT, "SMFIC_CONNECT" }, { MILTER_C_HELO, "SMFIC_HELO" },
		{ MILTER_C_MAIL, "SMFIC_MAIL" },       { MILTER_C_RCPT, "SMFIC_RCPT" },
		{ MILTER_C_DATA, "SMFIC_DATA" },       { MILTER_C_HEADER, "SMFIC_HEADER" },
		{ MILTER_C_END_HEADER, "SMFIC_EOH" },  { MILTER_C_BODY, "SMFIC_BODY" },
		{ MILTER_C_END, "SMFIC_BODYEOB" },     { MILTER_C_OFFER, "SMFIC_OPTNEG" },
		{ MILTER_C_UNKNOWN, "SMFIC_UNKNOWN" },
	};
	for (size_t i = 0; i < LEN(names); i++)
		if (names[i].command == command) return names[i].name;
	return "SMFIC_ABORT";
}
