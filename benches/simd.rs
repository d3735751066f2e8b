//! The kernels at the best level of this machine, to be tracked from version to version: `cargo bench --bench simd`.
#![allow(missing_docs, reason = "criterion's macros")]

#[path = "simd/data.rs"]
mod data;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use data::{BREAKERS, Row, SLOTS};
use fusewire::simd::Kernels;

fn histograms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("histogram of 1920 slots");
    let kernels = Kernels::detect();
    let mut into = Row::new(&data::histogram(SLOTS, 1), 0);
    let from = Row::new(&data::histogram(SLOTS, 2), 0);
    group.bench_function("total", |bencher| bencher.iter(|| kernels.total(black_box(from.words()))));
    for quantiles in [1, 5, 20] {
        let sets = data::ranks(from.words(), quantiles, 3);
        let mut sets = sets.iter().cycle();
        let mut slots = vec![0; quantiles];
        group.bench_function(format!("quantiles: {quantiles}"), |bencher| {
            bencher.iter(|| {
                let set = sets.next().map(Vec::as_slice).unwrap_or_default();
                kernels.ranks(black_box(from.words()), black_box(set), black_box(&mut slots));
            });
        });
    }
    group.bench_function("merge", |bencher| {
        bencher.iter(|| kernels.merge(black_box(into.words_mut()), black_box(from.words())));
    });
    group.bench_function("difference", |bencher| {
        bencher.iter(|| kernels.difference(black_box(into.words_mut()), black_box(from.words())));
    });
    let rows: Vec<Row> = (0..10).map(|seed| Row::new(&data::histogram(SLOTS, seed), 0)).collect();
    let rows: Vec<&[u64]> = rows.iter().map(Row::words).collect();
    group.bench_function("merge of ten rows", |bencher| {
        bencher.iter(|| kernels.merge_rows(black_box(into.words_mut()), black_box(&rows)));
    });
    group.finish();
}

fn breakers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("10000 breakers");
    let kernels = Kernels::detect();
    let (calls, failures, states) = data::breakers(BREAKERS, 1);
    let mut rates = vec![0.0; BREAKERS];
    group.bench_function("rates", |bencher| {
        bencher.iter(|| kernels.rates(black_box(&calls), black_box(&failures), black_box(&mut rates)));
    });
    group.bench_function("states", |bencher| bencher.iter(|| kernels.states(black_box(&states))));
    group.finish();
}

criterion_group!(benches, histograms, breakers);
criterion_main!(benches);
