/* SPDX-License-Identifier: Apache-2.0 */
/* A text table of many entries: what a look-up costs, how much memory stays, how long reading takes.
 *   tablebench FILE [ENTRIES]     writes FILE, reads it as texthash:FILE, looks every second key up, and as many absent ones
 * The last line is for programs: "ns_hit ns_miss file_bytes memory_bytes read_ms". */
#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "conf/table.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>

static size_t entries = 1000000;

static void write_file(const char *path) {
	FILE *f = fopen(path, "we");
	if (f == NULL) die_now("%s: %s", path, strerror(errno));
	for (size_t i = 0; i < entries; i++) fprintf(f, "user%zu@dom%zu.example.com\tmailbox%zu@store.example.net\n", i, i % 997, i);
	if (ftell(f) < 0 || fclose(f) != 0) die_now("%s: %s", path, strerror(errno));
	/* As if written a minute ago: a file that has just been written is read again, since it may still be changing. */
	struct timespec past[2] = { { .tv_sec = time(NULL) - 60 }, { .tv_sec = time(NULL) - 60 } };
	if (utimensat(AT_FDCWD, path, past, 0) != 0) die_now("%s: %s", path, strerror(errno));
}

static size_t resident(void) {
	size_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (f == NULL || fscanf(f, "%*u %zu", &pages) != 1) die_now("/proc/self/statm");
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Our own processor time, so that neighbours do not count. */
static double cpu_ns(void) {
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nanoseconds for each look-up, in random order. */
static double look_up(struct table *t, const char *format, int expected) {
	AUTO_ARENA struct arena mem = { 0 };
	size_t n = entries / 2;
	char(*keys)[64] = mem_array(n, sizeof *keys);
	size_t *lens = mem_array(n, sizeof *lens);
	for (size_t i = 0; i < n; i++) {
		size_t k = random_below(entries);
		lens[i] = (size_t)snprintf(keys[i], sizeof keys[i], format, k, k % 997);
	}
	double start = cpu_ns();
	for (size_t i = 0; i < n; i++) {
		struct slice value;
		if (table_find(t, slice_from(keys[i], lens[i]), &mem, &value) != expected) die_now("%s: wrong answer", keys[i]);
		if (i % 64 == 0) arena_reset(&mem);
	}
	double ns = (cpu_ns() - start) / (double)n;
	free(keys);
	free(lens);
	return ns;
}

int main(int argc, char **argv) {
	AUTO_ARENA struct arena mem = { 0 };
	if (argc < 2) return fputs("usage: tablebench FILE [ENTRIES]\n", stderr), 64;
	if (argc > 2) entries = strtoull(argv[2], NULL, 10);
	write_file(argv[1]);
	size_t size = 0, before = resident();
	FILE *f = fopen(argv[1], "re");
	if (f != NULL && fseek(f, 0, SEEK_END) == 0) size = (size_t)ftell(f);
	if (f != NULL) fclose(f);
	struct table_params params = { 0 };
	struct tables *tables = tables_new(&params);
	struct table *t;
	double start = cpu_ns();
	if (table_open(tables, arena_fmt(&mem, "texthash:%s", argv[1]), 0, &t) != TABLE_FOUND) die_now("%s", fail_text());
	long long ms = (long long)((cpu_ns() - start) / 1e6);
	malloc_trim(0);
	size_t used = resident() - before;
	double hit = look_up(t, "user%zu@dom%zu.example.com", TABLE_FOUND), miss = look_up(t, "nobody%zu@dom%zu.example.com", TABLE_MISSING);
	printf("%zu entries, %.1f MB: found in %.0f ns, missed in %.0f ns, %.1f MB of memory (%.2f x the file), read in %lld ms\n", entries,
	       (double)size / 1e6, hit, miss, (double)used / 1e6, (double)used / (double)size, ms);
	printf("%.0f %.0f %zu %zu %lld\n", hit, miss, size, used, ms);
	tables_free(&tables);
	unlink(argv[1]);
	return 0;
}
