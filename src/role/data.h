/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "role/child.h"
/* The data folder: what is in it and whose it is. Started as root, each process has a Unix user of its own. */
extern const char *const data_users[CHILDREN]; /* "hato-core", …, by child; NULL: none of its own */
/* Are we root, do these users exist, and can they get at dir? Otherwise everything belongs to whoever calls. */
bool data_users_apart(const char *dir);
/* Makes the folder and those in it that processes need, each its user's when they are apart. */
int data_make(const char *dir, bool apart);
/* On a full disk nothing can even be read: SQLite needs some KiB beside each database. So a little is put aside while
 * there is room (run/spare), and given up at a start that finds none. True: the disk is full. */
bool data_spare_take(const char *dir);
void data_spare_put(const char *dir); /* after the start, and now and then; nothing to do where it is there */
bool data_full(const char *dir);
