/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decoded messages as text, with every field, so that a test can state what it expects. */
#pragma once

#include <glib.h>

#include "wire/message.h"

/* What the caller of the codec would know from the request. */
typedef enum {
    RESULT_HEADER_ONLY,
    RESULT_SELECT_CONFIGURATION,
    RESULT_SELECT_INTERFACE,
    RESULT_FRAME_NUMBER,
    RESULT_ISOCH,
} ResultKind;

typedef struct {
    WireMessage message;
    ResultKind result_kind;
    union {
        WireSelectConfigurationResult select_configuration;
        WireSelectInterfaceResult select_interface;
        WireGetCurrentFrameNumberResult frame_number;
        WireIsochTransferResult isoch;
    } result;
} Decoded;

char *describe(const Decoded *d);

/* Whether every view in d lies in data. */
bool views_lie_in(const Decoded *d, const uint8_t *data, size_t length);
