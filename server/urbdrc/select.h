/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SELECT_CONFIGURATION and SELECT_INTERFACE made from a raw configuration descriptor
 * ([MS-RDPEUSB] 2.2.9.2, 2.2.9.3), and their results.
 */
#pragma once

#include <rdpusb/urbdrc.h>
#include <wire/completion.h>
#include <wire/urb.h>

/* One entry for each interface number, ascending, alternate setting 0: mstsc refuses anything else,
 * and FreeRDP indexes by it. Views the descriptor. False if the descriptor is none, or has more
 * interfaces or endpoints than the protocol can name. */
bool urbdrc_select_configuration(WireUrb *urb, const uint8_t *descriptor, size_t size);

/* Adds entries to a selection of a configuration, until it has that many: the first interface once
 * more, without its pipes. */
void urbdrc_select_more(WireUrb *urb, unsigned n_interfaces);

/* As an unconfigured device. */
void urbdrc_unconfigure(WireUrb *urb);

/* False, too, when the descriptor has no such setting. */
bool urbdrc_select_interface(WireUrb *urb, uint32_t configuration_handle, const uint8_t *descriptor,
                             size_t size, uint8_t interface_number, uint8_t alternate_setting);

/* The results, as the pipes of an event: pipes has room for RDPUSB_MAX_PIPES. False when the result
 * is malformed, or names impossible endpoints. */
bool urbdrc_select_configuration_result(const WireUrbCompletion *m, uint32_t *configuration_handle,
                                        RdpusbPipe *pipes, size_t *n_pipes);
bool urbdrc_select_interface_result(const WireUrbCompletion *m, RdpusbPipe *pipes, size_t *n_pipes);
