/* The peer of the Modbus bench: libmodbus' own client, reading as fast as the server answers.
 *
 * usage: modbus_client PORT READS REGISTERS [CONNECTIONS [threads]]
 *
 * With several connections the reads are shared out among them, one after the other in turn, or with
 * "threads" each connection in a thread of its own. Prints one line: seconds that all reads took, and
 * processor seconds.
 */
#include <errno.h>
#include <modbus.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECTIONS_MAX 64

static int reads, count, connections = 1;
static modbus_t *contexts[CONNECTIONS_MAX];

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void read_once(modbus_t *context) {
    uint16_t registers[125];
    if (modbus_read_registers(context, 0, count, registers) != count) {
        fprintf(stderr, "a read failed: %s\n", modbus_strerror(errno));
        exit(1);
    }
}

static void *read_all(void *context) {
    for (int i = 0; i < reads / connections; i++) read_once(context);
    return NULL;
}

int main(int argc, char **argv) {
    int threads = argc == 6 && strcmp(argv[5], "threads") == 0;
    if (argc < 4 || argc > 6 || (argc == 6 && !threads)) {
        fprintf(stderr, "usage: modbus_client PORT READS REGISTERS [CONNECTIONS [threads]]\n");
        return 2;
    }
    reads = atoi(argv[2]);
    count = atoi(argv[3]);
    if (argc > 4) connections = atoi(argv[4]);
    if (connections < 1 || connections > CONNECTIONS_MAX) return 2;
    for (int i = 0; i < connections; i++) {
        contexts[i] = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
        if (!contexts[i] || modbus_connect(contexts[i]) < 0) {
            fprintf(stderr, "cannot connect: %s\n", modbus_strerror(errno));
            return 1;
        }
        modbus_set_slave(contexts[i], 1);
    }
    double started = seconds(CLOCK_MONOTONIC);
    double processor = seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (threads) {
        pthread_t running[CONNECTIONS_MAX];
        for (int i = 0; i < connections; i++)
            if (pthread_create(&running[i], NULL, read_all, contexts[i]) != 0) return 1;
        for (int i = 0; i < connections; i++) pthread_join(running[i], NULL);
    } else {
        for (int i = 0; i < reads; i++) read_once(contexts[i % connections]);
    }
    printf("%.6f %.6f\n", seconds(CLOCK_MONOTONIC) - started,
           seconds(CLOCK_PROCESS_CPUTIME_ID) - processor);
    return 0;
}
