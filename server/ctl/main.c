/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl.h"

#include <glib.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} groups[] = {
    {"user", ctl_user, "who may log in: add, remove, passwd, list"},
    {"policy", ctl_policy, "which devices are allowed: check"},
};

static void print_help(FILE *stream)
{
    fputs("Usage: rdpusbctl GROUP COMMAND [ARGUMENT]...\n\n", stream);
    for (gsize i = 0; i < G_N_ELEMENTS(groups); i++)
        fprintf(stream, "  %-8s %s\n", groups[i].name, groups[i].help);
    fputs("\nrdpusbctl GROUP --help says more. See rdpusbctl(8).\n", stream);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        puts("rdpusbctl " RDPUSB_VERSION);
        return CTL_DONE;
    }
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_help(stdout);
        return CTL_DONE;
    }
    for (gsize i = 0; argc >= 2 && i < G_N_ELEMENTS(groups); i++) {
        if (strcmp(argv[1], groups[i].name) == 0)
            return groups[i].run(argc - 1, argv + 1);
    }
    if (argc >= 2)
        fprintf(stderr, "rdpusbctl: there is no '%s'\n", argv[1]);
    print_help(stderr);
    return CTL_BAD_USAGE;
}
