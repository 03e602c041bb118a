/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/base.h"
#include <pthread.h>
#include <stdatomic.h>
/* Generations: settings that many threads use while a reload puts newer ones in their place. Whoever uses one holds it;
 * the last holder of an old one frees it. Embed struct generation as what is shared. */
struct generation {
	_Atomic unsigned holders;
	void (*destroy)(struct generation *g);
};
struct current {
	pthread_mutex_t lock;
	struct generation *now;
};
#define CURRENT_NONE ((struct current){ .lock = PTHREAD_MUTEX_INITIALIZER })
void current_set(struct current *c, struct generation *fresh); /* takes fresh over (with holders 0); NULL: none */
struct generation *current_hold(struct current *c);            /* NULL when there is none */
struct generation *generation_hold(struct generation *g);      /* another hold, for one who has one */
void generation_drop(struct generation *g);                    /* takes NULL */
