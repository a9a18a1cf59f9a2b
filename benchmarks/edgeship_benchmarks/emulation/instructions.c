/* A plugin for QEMU's user-mode emulator: how many instructions of each class a program executes between two marks.
 *
 * Arguments: out=FILE. A mark is the system call getpriority(0x7777, k), which Linux refuses: k = 0 begins, any other k
 * ends and writes one line to FILE: the instructions since the last beginning, by class, in the order of `class_of`.
 *
 * QEMU's packages ship no header for plugins. What is declared here is version 1 of its interface (docs/devel/
 * tcg-plugins.rst in QEMU's sources). Counters are not locked: count programs with one thread.
 */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

typedef void (*translated)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*called)(qemu_plugin_id_t, unsigned int, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                       uint64_t, uint64_t, uint64_t);
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated);
extern void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, called);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op, void *, uint64_t);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

enum { GETPRIORITY = 141, MARK = 0x7777, CLASSES = 5 };
static uint64_t executed[CLASSES], at_beginning[CLASSES];
static FILE *out;

/* Bits 28 to 25 of an A64 instruction (Arm Architecture Reference Manual, C4.1). */
static int class_of(const struct qemu_plugin_insn *insn) {
  uint32_t word;
  memcpy(&word, qemu_plugin_insn_data(insn), sizeof word);
  unsigned op0 = (word >> 25) & 0xf;
  if ((op0 & 0x5) == 0x4) return 0;                        /* loads and stores */
  if ((op0 & 0x7) == 0x7) return 1;                        /* floating point and vectors */
  if ((op0 & 0xe) == 0x8 || (op0 & 0x7) == 0x5) return 2;  /* integers: immediate, register */
  if ((op0 & 0xe) == 0xa) return 3;                        /* branches, system */
  return 4;                                                /* SVE, SME, reserved */
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  uint64_t found[CLASSES] = {0};
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) found[class_of(qemu_plugin_tb_get_insn(tb, i))]++;
  for (int k = 0; k < CLASSES; k++)
    if (found[k]) qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &executed[k], found[k]);
  (void)id;
}

static void on_call(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t which, uint64_t k, uint64_t a3,
                    uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  if (number != GETPRIORITY || which != MARK) return;
  if (k == 0) {
    memcpy(at_beginning, executed, sizeof executed);
    return;
  }
  for (int c = 0; c < CLASSES; c++)
    fprintf(out, "%llu%c", (unsigned long long)(executed[c] - at_beginning[c]), c + 1 < CLASSES ? ' ' : '\n');
  fflush(out);
  (void)id, (void)vcpu, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count, char **arguments) {
  (void)info;
  for (int i = 0; i < count; i++)
    if (strncmp(arguments[i], "out=", 4) == 0) out = fopen(arguments[i] + 4, "w");
  if (!out) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_vcpu_syscall_cb(id, on_call);
  return 0;
}
