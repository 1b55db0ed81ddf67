/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What owns a request at the client: the first member of Job and of Transfer. */
#pragma once

#include <stdint.h>

typedef enum { REQUEST_JOB, REQUEST_TRANSFER } RequestOwner;

typedef struct {
    RequestOwner owner;
    uint32_t id; /* at the client; 0: not there */
} Request;
