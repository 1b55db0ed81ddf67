/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "address.h"

#include <gio/gunixsocketaddress.h>
#include <string.h>
#include <sys/un.h>

/* sun_path holds a terminating zero. */
#define PATH_LENGTH_MAX (sizeof(((struct sockaddr_un *) NULL)->sun_path) - 1)

/* Cuts @text at its first single comma, undoubles the doubled ones before it, and returns what
 * follows the cut; NULL if nothing does. */
static char *cut_at_comma(char *text)
{
    char *out = text;

    for (char *in = text; *in; in++) {
        if (in[0] == ',' && in[1] != ',') {
            *out = '\0';
            return in + 1;
        }
        if (in[0] == ',')
            in++;
        *out++ = *in;
    }
    *out = '\0';
    return NULL;
}

static bool parse_option(TransportAddress *address, const char *option, const char *spec,
                         GError **error)
{
    if (g_str_equal(option, "server=on") || g_str_equal(option, "server")) {
        address->server = true;
        return true;
    }
    if (g_str_equal(option, "server=off")) {
        address->server = false;
        return true;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "unknown option '%s' in '%s'; only server=on and server=off are known", option,
                spec);
    return false;
}

static bool parse_path(TransportAddress *address, const char *path, const char *spec,
                       GError **error)
{
    if (*path == '\0' || strlen(path) > PATH_LENGTH_MAX) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "the path in '%s' has %zu bytes; a socket's path has 1 to %zu", spec,
                    strlen(path), PATH_LENGTH_MAX);
        return false;
    }
    address->path = g_strdup(path);
    return true;
}

static bool parse_port(TransportAddress *address, const char *text, const char *spec,
                       GError **error)
{
    guint64 port = 0;

    if (!g_ascii_string_to_unsigned(text, 10, address->server ? 0 : 1, UINT16_MAX, &port, NULL)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "bad port '%s' in '%s'; expected a number from 1 to 65535", text, spec);
        return false;
    }
    address->port = (uint16_t) port;
    return true;
}

/* "localhost" is not looked up when listening, as that could block or give several addresses. */
static bool check_listening_host(TransportAddress *address, const char *spec, GError **error)
{
    if (!address->server || g_hostname_is_ip_address(address->host))
        return true;
    if (g_str_equal(address->host, "localhost")) {
        g_free(address->host);
        address->host = g_strdup("127.0.0.1");
        return true;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "cannot listen on the name '%s' in '%s'; give the IP address of this machine",
                address->host, spec);
    return false;
}

static bool parse_host(TransportAddress *address, const char *host, size_t length, const char *spec,
                       GError **error)
{
    bool bracketed = length >= 2 && host[0] == '[' && host[length - 1] == ']';

    address->host = bracketed ? g_strndup(host + 1, length - 2) : g_strndup(host, length);
    if (*address->host == '\0')
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "no host in '%s'; expected tcp:HOST:PORT, for example tcp:127.0.0.1:4000",
                    spec);
    else if (bracketed && !(strchr(address->host, ':') && g_hostname_is_ip_address(address->host)))
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "'%s' in '%s' is not an IPv6 address", address->host, spec);
    else if (!bracketed && strpbrk(address->host, ":[]"))
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "bad host '%s' in '%s'; an IPv6 address stands in brackets, as tcp:[::1]:4000",
                    address->host, spec);
    else
        return check_listening_host(address, spec, error);
    return false;
}

static bool parse_host_and_port(TransportAddress *address, const char *text, const char *spec,
                                GError **error)
{
    const char *colon = strrchr(text, ':');

    if (!colon) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "no port in '%s'; expected tcp:HOST:PORT", spec);
        return false;
    }
    return parse_host(address, text, (size_t) (colon - text), spec, error) &&
           parse_port(address, colon + 1, spec, error);
}

TransportAddress *transport_address_parse(const char *spec, GError **error)
{
    g_autoptr(TransportAddress) address = g_new0(TransportAddress, 1);
    g_autofree char *text = g_strdup(spec);
    char *rest = cut_at_comma(text);
    bool good;

    while (rest) {
        char *option = rest;
        rest = cut_at_comma(option);
        if (!parse_option(address, option, spec, error))
            return NULL;
    }
    if (g_str_has_prefix(text, "unix:")) {
        good = parse_path(address, text + strlen("unix:"), spec, error);
    } else if (g_str_has_prefix(text, "tcp:")) {
        good = parse_host_and_port(address, text + strlen("tcp:"), spec, error);
    } else {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "'%s' begins with neither unix: nor tcp:; expected "
                    "unix:PATH[,server=on] or tcp:HOST:PORT[,server=on]",
                    spec);
        good = false;
    }
    return good ? g_steal_pointer(&address) : NULL;
}

TransportAddress *transport_address_copy(const TransportAddress *address)
{
    TransportAddress *copy = g_memdup2(address, sizeof(*address));
    copy->path = g_strdup(address->path);
    copy->host = g_strdup(address->host);
    return copy;
}

void transport_address_free(TransportAddress *address)
{
    if (!address)
        return;
    g_free(address->path);
    g_free(address->host);
    g_free(address);
}

char *transport_address_to_string(const TransportAddress *address)
{
    const char *option = address->server ? ",server=on" : "";

    if (address->path) {
        g_auto(GStrv) parts = g_strsplit(address->path, ",", -1);
        g_autofree char *escaped = g_strjoinv(",,", parts);
        return g_strdup_printf("unix:%s%s", escaped, option);
    }
    bool ipv6 = strchr(address->host, ':') != NULL;
    return g_strdup_printf("tcp:%s%s%s:%u%s", ipv6 ? "[" : "", address->host, ipv6 ? "]" : "",
                           address->port, option);
}

GSocketConnectable *transport_address_get_connectable(const TransportAddress *address)
{
    if (address->path)
        return G_SOCKET_CONNECTABLE(g_unix_socket_address_new(address->path));
    return g_network_address_new(address->host, address->port);
}
