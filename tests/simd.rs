//! Every kernel at every level of this machine: against the portable twin, and the twin against its definition.

use fusewire::CircuitState;
use fusewire::simd::Kernels;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const MOST: usize = 2_100;

/// Sparse, dense, small and wrapping counts.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0), 4 => 0..100_u64, 2 => any::<u64>(), 1 => Just(u64::MAX), 1 => Just(1 << 63)]
}

fn row() -> impl Strategy<Value = Vec<u64>> {
    prop_oneof![vec(count(), 0..MOST), vec(count(), 0..80), vec(0..3_u64, 1_900..MOST)]
}

/// Counts whose total is less than 2^64.
fn histogram() -> impl Strategy<Value = Vec<u64>> {
    let bounded = |count: u64| if count >> 50 == 0 { count } else { count >> 14 };
    row().prop_map(move |row| row.into_iter().map(bounded).collect())
}

type Two = fn(Kernels, &mut [u64], &[u64]);

/// The first level whose result is not that of `expected`, a definition in one line.
fn differs(
    operation: Two,
    expected: impl Fn(u64, u64) -> u64,
    into: &[u64],
    from: &[u64],
) -> Option<&'static str> {
    let mut wanted = into.to_vec();
    wanted.iter_mut().zip(from).for_each(|(into, from)| *into = expected(*into, *from));
    // At every distance from where the allocator puts a row, since the kernels align themselves.
    let differs = |kernels: &Kernels| {
        (0..8).any(|offset| {
            let mut found = vec![0; offset];
            found.extend_from_slice(into);
            operation(*kernels, &mut found[offset..], from);
            found[offset..] != wanted
        })
    };
    Kernels::available().iter().find(|kernels| differs(kernels)).map(|kernels| kernels.name())
}

fn first_reaching(counts: &[u64], rank: u64) -> usize {
    let totals = counts.iter().scan(0, |total: &mut u64, count| {
        *total += count;
        Some(*total)
    });
    totals.take_while(|total| *total < rank).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_adds_slot_by_slot(into in row(), from in row(), at in any::<Index>()) {
        // Not only rows that begin where the allocator puts them.
        let into = &into[at.index(into.len().min(8) + 1).min(into.len())..];
        prop_assert_eq!(differs(Kernels::merge, u64::wrapping_add, into, &from), None);
        prop_assert_eq!(differs(Kernels::difference, u64::wrapping_sub, into, &from), None);
    }

    #[test]
    fn rows_merge_as_one_after_the_other(
        into in row(),
        pool in row(),
        cuts in vec((any::<Index>(), any::<Index>()), 0..11),
    ) {
        let cut = |(begin, end): &(Index, Index)| {
            let end = end.index(pool.len() + 1);
            &pool[begin.index(end.min(9) + 1).min(end)..end]
        };
        let rows: Vec<&[u64]> = cuts.iter().map(cut).collect();
        let mut wanted = into.clone();
        for row in &rows {
            wanted.iter_mut().zip(*row).for_each(|(into, from)| *into = into.wrapping_add(*from));
        }
        for kernels in Kernels::available() {
            let mut found = into.clone();
            kernels.merge_rows(&mut found, &rows);
            prop_assert_eq!(&found, &wanted, "{:?}", kernels);
        }
    }

    #[test]
    fn a_total_is_the_sum(counts in row()) {
        let wanted = counts.iter().fold(0, |sum: u64, count| sum.wrapping_add(*count));
        for kernels in Kernels::available() {
            prop_assert_eq!(kernels.total(&counts), wanted, "{:?}", kernels);
        }
    }

    #[test]
    fn ranks_are_found_where_the_total_reaches_them(
        counts in histogram(),
        ends in vec((any::<Index>(), 0..3_u64), 0..25),
        wild in any::<u64>(),
    ) {
        // At running totals, one less and one more, and anywhere.
        let total = |end: &Index| counts[..end.index(counts.len() + 1)].iter().sum::<u64>();
        let mut ranks: Vec<u64> = ends.iter().map(|(end, near)| (total(end) + near).saturating_sub(1)).collect();
        ranks.push(wild);
        ranks.sort_unstable();
        let wanted: Vec<usize> = ranks.iter().map(|rank| first_reaching(&counts, *rank)).collect();
        for kernels in Kernels::available() {
            let mut found = vec![usize::MAX; ranks.len()];
            kernels.ranks(&counts, &ranks, &mut found);
            prop_assert_eq!(&found, &wanted, "{:?}", kernels);
        }
    }

    #[test]
    fn rates_are_quotients(calls in row(), failures in row()) {
        let rate = |(calls, failures): (&u64, &u64)| {
            if *calls == 0 { 0.0 } else { *failures as f64 / *calls as f64 }
        };
        let wanted: Vec<f64> = calls.iter().zip(&failures).map(rate).collect();
        for kernels in Kernels::available() {
            let mut found = vec![-1.0; wanted.len() + 3];
            kernels.rates(&calls, &failures, &mut found);
            let (found, rest) = found.split_at(wanted.len());
            prop_assert!(found.iter().zip(&wanted).all(|(a, b)| a.to_bits() == b.to_bits()), "{:?}", kernels);
            prop_assert!(rest.iter().all(|rate| rate.to_bits() == (-1.0_f64).to_bits()), "{:?}", kernels);
        }
    }

    #[test]
    fn states_are_counted(states in vec(prop_oneof![0..4_u8, any::<u8>()], 0..MOST), times in 1..20_usize) {
        // Long enough, at times, for a lane of bytes to be full.
        let states = states.repeat(times);
        let wanted = [0, 1, 2, 3].map(|state| states.iter().map(|one| u64::from(*one == state)).sum::<u64>());
        for kernels in Kernels::available() {
            prop_assert_eq!(kernels.states(&states), wanted, "{:?}", kernels);
        }
    }
}

#[test]
fn a_kernel_that_is_off_by_one_is_noticed() {
    let off: Two = |kernels, into, from| {
        kernels.merge(into, from);
        if let Some(last) = into.last_mut().filter(|_| kernels.name() != "portable") {
            *last = last.wrapping_add(1);
        }
    };
    let row = vec![7; 65];
    let first = Kernels::available().get(1).map(|kernels| kernels.name());
    assert_eq!(differs(off, u64::wrapping_add, &row, &row), first);
    assert_eq!(differs(Kernels::merge, u64::wrapping_sub, &row, &row), Some("portable"));
}

#[test]
fn levels_are_what_the_machine_has() {
    let names: Vec<&str> = Kernels::available().iter().map(|kernels| kernels.name()).collect();
    println!("levels: {}", names.join(", "));
    assert_eq!(names[0], "portable");
    assert_eq!(names.last(), Some(&Kernels::detect().name()));
    assert!(!names.contains(&"unknown"), "{names:?}");
    #[cfg(target_arch = "x86_64")]
    assert_eq!(names.contains(&"avx2"), std::is_x86_feature_detected!("avx2"), "{names:?}");
}

#[test]
fn ranks_in_any_order_and_number_are_answered() {
    for kernels in Kernels::available() {
        let counts = vec![1; 200];
        let mut slots = [9; 3];
        kernels.ranks(&counts, &[150, 20, 201, 5], &mut slots);
        assert_eq!(slots, [149, 149, 200], "one that is less counts as the one before, {kernels:?}");
        kernels.ranks(&counts, &[0], &mut slots);
        assert_eq!(slots, [0, 149, 200], "a slot too many is left alone, {kernels:?}");
        kernels.ranks(&[], &[0, 1], &mut slots);
        assert_eq!(slots, [0, 0, 200], "nothing is reached in nothing, {kernels:?}");
        let past = vec![u64::MAX; 200];
        kernels.ranks(&past, &[1, u64::MAX], &mut slots);
        assert!(slots.iter().all(|slot| *slot <= 200), "{kernels:?}");
    }
}

#[test]
fn the_states_of_a_breaker_are_counted_in_their_order() {
    let states: Vec<u8> = CircuitState::ALL.iter().flat_map(|state| [*state as u8; 100]).collect();
    assert_eq!(Kernels::detect().states(&states), [100; 4]);
}
