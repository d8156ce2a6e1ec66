// A plugin for qemu-aarch64 that counts the instructions that the guest executes:
//   qemu-aarch64 -plugin count_instructions.so,counts=FILE PROGRAM
// appends a line to FILE whenever the guest calls write(2), before it is carried out, and one at its end. A line holds four numbers, each
// since the start: all instructions; multiplications of vectors of four floats (fmla, fmls and fmul, with a vector or with a lane); loads
// and stores; instructions of SVE and SME. So a guest that answers a request has just left its count.
//
// The guest has one thread: the counters are plain memory. A block of code is counted where it is entered, which is exact unless a signal
// ends it half-way.
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

// The part of qemu's plugin interface, version 1, that is used here: Debian's qemu-user takes plugins but comes without the header.
typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*translated_callback)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*syscall_callback)(qemu_plugin_id_t, unsigned vcpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                 uint64_t, uint64_t, uint64_t);
typedef void (*exit_callback)(qemu_plugin_id_t, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, translated_callback callback);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, enum qemu_plugin_op op, void *counter, uint64_t amount);
extern void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id, syscall_callback callback);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, exit_callback callback, void *context);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED extern int qemu_plugin_version;
EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *machine, int count, char **arguments);

int qemu_plugin_version = 1;

enum { write_of_aarch64 = 64 };

enum kind { all, multiply, memory, scalable, kinds };
static uint64_t executed[kinds];
static FILE *lines;

// The bits that tell an instruction, from the tables of the Arm Architecture Reference Manual (C4, "A64 Instruction Set Encoding").
struct encoding {
    uint32_t mask, value;
};

static bool matches(uint32_t code, const struct encoding *encodings, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if ((code & encodings[i].mask) == encodings[i].value) return true;
    }
    return false;
}
#define MATCHES(code, encodings) matches(code, encodings, sizeof(encodings) / sizeof((encodings)[0]))

static bool is_multiply(uint32_t code) {
    static const struct encoding encodings[] = {
        {0xffe0fc00, 0x4e20cc00},  // fmla v.4s, v.4s, v.4s
        {0xffe0fc00, 0x4ea0cc00},  // fmls
        {0xffe0fc00, 0x6e20dc00},  // fmul
        {0xffc0f400, 0x4f801000},  // fmla v.4s, v.4s, v.s[lane]
        {0xffc0f400, 0x4f805000},  // fmls
        {0xffc0f400, 0x4f809000},  // fmul
    };
    return MATCHES(code, encodings);
}

static bool is_memory(uint32_t code) {
    static const struct encoding encodings[] = {{0x0a000000, 0x08000000}};
    return MATCHES(code, encodings);
}

static bool is_scalable(uint32_t code) {
    static const struct encoding encodings[] = {{0x1e000000, 0x04000000}, {0x9e000000, 0x80000000}};
    return MATCHES(code, encodings);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    (void)id;
    uint64_t counts[kinds] = {0};
    const size_t count = qemu_plugin_tb_n_insns(block);
    for (size_t i = 0; i < count; i++) {
        uint32_t code;
        memcpy(&code, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof code);
        counts[all]++;
        counts[multiply] += is_multiply(code);
        counts[memory] += is_memory(code);
        counts[scalable] += is_scalable(code);
    }
    for (int kind = 0; kind < kinds; kind++) {
        if (counts[kind]) qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &executed[kind], counts[kind]);
    }
}

static void write_line(void) {
    fprintf(lines, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", executed[all], executed[multiply], executed[memory],
            executed[scalable]);
    fflush(lines);
}

static void at_syscall(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                       uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)vcpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number == write_of_aarch64) write_line();
}

static void at_exit(qemu_plugin_id_t id, void *context) {
    (void)id, (void)context;
    write_line();
    fclose(lines);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *machine, int count, char **arguments) {
    (void)machine;
    const char option[] = "counts=";
    for (int i = 0; i < count; i++) {
        if (strncmp(arguments[i], option, strlen(option)) == 0) lines = fopen(arguments[i] + strlen(option), "a");
    }
    if (!lines) {
        fprintf(stderr, "count_instructions: expected counts=FILE with a file that can be written\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, at_syscall);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
