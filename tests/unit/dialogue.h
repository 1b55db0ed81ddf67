/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A scripted dialogue with a control or device channel: what the server sends, what the client
 * answers, what the owner of the channel calls and learns. A script is an array of lines, ended by
 * NULL; the first says which kind of channel it is: "control" or "device".
 *
 *   > text                      the server's next message is this one
 *   < text                      the client sends this message;  <! and the channel refuses it;
 *                               <~ although it has not got all of the server's
 *   * text                      the next event is this one
 *   . text                      the owner calls;  .! and is refused
 *   @ 13s                       so much time passes (s or ms), then tick;  @! and tick fails
 *   ? text                      this is so
 *
 * All events, and before < all messages, must have been named. Request ids count from 1,
 * barriers included. Numbers are hexadecimal, except sizes, ids and times.
 *
 *   client:  capabilities VALUE RESULT | created MAJOR.MINOR | add-virtual-channel [ID]
 *            add-device USB-DEVICE USB-VERSION | release INTERFACE | qi INTERFACE
 *            text INTERFACE [TEXT]
 *            done ID STATUS SIZE [HRESULT]         URB_COMPLETION_NO_DATA
 *            data ID STATUS BYTES [HRESULT]        URB_COMPLETION
 *            bus-time ID [SIZE]                    IOCONTROL_COMPLETION with 4, or SIZE, bytes
 *            configured ID HANDLE [PIPES]          select configuration result
 *            unconfigured ID COUNT                 the same, handle 0, COUNT interfaces that do not
 *                                                  follow
 *            alternate ID INTERFACE [PIPES]        select interface result; alternate-garbled is
 *                                                  that of FreeRDP 3.14 to 3.22
 *            hex BYTES
 *   PIPES:   interface:address:handle:size,...
 *   calls:   control TYPE REQUEST VALUE INDEX LENGTH [BYTES] | in PIPE SIZE | out PIPE BYTES
 *            select | unconfigure | select-interface NUMBER ALTERNATE | reset PIPE | cancel ID
 *            retract | query-location | close | found USB-DEVICE | found-none
 *   checks:  deadline TIME|never | can-submit SIZE yes|no | ignored COUNT | additions COUNT
 *            state WORDS | queued SIZE | announcement none | usb-version VERSION
 *            location TEXT|unknown
 *            instance, container, hardware-0, hardware-1, compatibility-0: TEXT
 *   BYTES:   hexadecimal without spaces, or zeros*COUNT, or - for none
 */
#pragma once

#include <rdpusb/urbdrc.h>

typedef const char *const *Script;

/* The configuration that the calls select: interface 1 (alternate settings 0 and 1) stands before
 * interface 0. */
#define DIALOGUE_DESCRIPTOR_SIZE 57
extern const uint8_t dialogue_descriptor[DIALOGUE_DESCRIPTOR_SIZE];

/* Plays the script; every accepted request must have got exactly one completion in the end. */
void dialogue_run(Script script);
/* Plays it as often as the client speaks, and each time cuts that message to every shorter length:
 * none is taken, and the channel says in which state that was. */
void dialogue_run_truncated(Script script);
/* Plays it as often as it has lines, and closes the channel after that many. */
void dialogue_run_closed(Script script);
