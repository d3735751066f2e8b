//! Every kernel at every level of this machine against its portable twin, and the twin against its definition.

use fusewire::simd::Kernels;

use crate::input::Input;

/// Enough for several blocks of every kernel and a tail.
const MOST_WORDS: usize = 2_200;
const MOST_RANKS: usize = 24;
const MOST_ROWS: usize = 12;

/// Random rows, ranks and breakers: every level must give what the definitions say, to the bit, and leave alone
/// what is beyond the common length.
///
/// # Panics
///
/// Where a level gives something else.
pub fn simd(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let words = row(&mut input);
    let from = row(&mut input);
    let rows: Vec<Vec<u64>> = (0..input.below(MOST_ROWS)).map(|_| row(&mut input)).collect();
    let rows: Vec<&[u64]> = rows.iter().map(Vec::as_slice).collect();
    let states: Vec<u8> = words.iter().map(|word| (word % 6) as u8).collect();
    let small: Vec<u64> = words.iter().map(|word| word >> 16).collect();
    let mut ranks: Vec<u64> = (0..input.below(MOST_RANKS)).map(|_| rank(&mut input, &small)).collect();
    if !input.one_in(4) {
        ranks.sort_unstable();
    }
    for kernels in Kernels::available() {
        let name = kernels.name();
        let mut merged = words.clone();
        kernels.merge(&mut merged, &from);
        assert_eq!(merged, added(&words, &[&from], u64::wrapping_add), "merge, {name}");
        kernels.difference(&mut merged, &from);
        assert_eq!(merged, words, "difference, {name}");
        kernels.merge_rows(&mut merged, &rows);
        assert_eq!(merged, added(&words, &rows, u64::wrapping_add), "merge of rows, {name}");
        let mut less = words.clone();
        kernels.difference(&mut less, &from);
        assert_eq!(less, added(&words, &[&from], u64::wrapping_sub), "difference, {name}");
        let total = words.iter().fold(0, |sum: u64, word| sum.wrapping_add(*word));
        assert_eq!(kernels.total(&words), total, "total, {name}");

        let mut slots = vec![usize::MAX; ranks.len() + 1];
        kernels.ranks(&small, &ranks, &mut slots);
        assert_eq!(slots, reached(&small, &ranks), "ranks, {name}");
        // Totals past 2^64 have no meaning, but an answer within the row.
        kernels.ranks(&words, &ranks, &mut slots);
        assert!(slots[..ranks.len()].iter().all(|slot| *slot <= words.len()), "ranks, {name}");

        let mut rates = vec![7.0; words.len() + 1];
        kernels.rates(&words, &from, &mut rates);
        let expected: Vec<f64> = (0..rates.len()).map(|at| rate(words.get(at), from.get(at))).collect();
        assert_eq!(bits(&rates), bits(&expected), "rates, {name}");
        let counted =
            [0, 1, 2, 3].map(|state| states.iter().map(|one| u64::from(*one == state)).sum::<u64>());
        assert_eq!(kernels.states(&states), counted, "states, {name}");
    }
}

/// A row whose words are drawn from a few, at a length that is often near a multiple of a block.
fn row(input: &mut Input<'_>) -> Vec<u64> {
    let near = input.pick(&[0, 1, 8, 16, 32, 64, 128, 192, 256, 512, 1_024, 1_920, 2_048]);
    let length = (near + input.below(20)).saturating_sub(input.below(20)).min(MOST_WORDS);
    let mut some = [0_u64; 8];
    for word in &mut some {
        *word = if input.one_in(3) { 0 } else { input.number() };
    }
    let mut state = input.number() | 1;
    let mut next = || {
        // Xorshift, so that long rows take few bytes.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        some[state as usize % some.len()].wrapping_mul(state >> 60)
    };
    (0..length).map(|_| next()).collect()
}

/// A rank at or beside a running total, or anywhere.
fn rank(input: &mut Input<'_>, counts: &[u64]) -> u64 {
    let upto = usize::from(input.byte()) * counts.len() / 255;
    let total: u64 = counts[..upto].iter().sum();
    let any = input.number();
    input.pick(&[total, total + 1, total.saturating_sub(1), any])
}

fn added(into: &[u64], rows: &[&[u64]], operation: fn(u64, u64) -> u64) -> Vec<u64> {
    let of = |at: usize| move |row: &&[u64]| row.get(at).copied().unwrap_or(0);
    (0..into.len()).map(|at| rows.iter().map(of(at)).fold(into[at], operation)).collect()
}

/// One rank after the other, each from the beginning; one more slot than ranks, left alone.
fn reached(counts: &[u64], ranks: &[u64]) -> Vec<usize> {
    let reaches = |rank: u64| {
        let mut total = 0;
        let first = counts.iter().position(|count| {
            total += count;
            total >= rank
        });
        first.unwrap_or(counts.len())
    };
    let least = |upto: usize| ranks[..=upto].iter().copied().max().unwrap_or(0);
    (0..ranks.len()).map(|at| reaches(least(at))).chain([usize::MAX]).collect()
}

fn rate(calls: Option<&u64>, failures: Option<&u64>) -> f64 {
    match (calls, failures) {
        (Some(0), Some(_)) => 0.0,
        (Some(calls), Some(failures)) => *failures as f64 / *calls as f64,
        _ => 7.0,
    }
}

fn bits(rates: &[f64]) -> Vec<u64> {
    rates.iter().map(|rate| rate.to_bits()).collect()
}
