/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The filter string of usbredir, as libvirt and QEMU take it for a VM:
 * CLASS,VENDOR,PRODUCT,VERSION,ALLOW|..., -1 being any. libusbredirparser reads and applies it, so
 * that it means here what it means there.
 */
#pragma once

#include "policy.h"

#define POLICY_MAX_FILTER_BYTES 8192

typedef struct PolicyFilter PolicyFilter;

/* NULL and INPUT_ERROR (without a place: the caller knows where the text stood) if it is none. */
PolicyFilter *policy_filter_parse(const char *text, GError **error);
/* Accepts NULL. */
void policy_filter_free(PolicyFilter *filter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PolicyFilter, policy_filter_free)

/* As QEMU does: what no rule of the filter matches is not allowed, and a non-boot HID interface
 * beside others is not looked at. */
bool policy_filter_allows(const PolicyFilter *filter, const PolicyDevice *device);
