/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/deliver.h"
/* The envelope as cleanup(8) leaves it: the sender rewritten, and recipients added by always_bcc, sender_bcc_maps and
 * recipient_bcc_maps. *post is changed in place; what it then points to is in mem. 0 or DELIVER_LATER. */
int envelope_clean(struct post *post, const struct deliver_params *params, struct arena *mem);
/* Another sender: the stored body begins with his Return-Path, and the summary knows it. The parts must be in memory at
 * the front: the first part holds at least the Return-Path line. <0: the summary is broken. */
int envelope_sender(struct post *post, struct slice sender, struct arena *mem);
/* Puts a Delivered-To of this address behind the Return-Path. ENVELOPE_LOOPS when it is there already: the message has
 * been here. */
enum { ENVELOPE_LOOPS = 1 };
int envelope_prepend(struct post *post, struct slice delivered_to, struct arena *mem);
