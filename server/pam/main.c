/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rdpusb-pam: asks PAM about one user, see protocol.h. The broker starts one for each login.
 */
#include "protocol.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <security/pam_appl.h>

#define MAX_PROMPTS 16 /* before a module is taken to ask for ever */

typedef struct {
    char bytes[CHECK_MAX_REQUEST + 1];
    const char *user, *address, *password;
    unsigned prompts;
} Request;

static int say(int status, const char *what, const char *why)
{
    fprintf(stderr, "%s%s%s\n", what, why ? ": " : "", why ? why : "");
    return status;
}

/* Passwords are in our memory, and the broker may be gone. */
static void protect(void)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* --- the request --- */

/* The next field of at most `max` bytes; NULL if there is none. */
static const char *next_field(const char **at, const char *end, size_t max)
{
    const char *field = *at;
    const char *nul = memchr(field, '\0', (size_t) (end - field));
    if (!nul || (size_t) (nul - field) > max)
        return NULL;
    *at = nul + 1;
    return field;
}

static bool parse(Request *request, size_t size)
{
    const char *at = request->bytes, *end = request->bytes + size;
    request->user = next_field(&at, end, CHECK_MAX_USER);
    request->address = request->user ? next_field(&at, end, CHECK_MAX_ADDRESS) : NULL;
    request->password = request->address ? next_field(&at, end, CHECK_MAX_PASSWORD) : NULL;
    return request->password && at == end && *request->user;
}

static bool read_request(Request *request)
{
    size_t size = 0;
    ssize_t n = 1;
    while (n != 0 && size < sizeof request->bytes) {
        n = read(STDIN_FILENO, request->bytes + size, sizeof request->bytes - size);
        if (n < 0 && errno != EINTR)
            return false;
        size += n > 0 ? (size_t) n : 0;
    }
    return parse(request, size);
}

/* --- PAM --- */

static char *answer(Request *request, const struct pam_message *message)
{
    if (message->msg_style != PAM_PROMPT_ECHO_OFF || ++request->prompts > MAX_PROMPTS)
        return NULL;
    return strdup(request->password);
}

static void free_answers(struct pam_response *answers, int n)
{
    for (int i = 0; i < n; i++) {
        if (answers[i].resp)
            explicit_bzero(answers[i].resp, strlen(answers[i].resp));
        free(answers[i].resp);
    }
    free(answers);
}

/* The password for everything that is not to be seen, as sshd does it. There is nobody to be asked
 * anything else, or told. PAM frees the answers. */
static int converse(int n, const struct pam_message **messages, struct pam_response **responses,
                    void *data)
{
    if (n <= 0 || n > PAM_MAX_NUM_MSG)
        return PAM_CONV_ERR;
    struct pam_response *answers = calloc((size_t) n, sizeof *answers);
    if (!answers)
        return PAM_BUF_ERR;
    for (int i = 0; i < n; i++) {
        int style = messages[i]->msg_style;
        if (style == PAM_TEXT_INFO || style == PAM_ERROR_MSG)
            continue;
        answers[i].resp = answer(data, messages[i]);
        if (!answers[i].resp) {
            free_answers(answers, n);
            return PAM_CONV_ERR;
        }
    }
    *responses = answers;
    return PAM_SUCCESS;
}

/* The broker delays the answer, whatever it is. */
static void no_delay(int status, unsigned microseconds, void *data)
{
}

/* Without this, PAM would take the service "other", which may let in whom nobody thought of. */
static bool service_exists(const char *confdir)
{
    const char *const folders[] = {confdir ? confdir : "/etc/pam.d",
                                   confdir ? confdir : "/usr/lib/pam.d"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[4096];
        int n = snprintf(path, sizeof path, "%s/" CHECK_SERVICE, folders[i]);
        if (n > 0 && (size_t) n < sizeof path && access(path, R_OK) == 0)
            return true;
    }
    return false;
}

/* Whether PAM was able to decide. */
static int status_of(int result)
{
    switch (result) {
    case PAM_SUCCESS: return CHECK_ALLOWED;
    case PAM_AUTH_ERR:
    case PAM_PERM_DENIED:
    case PAM_USER_UNKNOWN:
    case PAM_MAXTRIES:
    case PAM_CRED_INSUFFICIENT:
    case PAM_CRED_EXPIRED:
    case PAM_ACCT_EXPIRED:
    case PAM_AUTHTOK_EXPIRED:
    case PAM_NEW_AUTHTOK_REQD: return CHECK_DENIED;
    default: return CHECK_BROKEN;
    }
}

static int prepare(pam_handle_t *pam, const Request *request)
{
    int result = pam_set_item(pam, PAM_RHOST, request->address);
    if (result == PAM_SUCCESS)
        result = pam_set_item(pam, PAM_TTY, CHECK_SERVICE); /* some modules insist on one */
    if (result == PAM_SUCCESS)
        result = pam_set_item(pam, PAM_FAIL_DELAY, (const void *) no_delay);
    return result;
}

/* --- the answer --- */

/* A newline within a name would make a group of what stands behind it. */
static bool has_controls(const char *name)
{
    while (*name && !iscntrl((unsigned char) *name))
        name++;
    return *name != '\0';
}

/* What getpwnam(3) leaves behind when there simply is none. */
static bool is_absence(int error)
{
    return error == 0 || error == ENOENT || error == ESRCH;
}

/* A group without a name is none that a rule could mean; one whose name is not to be had could be.
 */
static int print_group(gid_t group)
{
    errno = 0;
    const struct group *entry = getgrgid(group);
    if (!entry && !is_absence(errno))
        return say(CHECK_BROKEN, "cannot look a group of the user up", strerror(errno));
    if (entry && has_controls(entry->gr_name))
        return say(CHECK_BROKEN, "the name of a group of the user has control characters", NULL);
    if (entry)
        printf("\n%s", entry->gr_name);
    return CHECK_ALLOWED;
}

/* All or an error: a rule may refuse a group what it allows others. */
static int print_groups(const char *user)
{
    static gid_t groups[CHECK_MAX_GROUPS];
    int n = CHECK_MAX_GROUPS, status = CHECK_ALLOWED;
    errno = 0;
    const struct passwd *entry = getpwnam(user);
    if (!entry)
        return is_absence(errno) ? CHECK_ALLOWED
                                 : say(CHECK_BROKEN, "cannot look the user up", strerror(errno));
    if (getgrouplist(entry->pw_name, entry->pw_gid, groups, &n) < 0)
        return say(CHECK_BROKEN, "the user is in too many groups", NULL);
    for (int i = 0; i < n && status == CHECK_ALLOWED; i++)
        status = print_group(groups[i]);
    return status;
}

/* Modules may have mapped the name that was typed to another. */
static int print_user(pam_handle_t *pam)
{
    const void *user = NULL;
    int result = pam_get_item(pam, PAM_USER, &user);
    if (result != PAM_SUCCESS || !user || !*(const char *) user)
        return say(CHECK_BROKEN, "PAM let a user in without a name", NULL);
    if (has_controls(user))
        return say(CHECK_BROKEN, "PAM let a user in whose name has control characters", NULL);
    fputs(user, stdout);
    int status = print_groups(user);
    if (status != CHECK_ALLOWED)
        return status;
    return fflush(stdout) == 0 ? CHECK_ALLOWED
                               : say(CHECK_BROKEN, "cannot answer", strerror(errno));
}

/* --- asking --- */

static int ask(pam_handle_t *pam, const Request *request)
{
    const int flags = PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK;
    const char *step = "prepare";
    int result = prepare(pam, request);
    if (result == PAM_SUCCESS) {
        step = "authenticate";
        result = pam_authenticate(pam, flags);
    }
    if (result == PAM_SUCCESS) {
        step = "account";
        result = pam_acct_mgmt(pam, flags);
    }
    int status = status_of(result);
    status =
        status == CHECK_ALLOWED ? print_user(pam) : say(status, step, pam_strerror(pam, result));
    pam_end(pam, result);
    return status;
}

static int start(Request *request, const char *confdir)
{
    const struct pam_conv conversation = {converse, request};
    pam_handle_t *pam = NULL;
    if (!service_exists(confdir))
        return say(CHECK_BROKEN,
                   "the service's file " CHECK_SERVICE " is missing, for which " EXAMPLES
                   " has an example, in",
                   confdir ? confdir : "/etc/pam.d");
    int result = pam_start_confdir(CHECK_SERVICE, request->user, &conversation, confdir, &pam);
    if (result != PAM_SUCCESS)
        return say(CHECK_BROKEN, "PAM does not start", pam_strerror(pam, result));
    return ask(pam, request);
}

int main(int argc, char **argv)
{
    static Request request;
    protect();
    bool usage = argc == 1 || (argc == 3 && strcmp(argv[1], "--confdir") == 0);
    if (!usage)
        return say(CHECK_BROKEN, "usage: rdpusb-pam [--confdir DIR], started by rdpusbd", NULL);
    if (!read_request(&request))
        return say(CHECK_BROKEN, "the request on standard input is none", NULL);
    int status = start(&request, argc == 3 ? argv[2] : NULL);
    explicit_bzero(&request, sizeof request);
    return status;
}
