/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A USB control request as the message that the client understands best ([MS-RDPEUSB] 2.2.9).
 *
 * mstsc knows the typed TS_URBs only, and takes TS_URB_CONTROL_TRANSFER as a last resort. FreeRDP
 * garbles some of the typed ones: CONTROL_FEATURE_REQUEST gets the wrong direction, and a set
 * CONTROL_DESCRIPTOR_REQUEST the code of a get.
 */
#pragma once

#include <rdpusb/urbdrc.h>
#include <wire/message.h>

/* Whether the request changes what the client keeps for itself (its address, configuration,
 * alternate settings, halts): sent to the device behind the client's back, it breaks the device. */
bool urbdrc_control_request_is_reserved(const RdpusbSetup *setup);

/* Fills *m, except for the ids. Views setup->length bytes at data if OUT. */
void urbdrc_control_request(WireMessage *m, const RdpusbSetup *setup, const uint8_t *data,
                            bool is_freerdp);
