/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/network.h"
#include "conf/service.h"
#include "conf/setting.h"
#include "conf/machine.h"
#include "conf/transport.h"
/* A configuration: main.cf and master.cf of one directory, read, checked and immutable. All values are evaluated and
 * validated when it is loaded, so getters cannot fail; a reload builds another one and swaps. Counted by references;
 * everything a getter returns lives as long as the configuration. Safe to use from many threads. */
struct conf;

struct conf_options {
	const char *dir; /* holds main.cf and master.cf; either may be missing: then conf_default_… is used */
	const struct slice *settings;   /* "name=value", stronger than main.cf: from the command line */
	size_t settings_count;
	const struct machine *machine;  /* NULL: ask this machine */
};
enum { CONF_GOOD, CONF_REFUSED };
/* CONF_REFUSED: *out is there so that its problems can be shown, but has errors and must not be run with (settings in
 * error have their default). <0: a file is there and cannot be read. */
int conf_load(const struct conf_options *options, struct conf **out) MUST_USE;
/* The same from texts in memory (no file but those that main.cf names is read). */
int conf_build(const struct conf_options *options, struct slice main_cf, struct slice master_cf,
               struct conf **out) MUST_USE;
struct conf *conf_keep(struct conf *c) NONNULL_RESULT;
void conf_drop(struct conf **c);
#define AUTO_CONF AUTO(conf_drop)
/* What stands in place of a missing file. */
extern const char conf_default_main_cf[], conf_default_master_cf[];

/* In the order of the files. */
const struct problem *conf_problems(const struct conf *c, size_t *count);
const struct source *conf_sources(const struct conf *c, size_t *count); /* the files to watch */
struct slice conf_dir(const struct conf *c);

/* A view is where values are looked up: main.cf's, or one service's, with the -o of its master.cf line in effect. */
struct conf_view;
const struct conf_view *conf_main(const struct conf *c) NONNULL_RESULT;
const struct conf_service *conf_services(const struct conf *c, size_t *count); /* in the order of master.cf */
const struct conf_view *conf_service_view(const struct conf *c, const struct conf_service *s) NONNULL_RESULT;

/* The value, by the kind of the setting; asking for another kind ends the process. conf_text is allowed for all kinds
 * and gives the expanded text, with a NUL behind it. */
struct slice conf_text(const struct conf_view *v, enum setting_id id);
bool conf_bool(const struct conf_view *v, enum setting_id id);
int64_t conf_number(const struct conf_view *v, enum setting_id id);
int64_t conf_time_ms(const struct conf_view *v, enum setting_id id);
uint64_t conf_size(const struct conf_view *v, enum setting_id id);
int conf_enum(const struct conf_view *v, enum setting_id id);        /* of the enum named in setting.h */
const struct slice *conf_list(const struct conf_view *v, enum setting_id id, size_t *count);
const struct networks *conf_networks(const struct conf_view *v, enum setting_id id) NONNULL_RESULT;
const struct domains *conf_domains(const struct conf_view *v, enum setting_id id) NONNULL_RESULT;
/* A list of TLS versions (">=TLSv1.2", "<=TLSv1.3", "!TLSv1.3", "TLSv1.2"): bit 0 for TLS 1.0, … bit 3 for 1.3; never
 * 0. */
unsigned conf_tls_versions(const struct conf_view *v, enum setting_id id);
unsigned
tls_versions_in(struct slice text); /* the same from such a list, which may leave nothing: 0; colons part words, too */
/* By name, for parameters the file itself defines (restriction classes, smtp-amavis_destination_…). */
bool conf_text_named(const struct conf_view *v, struct slice name, struct slice *out);
/* Expands a text as if it stood in the file: for tables and postconf. <0 as expand(). */
int conf_expand(const struct conf_view *v, struct slice text, struct buf *out) MUST_USE;

/* Whose a parameter's name is: the list's, a service's in master.cf (transport.h), or the file's own. */
enum conf_class { CONF_BUILTIN, CONF_SERVICE, CONF_USER };
/* Is this milter ("local:opendmarc/opendmarc.sock") one whose work hato does itself, as the filter's own file says?
 * Then nobody need listen there (opendmarc_config). */
bool conf_replaces_milter(const struct conf *c, struct slice endpoint);
/* As written, for postconf: every known parameter and every one the file defines itself, ordered by name. */
struct conf_raw {
	struct slice name;
	const struct setting *setting; /* NULL: defined by the file itself */
	enum conf_class class;         /* names that Postfix has given up (GONE) are the file's own */
	bool used;                     /* some $name in the files refers to it */
	bool is_set;                   /* in main.cf (or conf_options.settings) */
	struct slice value;            /* unexpanded; the default when not set */
	struct slice fallback;         /* the default, unexpanded; computed ones computed */
	struct place where;
};
size_t conf_raw_count(const struct conf *c);
struct conf_raw conf_raw_at(const struct conf *c, size_t i);
bool conf_raw_find(const struct conf *c, struct slice name, struct conf_raw *out);

/* To another process of ours and back: the files' texts and the machine's facts travel, and are built again there
 * without touching files or the machine. */
void conf_pack(struct buf *b, const struct conf *c);
int conf_unpack(struct slice packed, struct conf **out) MUST_USE; /* CONF_GOOD, CONF_REFUSED; <0: not a packed conf */

/* Writes hato.cf(5) in mdoc(7), from the list of settings. */
void conf_manual(FILE *out);
/* The verdict on each parameter, as a table in Markdown. */
void conf_verdicts(FILE *out);
/* One setting, with its default, for hato help NAME; false: there is none of that name. */
bool conf_explain(struct slice name, struct buf *out);
