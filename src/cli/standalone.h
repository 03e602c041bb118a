/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
struct submit_hello;
/* sendmail -bs while the server is down, as Postfix's smtpd runs by itself: an SMTP session on a socket, whose messages
 * are left in DATA/maildrop. Takes fd over; returns at the session's end. */
void standalone_serve(int fd, const char *data, const struct submit_hello *hello);
