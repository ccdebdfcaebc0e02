/* symbol.h - which function and which line an instruction of a file belongs to.
 *
 * For explaining a crash (fault.h) in the process that reads the note, never in the one that
 * crashes. It reads the file's own symbol table and, where the program was compiled with -g, its
 * line table. No other file and no other program is asked.
 */
#ifndef MUSTER_CORE_SYMBOL_H
#define MUSTER_CORE_SYMBOL_H

#include <muster/base.h>
#include <muster/core/fault.h>

#ifdef __cplusplus
extern "C" {
/* A function has a struct's name here, which hides that struct's constructor from g++. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

/* Room for a function's name and for a source file's. */
#define MUSTER_SYMBOL_NAME_BYTES 512u
#define MUSTER_SYMBOL_FILE_BYTES 256u

/* What is known of an instruction. */
struct muster_symbol {
    char function[MUSTER_SYMBOL_NAME_BYTES]; /* as linkers know it; empty: not known */
    char file[MUSTER_SYMBOL_FILE_BYTES];     /* of the source, without directory; empty */
    uint32_t line;                           /* in it; 0: not known */
    uint32_t reserved;
};

/* Finds an instruction's function, and its line where that is wanted: to find a line takes a walk
 * through the file's line tables.
 *
 * path: an ELF file of this kind of machine. offset_bytes: of the instruction, in the file.
 * Returns: 0, also where only one of both is known; -ENOENT: neither is; -ENOEXEC: no ELF file of
 * 64 bits; or an errno of open, fstat or mmap. */
int muster_symbol_find(const char *path, uint64_t offset_bytes, bool with_line,
                       struct muster_symbol *symbol);

/* Says where a process crashed: "main.Fill.process (main.swift:12), called by main.helper
 * (main.swift:40)". Functions of the runtimes and of Muster are left out, names are as in the
 * source where a demangler is loaded.
 *
 * capacity: of text, in bytes; 0: none. Returns: the length, without the NUL that ends it; 0: no
 * function is known, and the text is empty. */
uint64_t muster_fault_place(const struct muster_fault *fault, char *text, uint64_t capacity);

/* A number that is the same for crashes by the same signal at the same instruction, reached by the
 * same calls. */
uint64_t muster_fault_kind(const struct muster_fault *fault);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif

#endif
