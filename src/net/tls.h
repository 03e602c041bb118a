/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
struct tls_server;
struct tls_client;
struct tls;
