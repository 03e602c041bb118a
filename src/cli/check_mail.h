/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/findings.h"
/* What `hato check-mail` has found, on the standard output. */
void check_mail_json(const struct evidence_verdict *v, const struct findings_facts *f);
void check_mail_text(const struct evidence_verdict *v, const struct findings_facts *f, struct arena *mem);
