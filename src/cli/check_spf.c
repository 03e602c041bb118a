/* SPDX-License-Identifier: Apache-2.0 */
/* One question about a sender, asked as the door would ask it: with the DNS settings of this configuration. */
#include "base/fail.h"
#include "cli/checking.h"
#include "role/settings.h"
#include "trust/spf.h"

#include <sysexits.h>

struct spf_asked {
	bool json;
	struct slice words[3]; /* client, helo, sender */
	size_t count;
	uint64_t timeout_ms;
};

static bool read_words(const struct cli *cli, struct spf_asked *a) {
	for (size_t i = 1; i < cli->count; i++) {
		struct slice word = cli->args[i];
		if (slice_eq(word, S("--json"))) a->json = true;
		else if (slice_eq(word, S("--timeout")) && i + 1 < cli->count &&
			 slice_number(cli->args[i + 1], 600000, &a->timeout_ms))
			i++;
		else if (slice_starts(word, S("--")) || a->count == LEN(a->words)) return usage_error(cli, word), false;
		else a->words[a->count++] = word;
	}
	return a->count >= 2 ||
	       (complain(cli, EX_USAGE, "a client address and a HELO name are needed (hato help check)"), false);
}

static void print_json(const struct spf_verdict *v) {
	AUTO_BUF struct buf text = BUF(MIB(1));
	struct json j = { .out = &text };
	json_open(&j, NULL, '{');
	json_text(&j, "result", slice_of(trust_word(v->result)));
	json_text(&j, "domain", v->domain);
	json_text(&j, "identity", v->identity);
	json_text(&j, "mechanism", v->mechanism);
	json_text(&j, "explanation", v->explanation);
	json_text(&j, "reason", v->reason);
	json_number(&j, "lookups", v->lookups);
	json_number(&j, "voids", v->voids);
	json_close(&j, '}');
	puts(buf_text(&text));
}

/* As in JSON, nothing that a stranger's DNS says may drive the terminal. */
static void print_text(const struct spf_params *p, const struct spf_question *q, const struct spf_verdict *v) {
	AUTO_BUF struct buf field = BUF(KIB(16));
	spf_received_add(&field, p, q, v);
	printf("%s: %.*s\n", trust_word(v->result), SLICE_ARG(v->reason));
	if (v->explanation.len != 0) printf("%.*s says: %.*s\n", SLICE_ARG(v->domain), SLICE_ARG(v->explanation));
	printf("%u of 10 look-ups, %u of 2 without an answer\n%s", v->lookups, v->voids, buf_text(&field));
}

int check_spf(struct cli *cli) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_CONF struct conf *conf = NULL;
	struct spf_asked a = {0};
	struct addr client;
	cli->command = "check spf";
	if (!read_words(cli, &a)) return EX_USAGE;
	if (!addr_parse(a.words[0], &client))
		return complain(cli, EX_USAGE, "%.*s: not an internet address", SLICE_ARG(a.words[0]));
	int code = load_conf(cli, PROBLEM_ERROR, &conf);
	if (code != EX_OK) return code;
	const struct conf_view *v = conf_main(conf);
	struct dns_params params = dns_params_of(v, &mem);
	struct dns *dns;
	if (dns_open(&params, &dns) < 0) return complain(cli, EX_CONFIG, "%s", fail_text());
	struct spf_params p = { .dns = dns,
				.receiver = conf_text(v, SET_myhostname).at,
				.timeout_ms = (int)a.timeout_ms };
	struct spf_question q = { .client = &client, .helo = a.words[1], .sender = a.words[2] };
	struct spf_verdict verdict;
	spf_check(&p, &q, &mem, &verdict);
	if (a.json) print_json(&verdict);
	else print_text(&p, &q, &verdict);
	dns_close(&dns);
	return EX_OK;
}
