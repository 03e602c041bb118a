/* SPDX-License-Identifier: Apache-2.0 */
/* One place, so that the command says what the door would say. */
#include "role/evidence_settings.h"
#include "base/fail.h"

int evidence_params_of(const struct conf_view *v, struct dns *dns, struct arena *mem, struct evidence_params *e) {
	*e = (struct evidence_params){
		.dns = dns,
		.host = arena_text(mem, conf_text(v, SET_myhostname)),
		.authserv_id = arena_text(mem, conf_text(v, SET_authserv_id)),
		.use_spf = conf_bool(v, SET_spf_check),
		.use_helo = conf_bool(v, SET_spf_helo_check),
		.use_dkim = conf_bool(v, SET_dkim_verify),
		.use_arc = conf_bool(v, SET_arc_verify),
		.use_dmarc = conf_bool(v, SET_dmarc_check),
		.adsp = conf_bool(v, SET_adsp_check),
		.timeout_ms = (int)conf_time_ms(v, SET_sender_check_timeout),
		.dkim = { .dns = dns,
			  .signatures_max = (unsigned)conf_number(v, SET_dkim_signature_limit),
			  .key_bits_min = (unsigned)conf_number(v, SET_dkim_key_bits_min),
			  .clock_drift_s = conf_time_ms(v, SET_dkim_clock_drift) / 1000 },
		.dmarc = { .dns = dns, .reject_many_from = conf_bool(v, SET_dmarc_reject_many_from) },
	};
	e->spf = (struct spf_params){ .dns = dns,
				      .receiver = e->host,
				      .timeout_ms = (int)conf_time_ms(v, SET_spf_timeout) };
	e->dkim.must_sign = conf_list(v, SET_dkim_must_be_signed, &e->dkim.must_sign_count);
	static const enum trust_result unprotected[] = { [UNPROTECTED_KEY_NEUTRAL] = TRUST_NEUTRAL,
							 [UNPROTECTED_KEY_FAIL] = TRUST_FAIL };
	e->dkim.unprotected = unprotected[conf_enum(v, SET_dkim_unprotected_key)];
	e->no_header_b = !conf_bool(v, SET_authserv_header_b);
	e->trusted_sealers = conf_list(v, SET_arc_trusted_sealers, &e->trusted_sealers_count);
	struct slice partial = slice_trim(conf_text(v, SET_dkim_partial_min));
	if (dkim_partial_read(partial, &e->dkim.partial)) return 0;
	return fail("dkim_partial_min = %.*s: must be a number of bytes (500), 80%% or 200+", SLICE_ARG(partial));
}
