/* abi.c - sizes, offsets and values that compiled programs depend on. Made by abi.py: a
 * difference is a change of the interface. */
#include <muster/muster.h>

#ifdef __cplusplus
#define ASSERT(condition) static_assert(condition, #condition)
#else
#define ASSERT(condition) _Static_assert(condition, #condition)
#endif
#define SIZE(type, bytes)      ASSERT(sizeof(struct type) == (bytes))
#define AT(type, field, bytes) ASSERT(offsetof(struct type, field) == (bytes))
#define VALUE(name, value)     ASSERT((long long)(name) == (value))

/* base.h */
VALUE(MUSTER_WAIT_AUTOMATIC, 0);
VALUE(MUSTER_WAIT_SPIN, 1);
VALUE(MUSTER_WAIT_YIELD, 2);
VALUE(MUSTER_WAIT_SLEEP, 3);
VALUE(MUSTER_CHECK_AUTOMATIC, 0);
VALUE(MUSTER_CHECK_ON, 1);
VALUE(MUSTER_CHECK_OFF, 2);

/* bulk.h */
SIZE(muster_kernel_cost, 16);
AT(muster_kernel_cost, name, 0);
AT(muster_kernel_cost, bytes_per_element, 8);
AT(muster_kernel_cost, flops_per_element, 12);
SIZE(muster_kernels, 96);
AT(muster_kernels, variant, 0);
AT(muster_kernels, reserved, 4);
AT(muster_kernels, fill, 8);
AT(muster_kernels, copy, 16);
AT(muster_kernels, scale, 24);
AT(muster_kernels, add, 32);
AT(muster_kernels, triad, 40);
AT(muster_kernels, sum, 48);
AT(muster_kernels, dot, 56);
AT(muster_kernels, minmax, 64);
AT(muster_kernels, exact_sum, 72);
AT(muster_kernels, moments, 80);
AT(muster_kernels, histogram, 88);
VALUE(MUSTER_KERNEL_PORTABLE, 0);
VALUE(MUSTER_KERNEL_AVX2, 1);
VALUE(MUSTER_KERNEL_AVX512, 2);
VALUE(MUSTER_KERNEL_VARIANTS, 3);

/* chunk.h */
SIZE(muster_interval, 16);
AT(muster_interval, first, 0);
AT(muster_interval, end, 8);
SIZE(muster_chunk, 24);
AT(muster_chunk, index, 0);
AT(muster_chunk, first, 8);
AT(muster_chunk, end, 16);
SIZE(muster_cursor, 88);
AT(muster_cursor, next, 0);
AT(muster_cursor, end, 8);
AT(muster_cursor, grain, 16);
AT(muster_cursor, elements, 24);
AT(muster_cursor, tail, 32);
AT(muster_cursor, tail_end, 40);
AT(muster_cursor, breaks, 48);
AT(muster_cursor, watched, 56);
AT(muster_cursor, partials, 64);
AT(muster_cursor, partial_bytes, 72);
AT(muster_cursor, slow_path, 80);
AT(muster_cursor, reserved, 84);
VALUE(MUSTER_ACCESS_INPUT, 0);
VALUE(MUSTER_ACCESS_OUTPUT, 1);
VALUE(MUSTER_ACCESS_IN_PLACE, 2);
VALUE(MUSTER_USE_PREFIX, 1);
VALUE(MUSTER_USE_GATHER, 2);

/* environment.h */
SIZE(muster_environment_variable, 24);
AT(muster_environment_variable, name, 0);
AT(muster_environment_variable, launcher, 8);
AT(muster_environment_variable, value, 16);
AT(muster_environment_variable, outer, 20);
SIZE(muster_environment, 56);
AT(muster_environment, host_rank, 0);
AT(muster_environment, host_size, 4);
AT(muster_environment, rank, 8);
AT(muster_environment, size, 32);
VALUE(MUSTER_OUTER_NONE, 0);
VALUE(MUSTER_OUTER_EXPLICIT, 1);
VALUE(MUSTER_OUTER_MUSTER, 2);
VALUE(MUSTER_OUTER_OPEN_MPI, 3);
VALUE(MUSTER_OUTER_PMIX, 4);
VALUE(MUSTER_OUTER_PMI, 5);
VALUE(MUSTER_OUTER_SLURM, 6);
VALUE(MUSTER_OUTER_FLUX, 7);
VALUE(MUSTER_OUTER_KUBERNETES, 8);

/* exact.h */
SIZE(muster_exact_sum, 304);
AT(muster_exact_sum, words, 0);
AT(muster_exact_sum, nan_count, 272);
AT(muster_exact_sum, positive_infinity_count, 280);
AT(muster_exact_sum, negative_infinity_count, 288);
AT(muster_exact_sum, reserved, 296);
SIZE(muster_moments, 880);
AT(muster_moments, count, 0);
AT(muster_moments, nan_count, 8);
AT(muster_moments, infinity_count, 16);
AT(muster_moments, minimum, 24);
AT(muster_moments, maximum, 32);
AT(muster_moments, integer_minimum, 40);
AT(muster_moments, integer_maximum, 48);
AT(muster_moments, is_signed, 56);
AT(muster_moments, sum, 64);
AT(muster_moments, squares, 336);

/* kernel.h */
SIZE(muster_work, 56);
AT(muster_work, chunk, 0);
AT(muster_work, rank, 24);
AT(muster_work, size, 28);
AT(muster_work, arguments, 32);
AT(muster_work, partial, 40);
AT(muster_work, state, 48);
SIZE(muster_tile, 24);
AT(muster_tile, elements, 0);
AT(muster_tile, first, 8);
AT(muster_tile, end, 16);
SIZE(muster_rows, 32);
AT(muster_rows, elements, 0);
AT(muster_rows, first, 8);
AT(muster_rows, end, 16);
AT(muster_rows, row_bytes, 24);

/* leader.h */
SIZE(muster_error, 1296);
AT(muster_error, code, 0);
AT(muster_error, error_number, 4);
AT(muster_error, kernel_status, 8);
AT(muster_error, reserved, 12);
AT(muster_error, subject, 16);
AT(muster_error, message, 272);
SIZE(muster_leader_options, 40);
AT(muster_leader_options, size_bytes, 0);
AT(muster_leader_options, size, 4);
AT(muster_leader_options, start, 8);
AT(muster_leader_options, works, 12);
AT(muster_leader_options, binding, 16);
AT(muster_leader_options, check, 24);
AT(muster_leader_options, wait, 28);
AT(muster_leader_options, server, 32);
SIZE(muster_array_options, 40);
AT(muster_array_options, size_bytes, 0);
AT(muster_array_options, element_bytes, 4);
AT(muster_array_options, count, 8);
AT(muster_array_options, placement, 16);
AT(muster_array_options, pages, 24);
AT(muster_array_options, name, 32);
SIZE(muster_file_options, 16);
AT(muster_file_options, size_bytes, 0);
AT(muster_file_options, element_bytes, 4);
AT(muster_file_options, dtype, 8);
AT(muster_file_options, writable, 12);
SIZE(muster_use, 24);
AT(muster_use, array, 0);
AT(muster_use, access, 8);
AT(muster_use, flags, 12);
AT(muster_use, elements_per_index, 16);
SIZE(muster_progress, 24);
AT(muster_progress, done, 0);
AT(muster_progress, chunks, 8);
AT(muster_progress, elapsed_ns, 16);
SIZE(muster_loop_options, 96);
AT(muster_loop_options, size_bytes, 0);
AT(muster_loop_options, schedule, 4);
AT(muster_loop_options, kernel, 8);
AT(muster_loop_options, count, 16);
AT(muster_loop_options, grain, 24);
AT(muster_loop_options, uses, 32);
AT(muster_loop_options, arguments, 40);
AT(muster_loop_options, use_count, 48);
AT(muster_loop_options, argument_bytes, 52);
AT(muster_loop_options, by_rank, 56);
AT(muster_loop_options, recovery, 60);
AT(muster_loop_options, redo_limit, 64);
AT(muster_loop_options, reserved, 68);
AT(muster_loop_options, stall_ns, 72);
AT(muster_loop_options, progress, 80);
AT(muster_loop_options, progress_context, 88);
VALUE(MUSTER_ERROR_ARGUMENT, -22);
VALUE(MUSTER_ERROR_NOT_LEADER, -1);
VALUE(MUSTER_ERROR_THREADS, -16);
VALUE(MUSTER_ERROR_START, -11);
VALUE(MUSTER_ERROR_MEMORY, -12);
VALUE(MUSTER_ERROR_PLACEMENT, -18);
VALUE(MUSTER_ERROR_FILE, -2);
VALUE(MUSTER_ERROR_FILE_SHRANK, -116);
VALUE(MUSTER_ERROR_KERNEL, -121);
VALUE(MUSTER_ERROR_STRAY, -14);
VALUE(MUSTER_ERROR_NO_KERNEL, -8);
VALUE(MUSTER_ERROR_DEATH, -130);
VALUE(MUSTER_ERROR_QUARANTINE, -131);
VALUE(MUSTER_ERROR_SERVER, -112);
VALUE(MUSTER_ERROR_CANCELLED, -125);
VALUE(MUSTER_ERROR_AUDIT, -117);
VALUE(MUSTER_ERROR_SYSTEM, -5);
VALUE(MUSTER_START_FORK, 0);
VALUE(MUSTER_START_SERVER, 1);
VALUE(MUSTER_RECOVERY_REDO, 0);
VALUE(MUSTER_RECOVERY_FAIL, 1);

/* member.h */
SIZE(muster_join_options, 24);
AT(muster_join_options, size_bytes, 0);
AT(muster_join_options, spin_ns, 4);
AT(muster_join_options, address, 8);
AT(muster_join_options, rank, 16);
AT(muster_join_options, reserved, 20);
SIZE(muster_member_description, 36);
AT(muster_member_description, size_bytes, 0);
AT(muster_member_description, rank, 4);
AT(muster_member_description, size, 8);
AT(muster_member_description, global_rank, 12);
AT(muster_member_description, global_size, 16);
AT(muster_member_description, node, 20);
AT(muster_member_description, cpu, 24);
AT(muster_member_description, incarnation, 28);
AT(muster_member_description, alone, 32);
SIZE(muster_member_use, 32);
AT(muster_member_use, address, 0);
AT(muster_member_use, access, 8);
AT(muster_member_use, flags, 12);
AT(muster_member_use, element_bytes, 16);
AT(muster_member_use, reserved, 20);
AT(muster_member_use, elements_per_index, 24);
SIZE(muster_member_loop_options, 64);
AT(muster_member_loop_options, size_bytes, 0);
AT(muster_member_loop_options, schedule, 4);
AT(muster_member_loop_options, elements, 8);
AT(muster_member_loop_options, grain, 16);
AT(muster_member_loop_options, batch, 24);
AT(muster_member_loop_options, partial_bytes, 32);
AT(muster_member_loop_options, flags, 36);
AT(muster_member_loop_options, name, 40);
AT(muster_member_loop_options, uses, 48);
AT(muster_member_loop_options, use_count, 56);
AT(muster_member_loop_options, reserved, 60);
SIZE(muster_member_loop, 88);
AT(muster_member_loop, cursor, 0);
VALUE(MUSTER_OP_SUM, 1);
VALUE(MUSTER_OP_PRODUCT, 2);
VALUE(MUSTER_OP_MIN, 3);
VALUE(MUSTER_OP_MAX, 4);
VALUE(MUSTER_OP_AND, 5);
VALUE(MUSTER_OP_OR, 6);
VALUE(MUSTER_OP_XOR, 7);
VALUE(MUSTER_SCAN_THROUGH, 0);
VALUE(MUSTER_SCAN_BEFORE, 1);
VALUE(MUSTER_LOOP_ADOPT, 1);

/* report.h */
SIZE(muster_finding, 24);
AT(muster_finding, first, 0);
AT(muster_finding, end, 8);
AT(muster_finding, repeated, 16);
AT(muster_finding, reserved, 20);
SIZE(muster_report_death, 32);
AT(muster_report_death, chunk, 0);
AT(muster_report_death, rank, 8);
AT(muster_report_death, pid, 12);
AT(muster_report_death, signal, 16);
AT(muster_report_death, exit_code, 20);
AT(muster_report_death, attempt, 24);
AT(muster_report_death, stalled, 28);
SIZE(muster_report, 256);
AT(muster_report, size_bytes, 0);
AT(muster_report, size, 4);
AT(muster_report, loops, 8);
AT(muster_report, failed, 16);
AT(muster_report, chunks, 24);
AT(muster_report, exactly_once, 32);
AT(muster_report, missing, 40);
AT(muster_report, repeated, 48);
AT(muster_report, redone, 56);
AT(muster_report, adopted, 64);
AT(muster_report, own, 72);
AT(muster_report, elements, 80);
AT(muster_report, grain, 88);
AT(muster_report, schedule, 96);
AT(muster_report, clean, 100);
AT(muster_report, cancelled, 104);
AT(muster_report, interrupted_by, 108);
AT(muster_report, interrupted, 112);
AT(muster_report, interrupted_chunks, 120);
AT(muster_report, interrupted_committed, 128);
AT(muster_report, first_finding, 136);
AT(muster_report, first_finding_ranks, 160);
AT(muster_report, death_count, 168);
AT(muster_report, finding_count, 176);
AT(muster_report, quarantined_count, 184);
AT(muster_report, vacant_count, 192);
AT(muster_report, failed_chunk, 200);
AT(muster_report, failed_rank, 208);
AT(muster_report, reserved, 212);
AT(muster_report, findings, 216);
AT(muster_report, deaths, 224);
AT(muster_report, quarantined, 232);
AT(muster_report, vacant, 240);
AT(muster_report, text, 248);

/* schedule.h */
VALUE(MUSTER_SCHEDULE_STATIC, 0);
VALUE(MUSTER_SCHEDULE_CYCLIC, 1);
VALUE(MUSTER_SCHEDULE_DYNAMIC, 2);
VALUE(MUSTER_SCHEDULE_GUIDED, 3);
VALUE(MUSTER_SCHEDULE_STATIC_STEAL, 4);

/* types.h */
VALUE(MUSTER_TYPE_F16, 1);
VALUE(MUSTER_TYPE_F32, 2);
VALUE(MUSTER_TYPE_F64, 3);
VALUE(MUSTER_TYPE_I8, 4);
VALUE(MUSTER_TYPE_I16, 5);
VALUE(MUSTER_TYPE_I32, 6);
VALUE(MUSTER_TYPE_I64, 7);
VALUE(MUSTER_TYPE_U8, 8);
VALUE(MUSTER_TYPE_U16, 9);
VALUE(MUSTER_TYPE_U32, 10);
VALUE(MUSTER_TYPE_U64, 11);
VALUE(MUSTER_TYPE_BOOL, 12);
