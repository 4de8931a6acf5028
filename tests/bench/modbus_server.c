/* A Modbus TCP server on libmodbus for the benches: many registers that move like a plant.
 * Never our own code on both ends of the wire. Prints "ready" once it listens.
 *
 * usage: modbus_server PORT REGISTERS
 *
 * Register i is, by i modulo 4: a slow temperature (0.1 steps), a noisy pressure, a counter, a
 * status that rarely changes. All move ten times a second, the same way in every run.
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

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: modbus_server PORT REGISTERS\n");
        return 2;
    }
    int count = atoi(argv[2]);
    modbus_t *context = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
    modbus_mapping_t *mapping = modbus_mapping_new(0, 0, count, count);
    int listener = context && mapping ? modbus_tcp_listen(context, 64) : -1;
    if (listener < 0) {
        fprintf(stderr, "cannot listen: %s\n", modbus_strerror(errno));
        return 1;
    }
    for (int i = 0; i < count; i++) mapping->tab_registers[i] = (uint16_t)(i % 4 == 0 ? 650 : i);
    printf("ready\n");
    fflush(stdout);

    fd_set watched;
    FD_ZERO(&watched);
    FD_SET(listener, &watched);
    int highest = listener;
    long moved = now_ms();
    uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
    for (;;) {
        fd_set readable = watched;
        if (select(highest + 1, &readable, NULL, NULL, NULL) < 0) return 1;
        for (; now_ms() - moved >= 100; moved += 100) move(mapping->tab_registers, count);
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
