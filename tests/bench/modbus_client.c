/* The peer of the Modbus bench: libmodbus' own client, reading as fast as the server answers.
 *
 * usage: modbus_client PORT READS REGISTERS
 *
 * Prints one line: seconds that the reads took, and processor seconds.
 */
#include <errno.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: modbus_client PORT READS REGISTERS\n");
        return 2;
    }
    int reads = atoi(argv[2]), count = atoi(argv[3]);
    uint16_t registers[125];
    modbus_t *context = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
    if (!context || modbus_connect(context) < 0) {
        fprintf(stderr, "cannot connect: %s\n", modbus_strerror(errno));
        return 1;
    }
    modbus_set_slave(context, 1);
    double started = seconds(CLOCK_MONOTONIC);
    double processor = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < reads; i++) {
        if (modbus_read_registers(context, 0, count, registers) != count) {
            fprintf(stderr, "read %d failed: %s\n", i, modbus_strerror(errno));
            return 1;
        }
    }
    printf("%.6f %.6f\n", seconds(CLOCK_MONOTONIC) - started,
           seconds(CLOCK_PROCESS_CPUTIME_ID) - processor);
    return 0;
}
