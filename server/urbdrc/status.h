/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The three number spaces in which a client says how a request went, made one.
 */
#pragma once

#include <stdint.h>

#include <rdpusb/urbdrc.h>

RdpusbStatus urbdrc_status(uint32_t hresult, uint32_t usbd_status);
