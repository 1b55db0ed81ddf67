/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "select.h"

G_STATIC_ASSERT((int) RDPUSB_MAX_PIPES >= (int) WIRE_MAX_PIPES);

/* USB 2.0 tables 9-5, 9-12, 9-13 */
enum { INTERFACE = 4, ENDPOINT = 5 };
enum { INTERFACE_SIZE = 9, ENDPOINT_SIZE = 7 };

/* The descriptor at *position, which moves past it. NULL at the end, or where it runs over. */
static const uint8_t *next_descriptor(const uint8_t *data, size_t size, size_t *position)
{
    if (size - *position < 2)
        return NULL;
    const uint8_t *descriptor = data + *position;
    if (descriptor[0] < 2 || descriptor[0] > size - *position)
        return NULL;
    *position += descriptor[0];
    return descriptor;
}

static bool is_interface(const uint8_t *d)
{
    return d[1] == INTERFACE && d[0] >= INTERFACE_SIZE;
}

/* The interface descriptor of that setting, with *position behind it; NULL if there is none. */
static const uint8_t *find_setting(const uint8_t *data, size_t size, uint8_t number,
                                   uint8_t alternate, size_t *position)
{
    *position = 0;
    const uint8_t *d;
    while ((d = next_descriptor(data, size, position)))
        if (is_interface(d) && d[2] == number && d[3] == alternate)
            return d;
    return NULL;
}

/* The endpoints that follow, up to the next interface. Returns how many; more than `room`, if there
 * are more. */
static unsigned read_endpoints(const uint8_t *data, size_t size, size_t position,
                               WirePipeInformation *pipes, unsigned room)
{
    unsigned n = 0;
    const uint8_t *d;
    while ((d = next_descriptor(data, size, &position)) && d[1] != INTERFACE) {
        if (d[1] != ENDPOINT || d[0] < ENDPOINT_SIZE)
            continue;
        if (n++ < room)
            pipes[n - 1].maximum_packet_size = (uint16_t) (d[4] | d[5] << 8);
    }
    return n;
}

/* False if there is no such setting, or no room for its pipes. */
static bool read_setting(const uint8_t *data, size_t size, uint8_t number, uint8_t alternate,
                         WireInterfaceInformation *interface, WirePipeInformation *pipes,
                         unsigned room)
{
    size_t position;
    if (!find_setting(data, size, number, alternate, &position))
        return false;
    unsigned n_pipes = read_endpoints(data, size, position, pipes, room);
    if (n_pipes > room)
        return false;
    *interface = (WireInterfaceInformation){
        .number_of_pipes_expected = (uint16_t) n_pipes,
        .interface_number = number,
        .alternate_setting = alternate,
        .number_of_pipes = n_pipes,
    };
    return true;
}

/* Which interface numbers have a setting 0. */
static void read_numbers(const uint8_t *data, size_t size, bool has[256])
{
    size_t position = 0;
    const uint8_t *d;
    while ((d = next_descriptor(data, size, &position)))
        if (is_interface(d) && d[3] == 0)
            has[d[2]] = true;
}

bool urbdrc_select_configuration(WireUrb *urb, const uint8_t *descriptor, size_t size)
{
    WireSelectConfiguration *select = &urb->body.select_configuration;
    urb->function = WIRE_URB_FUNCTION_SELECT_CONFIGURATION;
    *select = (WireSelectConfiguration){
        .configuration_descriptor_is_valid = true,
        .usb_configuration_descriptor = {descriptor, size},
    };
    bool has[256] = {false};
    unsigned n_pipes = 0;
    read_numbers(descriptor, size, has);
    for (unsigned number = 0; number < G_N_ELEMENTS(has); number++) {
        if (!has[number])
            continue;
        if (select->num_interfaces == WIRE_MAX_INTERFACES)
            return false;
        WireInterfaceInformation *interface = &select->interfaces[select->num_interfaces++];
        if (!read_setting(descriptor, size, (uint8_t) number, 0, interface, select->pipes + n_pipes,
                          WIRE_MAX_PIPES - n_pipes))
            return false;
        n_pipes += interface->number_of_pipes;
    }
    return select->num_interfaces > 0;
}

void urbdrc_select_more(WireUrb *urb, unsigned n_interfaces)
{
    WireSelectConfiguration *select = &urb->body.select_configuration;
    while (select->num_interfaces < MIN(n_interfaces, WIRE_MAX_INTERFACES)) {
        WireInterfaceInformation *more = &select->interfaces[select->num_interfaces++];
        *more = select->interfaces[0];
        more->number_of_pipes = 0;
    }
}

void urbdrc_unconfigure(WireUrb *urb)
{
    urb->function = WIRE_URB_FUNCTION_SELECT_CONFIGURATION;
    urb->body.select_configuration = (WireSelectConfiguration){0};
}

bool urbdrc_select_interface(WireUrb *urb, uint32_t configuration_handle, const uint8_t *descriptor,
                             size_t size, uint8_t interface_number, uint8_t alternate_setting)
{
    WireSelectInterface *select = &urb->body.select_interface;
    urb->function = WIRE_URB_FUNCTION_SELECT_INTERFACE;
    *select = (WireSelectInterface){.configuration_handle = configuration_handle};
    return read_setting(descriptor, size, interface_number, alternate_setting, &select->interface,
                        select->pipes, WIRE_MAX_PIPES);
}

/* Each endpoint has one pipe, in one interface. */
static bool add_pipes(const WireInterfaceInformationResult *interface,
                      const WirePipeInformationResult *results, RdpusbPipe *pipes, size_t *n_pipes)
{
    for (uint32_t i = 0; i < interface->number_of_pipes; i++) {
        uint8_t address = results[i].endpoint_address;
        if ((address & 0x70) != 0 || (address & 0x0f) == 0)
            return false;
        for (size_t j = 0; j < *n_pipes; j++)
            if (pipes[j].endpoint_address == address)
                return false;
        pipes[(*n_pipes)++] = (RdpusbPipe){
            .interface_number = interface->interface_number,
            .endpoint_address = address,
            .pipe_handle = results[i].pipe_handle,
            .maximum_packet_size = results[i].maximum_packet_size,
        };
    }
    return true;
}

bool urbdrc_select_configuration_result(const WireUrbCompletion *m, uint32_t *configuration_handle,
                                        RdpusbPipe *pipes, size_t *n_pipes)
{
    WireSelectConfigurationResult result;
    if (!wire_select_configuration_result_decode(&result, m->ts_urb_result.data,
                                                 m->ts_urb_result.length))
        return false;
    *configuration_handle = result.configuration_handle;
    *n_pipes = 0;
    const WirePipeInformationResult *next = result.pipes;
    for (uint32_t i = 0; i < result.num_interfaces; i++) {
        if (!add_pipes(&result.interfaces[i], next, pipes, n_pipes))
            return false;
        next += result.interfaces[i].number_of_pipes;
    }
    return true;
}

bool urbdrc_select_interface_result(const WireUrbCompletion *m, RdpusbPipe *pipes, size_t *n_pipes)
{
    WireSelectInterfaceResult result;
    *n_pipes = 0;
    return wire_select_interface_result_decode(&result, m->ts_urb_result.data,
                                               m->ts_urb_result.length) &&
           add_pipes(&result.interface, result.pipes, pipes, n_pipes);
}
