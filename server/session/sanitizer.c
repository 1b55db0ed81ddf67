/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What LeakSanitizer asks a program, when there is one. Fontconfig refers to the parts of a font's
 * pattern by offsets, which it cannot follow: patterns in use look lost to it. WinPR 3.10 loses the
 * names of an NTLM message that it refuses.
 */
#define ASKED __attribute__((visibility("default"), used))

ASKED const char *__lsan_default_suppressions(void);
ASKED const char *__lsan_default_options(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig\nleak:libwinpr3\n";
}

const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}
