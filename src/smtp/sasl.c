/* SPDX-License-Identifier: Apache-2.0 */
/* A mechanism is a row: its challenges in order, and who reads each answer. */
#include "smtp/sasl.h"
#include "base/encode.h"

struct sasl_mechanism {
	const char *name;
	struct {
		struct slice challenge;
		bool (*read)(struct sasl *s, struct slice bytes); /* false: malformed */
	} steps[2];
	unsigned count;
};

/* Servers that stop at NUL would see another name than servers that do not. */
static bool is_clean(struct slice s) {
	return slice_find(s, '\0') == s.len && utf8_valid(s);
}

static bool keep(struct buf *b, struct slice s) {
	*b = BUF(SASL_LINE_MAX);
	return is_clean(s) && buf_add(b, s);
}

static bool read_plain(struct sasl *s, struct slice bytes) {
	struct slice authzid = slice_cut(&bytes, '\0');
	if (bytes.at == NULL) return false;
	struct slice user = slice_cut(&bytes, '\0');
	if (bytes.at == NULL || user.len == 0 || bytes.len == 0) return false;
	return keep(&s->authzid, authzid) && keep(&s->user, user) && keep(&s->password, bytes);
}

static bool read_user(struct sasl *s, struct slice bytes) {
	return bytes.len != 0 && keep(&s->user, bytes);
}

static bool read_password(struct sasl *s, struct slice bytes) {
	return bytes.len != 0 && keep(&s->password, bytes);
}

static const struct sasl_mechanism mechanisms[] = {
	{ "PLAIN", { { S(""), read_plain } }, 1 },
	/* "Username:", "Password:" */
	{ "LOGIN", { { S("VXNlcm5hbWU6"), read_user }, { S("UGFzc3dvcmQ6"), read_password } }, 2 },
};

const char *sasl_name(const struct sasl *s) {
	return s->mechanism->name;
}

bool sasl_begin(struct sasl *s, struct slice mechanism) {
	sasl_done(s);
	for (size_t i = 0; i < LEN(mechanisms); i++)
		if (slice_same(mechanism, slice_of(mechanisms[i].name))) s->mechanism = &mechanisms[i];
	return s->mechanism != NULL;
}

static enum sasl_answer ask(const struct sasl *s, struct slice *challenge) {
	if (s->step == s->mechanism->count) return SASL_DONE;
	*challenge = s->mechanism->steps[s->step].challenge;
	return SASL_MORE;
}

enum sasl_answer sasl_take(struct sasl *s, struct slice response, struct slice *challenge) {
	if (response.at == NULL) return ask(s, challenge);
	if (slice_eq(response, S("*"))) return SASL_CANCELLED;
	if (slice_eq(response, S("="))) response = S("");
	struct buf bytes = BUF(SASL_LINE_MAX);
	enum sasl_answer answer = SASL_NOT_BASE64;
	if (base64_read(&bytes, response)) {
		bool read = s->mechanism->steps[s->step].read(s, buf_slice(&bytes));
		s->step++;
		answer = read ? ask(s, challenge) : SASL_MALFORMED;
	}
	mem_wipe(bytes.at, bytes.room);
	buf_done(&bytes);
	return answer;
}

static void forget(struct buf *b) {
	mem_wipe(b->at, b->room);
	buf_done(b);
}

void sasl_done(struct sasl *s) {
	forget(&s->authzid);
	forget(&s->user);
	forget(&s->password);
	*s = (struct sasl){ 0 };
}
