/* SPDX-License-Identifier: Apache-2.0 */
/* Two gears. Almost every 64 bytes of mail are regular: each CR is followed by LF, each LF follows a CR, no line
 * starts with a dot, there is no NUL. That is one comparison of bit masks for the whole block: (CR << 1) == LF. Only
 * where it fails does the state machine walk byte by byte. */
#include "smtp/body.h"

#ifdef __SSE2__
#include <emmintrin.h>
#else
#include <endian.h>
#endif

enum { BLOCK = 64 };
struct masks { /* bit n is set where byte n is … */
	uint64_t cr, lf, nul, dot;
};

#ifdef __SSE2__
static uint64_t equal(__m128i v, char c) {
	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(c)));
}

static struct masks look(const char *at) {
	struct masks m = { 0 };
	for (int i = 0; i < BLOCK; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(at + i));
		m.cr |= equal(v, '\r') << i;
		m.lf |= equal(v, '\n') << i;
		m.nul |= equal(v, '\0') << i;
		m.dot |= equal(v, '.') << i;
	}
	return m;
}
#else
/* Eight bytes in a register: the top bit of each byte that is zero, gathered into eight bits by a multiplication. */
static uint64_t tops(uint64_t top_bits) {
	return (top_bits >> 7) * 0x0102040810204080u >> 56;
}

static uint64_t equal(uint64_t v, char c) {
	const uint64_t low7 = 0x7f7f7f7f7f7f7f7fu;
	v ^= 0x0101010101010101u * (unsigned char)c;
	return tops(~(((v & low7) + low7) | v | low7));
}

static struct masks look(const char *at) {
	struct masks m = { 0 };
	for (int i = 0; i < BLOCK; i += 8) {
		uint64_t v;
		memcpy(&v, at + i, sizeof v);
		v = le64toh(v);
		m.cr |= equal(v, '\r') << i;
		m.lf |= equal(v, '\n') << i;
		m.nul |= equal(v, '\0') << i;
		m.dot |= equal(v, '.') << i;
	}
	return m;
}
#endif

struct body body_new(bool dots, uint64_t size_limit, size_t line_limit) {
	return (struct body){ .dots = dots, .size_limit = size_limit, .line_limit = line_limit };
}

static void blame(struct body *b, enum body_fault fault) {
	if (b->fault == BODY_FINE) b->fault = fault;
}

static void line_ended(struct body *b, size_t column) {
	b->longest = MAX_OF(b->longest, column);
	if (b->line_limit != 0 && column > b->line_limit) blame(b, BODY_LONG_LINE);
}

/* The lines in a regular block: only the first can be long, the others are inside of it. */
static void count_columns(struct body *b, uint64_t lf) {
	if (lf == 0) {
		b->column += BLOCK;
		return;
	}
	size_t first = (size_t)__builtin_ctzll(lf), last = BLOCK - 1 - (size_t)__builtin_clzll(lf);
	line_ended(b, b->column + first - 1); /* its CR stands before */
	b->column = BLOCK - 1 - last;
}

/* Passes regular blocks at the front of the bytes; returns their length. */
static size_t skip_regular(struct body *b, const char *at, size_t len) {
	if (b->state > BODY_CR || b->stripped != NULL || b->rejected != NULL) return 0;
	uint64_t after_cr = b->state == BODY_CR, line_start = b->state == BODY_LINE_START;
	uint64_t dots = b->dots ? ~UINT64_C(0) : 0;
	size_t done = 0;
	for (; len - done >= BLOCK; done += BLOCK) {
		struct masks m = look(at + done);
		uint64_t first_dots = m.dot & dots & (m.lf << 1 | line_start);
		if (((m.cr << 1 | after_cr) ^ m.lf) | m.nul | first_dots) break;
		after_cr = m.cr >> 63;
		line_start = m.lf >> 63;
		count_columns(b, m.lf);
	}
	if (done != 0) b->state = after_cr ? BODY_CR : line_start ? BODY_LINE_START : BODY_IN_LINE;
	return done;
}

/* One LF. Only behind a CR it ends a line; a bare one leaves us inside the line, so that no dot after it counts. */
static bool take_lf(struct body *b) {
	bool crlf = b->state == BODY_CR;
	if (b->state == BODY_DOT_CR) {
		b->state = BODY_ENDED;
		return false;
	}
	if (crlf) line_ended(b, b->column - 1);
	else blame(b, BODY_BARE_LF);
	b->state = crlf ? BODY_LINE_START : BODY_IN_LINE;
	b->column = crlf ? 0 : b->column + 1;
	return true;
}

/* One byte; true: it belongs to the message. */
static bool take_byte(struct body *b, char c) {
	if (c == '\n') return take_lf(b);
	if (b->state == BODY_CR || b->state == BODY_DOT_CR) blame(b, BODY_BARE_CR);
	if (c == '\r') {
		bool held = b->state == BODY_DOT; /* ".CR": perhaps the end */
		b->state = held ? BODY_DOT_CR : BODY_CR;
		b->column++;
		return !held;
	}
	if (c == '.' && b->dots && b->state == BODY_LINE_START) {
		b->state = BODY_DOT;
		return false;
	}
	if (b->stripped != NULL && b->stripped[(unsigned char)c]) {
		if (b->state == BODY_LINE_START) b->state = BODY_IN_LINE;
		return false;
	}
	if (b->rejected != NULL && b->rejected[(unsigned char)c]) blame(b, BODY_CHARACTER);
	if (c == '\0') blame(b, BODY_NUL);
	b->state = BODY_IN_LINE;
	b->column++;
	return true;
}

static void hand_on(struct body *b, struct slice run, body_sink sink, void *ctx) {
	if (run.len == 0 || b->fault != BODY_FINE) return;
	if (b->size_limit != 0 && run.len > b->size_limit - b->size) {
		b->fault = BODY_TOO_BIG;
		return;
	}
	b->size += run.len;
	sink(ctx, run);
}

size_t body_take(struct body *b, struct slice in, body_sink sink, void *ctx) {
	size_t at = 0, run = 0;
	while (at < in.len && b->state != BODY_ENDED) {
		at += skip_regular(b, in.at + at, in.len - at);
		size_t stop = MIN_OF(at + BLOCK, in.len);
		for (; at < stop && b->state != BODY_ENDED; at++) {
			if (take_byte(b, in.at[at])) continue;
			hand_on(b, slice_from(in.at + run, at - run), sink, ctx);
			run = at + 1;
		}
	}
	if (b->line_limit != 0 && b->column > b->line_limit + 1) blame(b, BODY_LONG_LINE);
	hand_on(b, slice_from(in.at + run, at - MIN_OF(run, at)), sink, ctx);
	b->taken += at;
	return at;
}

void body_finish(struct body *b, body_sink sink, void *ctx) {
	if (b->state == BODY_CR) blame(b, BODY_BARE_CR);
	if (b->state == BODY_IN_LINE) {
		line_ended(b, b->column);
		hand_on(b, S("\r\n"), sink, ctx);
	}
	b->state = BODY_ENDED;
}
