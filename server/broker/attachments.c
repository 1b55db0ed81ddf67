/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "attachments.h"

#include <unistd.h>

#include "description.h"
#include "log.h"

/* Of one connection. A person may try often; a program that never ends would fill the log. */
#define MAX_REFUSALS 1000

/* So many devices may come at once, and after them one per interval: a device that restarts day and
 * night is below that. */
#define MAX_ATTACHES    1000
#define ATTACH_INTERVAL (2 * G_TIME_SPAN_SECOND)

struct Attachments {
    const Services *services;
    const Login *login;
    char *user;
    Link *link;
    const AttachmentEvents *events;
    void *owner;
    GHashTable *devices; /* number -> Device; numbers are the session's own */
    unsigned refusals;
    gint64 paid_until; /* monotonic: an interval for each Attach; the more it is ahead, the less are
                          left */
};

typedef struct {
    Attachments *attachments;
    guint32 number;
    Description *description;
    char *label;      /* for the log */
    char *port;       /* the first and only; NULL before */
    gint64 attached;  /* when it got the port */
    bool captured;    /* or it was tried */
    PortClaim *claim; /* NULL: it was taken away, and the session has yet to say so */
} Device;

/* ---- The audit trail ---- */

static void audit(const Attachments *attachments, AuditEvent event)
{
    attachments->events->audit(attachments->owner, &event);
}

/* What the rules say of this device of this user at this VM. */
static void decide(const Attachments *attachments, const Description *description,
                   PolicyDecision *decision)
{
    const Login *login = attachments->login;
    const PolicySubject subject = {login_user(login), login_groups(login), login_vm(login)->name};
    policy_decide(attachments->services->policy, &description->device, &subject, decision);
}

/* Once: the port stays its own while the VM comes and goes. */
static void audit_attach(Device *device, const char *port)
{
    PolicyDecision decision;
    if (device->port)
        return;
    device->port = g_strdup(port);
    device->attached = g_get_monotonic_time();
    decide(device->attachments, device->description, &decision);
    audit(device->attachments, (AuditEvent){.type = AUDIT_ATTACH,
                                            .port = port,
                                            .device = &device->description->device,
                                            .rule = &decision});
}

/* `bytes` is NULL if the session did not say. */
static void audit_detach(const Device *device, const AuditBytes *bytes, const char *reason)
{
    if (device->port)
        audit(device->attachments, (AuditEvent){.type = AUDIT_DETACH,
                                                .port = device->port,
                                                .device = &device->description->device,
                                                .bytes = bytes,
                                                .since = device->attached,
                                                .reason = reason});
}

static void audit_refusal(const Attachments *attachments, const Description *description,
                          AuditCode code, const PolicyDecision *rule, const char *reason)
{
    audit(attachments, (AuditEvent){.type = AUDIT_DEVICE_REFUSED,
                                    .device = &description->device,
                                    .rule = rule,
                                    .code = code,
                                    .reason = reason});
}

/* ---- How often ---- */

static void count_refusal(Attachments *attachments)
{
    if (++attachments->refusals == MAX_REFUSALS)
        attachments->events->too_often(attachments->owner, "too many refused devices");
}

static void count_attach(Attachments *attachments)
{
    gint64 now = g_get_monotonic_time();
    attachments->paid_until = MAX(attachments->paid_until, now) + ATTACH_INTERVAL;
    if (attachments->paid_until - now > MAX_ATTACHES * ATTACH_INTERVAL)
        attachments->events->too_often(attachments->owner, "devices come and go too often");
}

/* ---- Whether it may come ---- */

/* Why this user may not have this device at this VM; NULL if they may. */
static char *refusal_of(const Attachments *attachments, const Description *description)
{
    const Vm *vm = login_vm(attachments->login);
    PolicyDecision decision;
    decide(attachments, description, &decision);
    AuditCode code = decision.file ? AUDIT_RULE : AUDIT_NO_RULE;
    if (decision.target == POLICY_ALLOW) {
        if (!vm->filter || policy_filter_allows(vm->filter, &description->device))
            return NULL;
        decision = vm->filtered;
        code = AUDIT_FILTER;
    }
    char *refusal = policy_decision_describe(&decision);
    audit_refusal(attachments, description, code, &decision, refusal);
    return refusal;
}

static bool refuse(Attachments *attachments, const Description *description, const char *reason,
                   GError **error)
{
    g_warning("%s of user %s refused: %s", description->label, attachments->user, reason);
    g_set_error_literal(error, LINK_ERROR, LINK_ERROR_DENIED, reason);
    count_refusal(attachments);
    return false;
}

static bool invalid(GError **error, const char *reason)
{
    g_set_error_literal(error, LINK_ERROR, LINK_ERROR_INVALID, reason);
    return false;
}

/* ---- Its port ---- */

/* Once, with the first guest: a device keeps its port. */
static void capture_device(Device *device, const char *port)
{
    const Services *services = device->attachments->services;
    if (!services->captures || device->captured)
        return;
    device->captured = true;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    int file = captures_open(services->captures, port, device->description->device.vendor,
                             device->description->device.product, &path, &error);
    if (file < 0) {
        g_warning("%s is not captured: %s", device->label, error->message);
        return;
    }
    g_message("%s is captured in %s", device->label, path);
    link_capture(device->attachments->link, device->number, port, file,
                 services->config->capture_limit);
    close(file);
}

static void on_connected(void *owner, const char *port, int stream)
{
    Device *device = owner;
    g_message("%s attached to port %s", device->label, port);
    audit_attach(device, port);
    capture_device(device, port);
    if (!link_connect(device->attachments->link, device->number, port, stream))
        g_debug("%s: its session is ending", device->label);
}

static void on_waiting(void *owner, const char *reason)
{
    Device *device = owner;
    g_message("%s waits: %s", device->label, reason);
    link_waiting(device->attachments->link, device->number, reason);
}

static const PortClaimEvents claim_events = {on_connected, on_waiting};

/* ---- Devices ---- */

static void device_free(gpointer data)
{
    Device *device = data;
    port_claim_free(device->claim);
    description_free(device->description);
    g_free(device->label);
    g_free(device->port);
    g_free(device);
}

static Device *device_new(Attachments *attachments, guint32 number, Description *description)
{
    Device *device = g_new0(Device, 1);
    device->attachments = attachments;
    device->number = number;
    device->description = description;
    device->label = g_strdup_printf("%s of user %s", description->label, attachments->user);
    device->claim = port_claim_new(login_vm(attachments->login)->ports, &claim_events, device);
    return device;
}

static Device *find_device(Attachments *attachments, guint32 number, GError **error)
{
    Device *device = g_hash_table_lookup(attachments->devices, GUINT_TO_POINTER(number));
    if (!device)
        invalid(error, "there is no attached device of that number");
    return device;
}

bool attachments_attach(Attachments *attachments, guint32 number, GVariant *variant, GError **error)
{
    if (g_hash_table_contains(attachments->devices, GUINT_TO_POINTER(number)))
        return invalid(error, "Attach of a device that is attached");
    g_autoptr(Description) description = description_new(variant);
    if (!description)
        return invalid(error, "Attach with a description that is none");
    if (g_hash_table_size(attachments->devices) >=
        attachments->services->config->limits.max_device_channels) {
        static const char reason[] = "too many devices: see max-device-channels in rdpusbd.conf(5)";
        audit_refusal(attachments, description, AUDIT_LIMIT, NULL, reason);
        return refuse(attachments, description, reason, error);
    }
    g_autofree char *refusal = refusal_of(attachments, description);
    if (refusal)
        return refuse(attachments, description, refusal, error);
    g_hash_table_insert(attachments->devices, GUINT_TO_POINTER(number),
                        device_new(attachments, number, g_steal_pointer(&description)));
    count_attach(attachments);
    return true;
}

bool attachments_lost(Attachments *attachments, guint32 number, const char *reason, GError **error)
{
    Device *device = find_device(attachments, number, error);
    if (!device)
        return false;
    if (!device->claim)
        return true;
    if (!port_claim_lost(device->claim))
        return invalid(error, "Lost of a device that has no stream");
    g_autofree char *quoted = log_quote(reason);
    g_message("%s lost the guest on port %s, reconnecting: %s", device->label,
              port_claim_port(device->claim), quoted);
    return true;
}

bool attachments_detached(Attachments *attachments, guint32 number, const char *reason,
                          bool refused, const AuditBytes *bytes, GError **error)
{
    Device *device = find_device(attachments, number, error);
    if (!device)
        return false;
    const char *port = device->claim ? port_claim_port(device->claim) : NULL;
    g_autofree char *quoted = log_quote(reason);
    g_message("%s detached%s%s: %s", device->label, port ? " from port " : "", port ? port : "",
              quoted);
    if (refused)
        audit_refusal(attachments, device->description, AUDIT_GUEST, NULL, reason);
    audit_detach(device, bytes, reason);
    g_hash_table_remove(attachments->devices, GUINT_TO_POINTER(number));
    if (refused)
        count_refusal(attachments);
    return true;
}

void attachments_apply_rules(Attachments *attachments)
{
    GHashTableIter iterator;
    gpointer value;
    g_hash_table_iter_init(&iterator, attachments->devices);
    while (g_hash_table_iter_next(&iterator, NULL, &value)) {
        Device *device = value;
        g_autofree char *refusal =
            device->claim ? refusal_of(attachments, device->description) : NULL;
        if (!refusal)
            continue;
        g_warning("%s is taken away: %s", device->label, refusal);
        link_detach(attachments->link, device->number, refusal);
        /* Whatever the session does now, the guest has it no longer. */
        g_clear_pointer(&device->claim, port_claim_free);
    }
}

/* ---- Life ---- */

Attachments *attachments_new(const Services *services, const Login *login, const char *user,
                             Link *link, const AttachmentEvents *events, void *owner)
{
    Attachments *attachments = g_new0(Attachments, 1);
    attachments->services = services;
    attachments->login = login;
    attachments->user = g_strdup(user);
    attachments->link = link;
    attachments->events = events;
    attachments->owner = owner;
    attachments->devices = g_hash_table_new_full(NULL, NULL, NULL, device_free);
    return attachments;
}

void attachments_free(Attachments *attachments)
{
    if (!attachments)
        return;
    GHashTableIter iterator;
    gpointer device;
    g_hash_table_iter_init(&iterator, attachments->devices);
    while (g_hash_table_iter_next(&iterator, NULL, &device))
        audit_detach(device, NULL, "its session ended");
    g_hash_table_unref(attachments->devices);
    g_free(attachments->user);
    g_free(attachments);
}
