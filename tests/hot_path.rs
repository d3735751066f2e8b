//! After a thread's first use, the hot path neither allocates nor enters the kernel; and what a breaker takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use fusewire::stats::HistogramConfig;
use fusewire::{
    CircuitBreaker, CircuitBreakerBuilder, Clock, EventQueue, LimitSet, Limiter, ManualClock, RejectReason,
    Retry, RetryBudget, RetryConfig, SlidingWindowRateLimiter, TokenBucketRateLimiter, WindowConfig, retry,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes that the thread holds; negative when it gave back what another thread asked for.
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

/// Counts what each thread asks for and gives back.
struct Counting;

fn count(calls: u64, more: usize, less: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + calls);
    BYTES.set(BYTES.get() + more.cast_signed() as i64 - less.cast_signed() as i64);
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator cannot be had without")]
// SAFETY: every call is handed to the system's allocator as it came. Counting touches a thread-local cell that
// needs neither an allocation nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size(), 0);
        // SAFETY: the caller's promise is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size, layout.size());
        // SAFETY: as in `alloc`; the pointer came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, 0, layout.size());
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Something that a thread does again and again, with the breaker or limiter that it does it to.
struct Case {
    name: &'static str,
    step: Box<dyn FnMut()>,
}

impl Case {
    fn new(name: &'static str, step: impl FnMut() + 'static) -> Self {
        Self { name, step: Box::new(step) }
    }

    fn repeat(&mut self, times: u32) {
        for _ in 0..times {
            (self.step)();
        }
    }
}

fn breaker(configure: impl FnOnce(CircuitBreakerBuilder) -> CircuitBreakerBuilder) -> CircuitBreaker {
    configure(CircuitBreaker::builder("hot")).build().expect("a valid configuration")
}

/// One clock for all: its thread should be as idle here as in a program.
fn coarse() -> Clock {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(|| Clock::coarse(Duration::from_millis(1)).expect("a thread for the clock")).clone()
}

fn windowed(builder: CircuitBreakerBuilder) -> CircuitBreakerBuilder {
    let window = WindowConfig::time(Duration::from_millis(100), 10); // short, so that boundaries are crossed
    builder.failure_threshold(None).window(window).failure_rate(1.0).minimum_calls(10)
}

/// Five successes for each failure, so that no rule trips.
fn mixed(name: &'static str, breaker: CircuitBreaker) -> Case {
    let mut calls = 0_u32;
    Case::new(name, move || {
        calls += 1;
        let permit = breaker.try_acquire().expect("it stays closed");
        if calls.is_multiple_of(6) {
            permit.failure()
        } else {
            permit.success()
        };
    })
}

fn refused(name: &'static str, breaker: CircuitBreaker, reason: RejectReason) -> Case {
    Case::new(name, move || {
        let rejected = breaker.try_acquire().expect_err("it refuses");
        assert_eq!(black_box(rejected).reason, reason);
    })
}

fn open(clock: Clock) -> CircuitBreaker {
    let breaker = breaker(|builder| {
        builder.failure_threshold(1).recovery_timeout(Duration::from_hours(1)).clock(clock)
    });
    breaker.try_acquire().expect("closed").failure();
    breaker
}

/// A half-open breaker whose only probe is out. The probe is leaked: its lease is an hour.
fn half_open() -> CircuitBreaker {
    let clock = ManualClock::new();
    let breaker = breaker(|builder| {
        let builder =
            builder.failure_threshold(1).half_open_requests(1).recovery_timeout(Duration::from_secs(1));
        builder.half_open_timeout(Duration::from_hours(1)).clock(Clock::from(&clock))
    });
    breaker.try_acquire().expect("closed").failure();
    clock.advance(Duration::from_secs(2));
    std::mem::forget(breaker.try_acquire_owned().expect("the first probe"));
    breaker
}

/// First attempts that succeed, by policies of all kinds, and what is asked of a budget.
fn retries() -> Vec<Case> {
    let policy = || Retry::new(RetryConfig::new()).expect("valid settings");
    let named = || Retry::named("hot", RetryConfig::new()).expect("valid settings");
    let budget = RetryBudget::builder().clock(coarse()).build().expect("valid settings");
    let spent = RetryBudget::builder().min_per_second(0.0).burst(1).build().expect("valid settings");
    assert!(spent.try_withdraw());
    let (plain, counted) = (policy(), named());
    let paying = named().budget(&budget);
    let timed = policy().clock(coarse()).deadline(Duration::from_secs(1));
    let ruled = policy().when(|(): &()| true).retry_if_value(|value: &u32| *value == 0).on_retry(
        |attempt: &fusewire::retry::RetryAttempt<'_, ()>| {
            let _ = black_box(attempt);
        },
    );
    let config = RetryConfig::new();
    let wrong = named().when(|_: &u32| false);
    let call = || Ok::<u32, ()>(black_box(1));
    let case = |name, step: Box<dyn FnMut()>| Case { name, step };
    vec![
        case("retry", Box::new(move || assert!(retry(&config, call).is_ok()))),
        case("retry, policy", Box::new(move || assert!(plain.call(call).is_ok()))),
        case("retry, named", Box::new(move || assert!(counted.call(call).is_ok()))),
        case("retry, budget", Box::new(move || assert!(paying.call(call).is_ok()))),
        case("retry, deadline", Box::new(move || assert!(timed.call(call).is_ok()))),
        case("retry, rules", Box::new(move || assert!(ruled.call(call).is_ok()))),
        case(
            "retry, not retryable",
            Box::new(move || assert!(wrong.call(|| Err::<(), u32>(black_box(1))).is_err())),
        ),
        case(
            "retries withdrawn",
            Box::new(move || {
                let _ = black_box(budget.try_withdraw());
            }),
        ),
        case("retries refused", Box::new(move || assert!(!spent.try_withdraw()))),
    ]
}

/// Admitted and refused in turn, by a clock that goes on by a window at every other request.
fn limited(name: &'static str, limiter: impl Limiter + 'static) -> Case {
    let mut now = 0;
    Case::new(name, move || {
        now += 100;
        assert!(black_box(&limiter).try_acquire_at(now).is_ok());
        let refused = limiter.try_acquire_at(now).expect_err("one in a window");
        assert_eq!(black_box(refused).limit, 1);
        black_box((limiter.remaining_at(now), limiter.peek_at(1, now + 100).is_ok()));
    })
}

fn sliding() -> Vec<Case> {
    let window = Duration::from_nanos(100);
    let sliding = || SlidingWindowRateLimiter::builder("hot").max_requests(1).window(window);
    let set = LimitSet::builder("hot").limit(1, window).limit(100, window).limit(2, window);
    let clocked = SlidingWindowRateLimiter::builder("hot").clock(coarse()).build().expect("defaults");
    vec![
        limited("sliding window", sliding().build().expect("a valid configuration")),
        limited("set of limits", set.build().expect("a valid configuration")),
        // Two windows apart, nothing is left of the estimate either.
        limited("sliding window, approximate", {
            let half = sliding().window(window / 2).approximate();
            half.build().expect("a valid configuration")
        }),
        Case::new("sliding window, coarse clock", move || {
            black_box(clocked.try_acquire().is_ok());
        }),
    ]
}

/// A bucket that has tokens for every case here, or none for an age.
fn bucket(clock: Clock, filled: bool) -> TokenBucketRateLimiter {
    let (rate, capacity) = if filled { (1e9, 1 << 40) } else { (1e-6, 1) };
    let builder = TokenBucketRateLimiter::builder("hot").rate(rate).capacity(capacity).clock(clock);
    let bucket = builder.build().expect("valid settings");
    if !filled {
        bucket.try_acquire().expect("full");
    }
    bucket
}

fn limiter_cases() -> Vec<Case> {
    let (coarsely, precisely) = (bucket(coarse(), true), bucket(Clock::precise(), true));
    let (weighted, told) = (bucket(coarse(), true), bucket(coarse(), true));
    let (empty, empty_precisely) = (bucket(coarse(), false), bucket(Clock::precise(), false));
    let (invalid, looked_at, waited_for) =
        (bucket(coarse(), false), bucket(coarse(), false), bucket(coarse(), false));
    std::mem::forget(waited_for.reserve(1).expect("it fills"));
    let lease = |clock| bucket(clock, true).lease_handle(64).expect("a valid batch");
    let (mut plain, mut timed) = (lease(coarse()), lease(coarse()));
    let mut held = lease(coarse()).max_hold(Duration::from_millis(5));
    let mut short = lease(Clock::precise()).max_hold(Duration::ZERO);
    let mut drained = bucket(coarse(), false).lease_handle(1).expect("a valid batch");
    let mut now = 0;
    vec![
        Case::new("bucket, coarse clock", move || coarsely.try_acquire().expect("there")),
        Case::new("bucket, precise clock", move || precisely.try_acquire().expect("there")),
        Case::new("bucket, the caller's time", move || {
            now += 10;
            told.try_acquire_at(now).expect("there");
        }),
        Case::new("bucket, a weight", move || weighted.try_acquire_n(black_box(7)).expect("there")),
        Case::new("bucket refused, coarse clock", move || {
            black_box(empty.try_acquire().expect_err("empty"));
        }),
        Case::new("bucket refused, precise clock", move || {
            black_box(empty_precisely.try_acquire().expect_err("empty"));
        }),
        Case::new("bucket refused for the size", move || {
            assert!(invalid.try_acquire_n(black_box(2)).expect_err("too many").is_invalid());
        }),
        Case::new("bucket refused behind those who wait", move || {
            black_box(waited_for.try_acquire().expect_err("behind them"));
        }),
        Case::new("bucket looked at", move || {
            black_box((looked_at.peek(1).is_ok(), looked_at.remaining()));
        }),
        Case::new("lease", move || plain.try_acquire().expect("there")),
        Case::new("lease, the caller's time", move || timed.try_acquire_at(5).expect("there")),
        Case::new("lease with a hold, coarse clock", move || held.try_acquire().expect("there")),
        Case::new("lease that expires at once, precise clock", move || short.try_acquire().expect("there")),
        Case::new("lease refused", move || {
            black_box(drained.try_acquire().expect_err("empty"));
        }),
    ]
}

fn cases() -> Vec<Case> {
    let mut cases = breaker_cases();
    cases.extend(sliding());
    cases.extend(retries());
    cases.extend(limiter_cases());
    cases
}

fn breaker_cases() -> Vec<Case> {
    let consecutive = || breaker(|builder| builder.failure_threshold(u32::MAX));
    let (success, failure, ignored, cancelled, call, raw) =
        (consecutive(), consecutive(), consecutive(), consecutive(), consecutive(), consecutive());
    let owned = consecutive();
    let forced = consecutive();
    forced.force_open();
    let hung =
        breaker(|builder| builder.failure_threshold(u32::MAX).count_hung_after(Duration::from_mins(1)));
    let slow = breaker(|builder| windowed(builder).slow_calls(Duration::from_secs(1), 1.0).clock(coarse()));
    let count = breaker(|builder| {
        builder
            .failure_threshold(None)
            .window(WindowConfig::count(600, 10))
            .failure_rate(1.0)
            .minimum_calls(10)
    });
    vec![
        Case::new("success", move || {
            success.try_acquire().expect("closed").success();
        }),
        Case::new("failure below the threshold", move || {
            failure.try_acquire().expect("closed").failure();
        }),
        Case::new("ignored", move || {
            ignored.try_acquire().expect("closed").ignore();
        }),
        Case::new("cancelled", move || drop(cancelled.try_acquire().expect("closed"))),
        Case::new("call", move || {
            call.call(|| Ok::<u32, ()>(black_box(1))).expect("closed");
        }),
        Case::new("raw token", move || {
            let token = raw.admit().expect("closed");
            raw.record(token, fusewire::Outcome::Success);
        }),
        Case::new("owned permit", move || {
            owned.try_acquire_owned().expect("closed").success();
        }),
        Case::new("success, hung calls counted", move || {
            hung.try_acquire().expect("closed").success();
        }),
        mixed("time window, coarse clock", breaker(|builder| windowed(builder).clock(coarse()))),
        mixed("time window, precise clock", breaker(|builder| windowed(builder).clock(Clock::precise()))),
        mixed("slow calls, coarse clock", slow),
        mixed("count window", count),
        mixed("latency, coarse clock", latency(coarse())),
        mixed("latency, precise clock", latency(Clock::precise())),
        refused("refused, open, coarse clock", open(coarse()), RejectReason::Open),
        refused("refused, open, precise clock", open(Clock::precise()), RejectReason::Open),
        refused("refused, forced open", forced, RejectReason::ForcedOpen),
        refused("refused, half-open and full", half_open(), RejectReason::HalfOpen),
    ]
}

/// A breaker that keeps a histogram of its latencies.
fn latency(clock: Clock) -> CircuitBreaker {
    breaker(|builder| builder.failure_threshold(u32::MAX).clock(clock).latency(HistogramConfig::new()))
}

const FIRST_USE: u32 = 10;

#[test]
fn the_hot_path_does_not_allocate() {
    for mut case in cases() {
        case.repeat(FIRST_USE);
        let before = ALLOCATIONS.get();
        case.repeat(10_000);
        assert_eq!(ALLOCATIONS.get() - before, 0, "{} allocates", case.name);
    }
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    black_box(Box::new(black_box(1)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

/// What docs/performance.md and docs/limitations.md say. The directory of live breakers is in it.
#[test]
fn a_breaker_takes_as_many_bytes_as_documented() {
    const BREAKERS: i64 = 1000;
    let bytes = |configure: &dyn Fn(CircuitBreakerBuilder) -> CircuitBreakerBuilder| {
        let mut breakers = Vec::with_capacity(BREAKERS as usize);
        let before = BYTES.get();
        breakers.extend((0..BREAKERS).map(|_| breaker(|builder| configure(builder.stripes(1)))));
        (BYTES.get() - before) / BREAKERS
    };
    let window = |buckets| {
        move |builder: CircuitBreakerBuilder| {
            builder.window(WindowConfig::time(Duration::from_secs(10), buckets)).failure_rate(0.5)
        }
    };
    let queue = EventQueue::with_capacity(100);
    let one = bytes(&|builder| builder);
    let stripe = (bytes(&|builder| builder.stripes(9)) - one) / 8;
    let ten = bytes(&window(10)) - one;
    let bucket = (bytes(&window(110)) - one - ten) / 100;
    let hung = bytes(&|builder| builder.count_hung_after(Duration::from_secs(30))) - one;
    let event = (bytes(&|builder| builder.events(&queue)) - one) / 100;
    let histogram = HistogramConfig::new().stripes(3);
    let latency = bytes(&|builder| builder.latency(histogram)) - one;
    let slots = histogram.bytes().expect("valid settings").cast_signed() as i64;
    println!("one stripe {one}, each further {stripe}; ten buckets {ten}, each further {bucket}");
    println!("latencies {latency}, of which slots {slots}");
    println!("hung calls {hung}; an event of a queue's capacity {event}");
    assert!(one <= 1024, "1 KiB, with its entry in the directory");
    assert!(slots == 3 * 1920 * 8 && (slots..slots + 512).contains(&latency));
    assert!(stripe <= 136 && ten <= 640 && bucket <= 40 && hung <= 2560 && event <= 44);
}

/// What docs/sliding-windows.md says.
#[test]
fn a_log_takes_as_many_bytes_as_documented() {
    let bytes = |limit: u64| {
        let before = BYTES.get();
        let set = LimitSet::builder("hot").limit(limit, Duration::from_secs(1)).stripes(1).build();
        let held = BYTES.get() - before;
        drop(set.expect("a valid configuration"));
        held
    };
    // The first entry of a directory makes room for more.
    let _ = bytes(1);
    let small = bytes(1);
    println!("a set of one limit of 1: {small}");
    assert!(small <= 1024, "1 KiB, with its entry in the directory");
    let documented = [(100, 128), (1_000, 1_024), (160_000, 262_144), (1_000_000, 1_048_576)];
    for (limit, slots) in documented.into_iter().chain([((1 << 24) - 1, 1 << 24)]) {
        assert_eq!(bytes(limit) - small, 8 * (slots - 2), "a limit of {limit}");
    }
}

const CHILD: &str = "FUSEWIRE_HOT_PATH_CHILD";
/// Paths that do not exist. Asking for them is how the traced thread says where it is.
const BEGIN: &str = "/fusewire-hot-path/begin/";
const END: &str = "/fusewire-hot-path/end/";

/// Runs this test again under `strace` and looks at what the thread asked of the kernel between two marks.
#[test]
#[cfg(target_os = "linux")]
fn the_hot_path_enters_no_system_call() {
    if std::env::var_os(CHILD).is_some() {
        for mut case in cases() {
            case.repeat(FIRST_USE);
            let (begin, end) = (format!("{BEGIN}{}", case.name), format!("{END}{}", case.name));
            let _ = fs::metadata(&begin);
            case.repeat(1_000_000);
            let _ = fs::metadata(&end);
        }
        return;
    }

    let log = std::env::temp_dir().join(format!("fusewire-hot-path-{}.strace", std::process::id()));
    let this = std::env::current_exe().expect("tests run from a file");
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .arg(this)
        .args(["--exact", "the_hot_path_enters_no_system_call", "--test-threads=1"])
        .env(CHILD, "1")
        .output();
    let trace = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(&log);
    match traced {
        Ok(output) if output.status.success() && trace.contains(END) => {}
        Ok(output) if trace.contains(BEGIN) => panic!("the traced run failed: {output:?}"),
        other => return println!("skipped: strace is missing or may not trace here: {other:?}"),
    }

    // Each line begins with the thread's number. Other threads, a clock's for one, may do what they like.
    let mut seen = 0;
    let mut within: Option<(&str, &str)> = None;
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').expect("a thread and what it did");
        match within {
            None if call.contains(BEGIN) => within = Some((thread, call)),
            Some((marked, _)) if thread == marked && call.contains(END) => {
                within = None;
                seen += 1;
            }
            Some((marked, begin)) if thread == marked => {
                // The end of a mark that another thread's line has cut in two is no call of its own.
                assert!(call.contains("resumed>"), "after {begin}\nthe hot path did {call}");
            }
            _ => {}
        }
    }
    assert_eq!(seen, cases().len(), "every case was traced");
}
