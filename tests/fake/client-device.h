/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The USB device behind the fake client: descriptors, current settings, and per IN endpoint a queue
 * of what it has to say. It knows nothing of RDP. Owned by the fake client.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* What a test gives; must outlive the device. Descriptors as in USB 2.0 9.6. */
typedef struct {
    const uint8_t *device;        /* 18 bytes */
    const uint8_t *configuration; /* wTotalLength bytes */
    const uint8_t *second;        /* a second configuration, or NULL */
    const char *const *strings;   /* ASCII, of index 1 and up, NULL-terminated; or NULL */
    uint8_t loopback_out;         /* bulk or interrupt; what comes here ... */
    uint8_t loopback_in;          /* ... goes out there; 0 for none */
} FakeDeviceModel;

/* Vendor device 1209:0001, high speed. Configuration 1, interface 0: alternate setting 0 has bulk
 * loopback 0x01 to 0x81 (512 bytes) and interrupt IN 0x82, alternate setting 1 only the interrupt.
 */
extern const FakeDeviceModel fake_device_loopback;

/* Vendor device 1209:0004, high speed, that never says anything by itself. Interface 0: alternate
 * setting 0 has bulk IN 0x81 (512 bytes), alternate setting 1 isochronous IN 0x83 and OUT 0x04 of
 * 192 bytes each millisecond. */
extern const FakeDeviceModel fake_device_streams;

/* Vendor device 1209:0005, high speed. Configuration 1 has one interface with bulk IN 0x81;
 * configuration 2 three: bulk IN 0x81, bulk OUT 0x02, interrupt IN 0x83. */
extern const FakeDeviceModel fake_device_two_configurations;

/* A boot keyboard 1209:0006 that nobody types on: interrupt IN 0x81. */
extern const FakeDeviceModel fake_device_keyboard;

/* Storage 1209:0007 by its class, in truth a bulk loopback of 0x02 to 0x81. */
extern const FakeDeviceModel fake_device_stick;

typedef struct {
    uint8_t address;
    uint8_t type; /* 0 control, 1 isochronous, 2 bulk, 3 interrupt */
    uint8_t interval;
    uint16_t maximum_packet_size;
} FakeEndpoint;

typedef struct {
    uint8_t number;
    uint8_t alternate_setting;
    uint8_t class_code, sub_class_code, protocol_code;
    unsigned n_endpoints;
    FakeEndpoint endpoints[30];
} FakeInterface;

typedef struct {
    const FakeDeviceModel *model;
    uint8_t configuration_value; /* 0: not configured */
    uint8_t alternate_settings[256];
    GQueue queues[16];       /* GBytes, by number of the IN endpoint */
    uint32_t halted;         /* bit: number of the endpoint, 16 more for IN */
    bool refuses_selections; /* SET_CONFIGURATION and SET_INTERFACE stall */
} FakeDevice;

void fake_device_init(FakeDevice *device, const FakeDeviceModel *model);
void fake_device_clear(FakeDevice *device);

/* Device, configuration and string descriptors; NULL if there is none. The caller owns it. */
GBytes *fake_device_descriptor(const FakeDevice *device, uint8_t type, uint8_t index);

/* Of the configuration with that value; NULL, and 0, if there is none. */
const uint8_t *fake_device_configuration(const FakeDevice *device, uint8_t value);
unsigned fake_device_n_interfaces(const FakeDevice *device, uint8_t value);

/* Alternate settings become 0. False: no such configuration, or refused. */
bool fake_device_select_configuration(FakeDevice *device, uint8_t value);
bool fake_device_select_interface(FakeDevice *device, uint8_t number, uint8_t alternate_setting);

/* False: no such interface or setting. */
bool fake_device_interface(const FakeDevice *device, uint8_t number, uint8_t alternate_setting,
                           FakeInterface *interface);

/* In the current settings. */
bool fake_device_has_endpoint(const FakeDevice *device, uint8_t address);

/* IN: to be said by the endpoint, one transfer per call. */
void fake_device_say(FakeDevice *device, uint8_t endpoint, const uint8_t *data, size_t size);
/* IN: what a transfer of at most size bytes gets, NULL if it has to wait. The caller owns it. */
GBytes *fake_device_hear(FakeDevice *device, uint8_t endpoint, size_t size);
/* OUT. */
void fake_device_take(FakeDevice *device, uint8_t endpoint, const uint8_t *data, size_t size);

void fake_device_halt(FakeDevice *device, uint8_t endpoint);
void fake_device_clear_halt(FakeDevice *device, uint8_t endpoint);
bool fake_device_is_halted(const FakeDevice *device, uint8_t endpoint);
