/* recovery.pml - workers are killed at any store, and yet each chunk's effect happens exactly once.
 *
 * One loop over CHUNKS chunks by WORKERS ranks, with a budget of DEATHS kills, any number of
 * replacements that can't be started, and any order in which the leader learns of deaths. At its
 * end each chunk that is not quarantined is in one roll and has all its tiles NEW, never worked on
 * twice; a chunk in no roll (quarantined, the loop cancelled, no process left) has its OLD contents
 * where it is worked on in place. `check` beside this file says which sizes and which deliberately
 * wrong variants (-DWRONG_...) are run.
 *
 * From model to code
 *     Worker, up to `claim:`     muster_loop_begin (CSources/loop/claim.c)
 *     claim_interval             muster_loop_claim and CSources/proof/schedule.c
 *     note of `current`          the release store at the end of muster_loop_claim
 *     run_tile, restore_tile     CSources/proof/journal.c
 *     commit                     muster_roll_commit
 *     `finish:`                  done = job number (CSources/team/worker.c); `current` stays as it is
 *     prove_death                the leader after it has reaped a process (Recovery.swift)
 *     audit in Leader, dispatch  the leader when every rank that has a process is done
 *
 * What is abstracted, and why a proof here still holds there
 *   - Memory is sequentially consistent. A kill falls between two instructions and what came before
 *     it is performed, so a corpse has made a prefix of its stores in program order; the compiler
 *     keeps that order because of the releases. The leader reads a slot only of a reaped process or
 *     after its `done`. What orders live readers among themselves is tested elsewhere (Stress).
 *   - A store that nobody can see half done is one step: packed words, a commit (an interval's end,
 *     a log's length or a bitmap's word; Tests/Model/TornRollTests has its halves). What is longer
 *     than a word is two steps with a ruin in between: a record (TORN), a tile (HALF).
 *   - Claims by compare-and-swap are one step, since a failed one changes nothing. A thief takes
 *     from any rank that has something left, not from the fullest; portions of dynamic, guided,
 *     own-word and list claims are 1 or 2 chunks at will (with this few chunks, the code's are
 *     among them).
 *   - Tiles are values: OLD, HALF, NEW, or BAD for anything else (twice, mixed, a ruin, another
 *     loop's bytes). TILES of them a chunk. Out of place, a redone chunk is BAD (poisoned) first.
 *     A kernel throws between tiles.
 *   - Leftovers of the loop before are the worst there are: each roll, journal, current and resume
 *     is full of that loop's numbers.
 *   - The leader is never killed: its death ends the team. It touches only slots without a process,
 *     so its handling of one death is one step.
 *
 * How the search is kept small without losing an outcome; -DFINE does without all of it but FORGET
 *   - private: between two claims a worker touches only its own slot and chunks it owns, which
 *     nobody reads before its death is proved or it is done. Such steps commute with all others, so
 *     a stretch of them is one step, with a choice to be killed at each store in it. That they are
 *     private is itself asserted: ghost owners from the claim (a step by itself) to the commit are
 *     looked at in every claim and every restored tile.
 *   - my_turn: a death before `done` is proved at once, since a late proof differs from a slow
 *     replacement in nothing; under private dealing (static, cyclic) ranks work one after another.
 *     idle_turn: a rank that is done is killed only when all are, since the words it would claim
 *     from are empty. Its proof may come in this job, in the next, or never.
 *   - FORGET (-D): what is never read again is overwritten with zeros: the journal of a committed
 *     or restored chunk (the roll or the word 0 guards it), current and resume of an earlier job
 *     (their numbers guard them). Only for the right protocol, proved without it in small.
 *   - Every step uses something up (chunks, deaths, jobs), so no execution is endless; `check` has
 *     a run that looks for cycles. Then "no deadlock" means that the leader always ends.
 */

#ifndef WORKERS
#define WORKERS 3
#endif
#ifndef CHUNKS
#define CHUNKS 4
#endif
#ifndef TILES
#define TILES 2
#endif
#ifndef DEATHS
#define DEATHS 3
#endif
#ifndef LIMIT
#define LIMIT 0 /* deaths that a chunk may cost; 0: no limit */
#endif
#ifndef THROWS
#define THROWS 0 /* kernels that throw */
#endif

/* -DSTATIC, -DCYCLIC, -DDYNAMIC or -DSTEAL; -DINPLACE or not; -DNO_VACANCY: every start succeeds.
 * THROWS needs FINE: `cancelled` is a word that others write. */
#if THROWS > 0 && !defined(FINE)
#error "THROWS needs FINE"
#endif

#ifdef FINE
#define private
#else
#define private atomic
#endif

#define PREVIOUS 1 /* the number of the loop before, and of its only job */
#define LOOP 2     /* L: the number of this loop and of its first job */

/* life */
#define VACANT 0
#define RUNNING 1
#define DEAD 2 /* not yet proved to the leader */

/* tiles and records */
#define OLD 0
#define HALF 1
#define NEW 2
#define BAD 3
#define TORN 4 /* only in records */

#define BIT(chunk) (1 << (chunk))
#define ALL ((1 << CHUNKS) - 1)

/* A canary: the verifier prints each place that it reaches, and `check` demands them, so that no
 * proof holds because nothing happened. No state, so a proof is its own canary. */
#define reached(place) \
    c_code { { static int seen; if (!seen) { seen = 1; puts("reached " #place); } } }

/* Refuting a wrong variant, ghosts are left out: what shows must be wrong contents or rolls. */
#ifdef NO_GHOSTS
#define ghost_assert(condition) skip
#else
#define ghost_assert(condition) assert(condition)
#endif

byte epoch = PREVIOUS;
byte budget = DEATHS;
byte throws = THROWS;
byte cancelled;

/* Rank slots. */
byte life[WORKERS] = VACANT;
byte done[WORKERS];
byte current_first[WORKERS], current_end[WORKERS], current_job[WORKERS]; /* end 0: none */
byte resume_first[WORKERS], resume_end[WORKERS], resume_position[WORKERS], resume_job[WORKERS];

/* Rolls: a bit a chunk. */
byte roll_job[WORKERS], roll[WORKERS];

/* Journals: the word, then the records. */
byte journal_job[WORKERS], journal_chunk[WORKERS], journal_tiles[WORKERS];
byte record_chunk[WORKERS * TILES], record_value[WORKERS * TILES];

/* Dealing. */
#if defined(STEAL) || defined(DYNAMIC)
byte claim_first[WORKERS], claim_end[WORKERS];
#endif
#ifdef DYNAMIC
byte counter;
#endif
byte list; /* holes not yet dealt */

byte tile[CHUNKS * TILES] = OLD;

/* The leader's own memory. */
byte attempts[CHUNKS];
byte quarantined;

/* A ghost, which no code has: the rank (+ 1) that a chunk is dealt to, until it is committed or the
 * leader takes it back. */
byte owner[CHUNKS];

#define in_roll(rank, chunk) (roll_job[rank] == LOOP && (roll[rank] & BIT(chunk)))
#define finished(rank) (life[rank] == VACANT || done[rank] == epoch)
#define unproved(rank) (life[rank] == DEAD && done[rank] != epoch)
#if WORKERS == 2
#define in_any_roll(chunk) (in_roll(0, chunk) || in_roll(1, chunk))
#define any_life(state) (life[0] == state || life[1] == state)
#define all_finished (finished(0) && finished(1))
#define any_unproved (unproved(0) || unproved(1))
#else
#define in_any_roll(chunk) (in_roll(0, chunk) || in_roll(1, chunk) || in_roll(2, chunk))
#define any_life(state) (life[0] == state || life[1] == state || life[2] == state)
#define all_finished (finished(0) && finished(1) && finished(2))
#define any_unproved (unproved(0) || unproved(1) || unproved(2))
#endif

#ifdef FINE
#define my_turn true
#define idle_turn true
#else
#define idle_turn all_finished
#if defined(STATIC) || defined(CYCLIC)
#define my_turn \
    (!any_unproved && (epoch > LOOP || ((me < 1 || finished(0)) && (me < 2 || finished(1)))))
#else
#define my_turn (!any_unproved)
#endif
#endif

/* The static share: blocks whose lengths differ by one at most. */
#define SHARE (CHUNKS / WORKERS)
#define SPARE (CHUNKS % WORKERS)
#define block_first(rank) (SHARE * (rank) + ((rank) < SPARE -> (rank) : SPARE))
#define block_end(rank) (block_first((rank) + 1))

/* -- journal ---------------------------------------------------------------------------------- */

/* One published record back into the array. Only what `rank` had in work may be touched. */
inline restore_tile(rank, index)
{
    d_step {
        ghost_assert(owner[record_chunk[rank * TILES + index]] == rank + 1);
        ghost_assert(!in_any_roll(record_chunk[rank * TILES + index]));
        tile[record_chunk[rank * TILES + index] * TILES + index] =
            (record_value[rank * TILES + index] == TORN -> BAD :
                record_value[rank * TILES + index]);
    }
}

#ifdef WRONG_committed_restored
#define must_restore(rank) (journal_job[rank] == LOOP && journal_tiles[rank] > 0)
#else
#ifdef WRONG_journal_number_unread
#define must_restore(rank) (journal_tiles[rank] > 0 && !in_roll(rank, journal_chunk[rank]))
#else
#define must_restore(rank) \
    (journal_job[rank] == LOOP && journal_tiles[rank] > 0 && !in_roll(rank, journal_chunk[rank]))
#endif
#endif

inline clear_word(rank)
{
    d_step { journal_chunk[rank] = 0; journal_tiles[rank] = 0 }
}

#if TILES == 1
inline forget_records(rank)
{
    record_chunk[rank] = 0; record_value[rank] = OLD
}
#else
inline forget_records(rank)
{
    record_chunk[rank * TILES] = 0; record_value[rank * TILES] = OLD;
    record_chunk[rank * TILES + 1] = 0; record_value[rank * TILES + 1] = OLD
}
#endif

/* -- worker ----------------------------------------------------------------------------------- */

/* Before each store: the process may be killed here. */
inline mortal()
{
    if
    :: d_step {
            budget > 0 ->
            budget--; life[me] = DEAD;
            c = 0; t = 0; first = 0; end = 0; position = 0; pending = 0; redo = 0;
        }
        goto end_idle
    :: true
    fi
}

inline store_tile()
{
#ifdef INPLACE
    tile[c * TILES + t] = (tile[c * TILES + t] == OLD -> HALF : BAD);
    mortal();
    tile[c * TILES + t] = (tile[c * TILES + t] == HALF -> NEW : BAD);
#else
    tile[c * TILES + t] = HALF;
    mortal();
    tile[c * TILES + t] = NEW;
#endif
}

inline write_record()
{
    d_step { record_chunk[me * TILES + t] = c; record_value[me * TILES + t] = TORN }
    mortal();
    record_value[me * TILES + t] = tile[c * TILES + t];
}

inline publish_record()
{
    d_step { journal_chunk[me] = c; journal_tiles[me] = t + 1 }
}

inline run_tile()
{
#ifndef INPLACE
    store_tile();
#else
#ifdef WRONG_journal_skipped
    store_tile();
#else
#ifdef WRONG_published_after_store
    write_record(); mortal();
    store_tile(); mortal();
    publish_record();
#else
#ifdef WRONG_published_before_record
    publish_record(); mortal();
    write_record(); mortal();
    store_tile();
#else
    write_record(); mortal();
    publish_record(); mortal();
    store_tile();
#endif
#endif
#endif
#endif
}

inline commit()
{
    d_step {
        ghost_assert(!in_any_roll(c));
        ghost_assert(!(quarantined & BIT(c)));
        roll[me] = roll[me] | BIT(c);
        owner[c] = 0;
#ifdef FORGET
        journal_chunk[me] = 0; journal_tiles[me] = 0;
        forget_records(me);
#endif
    }
}

inline claim_list()
{
    do
    :: first < CHUNKS && !(list & BIT(first)) -> first++
    :: else -> break
    od;
    end = first;
    if
    :: first < CHUNKS ->
        end++; list = list & ~BIT(first);
        if
        :: end < CHUNKS && (list & BIT(end)) -> list = list & ~BIT(end); end++
        :: true
        fi
    :: else
    fi
}

inline claim_own()
{
#ifdef STATIC
    if
    :: position == 0 -> position = 1; first = block_first(me); end = block_end(me)
    :: else
    fi
#endif
#ifdef CYCLIC
    if
    :: position * WORKERS + me < CHUNKS ->
        first = position * WORKERS + me; end = first + 1; position++
    :: else
    fi
#endif
#if defined(STEAL) || defined(DYNAMIC)
    if
    :: claim_first[me] < claim_end[me] ->
        first = claim_first[me]; claim_first[me]++; end = claim_first[me]
    :: claim_first[me] + 1 < claim_end[me] ->
        first = claim_first[me]; claim_first[me] = claim_first[me] + 2; end = claim_first[me]
#ifdef DYNAMIC
    :: claim_first[me] >= claim_end[me] && counter < CHUNKS ->
        first = counter; counter++; end = counter
    :: claim_first[me] >= claim_end[me] && counter + 1 < CHUNKS ->
        /* A portion of two: the second goes into the word. */
        first = counter; end = first + 1; counter = counter + 2;
        claim_first[me] = end; claim_end[me] = counter
    :: claim_first[me] >= claim_end[me] && counter + 1 < CHUNKS && budget > 0 ->
        /* The same, and killed before it had filled the word: nobody knows of either. */
        counter = counter + 2;
        budget--; life[me] = DEAD;
        c = 0; t = 0; first = 0; end = 0; position = 0; pending = 0; redo = 0;
        reached(portion_lost)
        goto end_idle
    :: claim_first[me] >= claim_end[me] && counter >= CHUNKS ->
#else
    :: else ->
#endif
        if
        :: claim_first[0] < claim_end[0] -> t = 0
        :: claim_first[1] < claim_end[1] -> t = 1
#if WORKERS > 2
        :: claim_first[2] < claim_end[2] -> t = 2
#endif
        :: else -> t = WORKERS
        fi;
        if
        :: t < WORKERS ->
            end = claim_end[t];
            first = end - (end - claim_first[t] + 1) / 2;
            claim_end[t] = first;
            reached(stolen)
        :: else
        fi;
        t = 0
    fi
#endif
}

/* Leaves first ..< end; empty when nothing is left. */
inline claim_interval()
{
    if
    :: pending -> pending = 0 /* the resumed interval stands in first, end */
    :: else ->
        first = 0; end = 0; redo = (epoch > LOOP);
        if
        :: epoch > LOOP -> claim_list()
        :: else -> claim_own()
        fi
    fi;
    c = first;
    do
    :: c < end ->
        ghost_assert(owner[c] == 0 || (owner[c] == me + 1 && redo));
        ghost_assert(!in_any_roll(c));
        ghost_assert(!(quarantined & BIT(c)));
        owner[c] = me + 1;
        c++
    :: else -> break
    od
}

proctype Worker(byte me)
{
    byte c, t, first, end, position;
    bit pending, redo;

end_idle:
    if
    :: atomic { life[me] == RUNNING && done[me] == epoch && idle_turn && budget > 0 ->
        budget--; life[me] = DEAD };
        goto end_idle
    :: private {
        life[me] == RUNNING && done[me] != epoch && my_turn;
        mortal();

        /* In each branch below a process that begins in a loop leaves that loop's number, also one
         * that replaces another: its predecessor may have died before it could.
         * The roll: a predecessor's in this loop is continued. */
        if
#ifdef WRONG_roll_of_predecessor_emptied
        :: roll_job[me] != LOOP || resume_job[me] == epoch ->
#else
#ifdef WRONG_list_as_new_loop
        :: roll_job[me] != LOOP || (epoch > LOOP && resume_job[me] != epoch) ->
#else
        :: roll_job[me] != LOOP ->
#endif
#endif
#ifdef WRONG_roll_numbered_before_emptied
            roll_job[me] = LOOP; mortal();
            roll[me] = 0; mortal()
#else
            roll_job[me] = 0; mortal();
#ifndef WRONG_stale_roll
            roll[me] = 0; mortal();
#endif
            roll_job[me] = LOOP; mortal()
#endif
        :: else
        fi;

        /* The journal: a predecessor's in this loop is restored, another loop's thrown away. */
        if
#ifdef WRONG_resume_leaves_journal_number
        :: journal_job[me] != LOOP && resume_job[me] != epoch ->
#else
#ifdef WRONG_journal_number_unread
        :: false ->
#else
        :: journal_job[me] != LOOP ->
#endif
#endif
#ifdef WRONG_journal_numbered_before_emptied
            journal_job[me] = LOOP; mortal();
            clear_word(me); mortal()
#else
            clear_word(me); mortal();
            journal_job[me] = LOOP; mortal()
#endif
        :: else
        fi;

        /* Nothing is current before the number says that it is this job's. */
#ifdef WRONG_resume_leaves_current_number
        if
        :: resume_job[me] == epoch
        :: else ->
            d_step { current_first[me] = 0; current_end[me] = 0 }
            mortal();
            current_job[me] = epoch; mortal()
        fi;
#else
#ifdef WRONG_current_numbered_before_emptied
        current_job[me] = epoch; mortal();
        d_step { current_first[me] = 0; current_end[me] = 0 }
        mortal();
#else
#ifdef WRONG_stale_current
        if
        :: resume_job[me] != epoch ->
#else
        if
        :: true ->
#endif
            d_step { current_first[me] = 0; current_end[me] = 0 }
            mortal()
#ifdef WRONG_stale_current
        :: else
#endif
        fi;
        current_job[me] = epoch; mortal();
#endif
#endif

        if
#ifdef WRONG_resume_number_unread
        :: true ->
#else
        :: resume_job[me] == epoch ->
#endif
#ifndef WRONG_redo_without_restore
            if
            :: must_restore(me) ->
                t = 0;
                c = journal_tiles[me];
#if TILES > 1
                if /* a published second tile means that the first was stored */
                :: c > 1 && tile[journal_chunk[me] * TILES] == OLD -> reached(restored_again)
                :: else
                fi;
#endif
#ifdef WRONG_word_cleared_before_restore
                clear_word(me); mortal();
#endif
                do
                :: t < c ->
                    restore_tile(me, t); reached(restored);
                    mortal(); t++
                :: else -> break
                od;
                t = 0; c = 0;
#ifndef WRONG_word_kept_after_restore
                clear_word(me);
#ifdef FORGET
                forget_records(me);
#endif
                mortal()
#endif
            :: else
            fi;
#endif
            first = resume_first[me]; end = resume_end[me];
            pending = first < end; redo = pending;
#ifdef WRONG_position_lost
            position = 0
#else
            position = resume_position[me]
#endif
        :: else
        fi;
        goto claim_now
    }
    fi;

claim:
    private {
        my_turn;
claim_now:
        atomic { claim_interval() }
        if
        :: first == end -> goto finish
        :: else
        fi;
        mortal();
#ifndef WRONG_current_noted_late
#ifdef WRONG_resume_unnoted
        if
        :: redo && epoch == LOOP
        :: else ->
            d_step { current_first[me] = first; current_end[me] = end }
            mortal()
        fi;
#else
        d_step { current_first[me] = first; current_end[me] = end }
        mortal();
#endif
#endif
        c = first;
        do
        :: c < end ->
#if THROWS > 0
            if
            :: cancelled == epoch -> goto finish
            :: else
            fi;
#endif
#ifdef WRONG_commit_before_stores
            commit(); mortal();
#endif
#ifndef INPLACE
            if
            :: redo ->
                t = 0;
                do
                :: t < TILES -> tile[c * TILES + t] = BAD; mortal(); t++ /* poisoned */
                :: else -> break
                od
            :: else
            fi;
#endif
            if
            :: redo -> reached(redone)
            :: else
            fi;
            t = 0;
            do
            :: t < TILES -> run_tile(); mortal(); t++
            :: THROWS > 0 && throws > 0 ->
                throws--; reached(thrown);
                if
#ifdef WRONG_throw_unrestored
                :: false ->
#else
                :: must_restore(me) ->
#endif
                    t = 0;
                    do
                    :: t < journal_tiles[me] -> restore_tile(me, t); mortal(); t++
                    :: else -> break
                    od;
                    clear_word(me); mortal()
                :: else
                fi;
                cancelled = epoch; mortal();
                goto finish
            :: t == TILES -> break
            od;
            t = 0;
#ifndef WRONG_commit_before_stores
            commit(); mortal();
#endif
            c++
        :: else -> break
        od;
#ifdef WRONG_current_noted_late
        skip;
        d_step { current_first[me] = first; current_end[me] = end }
        mortal();
#endif
        c = 0; first = 0; end = 0
    }
    goto claim;

finish:
    private {
#ifdef WRONG_current_cleared_at_end
        d_step { current_first[me] = 0; current_end[me] = 0 }
        mortal();
#endif
        d_step { done[me] = epoch; c = 0; t = 0; first = 0; end = 0; position = 0; redo = 0 }
    }
    goto end_idle
}

/* -- leader ----------------------------------------------------------------------------------- */

inline leader_restores(rank)
{
    if
    :: must_restore(rank) ->
        n = 0;
        do
        :: n < journal_tiles[rank] -> restore_tile(rank, n); n++
        :: else -> break
        od;
        clear_word(rank);
#ifdef FORGET
        forget_records(rank);
#endif
        reached(leader_restored)
    :: else
    fi;
    n = 0
}

inline start(rank)
{
    d_step { done[rank] = epoch - 1; life[rank] = RUNNING }
}

/* A process can't be started: what its rank had in work is put back, and shows as holes. */
inline leave_vacant(rank)
{
    life[rank] = VACANT;
#ifndef WRONG_vacant_unrestored
    leader_restores(rank);
#endif
    n = 0;
    do
    :: n < CHUNKS -> if :: owner[n] == rank + 1 -> owner[n] = 0 :: else fi; n++
    :: else -> break
    od;
    n = 0
}

inline prove_death(rank)
{
    if
    :: epoch > LOOP && current_job[rank] == epoch - 1 -> reached(proved_late)
    :: else
    fi;
    n = CHUNKS; /* the chunk it died in */
    if
#ifdef WRONG_current_number_unread
    :: current_end[rank] > 0 ->
#else
    :: current_job[rank] == epoch && current_end[rank] > 0 ->
#endif
        n = current_first[rank];
#ifndef WRONG_current_from_its_start
        do
        :: n < current_end[rank] && in_roll(rank, n) -> n++
        :: else -> break
        od;
#endif
        resume_first[rank] = n; resume_end[rank] = current_end[rank];
#ifdef CYCLIC
        resume_position[rank] = (epoch == LOOP -> current_first[rank] / WORKERS + 1 : 0);
#else
        resume_position[rank] = 1;
#endif
        if
        :: n == current_end[rank] -> n = CHUNKS; resume_first[rank] = 0; resume_end[rank] = 0
        :: else
        fi
    :: else ->
        if
        :: resume_job[rank] == epoch -> reached(died_before_noting)
        :: else ->
            resume_first[rank] = 0; resume_end[rank] = 0; resume_position[rank] = 0
        fi
    fi;
    if
    :: n < CHUNKS ->
#if LIMIT > 0
        attempts[n]++;
#endif
        if
        :: attempts[n] == 3 -> reached(third_death_in_chunk)
        :: else
        fi;
        if
        :: epoch > LOOP -> reached(died_in_list)
        :: else
        fi;
        if
        :: LIMIT > 0 && attempts[n] >= LIMIT ->
            quarantined = quarantined | BIT(n);
            reached(quarantined);
#ifndef WRONG_quarantined_redone
            resume_first[rank] = n + 1
#endif
        :: else
        fi
    :: else
    fi;
    if
    :: resume_first[rank] >= resume_end[rank] -> resume_first[rank] = 0; resume_end[rank] = 0
    :: else
    fi;
    /* Ghost: claims that it never noted are nobody's; what stands in its journal is still its. */
    n = 0;
    do
    :: n < CHUNKS ->
        if
        :: owner[n] == rank + 1 && !(quarantined & BIT(n)) &&
           (n < resume_first[rank] || n >= resume_end[rank]) -> owner[n] = 0
        :: else
        fi;
        n++
    :: else -> break
    od;
    n = 0;
#ifndef WRONG_stale_current
    current_first[rank] = 0; current_end[rank] = 0;
#endif
    resume_job[rank] = epoch;
    if
    :: start(rank)
#ifndef NO_VACANCY
    :: leave_vacant(rank)
#endif
    fi
}

inline dispatch()
{
#if defined(STEAL) || defined(DYNAMIC)
    n = 0;
    do
    :: n < WORKERS && epoch == PREVIOUS ->
#ifdef STEAL
        claim_first[n] = block_first(n); claim_end[n] = block_end(n);
#else
        claim_first[n] = 0; claim_end[n] = 0;
#endif
        n++
    :: else -> break
    od;
    n = 0;
#endif
    epoch++;
#ifdef FORGET
    n = 0;
    do
    :: n < WORKERS ->
        current_first[n] = 0; current_end[n] = 0; current_job[n] = epoch - 1;
        resume_first[n] = 0; resume_end[n] = 0; resume_position[n] = 0; resume_job[n] = epoch - 1;
        n++
    :: else -> break
    od;
    n = 0;
#endif
    /* Each further job is due to a death in the one before, or to all ranks being vacant. */
    assert(epoch <= LOOP + DEATHS + 1)
}

proctype Leader()
{
    byte n, r, t;
    bit gave_up;

    do
#ifdef WRONG_death_unseen
    :: false
#else
    :: atomic { life[0] == DEAD -> prove_death(0) }
    :: atomic { life[1] == DEAD -> prove_death(1) }
#if WORKERS > 2
    :: atomic { life[2] == DEAD -> prove_death(2) }
#endif
#endif
#ifdef WRONG_vacant_before_proof
    :: atomic { life[0] == RUNNING && done[0] != epoch && budget > 0 -> budget--; leave_vacant(0) }
#endif
#ifdef WRONG_audit_before_done
    :: atomic { all_finished || epoch == LOOP ->
#else
    :: atomic { all_finished ->
#endif
        if
        :: cancelled == epoch -> break
        :: else
        fi;
        n = 0; list = 0;
        do
        :: n < CHUNKS ->
#ifdef WRONG_quarantined_dealt
            if :: !in_any_roll(n) -> list = list | BIT(n) :: else fi;
#else
            if
            :: !in_any_roll(n) && !(quarantined & BIT(n)) -> list = list | BIT(n)
            :: else
            fi;
#endif
            n++
        :: else -> break
        od;
        n = 0;
        if
        :: list == 0 -> break
        :: else
        fi;
        dispatch();
        reached(listed);
#ifndef NO_VACANCY
        do
        :: r < WORKERS ->
            if
            :: life[r] == VACANT -> start(r); reached(restarted)
            :: true
            fi;
            r++
        :: else -> break
        od;
        r = 0;
#ifndef WRONG_never_gives_up
        if
        :: !any_life(RUNNING) && !any_life(DEAD) -> gave_up = 1; reached(gave_up); break
        :: else
        fi
#endif
#endif
    }
    od;
    skip; /* a break may not lead into a d_step */
    d_step {
        n = 0;
        do
        :: n < CHUNKS ->
            r = in_roll(0, n) + in_roll(1, n);
#if WORKERS > 2
            r = r + in_roll(2, n);
#endif
            assert(r <= 1);
            assert(r == 0 || !(quarantined & BIT(n)));
            assert(r == 1 || (quarantined & BIT(n)) || gave_up || cancelled == epoch);
            t = 0;
            do
            :: t < TILES ->
                if
                :: r == 1 -> assert(tile[n * TILES + t] == NEW)
#ifdef INPLACE
                :: else -> assert(tile[n * TILES + t] == OLD)
#else
                :: else
#endif
                fi;
                t++
            :: else -> break
            od;
            n++
        :: else -> break
        od;
        n = 0; r = 0; t = 0
    }
    if
    :: budget == 0 && !gave_up && quarantined == 0 && epoch > LOOP ->
        reached(clean_after_all_deaths)
    :: else
    fi
}

/* The loop before: each rank had its static share, and each began as a replacement. */
init {
    byte n, r;
    d_step {
        do
        :: n < WORKERS ->
            done[n] = PREVIOUS;
            life[n] = RUNNING;
            current_first[n] = block_first(n); current_end[n] = block_end(n);
            current_job[n] = PREVIOUS;
            resume_first[n] = block_first(n); resume_end[n] = block_end(n);
            resume_position[n] = 1; resume_job[n] = PREVIOUS;
            roll_job[n] = PREVIOUS; roll[n] = BIT(block_first(n)) | BIT(block_end(n) - 1);
            journal_job[n] = PREVIOUS; journal_tiles[n] = TILES;
            journal_chunk[n] = block_end(n) - 1;
            do
            :: r < TILES ->
                record_chunk[n * TILES + r] = block_end(n) - 1;
                record_value[n * TILES + r] = BAD;
                r++
            :: else -> break
            od;
            r = 0;
            n++
        :: else -> break
        od;
        n = 0
    }
    atomic {
        dispatch();
        run Leader();
        run Worker(0);
#ifdef WRONG_replaced_before_proof
        run Worker(0);
#endif
        run Worker(1);
#if WORKERS > 2
        run Worker(2)
#endif
    }
}
