/* SPDX-License-Identifier: Apache-2.0 */
#include "base/generation.h"

struct generation *generation_hold(struct generation *g) {
	atomic_fetch_add(&g->holders, 1);
	return g;
}

void generation_drop(struct generation *g) {
	if (g != NULL && atomic_fetch_sub(&g->holders, 1) == 1) g->destroy(g);
}

void current_set(struct current *c, struct generation *fresh) {
	if (fresh != NULL) generation_hold(fresh);
	pthread_mutex_lock(&c->lock);
	struct generation *old = c->now;
	c->now = fresh;
	pthread_mutex_unlock(&c->lock);
	generation_drop(old);
}

struct generation *current_hold(struct current *c) {
	pthread_mutex_lock(&c->lock);
	struct generation *g = c->now != NULL ? generation_hold(c->now) : NULL;
	pthread_mutex_unlock(&c->lock);
	return g;
}
