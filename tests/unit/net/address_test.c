/* Listening addresses and peers' names. */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_v4(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void test_tcp(void **state reeve_unused)
{
    struct error err;
    int fd = -1;
    char name[64];
    char expected[64];
    assert_int_equal(net_listen_tcp("127.0.0.1", 0, &fd, 1, &err), 1);
    int port = net_local_port(fd);
    assert_true(port > 0);
    int client = connect_v4(port);
    int server = accept(fd, NULL, NULL);
    assert_true(net_peer_is_local(server));
    net_peer_name(client, name, sizeof(name));
    snprintf(expected, sizeof(expected), "127.0.0.1:%d", port);
    assert_string_equal(name, expected);
    close(client);
    close(server);

    /* It is taken now. */
    int other = -1;
    assert_int_equal(net_listen_tcp("127.0.0.1", port, &other, 1, &err), -ERROR_IO);
    snprintf(expected, sizeof(expected), "cannot listen on 127.0.0.1:%d: Address already in use",
             port);
    assert_string_equal(err.message, expected);
    assert_string_equal(err.hint, "another process listens there: end it, or choose another port");
    assert_int_equal(other, -1);
    close(fd);
}

static void test_every_address(void **state reeve_unused)
{
    struct error err;
    int fds[8];
    int count = net_listen_tcp("*", 0, fds, 8, &err);
    assert_true(count >= 1);
    for (int i = 1; i < count; i++)
        assert_int_equal(net_local_port(fds[i]), net_local_port(fds[0]));
    close(connect_v4(net_local_port(fds[0])));
    for (int i = 0; i < count; i++)
        close(fds[i]);
    assert_int_equal(net_listen_tcp(NULL, 0, fds, 1, &err), 1);
    close(fds[0]);
}

static void test_bad_addresses(void **state reeve_unused)
{
    struct error err;
    int fd = -1;
    assert_int_equal(net_listen_tcp("host.invalid", 0, &fd, 1, &err), -ERROR_CONFIG);
    assert_non_null(strstr(err.message, "cannot find the address of \"host.invalid\""));
    /* TEST-NET-1: nobody has it. */
    assert_int_equal(net_listen_tcp("192.0.2.1", 0, &fd, 1, &err), -ERROR_IO);
    assert_string_equal(err.message,
                        "cannot listen on 192.0.2.1:0: Cannot assign requested address");
    assert_int_equal(net_listen_tcp("127.0.0.1", 65536, &fd, 1, &err), -ERROR_INVALID);
    assert_int_equal(net_listen_tcp("192.0.2.1", 0, &fd, 1, NULL), -ERROR_IO);
    assert_int_equal(fd, -1);
}

static void test_v6_name(void **state reeve_unused)
{
    struct error err;
    int fd = -1;
    char name[64];
    char expected[64];
    if (net_listen_tcp("::1", 0, &fd, 1, &err) < 0)
        skip(); /* a machine without IPv6 */
    int port = net_local_port(fd);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)port),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    net_peer_name(client, name, sizeof(name));
    snprintf(expected, sizeof(expected), "[::1]:%d", port);
    assert_string_equal(name, expected);
    assert_true(net_peer_is_local(client));
    close(client);
    close(fd);
}

static void make_folder(char folder[64])
{
    snprintf(folder, 64, "/tmp/reeve-net-XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static void test_unix(void **state reeve_unused)
{
    struct error err;
    char folder[64];
    char path[96];
    char name[16];
    int fd = -1;
    int second = -1;
    make_folder(folder);
    snprintf(path, sizeof(path), "%s/socket", folder);
    assert_int_equal(net_listen_unix(path, &fd, &err), 0);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0777);

    /* A live one is left alone. */
    assert_int_equal(net_listen_unix(path, &second, &err), -ERROR_BUSY);
    assert_non_null(strstr(err.message, "another process listens on /tmp/reeve-net-"));
    assert_int_equal(second, -1);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_true(net_peer_is_local(client));
    net_peer_name(client, name, sizeof(name));
    assert_string_equal(name, "unix");
    assert_int_equal(net_local_port(client), 0);
    close(client);

    /* A stale one is replaced. */
    close(fd);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(net_listen_unix(path, &fd, &err), 0);
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    close(client);
    close(fd);
    unlink(path);

    /* A file that is no socket is nobody's to remove. */
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(net_listen_unix(path, &fd, &err), -ERROR_EXISTS);
    unlink(path);
    rmdir(folder);
    assert_int_equal(net_listen_unix(path, &fd, &err), -ERROR_IO);
}

static void test_unix_path_length(void **state reeve_unused)
{
    struct error err;
    char path[200];
    int fd = -1;
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(net_listen_unix(path, &fd, &err), -ERROR_CONFIG);
    assert_int_equal(net_listen_unix("", &fd, &err), -ERROR_CONFIG);
}

static void test_not_connected(void **state reeve_unused)
{
    char name[16];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_false(net_peer_is_local(fd));
    net_peer_name(fd, name, sizeof(name));
    assert_string_equal(name, "unknown");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),           cmocka_unit_test(test_every_address),
        cmocka_unit_test(test_bad_addresses), cmocka_unit_test(test_v6_name),
        cmocka_unit_test(test_unix),          cmocka_unit_test(test_unix_path_length),
        cmocka_unit_test(test_not_connected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
