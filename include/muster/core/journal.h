/* journal.h - old contents of a chunk that is being changed in place, kept until it is committed.
 *
 * Each rank has one journal in the control segment. Before an in-place kernel gets to see a tile,
 * the tile's bytes are copied into the journal as a record, and the record is published. When the
 * worker dies, the process that goes on with its chunk first puts the published records back.
 *
 * What is published is one word: the chunk and how many records of it count. The order of stores is
 *
 *   1. the record: where the bytes belong, how many, and the bytes;
 *   2. the word, with release: pairs with the acquire of the process that restores. With the record
 * published first, a restore would put bytes back that were never saved;
 *   3. a release fence, then the kernel's stores into the tile. With a store before the word, a
 *      death between the two would leave a changed tile that nobody puts back;
 *   4. after the last store, the commit in the roll, with release (after a store fence where the
 *      kernel wrote past the caches);
 *   5. records of the next chunk, over those of this one: they are no longer needed, and a restore
 *      that meets them half-written finds the word's chunk in the roll and leaves them alone.
 *
 * Why that is enough on any CPU. A restore starts only once the worker is proved dead (its pidfd is
 * readable). A killed process stops between two instructions, and all its earlier stores retire.
 * The kernel orders them, non-temporal ones too, before it reports the death. On its way out the
 * process passes locks and a switch of address space, which are full barriers. So what the restorer
 * sees is a prefix of the program's stores in program order, and the compiler is what steps 1 to 3
 * must hold off (the fence does that for plain stores, asm or built-in ones). Release and acquire
 * make the same order hold for a reader that looks while the worker lives, up to a kernel's
 * non-temporal stores: those are weakly ordered until their fence, so nobody may restore on any
 * lesser proof of death. */
#ifndef MUSTER_CORE_JOURNAL_H
#define MUSTER_CORE_JOURNAL_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most bytes of one rank's journal: address space until it is used. */
#define MUSTER_JOURNAL_BYTES_MAX (256ull << 20)

/* A journal's first line; records follow. Written by the rank that works, or, once that is proved
 * dead, by its successor or the leader. */
struct muster_journal {
    uint64_t loop; /* number of the loop that it belongs to */
    uint64_t word; /* muster_journal_pack */
    uint64_t reserved[14];
};

/* A record's first line; `bytes` old bytes follow, rounded up to whole lines of 64. That also sets
 * a record's bytes off from the tile's own place in a page: loads that follow stores at the same
 * offset in another page are taken for dependent ("4K aliasing", Intel Optimization Manual). */
struct muster_record {
    uint64_t offset; /* in the team's range of addresses */
    uint64_t bytes;
    uint64_t reserved[6];
};

/* A journal's word: the chunk in the low half, how many records of it count in the high half. */
static inline uint64_t muster_journal_pack(uint64_t chunk, uint64_t records)
{
    return (records << 32) | (chunk & 0xffffffffu);
}

/* Bytes that the journal of one chunk takes at most.
 *
 * chunk_bytes: of one array. tile_bytes: of all records but the last. Returns: without the first
 * line; sum it up over the arrays. */
uint64_t muster_journal_room(uint64_t chunk_bytes, uint64_t tile_bytes);

/* A rank's pen: its own memory. */
struct muster_journal_writer {
    struct muster_journal *journal; /* NULL: this job keeps none */
    uint64_t capacity_bytes;
    uint64_t position; /* where the next record goes */
    uint64_t chunk;    /* that the records belong to */
    uint64_t records;  /* published */
};

/* Takes a journal over for a loop. What it holds of this loop stays until the first record.
 *
 * Concurrency: only the process that holds the rank. */
void muster_journal_begin(struct muster_journal_writer *writer, struct muster_journal *journal,
                          uint64_t capacity_bytes, uint64_t loop);

/* Saves bytes of a chunk before they are changed. The first record of another chunk forgets those
 * of the one before, which must have been committed.
 *
 * space: this process's address of offset 0. */
void muster_journal_save(struct muster_journal_writer *writer, uint64_t chunk,
                         const unsigned char *space, uint64_t offset, uint64_t bytes);

/* The chunk whose old contents a journal holds.
 *
 * Returns: 1 and the chunk; 0: it holds none of this loop. */
int muster_journal_chunk(const struct muster_journal *journal, uint64_t loop, uint64_t *chunk);

/* Puts the old contents back and empties the journal. Doing it again after a death half-way is
 * harmless, since the records stay until all of them are back.
 *
 * space_bytes: of the range of addresses. Returns: 0; -EUCLEAN: records that make no sense; nothing
 * is put back then. Concurrency: nobody works on the chunk: the rank's process is proved dead, or
 * it is the caller. */
int muster_journal_restore(struct muster_journal *journal, uint64_t capacity_bytes,
                           unsigned char *space, uint64_t space_bytes);

#ifdef __cplusplus
}
#endif

#endif
