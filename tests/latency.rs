//! Latency histograms of breakers, and the windows that readers see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fusewire::stats::{HistogramConfig, LatencyHistogram, RecentLatency};
use fusewire::{
    Cancelled, CircuitBreaker, CircuitBreakerBuilder, Clock, CoarseClock, Dispatcher, EventQueue,
    ManualClock, Outcome, WindowConfig, observe,
};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;

fn build(configure: impl FnOnce(CircuitBreakerBuilder) -> CircuitBreakerBuilder) -> CircuitBreaker {
    let builder = CircuitBreaker::builder("latency").latency(HistogramConfig::new());
    configure(builder).build().expect("valid settings")
}

/// How many calls the breaker has recorded.
fn recorded(breaker: &CircuitBreaker) -> u64 {
    breaker.latency_histogram().expect("it keeps one").snapshot().count()
}

/// A call that takes so many milliseconds from `start` on.
fn call(breaker: &CircuitBreaker, start: u64, millis: u64, outcome: Outcome) {
    let token = breaker.admit_at(start).expect("admitted");
    breaker.record_at(token, outcome, start + millis * MILLISECOND);
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let clock = Clock::precise();
    let deadline = clock.now() + 30 * SECOND;
    while !done() {
        assert!(clock.now() < deadline, "{what}");
        thread::yield_now();
    }
}

#[test]
fn a_breaker_keeps_none_unless_asked() {
    let breaker = CircuitBreaker::builder("plain").build().expect("valid settings");
    breaker.try_acquire().expect("closed").success();
    assert!(breaker.latency_histogram().is_none());
    assert!(breaker.recent_latency().is_none());
    assert!(!breaker.sample_latency());
}

#[test]
fn results_are_recorded_and_what_is_no_result_is_not() {
    let breaker = build(|builder| builder.failure_threshold(10));
    call(&breaker, SECOND, 3, Outcome::Success);
    call(&breaker, SECOND, 5, Outcome::Failure);
    call(&breaker, SECOND, 7, Outcome::Ignored);
    call(&breaker, SECOND, 9, Outcome::Cancelled);
    breaker.record_untracked_at(Outcome::Success, 2 * SECOND);
    let histogram = breaker.latency_histogram().expect("it keeps one").snapshot();
    assert_eq!(histogram.count(), 2);
    assert_eq!(histogram.min().expect("calls").as_millis(), 2); // the lowest of the slot: 2.97 ms
    assert_eq!(histogram.max().expect("calls").as_millis(), 5);
}

#[test]
fn a_cancelled_call_that_is_a_failure_is_recorded() {
    let clock = ManualClock::new();
    let breaker = build(|builder| builder.cancelled_as(Cancelled::Failure).clock(&clock));
    let permit = breaker.try_acquire().expect("closed");
    clock.advance(Duration::from_millis(250));
    drop(permit);
    let histogram = breaker.latency_histogram().expect("it keeps one").snapshot();
    assert_eq!(histogram.max().expect("a call").as_millis(), 251);
}

#[test]
fn late_results_and_probes_are_what_the_service_took() {
    let breaker = build(|builder| {
        builder.failure_threshold(1).recovery_timeout(Duration::from_secs(1)).half_open_requests(1)
    });
    let slow = breaker.admit_at(SECOND).expect("closed");
    call(&breaker, SECOND, 1, Outcome::Failure);
    breaker.record_at(slow, Outcome::Success, 3 * SECOND);
    assert_eq!(breaker.totals().late, 1);
    assert_eq!(recorded(&breaker), 2);
    call(&breaker, 4 * SECOND, 2, Outcome::Success); // the probe
    assert_eq!(recorded(&breaker), 3);
    let max = breaker.latency_histogram().expect("it keeps one").snapshot().max().expect("calls");
    assert!((2.0..2.04).contains(&max.as_secs_f64()), "{max:?}");
}

#[test]
fn every_path_of_a_success_is_recorded() {
    type Configure = fn(CircuitBreakerBuilder) -> CircuitBreakerBuilder;
    let paths: [(&str, Configure); 6] = [
        ("consecutive", |builder| builder),
        ("time window", |builder| builder.failure_rate(0.5)),
        ("count window", |builder| builder.failure_rate(0.5).window(WindowConfig::count(10, 2))),
        ("slow calls", |builder| builder.slow_calls(Duration::from_millis(4), 1.0).minimum_calls(1_000)),
        ("hung calls", |builder| builder.count_hung_after(Duration::from_mins(1))),
        ("one stripe", |builder| builder.stripes(1).latency(HistogramConfig::new().stripes(1))),
    ];
    for (name, configure) in paths {
        let clock = ManualClock::new();
        let breaker = build(|builder| configure(builder.clock(&clock)));
        for millis in 1..=100 {
            let permit = breaker.try_acquire().expect("closed");
            clock.advance(Duration::from_millis(millis));
            // A failure now and then, so that the next success finds the word not calm.
            if millis % 10 == 0 {
                permit.failure()
            } else {
                permit.success()
            };
        }
        let histogram = breaker.latency_histogram().expect("it keeps one").snapshot();
        assert_eq!(histogram.count(), 100, "{name}");
        let [p50, p99] = histogram.quantiles([0.5, 0.99]).expect("calls");
        assert!((50.0..51.0).contains(&(p50.as_secs_f64() * 1e3)), "{name}: {p50:?}");
        assert!((99.0..101.0).contains(&(p99.as_secs_f64() * 1e3)), "{name}: {p99:?}");
        assert!((histogram.share_above(Duration::from_millis(80)) - 0.2).abs() < 0.011, "{name}");
    }
}

#[test]
fn a_window_that_comes_by_reconfiguration_misses_no_bucket() {
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(9));
    let breaker = build(|builder| builder.clock(&clock));
    breaker.try_acquire().expect("closed").success();
    let mut config = breaker.config();
    config.failure_rate = Some(0.5);
    breaker.reconfigure(config).expect("valid settings");
    clock.advance(Duration::from_mins(1));
    for _ in 0..5 {
        breaker.try_acquire().expect("closed").success();
    }
    let window = breaker.snapshot().totals.window.expect("a rate rule is on");
    assert_eq!(window.calls, 5);
}

#[test]
fn time_that_goes_back_is_no_time() {
    let breaker = build(|builder| builder);
    let token = breaker.admit_at(SECOND).expect("closed");
    breaker.record_at(token, Outcome::Success, SECOND - 1);
    let histogram = breaker.latency_histogram().expect("it keeps one").snapshot();
    assert_eq!((histogram.count(), histogram.max()), (1, Some(Duration::ZERO)));
}

#[test]
fn the_window_is_of_ten_seconds_in_five_buckets_unless_told() {
    let clock = ManualClock::new();
    let breaker = build(|builder| builder.clock(&clock));
    let mut covered = Vec::new();
    for _ in 0..60 {
        clock.advance(Duration::from_secs(1));
        covered.extend(breaker.recent_latency().expect("it keeps one").covers);
    }
    let (least, most) = (covered.iter().min().expect("full"), covered.iter().max().expect("full"));
    assert_eq!((least.as_secs(), most.as_secs()), (10, 11));
}

#[test]
fn whoever_samples_all_leaves_windows_of_given_times_alone() {
    let unix = 1_700_000_000 * SECOND;
    let breaker = build(|builder| builder.latency_window(Duration::from_secs(10), 5));
    breaker.recent_latency(); // by its own clock, which counts from elsewhere
    for second in 0..30 {
        call(&breaker, unix + second * SECOND, 1, Outcome::Success);
        observe::sample_latencies();
        let recent = breaker.recent_latency_at(unix + second * SECOND).expect("it keeps one");
        match recent.covers {
            None => assert!(second < 10),
            Some(covers) => assert!((10..14).contains(&covers.as_secs()), "{covers:?}"),
        }
    }
}

#[test]
fn shares_are_not_rounded_up_and_the_last_call_counts() {
    let histogram = LatencyHistogram::new(HistogramConfig::new()).expect("valid settings");
    (1..=75).for_each(|millis| histogram.record_nanos(millis * MILLISECOND));
    let millis = |q| histogram.snapshot().quantile(q).expect("calls").as_millis();
    // 0.28 of 75 is 21 exactly, and a little more in floating point.
    assert_eq!((millis(0.28), millis(0.281)), (21, 22));

    let few = LatencyHistogram::new(HistogramConfig::new()).expect("valid settings");
    few.record_nanos(10);
    let mut many = few.snapshot();
    for _ in 0..54 {
        let twin = many.clone();
        many.merge(&twin).expect("the same slots");
    }
    few.record(Duration::from_secs(1));
    many.merge(&few.snapshot()).expect("the same slots");
    assert_eq!(many.quantile(1.0), many.max());
    assert_eq!(many.quantile(0.5), Some(Duration::from_nanos(10)));
}

#[test]
fn what_is_out_of_range_is_told_as_the_longest_that_can_be() {
    let config = HistogramConfig::new().max(Duration::from_secs(1));
    let histogram = LatencyHistogram::new(config).expect("valid settings");
    histogram.record(Duration::MAX);
    histogram.record_nanos(u64::MAX);
    let mut snapshot = histogram.snapshot();
    assert_eq!((snapshot.count(), snapshot.out_of_range()), (2, 2));
    let limit = snapshot.max().expect("calls");
    assert!(limit >= Duration::from_secs(1));
    assert_eq!((snapshot.mean(), snapshot.quantile(0.5)), (Some(limit), Some(limit)));
    let slot = snapshot.slots().next().expect("one slot");
    assert_eq!((slot.highest, slot.count), (Duration::MAX, 2));
    assert!(slot.lowest > limit);

    // A snapshot of other slots is made anew.
    let other = LatencyHistogram::new(HistogramConfig::new().precision(8)).expect("valid settings");
    other.record_nanos(5);
    other.snapshot_into(&mut snapshot);
    assert_eq!(snapshot, other.snapshot());
}

#[test]
fn recent_latency_forgets_what_is_old() {
    let clock = ManualClock::new();
    let breaker = build(|builder| builder.clock(&clock).latency_window(Duration::from_secs(10), 5));
    let p50 = |recent: &RecentLatency| recent.histogram.quantile(0.5).map(|latency| latency.as_millis());
    let served = |millis| {
        let permit = breaker.try_acquire().expect("closed");
        clock.advance(Duration::from_millis(millis));
        permit.success();
    };
    served(500);
    let first = breaker.recent_latency().expect("it keeps one");
    assert_eq!((first.covers, first.histogram.count()), (None, 1));
    for _ in 0..20 {
        clock.advance(Duration::from_millis(990));
        served(10);
        breaker.sample_latency();
    }
    let recent = breaker.recent_latency().expect("it keeps one");
    let covers = recent.covers.expect("more than its length has passed");
    assert!(covers >= Duration::from_secs(10) && covers < Duration::from_secs(12), "{covers:?}");
    assert_eq!(u128::from(recent.histogram.count()), covers.as_millis() / 1000);
    assert_eq!(p50(&recent), Some(10));
    assert!(recent.histogram.max() < Some(Duration::from_millis(11)));
    assert_eq!(recorded(&breaker), 21);
}

#[test]
fn readings_that_follow_each_other_count_each_call_once() {
    let histogram = LatencyHistogram::new(HistogramConfig::new()).expect("valid settings");
    let calls = 40_000_u64;
    let (mut last, mut seen) = (histogram.snapshot(), 0);
    thread::scope(|scope| {
        let recorders: Vec<_> = (0..3)
            .map(|seed| {
                let histogram = &histogram;
                scope.spawn(move || (0..calls).for_each(|i| histogram.record_nanos(i * (seed + 1))))
            })
            .collect();
        loop {
            let done = recorders.iter().all(thread::ScopedJoinHandle::is_finished);
            let now = histogram.snapshot();
            seen += now.clone().since(&last).expect("the same slots").count();
            last = now;
            if done {
                break;
            }
        }
    });
    assert_eq!(seen, 3 * calls);
    assert_eq!(last.count(), 3 * calls);
}

#[test]
fn calls_made_are_calls_recorded() {
    let breaker = build(|builder| builder.failure_threshold(1).recovery_timeout(Duration::ZERO));
    thread::scope(|scope| {
        for seed in 1..=4_u64 {
            let breaker = &breaker;
            scope.spawn(move || {
                for i in 0..20_000_u64 {
                    if let Ok(permit) = breaker.try_acquire() {
                        let fails = (i * seed).is_multiple_of(5);
                        if fails {
                            permit.failure()
                        } else {
                            permit.success()
                        };
                    }
                }
            });
        }
    });
    let totals = breaker.totals();
    assert!(totals.transitions.open > 0, "nothing tripped");
    assert_eq!(recorded(&breaker), totals.success + totals.failure + totals.late);
}

#[test]
fn a_dispatcher_takes_the_snapshots() {
    let events = EventQueue::new();
    let dispatcher = Dispatcher::sampling(&events, Duration::from_millis(1), |_| ()).expect("a thread");
    // A breaker that is read once: only what somebody else sampled can be the base of its window.
    eventually("nobody sampled", || {
        let clock = ManualClock::new();
        let breaker = build(|builder| builder.clock(&clock).latency_window(Duration::from_secs(10), 1));
        for _ in 0..100 {
            thread::yield_now();
        }
        clock.advance(Duration::from_secs(10));
        breaker.recent_latency().expect("it keeps one").covers.is_some()
    });
    drop(dispatcher);
    assert!(Dispatcher::sampling(&events, Duration::ZERO, |_| ()).is_err());
}

#[test]
fn a_dispatcher_that_never_rests_samples_too() {
    let events = EventQueue::new();
    let noisy = CircuitBreaker::builder("noisy").events(&events).build().expect("valid settings");
    let rest = Arc::new(AtomicBool::new(false));
    let theirs = (noisy.clone(), rest.clone());
    // Each event makes the next, so the queue is never empty; but for a bound, should this test fail.
    let mut left = 5_000_000;
    let dispatcher = Dispatcher::sampling(&events, Duration::from_nanos(1), move |_| {
        let (noisy, rest) = &theirs;
        left -= 1;
        if left > 0 && !rest.load(Ordering::Relaxed) {
            noisy.force_open();
            noisy.force_close();
        }
    })
    .expect("a thread");
    noisy.force_open();
    eventually("nobody sampled", || {
        let clock = ManualClock::new();
        let breaker = build(|builder| builder.clock(&clock).latency_window(Duration::from_secs(10), 1));
        let delivered = dispatcher.delivered();
        eventually("no events", || dispatcher.delivered() > delivered + 2);
        clock.advance(Duration::from_secs(10));
        breaker.recent_latency().expect("it keeps one").covers.is_some()
    });
    rest.store(true, Ordering::Relaxed);
    drop(dispatcher);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the bomb");
    }
}

#[test]
fn a_clock_survives_a_task_that_panics_as_it_goes() {
    let bomb = Bomb;
    let clock = CoarseClock::spawn_with(Duration::from_micros(100), move |_| {
        let _ = &bomb;
        std::panic::panic_any(Bomb);
    })
    .expect("a thread");
    let stopped = clock.now();
    for _ in 0..3 {
        let last = clock.now();
        eventually("the clock stopped with its task", || clock.now() > last);
    }
    assert!(clock.now() > stopped);
}

#[test]
fn a_task_may_drop_its_own_clock() {
    let slot = Arc::new(std::sync::Mutex::new(None));
    let theirs = slot.clone();
    let (done, ended) = std::sync::mpsc::channel();
    let clock = CoarseClock::spawn_with(Duration::from_micros(100), move |_| {
        let last: Option<CoarseClock> = theirs.lock().expect("no panic").take();
        if let Some(clock) = last {
            drop(clock);
            let _ = done.send(());
        }
    })
    .expect("a thread");
    *slot.lock().expect("no panic") = Some(clock);
    ended.recv_timeout(Duration::from_secs(30)).expect("dropping it did not panic");
    // The thread ends by itself, and drops its task.
    eventually("the thread goes on", || Arc::strong_count(&slot) == 1);
}

#[test]
fn a_clocks_thread_takes_the_snapshots_and_survives_its_task() {
    let breaker = build(|builder| builder.latency_window(Duration::from_nanos(1), 1));
    let ticks = Arc::new(AtomicU64::new(0));
    let theirs = (ticks.clone(), breaker.clone());
    let clock = CoarseClock::spawn_with(Duration::from_micros(100), move |now| {
        let (ticks, breaker) = &theirs;
        assert!(now > 0, "it is given the time");
        assert!(breaker.sample_latency_at(now) || ticks.load(Ordering::Relaxed) > 0);
        let before = ticks.fetch_add(1, Ordering::Relaxed);
        assert!(before < 3, "the task is tired");
    })
    .expect("a thread");
    eventually("the task did not run", || ticks.load(Ordering::Relaxed) == 4);
    let stopped = clock.now();
    eventually("the clock stopped with its task", || clock.now() > stopped);
    drop(clock);
    assert_eq!(ticks.load(Ordering::Relaxed), 4);
}

#[test]
fn all_instances_are_asked_and_only_those_that_keep_latencies_answer() {
    let clock = ManualClock::new();
    let breaker = build(|builder| builder.clock(&clock).latency_window(Duration::from_secs(1), 1));
    // Tests of one process may run beside this one: ask for what is ours.
    assert!(observe::sample_latencies() >= 1);
    assert!(!breaker.sample_latency(), "it was sampled a moment ago, by its own clock");
    clock.advance(Duration::from_secs(1));
    assert!(breaker.sample_latency());
}

#[test]
fn settings_out_of_range_are_named() {
    let refused = |configure: fn(CircuitBreakerBuilder) -> CircuitBreakerBuilder| {
        let error = configure(CircuitBreaker::builder("latency")).build().expect_err("out of range");
        (error.field().to_owned(), error.to_string())
    };
    let (field, text) = refused(|builder| builder.latency(HistogramConfig::new().precision(63)));
    assert_eq!(field, "precision");
    assert!(text.contains("63") && text.contains("a power of two"), "{text}");
    let (field, _) =
        refused(|builder| builder.latency(HistogramConfig::new()).latency_window(Duration::ZERO, 1));
    assert_eq!(field, "latency_window.length");
    let (field, text) = refused(|builder| builder.latency_window(Duration::from_secs(1), 1));
    assert_eq!(field, "latency_window");
    assert!(text.contains("together with latency"), "{text}");
}

#[test]
fn histograms_of_different_slots_do_not_mix() {
    let fine = LatencyHistogram::new(HistogramConfig::new()).expect("valid settings").snapshot();
    let coarse = HistogramConfig::new().precision(8);
    let mut coarse = LatencyHistogram::new(coarse).expect("valid settings").snapshot();
    let error = coarse.merge(&fine).expect_err("different slots");
    let text = "histograms of different slots: precision 8, resolution 1ns, 272 slots; \
                and precision 64, resolution 1ns, 1920 slots";
    assert_eq!(error.to_string(), text);
    let before = coarse.clone();
    let same = coarse.clone();
    assert!(coarse.merge_all(&[&same, &fine]).is_err());
    assert_eq!(coarse, before);
    assert!(coarse.since(&fine).is_err());
}

#[cfg(feature = "hdrhistogram")]
mod export {
    use super::*;
    use fusewire::stats::HistogramSnapshot;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use proptest::prelude::*;

    fn snapshot(config: HistogramConfig, latencies: &[u64]) -> HistogramSnapshot {
        let histogram = LatencyHistogram::new(config).expect("valid settings");
        for latency in latencies {
            histogram.record_nanos(*latency);
        }
        histogram.snapshot()
    }

    fn nanos(latency: Duration) -> u64 {
        u64::try_from(latency.as_nanos()).expect("of 64 bits")
    }

    proptest! {
        #[test]
        fn percentiles_agree_with_those_of_hdr(
            precision in 3..=10_u32,
            unit in 0..=29_u32,
            max in 31..46_u32,
            around in 0..3_u64,
            latencies in prop::collection::vec((any::<u64>(), 10..64_u32), 1..200),
        ) {
            let max = Duration::from_nanos((1 << max) + around - 1);
            let config = HistogramConfig::new().precision(1 << precision).resolution(Duration::from_nanos(1 << unit)).max(max);
            let latencies: Vec<u64> = latencies.into_iter().map(|(bits, shift)| bits >> shift).collect();
            let snapshot = snapshot(config, &latencies);
            let hdr = snapshot.to_hdrhistogram();
            prop_assert_eq!(hdr.len(), snapshot.count());
            for q in [0.001, 0.123, 0.456, 0.789, 1.0] {
                let ours = nanos(snapshot.quantile(q).expect("calls"));
                // HDR shows the end of its own slot, which is no longer than ours.
                let (shown, step) = (hdr.value_at_quantile(q), (ours >> precision).max(1 << unit));
                prop_assert!(shown >= ours && shown < ours + step, "{q}: {shown} for {ours}");
            }
            for bytes in [snapshot.to_hdr_v2(), snapshot.to_hdr_v2_deflate()] {
                let bytes = bytes.expect("small counts");
                let back: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).expect("what was written");
                prop_assert_eq!(&back, &hdr);
            }
        }
    }

    #[test]
    fn the_percentile_table_is_what_plotters_read() {
        let latencies: Vec<u64> = (1..=1000).map(|micros| micros * 1000).collect();
        let table = snapshot(HistogramConfig::new(), &latencies).percentile_table(5);
        let mut lines = table.lines();
        let head: Vec<_> = lines.next().expect("a head").split_whitespace().collect();
        assert_eq!(head, ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]);
        let rows: Vec<Vec<f64>> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|cell| cell.parse().expect("a number")).collect())
            .collect();
        assert!(rows.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2]));
        let median = rows.iter().find(|row| row[1] >= 0.5).expect("a median");
        assert!((500.0..508.0).contains(&median[0]), "{median:?}");
        let last = rows.last().expect("rows");
        assert_eq!(last[1..], [1.0, 1000.0], "the last line has no inverse");
        let foot: String = table.lines().filter(|line| line.starts_with('#')).collect::<Vec<_>>().join(" ");
        let numbers: Vec<f64> = foot
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .filter_map(|word| word.parse().ok())
            .collect();
        let &[mean, deviation, max, count, _, steps] = &*numbers else { panic!("{foot}") };
        assert!((495.0..510.0).contains(&mean) && (285.0..293.0).contains(&deviation), "{foot}");
        assert!((1000.0..1016.0).contains(&max), "{foot}");
        assert_eq!([count as u64, steps as u64], [1000, 256]);

        let lines =
            |ticks| snapshot(HistogramConfig::new(), &latencies).percentile_table(ticks).lines().count();
        assert!(lines(1) < lines(5) && lines(5) < lines(50));
        assert_eq!((lines(0), lines(u32::MAX)), (lines(1), lines(100)));
    }

    #[test]
    fn what_is_out_of_range_stands_at_the_end_of_it() {
        let config = HistogramConfig::new().max(Duration::from_secs(1));
        let snapshot = snapshot(config, &[u64::MAX, 5]);
        assert_eq!(snapshot.out_of_range(), 1);
        let hdr = snapshot.to_hdrhistogram();
        assert_eq!(hdr.len(), 2);
        assert!(hdr.equivalent(hdr.max(), nanos(snapshot.max().expect("calls"))));
        assert!(hdr.max() >= SECOND);
    }

    #[test]
    fn a_count_that_the_format_cannot_say_is_an_error() {
        let mut snapshot = snapshot(HistogramConfig::new(), &[7]);
        for _ in 0..63 {
            let twin = snapshot.clone();
            snapshot.merge(&twin).expect("the same slots");
        }
        let error = snapshot.to_hdr_v2().expect_err("2^63 calls");
        assert!(error.to_string().contains("2^63"), "{error}");
        assert_eq!(snapshot.to_hdr_v2_deflate(), Err(error));
    }
}
