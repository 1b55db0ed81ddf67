/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "description.h"

#include "log.h"

/* 64 KiB of descriptors have 7000 interfaces; nothing that exists has 100 different ones. */
#define MAX_DESCRIPTION_BYTES 16384

/* PolicyInterface is what (yyy) is in memory. */
G_STATIC_ASSERT(sizeof(PolicyInterface) == 3);

static void look_up_interfaces(Description *description)
{
    g_autoptr(GVariant) interfaces =
        g_variant_lookup_value(description->text, "interfaces", G_VARIANT_TYPE("a(yyy)"));
    if (!interfaces)
        return;
    /* A view into `text`, in which the array stays. */
    description->device.interfaces =
        g_variant_get_fixed_array(interfaces, &description->device.n_interfaces, 3);
}

static void look_up(Description *description)
{
    PolicyDevice *device = &description->device;
    GVariant *text = description->text;
    g_variant_lookup(text, "version", "q", &device->version);
    g_variant_lookup(text, "class", "y", &device->class_);
    g_variant_lookup(text, "subclass", "y", &device->subclass);
    g_variant_lookup(text, "protocol", "y", &device->protocol);
    g_variant_lookup(text, "manufacturer", "&s", &device->manufacturer);
    g_variant_lookup(text, "name", "&s", &device->name);
    g_variant_lookup(text, "serial", "&s", &device->serial);
    look_up_interfaces(description);
}

static char *make_label(const PolicyDevice *device)
{
    g_autofree char *name = log_quote(device->name);
    g_autofree char *serial = log_quote(device->serial);
    return g_strdup_printf("device %04x:%04x %s serial %s", device->vendor, device->product, name,
                           serial);
}

Description *description_new(GVariant *variant)
{
    g_autoptr(Description) description = g_new0(Description, 1);
    PolicyDevice *device = &description->device;
    if (g_variant_get_size(variant) > MAX_DESCRIPTION_BYTES ||
        !g_variant_lookup(variant, "vendor", "q", &device->vendor) ||
        !g_variant_lookup(variant, "product", "q", &device->product))
        return NULL;
    description->text = g_variant_get_normal_form(variant);
    g_variant_get_data(description->text); /* serialized: what is looked up are views of it */
    device->manufacturer = device->name = device->serial = "";
    look_up(description);
    description->label = make_label(device);
    return g_steal_pointer(&description);
}

void description_free(Description *description)
{
    if (!description)
        return;
    g_clear_pointer(&description->text, g_variant_unref);
    g_free(description->label);
    g_free(description);
}
