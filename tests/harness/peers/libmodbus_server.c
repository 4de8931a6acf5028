/* A Modbus server on libmodbus, for tests and benches. Never our own code on both ends of the wire.
 * Prints "ready" once it listens.
 *
 * usage: libmodbus_server tcp PORT REGISTERS [moving]
 *        libmodbus_server rtu PATH BAUD PARITY UNIT REGISTERS
 *
 * Input registers and discrete inputs never change: register i holds i * 7 + 3, bit i whether i is
 * divisible by three. Over that, from 100 on, the 32-bit float 1234.5 (0x449A5000) in the orders ABCD,
 * BADC, CDAB and DCBA; not by libmodbus' own functions, whose result depends on its version and on
 * the processor. Coils and holding registers begin like them and can be
 * written. With "moving", holding register i is, by i modulo 4: a slow temperature (0.1 steps), a
 * noisy pressure, a counter, a status that rarely changes; all move ten times a second, the same way
 * in every run.
 */
#include <errno.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed = 42;

static uint32_t chance(uint32_t below) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(seed >> 33) % below;
}

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void move(uint16_t *registers, int count) {
    for (int i = 0; i < count; i++) {
        switch (i % 4) {
        case 0:
            if (chance(10) < 3) registers[i] += chance(2) ? 1 : -1;
            break;
        case 1:
            registers[i] = (uint16_t)(10000 + i % 100 + chance(21));
            break;
        case 2:
            registers[i] += chance(4);
            break;
        default:
            if (chance(1000) == 0) registers[i] ^= 1u << chance(4);
        }
    }
}

static modbus_mapping_t *mapping_of(int count) {
    modbus_mapping_t *mapping = modbus_mapping_new(count, count, count, count);
    if (!mapping) return NULL;
    for (int i = 0; i < count; i++) {
        mapping->tab_registers[i] = mapping->tab_input_registers[i] = (uint16_t)(i * 7 + 3);
        mapping->tab_bits[i] = mapping->tab_input_bits[i] = i % 3 == 0;
    }
    static const uint16_t floats[] = {0x449A, 0x5000, 0x9A44, 0x0050, 0x5000, 0x449A, 0x0050, 0x9A44};
    if (count >= 108) {
        memcpy(mapping->tab_registers + 100, floats, sizeof floats);
        memcpy(mapping->tab_input_registers + 100, floats, sizeof floats);
    }
    return mapping;
}

static void ready(void) {
    printf("ready\n");
    fflush(stdout);
}

static int failed(const char *what) {
    fprintf(stderr, "cannot %s: %s\n", what, modbus_strerror(errno));
    return 1;
}

static int serve_rtu(char **argv) {
    int count = atoi(argv[6]);
    modbus_t *context = modbus_new_rtu(argv[2], atoi(argv[3]), argv[4][0], 8, 1);
    modbus_mapping_t *mapping = mapping_of(count);
    if (!context || !mapping || modbus_set_slave(context, atoi(argv[5])) < 0 ||
        modbus_connect(context) < 0)
        return failed("open the line");
    ready();
    uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];
    for (;;) {
        int length = modbus_receive(context, request);
        if (length > 0)
            modbus_reply(context, request, length, mapping);
        else if (length < 0 && (errno == EBADF || errno == EIO || errno == ECONNRESET))
            return failed("read the line");
    }
}

static int serve_tcp(int argc, char **argv) {
    int count = atoi(argv[3]), moving = argc == 5;
    modbus_t *context = modbus_new_tcp("127.0.0.1", atoi(argv[2]));
    modbus_mapping_t *mapping = mapping_of(count);
    int listener = context && mapping ? modbus_tcp_listen(context, 64) : -1;
    if (listener < 0) return failed("listen");
    if (moving)
        for (int i = 0; i < count; i++)
            mapping->tab_registers[i] = (uint16_t)(i % 4 == 0 ? 650 : i);
    ready();

    fd_set watched;
    FD_ZERO(&watched);
    FD_SET(listener, &watched);
    int highest = listener;
    long moved = now_ms();
    uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
    for (;;) {
        fd_set readable = watched;
        if (select(highest + 1, &readable, NULL, NULL, NULL) < 0) return failed("wait");
        for (; moving && now_ms() - moved >= 100; moved += 100) move(mapping->tab_registers, count);
        for (int fd = 0; fd <= highest; fd++) {
            if (!FD_ISSET(fd, &readable)) continue;
            if (fd == listener) {
                int client = listener;
                modbus_tcp_accept(context, &client);
                client = modbus_get_socket(context);
                if (client < 0 || client >= FD_SETSIZE) continue;
                FD_SET(client, &watched);
                if (client > highest) highest = client;
                continue;
            }
            modbus_set_socket(context, fd);
            int length = modbus_receive(context, request);
            if (length > 0) {
                modbus_reply(context, request, length, mapping);
            } else if (length < 0) {
                close(fd);
                FD_CLR(fd, &watched);
            }
        }
    }
}

int main(int argc, char **argv) {
    if (argc == 7 && strcmp(argv[1], "rtu") == 0) return serve_rtu(argv);
    if ((argc == 4 || (argc == 5 && strcmp(argv[4], "moving") == 0)) && strcmp(argv[1], "tcp") == 0)
        return serve_tcp(argc, argv);
    fprintf(stderr, "usage: libmodbus_server tcp PORT REGISTERS [moving]\n"
                    "       libmodbus_server rtu PATH BAUD PARITY UNIT REGISTERS\n");
    return 2;
}
