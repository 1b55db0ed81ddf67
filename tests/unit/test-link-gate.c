/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What passes the gate is a password at times: it does not stay there. What may pass is fuzzed. */
#include "link-gate.h"

#include "secret.h"

#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    LinkGate *gate;
    int session, broker; /* the far ends */
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data)
{
    int session[2], broker[2], small = 1;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, session), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, broker), ==, 0);
    /* A few chunks that nobody takes fill it. */
    g_assert_cmpint(setsockopt(session[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), ==, 0);
    *fixture = (Fixture){link_gate_new(session[0], broker[0]), session[1], broker[1]};
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
    link_gate_free(fixture->gate);
    close(fixture->session);
    close(fixture->broker);
    g_assert_cmpuint(secret_count(), ==, 0);
}

/* The number of bytes that were taken. */
static gsize send_secrets(int fd, gsize count)
{
    char secret[SECRET_SIZE];
    gsize sent = 0;
    secret_make(secret);
    for (gsize i = 0; i < count; i++) {
        ssize_t n = send(fd, secret, sizeof secret, MSG_DONTWAIT);
        sent += n > 0 ? (gsize) n : 0;
    }
    explicit_bzero(secret, sizeof secret);
    return sent;
}

static void turn(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void receive(int fd, gsize expected)
{
    char bytes[8192];
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    explicit_bzero(bytes, sizeof bytes);
    g_assert_cmpint(n, ==, expected);
}

static void test_passed(Fixture *fixture, gconstpointer data)
{
    gsize sent = send_secrets(fixture->session, 3);
    turn();
    g_assert_cmpuint(secret_count(), ==, 0);
    receive(fixture->broker, sent);
    sent = send_secrets(fixture->broker, 3);
    turn();
    g_assert_cmpuint(secret_count(), ==, 0);
    receive(fixture->session, sent);
}

/* A hand-shake that does not end. */
static void test_refused(Fixture *fixture, gconstpointer data)
{
    send_secrets(fixture->session, 4096 / SECRET_SIZE + 1);
    turn();
    g_assert_true(link_gate_has_refused(fixture->gate));
    g_assert_cmpuint(secret_count(), ==, 0);
}

/* Until the gate has what nobody takes, and is freed with it. */
static void test_stuck(Fixture *fixture, gconstpointer data)
{
    for (unsigned i = 0; i < 30; i++) {
        send_secrets(fixture->broker, 1);
        turn();
    }
    g_assert_cmpuint(secret_count(), >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/link-gate/passed", Fixture, NULL, set_up, test_passed, tear_down);
    g_test_add("/link-gate/refused", Fixture, NULL, set_up, test_refused, tear_down);
    g_test_add("/link-gate/stuck", Fixture, NULL, set_up, test_stuck, tear_down);
    return g_test_run();
}
