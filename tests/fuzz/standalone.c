/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a fuzz target over its corpus without libFuzzer, so that every compiler does so in the plain
 * test run: standalone FOLDER. Each input lies in memory of exactly its size.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(EXIT_FAILURE);
}

static void run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        fail(path);
    long size = ftell(file);
    rewind(file);
    uint8_t *data = size < 0 ? NULL : malloc(size ? (size_t) size : 1);
    if (!data || fread(data, 1, (size_t) size, file) != (size_t) size)
        fail(path);
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t) size);
    free(data);
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    struct dirent **entries;
    int n = scandir(argv[1], &entries, is_input, alphasort);
    if (n < 0)
        fail(argv[1]);
    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], entries[i]->d_name);
        run_file(path);
        free(entries[i]);
    }
    free(entries);
    printf("%d inputs from %s\n", n, argv[1]);
    return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
